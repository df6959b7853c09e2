"""What an encoder says of a text: each token told from all others (pseudo-likelihood).

Wang and Cho 2019 (arXiv 1902.04094); Salazar et al. 2020 (arXiv 1910.14659, equation 1): the sum,
over tokens, of -ln p of the token behind a mask given the rest of the text. Such sums are no
probability of the text, and are lower than one; what they are good for is to say which of two texts
an encoder finds the likelier.

Shape letters: B rows, T tokens of a row, D width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.core import Score


class MaskedModel(Protocol):
    """What is asked of a model here; `models.Encoder` with a head of masked words is one."""

    @property
    def context(self) -> int: ...
    def __call__(self, ids_BT: Tensor, *, is_token_BT: Tensor | None = None) -> Tensor: ...
    def scores(self, hidden_ND: Tensor) -> Tensor: ...
    def parameters(self) -> Iterator[Tensor]: ...


class Cut(NamedTuple):
    """Of a text that was cut into tokens, without marks.

    Attributes:
        ids: of each token.
        offsets: where each stands in the text, from … up to, in code points.
    """

    ids: list[int]
    offsets: list[tuple[int, int]]


class MaskedTokenizer(Protocol):
    """What is asked of a tokenizer here: its marks, and texts without any."""

    start_id: int
    end_id: int
    mask_id: int

    def encode_batch(self, texts: Sequence[str]) -> Sequence[Any]:
        """Of each text `ids`, `offsets` and `words`, which are -1 of marks."""
        ...


class _Asked(NamedTuple):
    """A row with a mask in it: the text it is of, ids, where the mask is, and what it hides."""

    text: int
    ids: list[int]
    place: int
    hidden: int


class PseudoLanguageModel:
    """An encoder as a `core.LanguageModel`, to be asked which options it finds likelier.

    Args:
        name: how it is called in tables.
        model: says masked words, and is in evaluation mode.
        tokenizer: that it was taught with.
        batch_tokens: computed together; bounds memory.
    """

    def __init__(
        self,
        name: str,
        model: MaskedModel,
        tokenizer: MaskedTokenizer,
        *,
        batch_tokens: int = 4096,
    ) -> None:
        self.name = name
        self._model, self._tokenizer, self._batch_tokens = model, tokenizer, batch_tokens

    def score(self, texts: Sequence[str]) -> Score:
        """Pseudo-nats of all tokens of `texts`; `num_tokens` are those asked for."""
        nats = self.score_continuations([""] * len(texts), texts)
        num = sum(len(cut.ids) for cut in self._cut(texts))
        num_bytes = sum(len(text.encode("utf-8")) for text in texts)
        return Score(nats=float(nats.sum()), num_bytes=num_bytes, num_tokens=num)

    def score_continuations(
        self, contexts: Sequence[str], continuations: Sequence[str]
    ) -> NDArray[np.float64]:
        """Pseudo-nats of the tokens of each continuation, which see its context and each other; a
        token on the border is the continuation's. Of longer texts each token sees as much as fits,
        itself in the middle."""
        texts = [a + b for a, b in zip(contexts, continuations, strict=True)]
        asked: list[_Asked] = []
        for number, (context, cut) in enumerate(zip(contexts, self._cut(texts), strict=True)):
            for place, (_, stop) in enumerate(cut.offsets):
                if stop > len(context):
                    asked.append(self._masked(number, cut.ids, place))
        nats = np.zeros(len(texts))
        for rows in _batches(asked, self._batch_tokens):
            np.add.at(nats, [row.text for row in rows], self._nats(rows))
        return nats

    def _cut(self, texts: Sequence[str]) -> list[Cut]:
        found = []
        for pieces in self._tokenizer.encode_batch(list(texts)):
            own = [at for at, word in enumerate(pieces.words) if word >= 0]
            found.append(Cut([pieces.ids[n] for n in own], [pieces.offsets[n] for n in own]))
        return found

    def _masked(self, text: int, ids: list[int], place: int) -> _Asked:
        room = self._model.context - 2
        first = min(max(0, place - room // 2), max(0, len(ids) - room))
        row = list(ids[first : first + room])
        row[place - first] = self._tokenizer.mask_id
        row = [self._tokenizer.start_id, *row, self._tokenizer.end_id]
        return _Asked(text, row, place - first + 1, ids[place])

    def _nats(self, rows: Sequence[_Asked]) -> NDArray[np.float64]:
        longest = max(len(row.ids) for row in rows)
        ids_BT = torch.zeros(len(rows), longest, dtype=torch.long)
        is_token_BT = torch.zeros(len(rows), longest, dtype=torch.bool)
        for number, row in enumerate(rows):
            ids_BT[number, : len(row.ids)] = torch.tensor(row.ids)
            is_token_BT[number, : len(row.ids)] = True
        device = next(iter(self._model.parameters())).device
        every = torch.arange(len(rows), device=device)
        with torch.inference_mode():
            mask = None if bool(is_token_BT.all()) else is_token_BT
            mask = mask if mask is None else mask.to(device)
            hidden_BTD = self._model(ids_BT.to(device), is_token_BT=mask)
            scores_BV = self._model.scores(hidden_BTD[every, [row.place for row in rows]]).float()
            likely_B = scores_BV.log_softmax(-1)[every, [row.hidden for row in rows]]
        return -likely_B.cpu().double().numpy()


def _batches(rows: Sequence[_Asked], batch_tokens: int) -> Iterator[list[_Asked]]:
    """Rows of like lengths together, the longest first."""
    order = sorted(rows, key=lambda row: -len(row.ids))
    start = 0
    while start < len(order):
        stop = start + max(1, batch_tokens // len(order[start].ids))
        yield order[start:stop]
        start = stop
