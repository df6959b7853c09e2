"""One JSON row to one Conversation: the four forms that chat data is shared in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from homespun.core import Conversation, Message, Role
from homespun.core.text import nfc

FORMS = {
    "messages": '{"messages": [{"role": "user", "content": …}, …]}',
    "conversations": '{"conversations": [{"from": "human", "value": …}, …]}',
    "instruction": '{"instruction": …, "input": …, "output": …}',
    "prompt": '{"prompt" or "question": …, "answer", "completion" or "response": …}',
}

# What turns call their speaker and their text: which of the two a file takes says nothing of the
# list they stand in.
_TURN_KEYS = (("role", "content"), ("from", "value"))
_QUESTION_KEYS = ("prompt", "question", "query")
_ANSWER_KEYS = ("answer", "completion", "response")
_SYSTEM_KEYS = ("system", "system_prompt")

# Names of speakers met in published files, and what they are here.
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}


class RowError(Exception):
    """What is wrong with one row, without the file and line, which the caller knows."""


class Row(NamedTuple):
    """A row understood: the conversation, the form it was in, turns cut off its end."""

    conversation: Conversation
    form: str
    num_cut: int


def parse_row(row: object) -> Row:
    """Understand one row of a chat file, whichever of the four forms it is in.

    Raises:
        RowError: saying which part is wrong and what was expected there.
    """
    if not isinstance(row, Mapping):
        raise RowError(f"expected a JSON object, got {_kind(row)}")
    if "messages" in row:
        form, messages = "messages", _turns(row["messages"], "messages", "role")
    elif "conversations" in row:
        form, messages = "conversations", _turns(row["conversations"], "conversations", "from")
    elif "instruction" in row and (answer := _first_key(row, _answers_to_instruction(row))):
        form, messages = "instruction", _alpaca(row, answer)
    elif (question := _first_key(row, _QUESTION_KEYS)) and (
        answer := _first_key(row, _ANSWER_KEYS)
    ):
        form, messages = (
            "prompt",
            [
                *_history_if_any(row),
                _message("user", row, question),
                _message("assistant", row, answer),
            ],
        )
    else:
        keys_met = ", ".join(map(str, row)) or "none"
        raise RowError(
            f"none of the four forms (keys: {keys_met}); use " + " or ".join(FORMS.values())
        )
    system = next((key for key in _SYSTEM_KEYS if not _is_blank(row.get(key))), None)
    if system and messages and messages[0].role != "system":
        messages.insert(0, _message("system", row, system))
    num_cut = _cut_open_end(messages)
    _check_order(messages)
    conversation = Conversation(
        tuple(messages), source=_label(row, "source"), category=_label(row, "category")
    )
    return Row(conversation, form, num_cut)


def _turns(value: object, key: str, usual: str) -> list[Message]:
    """The turns of a list, by either pair of keys; what is wrong is told by the `usual` one."""
    if not isinstance(value, list):
        raise RowError(f'"{key}" should be a list of turns, got {_kind(value)}')
    pairs = sorted(_TURN_KEYS, key=lambda pair: pair[0] != usual)
    messages = []
    for number, turn in enumerate(value, start=1):
        given = turn if isinstance(turn, Mapping) else {}
        pair = next((pair for pair in pairs if pair[0] in given and pair[1] in given), None)
        if pair is None:
            who_key, what_key = pairs[0]
            raise RowError(f'turn {number} should be an object with "{who_key}" and "{what_key}"')
        who, what = given[pair[0]], given[pair[1]]
        role = _ROLES.get(who.strip().lower()) if isinstance(who, str) else None
        if role is None:
            known = "human, gpt or system" if pair[0] == "from" else "system, user or assistant"
            raise RowError(f'turn {number}: "{pair[0]}" should be {known}, got {who!r}')
        if role == "system" and _is_blank(what):
            continue  # many files have one in every row, whether or not it says anything
        messages.append(Message(role, _text(what, f"turn {number}")))
    return messages


def _answers_to_instruction(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A `response` beside a question is what was said to that, whatever the instruction is."""
    return ("output",) if _first_key(row, _QUESTION_KEYS) else ("output", "response")


def _alpaca(row: Mapping[str, Any], answer: str) -> list[Message]:
    """Instruction and input (Dolly's: context) make the question, what was said goes before it."""
    given = {"instruction": row["instruction"]}
    if "input" in row:
        given["input"] = row["input"]
    else:
        given["context"] = _context(row.get("context"))
    question = [_text(value, f'"{key}"') for key, value in given.items() if not _is_blank(value)]
    if not question:
        raise RowError('"instruction" is empty')
    asked = Message("user", "\n\n".join(question))
    return [*_history(row), asked, _message("assistant", row, answer)]


def _context(value: object) -> str:
    """Passages are one text; numbers and objects say something of the row and are none."""
    parts = value if isinstance(value, list) else [value]
    texts = [part for part in parts if isinstance(part, str)]
    return "\n\n".join(filter(str.strip, texts)) if len(texts) == len(parts) else ""


def _history_if_any(row: Mapping[str, Any]) -> list[Message]:
    """The `history` of a prompt row: under that name such rows have other things too, for which
    none of them is refused."""
    try:
        messages = _history(row)
        if messages:
            _check_order([*messages, Message("user", "?")])
    except RowError:
        return []
    return messages


def _history(row: Mapping[str, Any]) -> list[Message]:
    """Earlier turns of instruction and prompt rows, as LLaMA-Factory, ChatGLM and Swift keep them:
    pairs of question and answer, or turns."""
    messages: list[Message] = []
    history = row.get("history") or []
    if not isinstance(history, list):
        raise RowError(f'"history" should be a list of pairs, got {_kind(history)}')
    if history and all(isinstance(turn, Mapping) for turn in history):
        return _turns(history, "history", "role")
    for number, pair in enumerate(history, start=1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowError(f'"history" item {number} should be a [question, answer] pair')
        messages.append(Message("user", _text(pair[0], f'"history" question {number}')))
        messages.append(Message("assistant", _text(pair[1], f'"history" answer {number}')))
    return messages


def _first_key(row: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if key in row), None)


def _is_blank(value: object) -> bool:
    return not value or (isinstance(value, str) and not value.strip())


def _message(role: Role, row: Mapping[str, Any], key: str) -> Message:
    return Message(role, _text(row[key], f'"{key}"'))


def _text(value: object, where: str) -> str:
    """The text of a turn: NFC, `\\n` line ends, no white space around. Parts are joined."""
    if isinstance(value, list):
        parts = []
        for part in value:
            kind = part.get("type") if isinstance(part, Mapping) else None
            text = part.get("text", part.get("value")) if isinstance(part, Mapping) else None
            if kind != "text" or not isinstance(text, str):
                raise RowError(f"{where} has a part that is not text, got {kind or _kind(part)}")
            parts.append(text)
        value = "\n".join(parts)
    if not isinstance(value, str):
        raise RowError(f"{where} should be text, got {_kind(value)}")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RowError(f"{where} holds half a character (a lone surrogate)")
    text = nfc(value).replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise RowError(f"{where} is empty")
    return text


def _cut_open_end(messages: list[Message]) -> int:
    num_cut = 0
    while messages and messages[-1].role == "user":
        messages.pop()
        num_cut += 1
    return num_cut


def _check_order(messages: list[Message]) -> None:
    if not any(message.role == "assistant" for message in messages):
        raise RowError("no assistant turn, so there is nothing to learn from it")
    start = 1 if messages[0].role == "system" else 0
    expected: Role = "user"
    for number, message in enumerate(messages[start:], start=start + 1):
        if message.role != expected:
            raise RowError(
                f"turn {number} should be from the {expected}, got {message.role}: "
                "user and assistant take turns, after at most one system message"
            )
        expected = "assistant" if expected == "user" else "user"


def _label(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    # Half a character is no reason to leave out a row for what it is called.
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _kind(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    kinds = {"dict": "an object", "list": "a list", "str": "text"}
    return kinds.get(type(value).__name__, "a number")
