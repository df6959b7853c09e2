"""Texts written from other texts, by beams or greedily, many at once.

Shape letters: R rows (live beams of all texts), S read tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from homespun.core import RequestError, SamplingSettings
from homespun.inference.search.beams import Beam, BeamSearch
from homespun.models import EncoderDecoder
from homespun.models.encoder_decoder import Remembered


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


@torch.inference_mode()
def write_texts(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    settings: SamplingSettings,
    *,
    start_id: int,
    end_id: int,
    never: Sequence[int] = (),
    coverage: float = 0.0,
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
        coverage: weight of the coverage penalty, by which beams that have ended are ranked: a text
            that leaves out what was read counts less, see `coverage_penalty`.

    Raises:
        RequestError: a source is empty or longer than the context, or more answers than beams are
            asked for.
    """
    if any(not source for source in sources):
        raise RequestError("there is nothing to read in one of the texts", remedy="leave it out")
    if settings.num_answers > max(1, settings.beams):
        raise RequestError(
            "there are no more answers than beams",
            got=f"{settings.num_answers} answers of {settings.beams} beams",
            remedy="raise beams",
        )
    if not sources:
        return []
    most = min(settings.max_tokens, model.context - 1)
    is_greedy = settings.beams <= 1
    searches = [
        BeamSearch(
            replace(settings, beams=max(1, settings.beams)),
            most=most,
            end_ids=frozenset([end_id]),
            is_stopped=lambda ids: False,
        )
        for _ in sources
    ]
    read = _read(model, sources)
    rows = list(range(len(sources)))  # the text of each row
    cache = GrowingCache()
    ids_R1 = torch.full((len(rows), 1), start_id)
    while rows:
        hidden_R1D = model.decode(ids_R1, read, cache)
        cache.length += 1
        log_probs_RV = model.next_log_probs(hidden_R1D, read)[:, -1]
        if never:
            log_probs_RV[:, list(never)] = float("-inf")
        if is_greedy:
            log_probs_RV = _only_the_likeliest(log_probs_RV)
        parents: list[int] = []
        later: list[int] = []
        for text, search in enumerate(searches):
            own = [row for row, of in enumerate(rows) if of == text]
            if own:
                found = search.advance([log_probs_RV[row] for row in own])
                parents += [own[parent] for parent in found]
                later += [text] * len(found)
        rows = later
        if rows:
            chosen_R = torch.tensor(parents)
            cache.choose(chosen_R)
            read = read.rows(chosen_R)
            live = [beam.ids[-1] for search in searches for beam in search.live]
            ids_R1 = torch.tensor(live)[:, None]
    if not coverage:
        return [search.best(settings.num_answers) for search in searches]
    whole = _read(model, sources)
    ranked: list[list[Beam]] = []
    for text, search in enumerate(searches):
        one, num = whole.rows(torch.tensor([text])), len(sources[text])

        def extra(beam: Beam, one: Remembered = one, num: int = num) -> float:
            looked_TS = model.looked_at(torch.tensor([[start_id, *beam.ids]]), one)[0, :, :num]
            return coverage * coverage_penalty(looked_TS)

        ranked.append(search.best(settings.num_answers, extra))
    return ranked


def coverage_penalty(looked_TS: Tensor) -> float:
    """0 where every read token was looked at once in all or more, and less the more was left out:
    `Σ ln min(1, Σ attention)` (Wu et al. 2016, arXiv 1609.08144, equation 14).

    Args:
        looked_TS: attention of each written token to each read one.
    """
    return float(looked_TS.sum(0).clamp(1e-6, 1.0).log().sum())


def _read(model: EncoderDecoder, sources: Sequence[Sequence[int]]) -> Remembered:
    longest = max(map(len, sources))
    ids_BS = torch.zeros(len(sources), longest, dtype=torch.int64)
    is_token_BS = torch.zeros(len(sources), longest, dtype=torch.bool)
    for row, source in enumerate(sources):
        ids_BS[row, : len(source)] = torch.tensor(source)
        is_token_BS[row, : len(source)] = True
    if bool(is_token_BS.all()):
        return model.read(ids_BS)
    return model.read(ids_BS, is_token_BS)


def _only_the_likeliest(log_probs_RV: Tensor) -> Tensor:
    """Nothing but the best token may come."""
    best_R1 = log_probs_RV.argmax(-1, keepdim=True)
    alone_RV = torch.full_like(log_probs_RV, float("-inf"))
    return alone_RV.scatter_(1, best_R1, log_probs_RV.gather(1, best_R1))
