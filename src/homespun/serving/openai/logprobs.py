"""Log probabilities in the two shapes OpenAI has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from homespun.core import TokenLogprob
from homespun.serving.engine import ServedModel


def token_text(served: ServedModel, token: int) -> str:
    """A token as text: bytes that are no character become U+FFFD, control tokens have a name."""
    data = served.tokenizer.token_bytes(token)
    return data.decode("utf-8", "replace") if data else served.control_names.get(token, "")


def chat_logprobs(served: ServedModel, found: Sequence[TokenLogprob]) -> dict[str, Any]:
    """As in chat answers: `{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`."""
    return {
        "content": [
            {
                **_entry(served, item.token_id, item.logprob),
                "top_logprobs": [_entry(served, token, value) for token, value in item.top],
            }
            for item in found
        ],
        "refusal": None,
    }


def text_logprobs(
    served: ServedModel, found: Sequence[TokenLogprob], *, start: int
) -> dict[str, Any]:
    """As in completions. `start` is the place of the first token in the text."""
    tokens = [token_text(served, item.token_id) for item in found]
    offsets = []
    for token in tokens:
        offsets.append(start)
        start += len(token)
    return {
        "tokens": tokens,
        "token_logprobs": [item.logprob for item in found],
        "top_logprobs": [
            # Tokens that read the same: the likelier one.
            {token_text(served, token): value for token, value in reversed(item.top)}
            for item in found
        ],
        "text_offset": offsets,
    }


def _entry(served: ServedModel, token: int, logprob: float) -> dict[str, Any]:
    data = served.tokenizer.token_bytes(token)
    # JSON has no minus infinity; OpenAI writes -9999 for what cannot be.
    return {
        "token": token_text(served, token),
        "logprob": max(logprob, -9999.0),
        "bytes": list(data) if data else None,
    }
