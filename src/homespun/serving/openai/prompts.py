"""From texts and conversations to ids, refused before anything is read that cannot fit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import Field

from homespun.core import Message, OptionTokenizer, Tokenizer
from homespun.serving.engine import ServedModel
from homespun.serving.errors import ApiError
from homespun.serving.openai.calling.tools import Toolbox
from homespun.serving.openai.fields import Listed
from homespun.serving.openai.rewriting import check_source, source_message

_Ids = Annotated[Listed[int], Field(min_length=1)]
Prompts = (
    str
    | Annotated[Listed[str], Field(min_length=1)]
    | _Ids
    | Annotated[Listed[_Ids], Field(min_length=1)]
)
"""One text or several, as text or as ids of tokens."""

_READ_AT_ONCE = 16_384
"""Characters that are encoded without leaving the event loop: about a millisecond."""
_A_TEXT = 256


async def text_ids(served: ServedModel, text: str, *, param: str) -> list[int]:
    """Ids of a text that is to be continued; an empty one begins a document."""
    return (await _texts_ids(served, [text], param=param))[0]


async def _texts_ids(served: ServedModel, texts: Sequence[str], *, param: str) -> list[list[int]]:
    for text in texts:
        _check_length(served, len(text), param=param)
        if served.rewrites is not None:
            check_source(served, text, param=param)
    tokenizer = served.tokenizer

    def encode() -> list[list[int]]:
        found = [[*tokenizer.start_ids, *ids.tolist()] for ids in tokenizer.encode_batch(texts)]
        return [ids or [tokenizer.end_of_text_id] for ids in found]

    size = sum(map(len, texts))
    # A text more is at least as much work as so many characters.
    is_little = size + _A_TEXT * len(texts) <= _READ_AT_ONCE
    encoded = encode() if is_little else await asyncio.to_thread(encode)
    for ids in encoded:
        check_fits(served, len(ids), param=param)
    return encoded


@runtime_checkable
class ToolTokenizer(Protocol):
    """A tokenizer whose chat template may write what tools there are."""

    @property
    def knows_tools(self) -> bool: ...


ChatOptions = Mapping[str, bool | str]


def _check_options(tokenizer: Tokenizer, options: ChatOptions) -> None:
    """Raises ApiError with the name of an option that the chat template does not ask for."""
    known = tokenizer.chat_options if isinstance(tokenizer, OptionTokenizer) else frozenset()
    for name in options:
        if name not in known:
            told = "the model's chat template does not ask for it; leave it out"
            raise ApiError(400, told, param=f"chat_template_kwargs.{name[:64]}")


async def chat_ids(
    served: ServedModel,
    messages: Sequence[Message],
    *,
    param: str = "messages",
    box: Toolbox | None = None,
    options: ChatOptions | None = None,
) -> list[int]:
    """Ids of a conversation, as the model's template writes it, up to where its answer begins.
    Tools that may be called are told by the template, or else in the system message. Of a model
    that writes one text from another, ids of the last message.

    Args:
        options: values of names that the chat template asks for.
    """
    if not served.can_chat:
        raise ApiError(
            400,
            f"'{served.name}' has not learnt to chat; ask /v1/completions to continue a text",
            param="model",
            code="model_cannot_chat",
        )
    if served.rewrites is not None:
        source = source_message(served, messages, param=param)
        check_source(served, source.content, param=param)
        messages, box = [source], None
    tools = [] if box is None else box.described
    tokenizer = served.tokenizer
    _check_options(tokenizer, options or {})
    if tools and not (isinstance(tokenizer, ToolTokenizer) and tokenizer.knows_tools):
        assert box is not None
        messages, tools = with_tools(messages, box), []
    size = sum(len(message.content) for message in messages)
    size += sum(len(json.dumps(tool, ensure_ascii=False)) for tool in tools)
    _check_length(served, size, param=param)
    # Not counted before: templates leave out most of what was thought, and it may fit all the same.
    size += sum(len(message.reasoning) for message in messages)

    more: dict[str, Any] = {"options": options} if options else {}
    if tools:
        more["tools"] = tools

    def encode() -> list[int]:
        # A tokenizer is given only what it was found to know.
        return list(tokenizer.encode_chat(messages, add_generation_prompt=True, **more).ids)

    ids = encode() if size <= _READ_AT_ONCE else await asyncio.to_thread(encode)
    check_fits(served, len(ids), param=param)
    return ids


def with_tools(messages: Sequence[Message], box: Toolbox) -> list[Message]:
    """A conversation whose system message tells of the tools."""
    told = box.told()
    first, rest = messages[0], messages[1:]
    if first.role == "system":
        return [Message("system", f"{first.content}\n\n{told}"), *rest]
    return [Message("system", told), first, *rest]


def check_fits(served: ServedModel, num_tokens: int, *, param: str, at_least: bool = False) -> None:
    """Raises ApiError, with both numbers, where a prompt leaves no room for an answer, or is longer
    than what an encoder, or a model that writes another text, reads."""
    window = served.engine.window
    many = f"at least {num_tokens}" if at_least else str(num_tokens)
    if served.rewrites is not None or not served.can_write:
        if num_tokens > window:
            raise ApiError(
                400,
                f"the text has {many} tokens, and '{served.name}' reads {window}; "
                "cut it into several",
                param=param,
                code="context_length_exceeded",
            )
    elif num_tokens >= window:
        raise ApiError(
            400,
            f"the prompt has {many} tokens, and the window of '{served.name}' holds {window} "
            "tokens of prompt and answer together; shorten the prompt",
            param=param,
            code="context_length_exceeded",
        )


def _check_length(served: ServedModel, num_characters: int, *, param: str) -> None:
    """Refuse what cannot fit before it is read: a character has a byte at least. Encoders leave
    some characters out, and have one token for a word they do not know, however long; so has T5."""
    if served.rewrites is not None or not served.can_write:
        return
    fewest = num_characters // served.longest_token
    check_fits(served, fewest, param=param, at_least=True)


def listed(prompts: Prompts) -> list[str] | list[list[int]]:
    """One or several, texts or ids, as several."""
    if isinstance(prompts, str):
        return [prompts]
    first = prompts[0]
    if isinstance(first, int):
        return [[token for token in prompts if isinstance(token, int)]]
    return prompts  # type: ignore[return-value]  # all are of the form of the first


async def prompt_ids(served: ServedModel, prompts: Prompts, *, param: str) -> list[list[int]]:
    """Ids of each prompt, checked to fit and to be in the vocabulary."""
    given = listed(prompts)
    texts = [prompt for prompt in given if isinstance(prompt, str)]
    if texts:
        return await _texts_ids(served, texts, param=param)
    found: list[list[int]] = []
    for prompt in given:
        assert not isinstance(prompt, str)
        check_fits(served, len(prompt), param=param)
        most = served.tokenizer.vocab_size - 1
        wrong = next((token for token in prompt if not 0 <= token <= most), None)
        if wrong is not None:
            raise ApiError(400, f"token ids run from 0 to {most}, got {wrong}", param=param)
        found.append(prompt)
    return found


async def around_blank(
    served: ServedModel, prompts: Sequence[list[int]], suffix: str
) -> list[list[int]]:
    """Prompts as the model reads them: one that fills blanks is told where one is and what stands
    behind it; for others they are as they were.

    Raises:
        ApiError: there is a suffix, and the model fills no blanks, or they do not fit together.
    """
    mark = served.blank_mark
    if mark is None:
        if suffix:
            raise ApiError(
                400,
                f"'{served.name}' has not learned to write what is missing in a text; "
                "leave the suffix out, or ask a model of which /v1/models says can_fill",
                param="suffix",
                code="model_cannot_fill",
            )
        return list(prompts)
    after: list[int] = []
    if suffix:
        _check_length(served, len(suffix), param="suffix")
        encode = served.tokenizer.encode
        is_little = len(suffix) <= _READ_AT_ONCE
        found = encode(suffix) if is_little else await asyncio.to_thread(encode, suffix)
        after = [int(token) for token in found]
    whole = [[*prompt, mark, *after, mark] for prompt in prompts]
    for ids in whole:
        check_fits(served, len(ids), param="suffix" if suffix else "prompt")
    return whole
