"""The messages of a conversation, from OpenAI's shape to ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from homespun.core import Message, Role, Tokenizer
from homespun.serving.errors import ApiError
from homespun.serving.openai.calling.calls import CLOSE, OPEN, strict_json
from homespun.serving.openai.calling.thoughts import ANSWER, THINK, knows_reasoning, thinks
from homespun.serving.openai.calling.tools import Name
from homespun.serving.openai.fields import Listed, Strict


class TextPart(Strict):
    type: Literal["text"]
    text: str


class CalledFunction(Strict):
    name: Name
    arguments: str


class CalledTool(Strict):
    id: Annotated[str, Field(min_length=1, max_length=128)]
    type: Literal["function"]
    function: CalledFunction
    index: int | None = None


class ChatMessage(Strict):
    """One message. What an assistant's answer holds may be sent back as it came."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Listed[TextPart] | None = None
    name: Annotated[str, Field(pattern=r"^[^\s<|\\/>]{1,64}$")] | None = None
    tool_calls: Listed[CalledTool] | None = None
    tool_call_id: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    reasoning_content: str | None = None
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None


def told(messages: Sequence[ChatMessage], *, most: int, tokenizer: Tokenizer) -> list[Message]:
    """As the chat template takes them. Calls stand within the assistant's messages, what came of
    them in the user's; a participant's name before what they say.

    Args:
        tokenizer: whose chat template takes what an assistant thought, or reads it before what the
            assistant said, or knows nothing of it.

    Raises:
        ApiError: there are too many, one has nothing in it, or fields that its role has not.
    """
    if len(messages) > most:
        many = f"there are {len(messages)} messages, and {most} are the most"
        raise ApiError(400, many, param="messages", code="too_many_messages")
    calls: set[str] = set()
    found: list[Message] = []
    for at, message in enumerate(messages):
        text = _text(message, at, calls)
        if message.role == "tool" and at and messages[at - 1].role == "tool":
            found[-1] = Message("user", f"{found[-1].content}\n{text}")
            continue
        thought = message.reasoning_content or ""
        param = f"messages.{at}.reasoning_content"
        found.append(thoughtful(_ROLES[message.role], text, thought, tokenizer, param=param))
    return found


def thoughtful(role: Role, text: str, thought: str, tokenizer: Tokenizer, *, param: str) -> Message:
    """A message with what was thought before it, where the tokenizer's chat template takes that.

    Raises:
        ApiError: naming `param`; it does not.
    """
    if thought and not knows_reasoning(tokenizer):
        if not thinks(tokenizer):
            none = "the model's chat template does not speak of what was thought; leave it out"
            raise ApiError(400, none, param=param)
        return Message(role, f"{THINK}\n{thought}\n{ANSWER}\n\n{text}")
    return Message(role, text, thought)


_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
}


def _text(message: ChatMessage, at: int, calls: set[str]) -> str:
    if message.tool_calls is not None and message.role != "assistant":
        raise ApiError(400, "only assistants call tools", param=f"messages.{at}.tool_calls")
    if message.reasoning_content is not None and message.role != "assistant":
        thinks = "only assistants think: reasoning_content belongs to them"
        raise ApiError(400, thinks, param=f"messages.{at}.reasoning_content")
    if (message.tool_call_id is not None) != (message.role == "tool"):
        belongs = "a tool_call_id belongs to a message of role 'tool', and each of those has one"
        raise ApiError(400, belongs, param=f"messages.{at}.tool_call_id")
    if message.content is None and not message.tool_calls:
        raise ApiError(400, "a message needs content", param=f"messages.{at}.content")
    text = text_of(message.content or "")
    if message.name is not None:
        text = f"{message.name}: {text}"
    if message.role == "tool":
        if message.tool_call_id not in calls:
            unknown = "no call before this message has that tool_call_id"
            raise ApiError(400, unknown, param=f"messages.{at}.tool_call_id")
        return f"<tool_response>\n{text}\n</tool_response>"
    for number, call in enumerate(message.tool_calls or ()):
        calls.add(call.id)
        text += ("\n" if text else "") + _written(
            call, param=f"messages.{at}.tool_calls.{number}.function.arguments"
        )
    return text


def _written(call: CalledTool, *, param: str) -> str:
    """A call as the model would write it."""
    try:
        arguments = strict_json(call.function.arguments)
        told = {"name": call.function.name, "arguments": arguments}
        written = json.dumps(told, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "the arguments of a call are not JSON", param=param) from error
    return f"{OPEN}\n{written}\n{CLOSE}"


def text_of(content: str | Sequence[TextPart]) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.text for part in content)
