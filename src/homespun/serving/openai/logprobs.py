"""Log probabilities in the two shapes OpenAI has for them."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from homespun.core import TokenLogprob
from homespun.serving.engine import ServedModel

LOWEST = -9999.0
"""JSON has no minus infinity; OpenAI writes this for what cannot be."""


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


class TextLog:
    """Log probabilities of one text, as in completions, in the order in which they come. Of each
    token it tells where in the text it begins; one that goes on with a character has that one's
    place, and control tokens, which are no text, take no place.

    Args:
        served: whose tokens they are.
    """

    def __init__(self, served: ServedModel) -> None:
        self._served = served
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._at = 0

    def prompt(
        self, ids: Sequence[int], found: Sequence[TokenLogprob], text: str
    ) -> dict[str, Any]:
        """Of a prompt that stands before the answer. Nothing foretells the first token.

        Args:
            ids, found: the tokens, and all but the first of them as the engine tells of them.
            text: what is told of them.
        """
        data = b"".join(map(self._served.tokenizer.token_bytes, ids)).decode("utf-8", "replace")
        self._at = len(text) - len(data)  # a space that is not told, which some put first
        told = self.answer([TokenLogprob(ids[0], 0.0), *found])
        told["token_logprobs"][0] = told["top_logprobs"][0] = None
        self._decoder.reset()
        self._at = len(text)
        return told

    def answer(self, found: Sequence[TokenLogprob]) -> dict[str, Any]:
        """Of the next tokens."""
        return {
            "tokens": [token_text(self._served, item.token_id) for item in found],
            "token_logprobs": [max(item.logprob, LOWEST) for item in found],
            "top_logprobs": [
                # Tokens that read the same: the likelier one.
                {
                    token_text(self._served, token): max(value, LOWEST)
                    for token, value in reversed(item.top)
                }
                for item in found
            ],
            "text_offset": [self._place(item.token_id) for item in found],
        }

    def _place(self, token: int) -> int:
        data = self._served.tokenizer.token_bytes(token)
        if data and data[0] & 0xC0 != 0x80:  # a character that was begun before stays unfinished
            self._at += len(self._decoder.decode(b"", True))
        at = max(0, self._at)
        self._at += len(self._decoder.decode(data))
        return at


def joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {name: first[name] + second[name] for name in first}


def _entry(served: ServedModel, token: int, logprob: float) -> dict[str, Any]:
    data = served.tokenizer.token_bytes(token)
    return {
        "token": token_text(served, token),
        "logprob": max(logprob, LOWEST),
        "bytes": list(data) if data else None,
    }
