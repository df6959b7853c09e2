"""From ids to text as it comes: never half a character, never the start of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from homespun.core import Tokenizer


class Utf8Streamer:
    """Turns token ids into pieces of text that are safe to show.

    All pieces together are the decoded text, cut before the first stop string to be completed and
    without a character that is not finished at the end.

    A token may end inside a character, so bytes are held back until the character is whole; bytes
    that can never become one turn into U+FFFD. A token may end inside a stop string, so text that
    might be the start of one is held back until it is clear that it is not.

    Args:
        tokenizer: gives the bytes of a token.
        stop: strings that end the text and are not part of it.

    Attributes:
        stopped: a stop string was met; nothing is emitted any more.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = ()) -> None:
        self._token_bytes = tokenizer.token_bytes
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def push(self, token_id: int) -> str:
        """Take one token and return the text that has become safe, often empty."""
        if self.stopped:
            return ""
        return self._release(self._decoder.decode(self._token_bytes(token_id)))

    def push_all(self, token_ids: Sequence[int]) -> str:
        """`push` of one after another, at once. Only where there are no stop strings: which token
        completed one would not be known."""
        assert not self._stop
        return self._decoder.decode(b"".join(map(self._token_bytes, token_ids)))

    def flush(self) -> str:
        """Return what is still held: the text has ended. A character begun and not finished, as
        where the number of tokens was reached in its middle, is left out."""
        if self.stopped:
            return ""
        self._decoder.reset()
        rest, self._held = self._held, ""
        return rest

    def _release(self, new: str) -> str:
        if not self._stop:
            return new
        if not new:
            return ""
        text = self._held + new
        cut = find_stop(text, self._stop)
        if cut is not None:
            self.stopped, self._held = True, ""
            return text[:cut]
        safe = len(text) - _num_pending(text, self._stop)
        self._held = text[safe:]
        return text[:safe]


def find_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where to cut `text`: the start of the stop string that is completed first, if there is one.

    Of those completed by the same character the longest counts.
    """
    found = [(at + len(word), at) for word in stop if (at := text.find(word)) >= 0]
    return min(found)[1] if found else None


def decoded(tokenizer: Tokenizer, ids: Sequence[int], stop: Sequence[str]) -> tuple[str, bool]:
    """The text of `ids`, cut at a stop string, and whether there was one; all at once."""
    data = b"".join(tokenizer.token_bytes(token) for token in ids)
    # Not final: a character that is not finished is left out.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
    cut = find_stop(text, stop)
    return (text, False) if cut is None else (text[:cut], True)


def _num_pending(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of `text` might be the start of a stop string."""
    longest = min(len(text), max(len(word) for word in stop) - 1)
    for num in range(longest, 0, -1):
        tail = text[-num:]
        if any(word.startswith(tail) for word in stop):
            return num
    return 0
