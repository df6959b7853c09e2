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
        form, messages = "messages", _turns(row["messages"], "messages", "role", "content")
    elif "conversations" in row:
        form, messages = (
            "conversations",
            _turns(row["conversations"], "conversations", "from", "value"),
        )
    elif "instruction" in row and "output" in row:
        form, messages = "instruction", _alpaca(row)
    elif (keys := _prompt_keys(row)) is not None:
        form, messages = (
            "prompt",
            [_message("user", row, keys[0]), _message("assistant", row, keys[1])],
        )
    else:
        keys_met = ", ".join(map(str, row)) or "none"
        raise RowError(
            f"none of the four forms (keys: {keys_met}); use " + " or ".join(FORMS.values())
        )
    if "system" in row and row["system"] and messages and messages[0].role != "system":
        messages.insert(0, _message("system", row, "system"))
    num_cut = _cut_open_end(messages)
    _check_order(messages)
    conversation = Conversation(
        tuple(messages), source=_label(row, "source"), category=_label(row, "category")
    )
    return Row(conversation, form, num_cut)


def _turns(value: object, key: str, who_key: str, what_key: str) -> list[Message]:
    if not isinstance(value, list):
        raise RowError(f'"{key}" should be a list of turns, got {_kind(value)}')
    messages = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, Mapping) or who_key not in turn or what_key not in turn:
            raise RowError(f'turn {number} should be an object with "{who_key}" and "{what_key}"')
        who = turn[who_key]
        role = _ROLES.get(who) if isinstance(who, str) else None
        if role is None:
            known = "human, gpt or system" if who_key == "from" else "system, user or assistant"
            raise RowError(f'turn {number}: "{who_key}" should be {known}, got {who!r}')
        messages.append(Message(role, _text(turn[what_key], f"turn {number}")))
    return messages


def _alpaca(row: Mapping[str, Any]) -> list[Message]:
    """Instruction and input make the question; LLaMA-Factory's `history` goes before it."""
    messages = []
    history = row.get("history") or []
    if not isinstance(history, list):
        raise RowError(f'"history" should be a list of pairs, got {_kind(history)}')
    for number, pair in enumerate(history, start=1):
        if not isinstance(pair, list) or len(pair) != 2:
            raise RowError(f'"history" item {number} should be a [question, answer] pair')
        messages.append(Message("user", _text(pair[0], f'"history" question {number}')))
        messages.append(Message("assistant", _text(pair[1], f'"history" answer {number}')))
    question = _text(row["instruction"], '"instruction"')
    if row.get("input"):
        question += "\n\n" + _text(row["input"], '"input"')
    return [*messages, Message("user", question), _message("assistant", row, "output")]


def _prompt_keys(row: Mapping[str, Any]) -> tuple[str, str] | None:
    question = next((key for key in ("prompt", "question") if key in row), None)
    answer = next((key for key in ("answer", "completion", "response") if key in row), None)
    return (question, answer) if question and answer else None


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
