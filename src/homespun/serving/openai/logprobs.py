"""Log probabilities in the two shapes OpenAI has for them."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import Any

from homespun.core import TokenLogprob
from homespun.serving.engine import ServedModel
from homespun.serving.http.written import Pieces, as_json

LOWEST = -9999.0
"""JSON has no minus infinity; OpenAI writes this for what cannot be."""
AT_ONCE = 512
"""Log probabilities that are written before others have their turn: about a millisecond."""


def token_text(served: ServedModel, token: int) -> str:
    """A token as text: bytes that are no character become U+FFFD, control tokens have a name."""
    data = served.tokenizer.token_bytes(token)
    return data.decode("utf-8", "replace") if data else served.control_names.get(token, "")


def chat_logprobs(served: ServedModel, found: Sequence[TokenLogprob]) -> dict[str, Any]:
    """As in chat answers: `{"content": [{"token", "logprob", "bytes", "top_logprobs"}]}`. Control
    tokens, which stand for no text, have null for bytes."""
    return {"content": _content(served, found, None), "refusal": None}


def response_logprobs(served: ServedModel, found: Sequence[TokenLogprob]) -> Any:
    """As in responses, whose published description wants a list of bytes of control tokens too."""
    return _content(served, found, [])


def _content(
    served: ServedModel, found: Sequence[TokenLogprob], nothing: list[int] | None
) -> list[dict[str, Any]] | Pieces:
    if _num_told(found) <= AT_ONCE:
        return _chat_entries(served, found, nothing)
    return Pieces(_chat_pieces(served, found, nothing))


def _chat_pieces(
    served: ServedModel, found: Sequence[TokenLogprob], nothing: list[int] | None
) -> Iterator[bytes]:
    lead = b"["
    for part in parts_of(found):
        yield lead + as_json(_chat_entries(served, part, nothing))[1:-1]
        lead = b","
    yield b"]"


def _chat_entries(
    served: ServedModel, found: Sequence[TokenLogprob], nothing: list[int] | None
) -> list[dict[str, Any]]:
    return [
        {
            **_entry(served, item.token_id, item.logprob, nothing),
            "top_logprobs": [_entry(served, token, value, nothing) for token, value in item.top],
        }
        for item in found
    ]


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

    def told(
        self,
        found: Sequence[TokenLogprob],
        *,
        prompt_ids: Sequence[int] = (),
        of_prompt: Sequence[TokenLogprob] = (),
        text: str = "",
    ) -> dict[str, Any] | Pieces:
        """Of the next tokens of the answer, and before them of a prompt, where there is one. Long
        ones are `Pieces`, to be written before the next call.

        Args:
            found: of the answer.
            prompt_ids, of_prompt: the prompt's tokens, and all but the first of them as the engine
                tells of them: nothing foretells that one.
            text: what is told of the prompt.
        """
        if not prompt_ids and _num_told(found) <= AT_ONCE:
            return self._columns(found)
        return Pieces(self._pieces(found, prompt_ids, of_prompt, text))

    def _pieces(
        self,
        found: Sequence[TokenLogprob],
        prompt_ids: Sequence[int],
        of_prompt: Sequence[TokenLogprob],
        text: str,
    ) -> Iterator[bytes]:
        written: dict[str, list[bytes]] = {name: [] for name in _COLUMNS}

        def write(told: dict[str, list[Any]]) -> bytes:
            for name, values in told.items():
                written[name].append(as_json(values)[1:-1])
            return b""

        if prompt_ids:
            length = 0
            for at in range(0, len(prompt_ids), AT_ONCE):
                ids = prompt_ids[at : at + AT_ONCE]
                data = b"".join(map(self._served.tokenizer.token_bytes, ids))
                length += len(self._decoder.decode(data))
                yield b""
            length += len(self._decoder.decode(b"", True))
            self._at = len(text) - length  # a space that is not told, which some put first
            first = self._columns([TokenLogprob(prompt_ids[0], 0.0)])
            first["token_logprobs"] = first["top_logprobs"] = [None]
            write(first)
            for part in parts_of(of_prompt):
                yield write(self._columns(part))
            self._decoder.reset()
            self._at = len(text)
        for part in parts_of(found):
            yield write(self._columns(part))
        for number, name in enumerate(_COLUMNS):
            yield (b"," if number else b"{") + as_json(name) + b":[" + b",".join(written[name])
            yield b"]"
        yield b"}"

    def _columns(self, found: Sequence[TokenLogprob]) -> dict[str, list[Any]]:
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


_COLUMNS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


def parts_of(found: Sequence[TokenLogprob]) -> Iterator[Sequence[TokenLogprob]]:
    """Tokens of `AT_ONCE` log probabilities each, one token at least."""
    start = num = 0
    for at, item in enumerate(found):
        num += 1 + len(item.top)
        if num >= AT_ONCE:
            yield found[start : at + 1]
            start, num = at + 1, 0
    if start < len(found):
        yield found[start:]


def _num_told(found: Sequence[TokenLogprob]) -> int:
    return sum(1 + len(item.top) for item in found)


def _entry(
    served: ServedModel, token: int, logprob: float, nothing: list[int] | None
) -> dict[str, Any]:
    data = served.tokenizer.token_bytes(token)
    return {
        "token": token_text(served, token),
        "logprob": max(logprob, LOWEST),
        "bytes": list(data) if data else nothing,
    }
