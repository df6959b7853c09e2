"""Texts written from other texts, by beams or greedily, many at once.

Shape letters: R rows (live beams of all texts), S read tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from homespun.core import RequestError, SamplingSettings
from homespun.inference.search.beams import Beam, BeamSearch
from homespun.inference.search.reading import read_texts, told_back
from homespun.inference.sound import finite_rows, not_finite
from homespun.models import Rewriter, device_of


class GrowingCache:
    """Keys and values of what was written, of rows that are all equally long."""

    def __init__(self) -> None:
        self.length = 0
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        """Put new ones behind those of `layer`; all there are."""
        if layer in self._kept:
            keys, values = self._kept[layer]
            k_BHTK, v_BHTK = torch.cat([keys, k_BHTK], 2), torch.cat([values, v_BHTK], 2)
        self._kept[layer] = k_BHTK, v_BHTK
        return k_BHTK, v_BHTK

    def append_ids(self, ids_BT: Tensor) -> Tensor:
        """No encoder-decoder looks back at ids."""
        return ids_BT

    def hidden_keys(self, *, like: Tensor) -> Tensor | None:
        """None are: rows are equally long."""
        del like
        return None

    def choose(self, rows_R: Tensor) -> None:
        """Go on with these rows, in this order."""
        for layer, (keys, values) in self._kept.items():
            self._kept[layer] = keys[rows_R], values[rows_R]


class Way(Protocol):
    """How the rows of one text go on: `BeamSearch` is one. There is one row at the beginning."""

    def advance(self, log_probs: Sequence[Tensor]) -> list[int]:
        """Go on by one token, by (V,) of each row. For each of the rows there are then, which of
        those before it goes on from."""
        ...

    @property
    def last_ids(self) -> list[int]:
        """The last token of each row."""
        ...


class Writing:
    """Texts that are read at once and written together, by a token of every row in a step. Rows of
    a text that is done, or is dropped, leave the others; none joins them.

    Args:
        model: in evaluation mode.
        sources: ids that are read, of each text.
        ways: how each text goes on.
        start_id: what writing begins with.
        never: tokens that are not written.

    Attributes:
        rows: the number of the text of each row.

    Raises:
        RequestError: a source is longer than the context.
    """

    def __init__(
        self,
        model: Rewriter,
        sources: Sequence[Sequence[int]],
        ways: Sequence[Way],
        *,
        start_id: int,
        never: Sequence[int] = (),
    ) -> None:
        self._model, self._ways, self._never = model, ways, list(never)
        self._read = read_texts(model, sources)
        self.rows = list(range(len(sources)))
        self._cache = GrowingCache()
        self._device = device_of(model)
        self._ids_R1 = torch.full((len(self.rows), 1), start_id, device=self._device)

    def step(self) -> list[int]:
        """Write a token. Returns texts whose scores were no finite numbers; they are dropped."""
        hidden_R1D = self._model.decode(self._ids_R1, self._read, self._cache)
        self._cache.length += 1
        # Tokens are chosen on the processor, so that a seed means the same anywhere.
        log_probs_RV = self._model.next_log_probs(hidden_R1D, self._read)[:, -1].cpu()
        is_sound = finite_rows(log_probs_RV)
        failed = {text for text, sound in zip(self.rows, is_sound, strict=True) if not sound}
        if self._never:
            log_probs_RV[:, self._never] = float("-inf")
        own: dict[int, list[int]] = {}
        for row, text in enumerate(self.rows):
            own.setdefault(text, []).append(row)
        parents: list[int] = []
        later: list[int] = []
        ids: list[int] = []
        for text, rows in own.items():
            if text in failed:
                continue
            way = self._ways[text]
            found = way.advance([log_probs_RV[row] for row in rows])
            parents += [rows[parent] for parent in found]
            later += [text] * len(found)
            ids += way.last_ids
        self._go_on(parents, later)
        self._ids_R1 = torch.tensor(ids, dtype=torch.int64, device=self._device)[:, None]
        return sorted(failed)

    def drop(self, text: int) -> None:
        """Nobody wants more of a text."""
        kept = [row for row, of in enumerate(self.rows) if of != text]
        self._ids_R1 = self._ids_R1[torch.tensor(kept, dtype=torch.int64, device=self._device)]
        self._go_on(kept, [self.rows[row] for row in kept])

    def _go_on(self, parents: Sequence[int], texts: list[int]) -> None:
        """With these rows, which are of these texts."""
        if parents and list(parents) != list(range(len(self.rows))):
            chosen_R = torch.tensor(parents, device=self._device)
            self._cache.choose(chosen_R)
            # All rows of a text have read the same.
            if texts != self.rows:
                self._read = self._read.rows(chosen_R)
        self.rows = texts


class Weights(NamedTuple):
    """What counts beside the scores of texts that have ended, and how much.

    Attributes:
        coverage: of `coverage_penalty`: a text that leaves out what was read counts less.
        back: of `told_back`, for models that write the other way round as well: a text that gives
            back what was read counts more.
    """

    coverage: float = 0.0
    back: float = 0.0


class Ranking(NamedTuple):
    """By what texts that have ended are ranked.

    Attributes:
        start_id, end_id: before and behind what is written.
        weights: of what counts beside their scores.
    """

    start_id: int
    end_id: int
    weights: Weights = Weights()


@torch.inference_mode()
def write_texts(
    model: Rewriter,
    sources: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    start_id: int,
    end_id: int,
    never: Sequence[int] = (),
    weights: Weights | None = None,
    most: Sequence[int] | None = None,
) -> list[list[Beam]]:
    """For each source the best texts, best first: `settings.num_answers` of them.

    All sources are read at once and all beams of all of them are rows of one step; those of a text
    that is done drop out. Beams go on as `BeamSearch` says; with one beam every token is the
    likeliest. A text has the tokens it would have alone, but for the rounding of products.

    Args:
        model: in evaluation mode.
        sources: ids that are read, with the marks the model was taught.
        settings: `beams`, `beam_groups`, `length_penalty`, `diversity_penalty`, `max_tokens` and
            `num_answers`; nothing else.
        start_id: what writing begins with.
        end_id: ends a text.
        never: tokens that are not written.
        weights: by what texts that have ended are ranked; None for their scores alone.
        most: tokens of each text, where that is less than `settings.max_tokens`.

    Raises:
        RequestError: a source is empty or longer than the context, or more answers than beams are
            asked for. CheckpointError: the model's outputs are no finite numbers.
    """
    if settings.num_answers > max(1, settings.beams):
        raise RequestError(
            "there are no more answers than beams",
            got=f"{settings.num_answers} answers of {settings.beams} beams",
            remedy="raise beams",
        )
    searches = search_texts(
        model, sources, settings, start_id=start_id, end_id=end_id, never=never, most=most
    )
    by = Ranking(start_id, end_id, weights or Weights())
    return [
        ranked(model, search, source, settings.num_answers, by)
        for search, source in zip(searches, sources, strict=True)
    ]


@torch.inference_mode()
def search_texts(
    model: Rewriter,
    sources: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    start_id: int,
    end_id: int,
    never: Sequence[int] = (),
    most: Sequence[int] | None = None,
) -> list[BeamSearch]:
    """The searches of `write_texts`, each over and done with. Arguments and errors are as there."""
    if any(not source for source in sources):
        raise RequestError("there is nothing to read in one of the texts", remedy="leave it out")
    if not sources:
        return []
    limits = [settings.max_tokens] * len(sources) if most is None else most
    kind = BeamSearch if settings.beams > 1 else _Greedy
    searches = [
        kind(
            replace(settings, beams=max(1, settings.beams)),
            most=min(limit, settings.max_tokens, model.context - 1),
            end_ids=frozenset([end_id]),
            is_stopped=lambda ids: False,
        )
        for limit in limits
    ]
    writing = Writing(model, sources, searches, start_id=start_id, never=never)
    while writing.rows:
        if writing.step():
            raise not_finite()
    return searches


def ranked(
    model: Rewriter, search: BeamSearch, source: Sequence[int], num: int, by: Ranking
) -> list[Beam]:
    """The best `num` texts of a search that is over, best first; `source` is what was read."""
    written = sorted({beam.ids for beam in search.ended})
    more = dict(zip(written, extras(model, source, written, by), strict=True))
    return search.best(num, lambda beam: more[beam.ids])


@torch.inference_mode()
def extras(
    model: Rewriter, source: Sequence[int], written: Sequence[Sequence[int]], by: Ranking
) -> list[float]:
    """What is added to the score of each text that was written from `source`."""
    found = [0.0] * len(written)
    if by.weights.coverage:
        read = read_texts(model, [source])
        for at, ids in enumerate(written):
            written_1T = torch.tensor([[by.start_id, *ids]], device=device_of(model))
            looked_TS = model.looked_at(written_1T, read)[0]
            found[at] += by.weights.coverage * coverage_penalty(looked_TS)
    if by.weights.back and len(written) > 1:  # one alone has nothing to be ranked with
        told = told_back(model, source, written, start_id=by.start_id, end_id=by.end_id)
        found = [value + by.weights.back * mean for value, mean in zip(found, told, strict=True)]
    return found


def coverage_penalty(looked_TS: Tensor) -> float:
    """0 where every read token was looked at once in all or more, and less the more was left out:
    `Σ ln min(1, Σ attention)` (Wu et al. 2016, arXiv 1609.08144, equation 14).

    Args:
        looked_TS: attention of each written token to each read one.
    """
    return float(looked_TS.sum(0).clamp(1e-6, 1.0).log().sum())


TIMES, MORE = 2.0, 10
"""Tokens that are usually written at most for each one that is read, and beyond these."""


def longest_written(num_read: int, context: int, times: float = 0.0) -> int:
    """Tokens of a text at most: what a translation or summary of `num_read` tokens has room for.
    One that does not end would else fill the context.

    Args:
        times: tokens for each one that is read, where a writer of long texts needs more than the
            usual two.
    """
    return min(context - 1, math.floor(max(TIMES, times) * num_read + 1e-6) + MORE)


class _Greedy(BeamSearch):
    """One beam, to which nothing but the best token may come."""

    def advance(self, log_probs: Sequence[Tensor]) -> list[int]:
        return super().advance([_only_the_likeliest(log_probs_V) for log_probs_V in log_probs])


def _only_the_likeliest(log_probs_V: Tensor) -> Tensor:
    best = int(log_probs_V.argmax())
    alone_V = torch.full_like(log_probs_V, float("-inf"))
    alone_V[best] = log_probs_V[best]
    return alone_V
