"""Control tokens that a tokenizer.json does not mark as such, as DeepSeek's `<｜User｜>`: found by
what the chat template writes, so that nobody can write them within a message."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from homespun.core import ConfigError, Message, RequestError
from homespun.tokenizer.chat import ChatTemplate
from homespun.tokenizer.imported.pieces import Special

# What an assistant thought, its calls and what came of them stand within messages here
# (docs/design/serving.md), as models were taught to read them.
_WITHIN_MESSAGES = frozenset(
    f"<{slash}{name}>"
    for name in ("think", "tool_call", "tool_response", "tools")
    for slash in ("", "/")
)
_ASKED, _ANSWERED = Message("user", "a"), Message("assistant", "a")
_CONVERSATIONS = (
    [_ASKED],
    [_ASKED, _ANSWERED, _ASKED],
    [Message("system", "a"), _ASKED, _ANSWERED, _ASKED],
)


def unmarked_controls(
    candidates: Mapping[str, Special], template: ChatTemplate | None, marks: set[int]
) -> dict[str, Special]:
    """Those of `candidates` that are control tokens: they begin or end texts or messages, or the
    template writes them. What it writes in some cases alone, and looks for in messages, is text: of
    text in pieces it would find nothing.

    Args:
        candidates: tokens that are not marked, by their string.
        template: None where the model was not taught to chat.
        marks: ids of what begins and ends texts and messages.
    """
    if not candidates:
        return {}
    written = "".join(_written(template)) if template is not None else ""

    def is_control(text: str) -> bool:
        if candidates[text].id in marks:
            return True
        if template is None or text in _WITHIN_MESSAGES:
            return False
        is_sought = any(text in sought for sought in template.looks_for)
        return text in written or (text in template.source and not is_sought)

    return {text: token for text, token in candidates.items() if is_control(text)}


def _written(template: ChatTemplate) -> Iterator[str]:
    """Short conversations as it writes them; none of those that it refuses."""
    for messages in _CONVERSATIONS:
        try:
            pieces = template.render(messages, add_generation_prompt=True)
        except (ConfigError, RequestError):
            continue
        yield "".join(piece.text for piece in pieces)
