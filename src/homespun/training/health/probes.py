"""Looks into the model that cost a little: one forward pass of a few rows, and weights before and
after one step. Parts are found by their names from outside; a model without them gives nothing.

Shape letters: B rows, T tokens, D width, F feed-forward width, H query heads, G key heads, K head
width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from homespun.core import Objective

SAMPLE = 4096  # numbers of each parameter that are compared; the mean of squares needs no more
QUERIES = 64  # of a row, whose scores with all earlier keys are looked at


class WeightSample:
    """A few thousand numbers of each parameter, to see how far a step moves them; where each
    process holds some rows, of this one's.

    Args:
        model: parameters are grouped by `parameter_kinds()` where it has that, else by whether
            they are matrices.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._before = {name: _some(p) for name, p in model.named_parameters()}

    def ratios(self) -> dict[str, float]:
        """Per kind, how long the change since is, as a share of the weights' length; kinds whose
        weights are all zero are left out."""
        kinds = _kinds(self._model)
        moved: dict[str, float] = {}
        length: dict[str, float] = {}
        for name, parameter in self._model.named_parameters():
            before = self._before[name]
            if not len(before):
                continue
            scale = parameter.numel() / len(before)
            kind, change = kinds[name], _some(parameter) - before
            moved[kind] = moved.get(kind, 0.0) + scale * float(change.square().sum())
            length[kind] = length.get(kind, 0.0) + scale * float(before.square().sum())
        return {kind: math.sqrt(moved[kind] / length[kind]) for kind in moved if length[kind] > 0}


@torch.no_grad()
def look_inside(model: nn.Module, objective: Objective, *batches: Any) -> dict[str, float]:
    """What `batches`, of a row each, show inside of `model`, which is left as it was. One after
    another they take the memory of one.

    Returns:
        "dead_units": share of feed-forward units that are silent on every token (their largest
        activation is below a thousandth of the layer's root mean square); "attention_logit": the
        largest score that a query gives a key before it, without what their positions turn.
    """
    silent_of: list[list[Tensor]] = []
    scores: list[float] = []
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            silent: list[Tensor] = []
            with _as_written(model), _watching(model, silent.append, scores.append):
                objective.loss(model, batch)
            silent_of.append(silent)
    finally:
        model.train(was_training)
    found: dict[str, float] = {}
    if silent_of and silent_of[0]:
        rows = torch.stack([torch.cat(silent) for silent in silent_of])
        found["dead_units"] = float(rows.all(0).float().mean())
    if scores:
        found["attention_logit"] = max(scores)
    return found


@contextmanager
def _as_written(model: nn.Module) -> Iterator[None]:
    """Compiled modules compute by their own code: what was compiled before there were hooks calls
    none of them."""
    compiled = {m: m._compiled_call_impl for m in model.modules() if m._compiled_call_impl}
    for module in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, call in compiled.items():
            module._compiled_call_impl = call


@contextmanager
def _watching(
    model: nn.Module, silent: Callable[[Tensor], None], score: Callable[[float], None]
) -> Iterator[None]:
    handles = []
    scale = _score_scale(model)
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        down, query, key = (getattr(module, part, None) for part in ("down", "query", "key"))
        if last == "mlp" and isinstance(down, nn.Module):
            handles.append(
                down.register_forward_pre_hook(lambda _, got: silent(_is_silent(got[0])))
            )
        if isinstance(query, nn.Module) and isinstance(key, nn.Module):
            pair = _Pair(module, lambda largest: score(scale * largest))
            handles.append(query.register_forward_hook(pair.query))
            handles.append(key.register_forward_hook(pair.key))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Pair:
    """Queries and keys of one attention, scored when both are there."""

    def __init__(self, attention: Any, score: Callable[[float], None]) -> None:
        self._attention, self._score = attention, score
        self._query: Tensor | None = None

    def query(self, module: nn.Module, arguments: Any, q: Tensor) -> None:
        self._query = q

    def key(self, module: nn.Module, arguments: Any, k: Tensor) -> None:
        q, self._query = self._query, None
        if q is not None:
            self._score(_largest_score(self._attention, q, k))


def _score_scale(model: nn.Module) -> float:
    """By how much turning queries and keys makes scores larger: it is part of the tables."""
    for module in model.modules():
        scale = getattr(getattr(module, "positions", None), "score_scale", None)
        if scale is not None:
            return float(scale)
    return 1.0


def _largest_score(attention: Any, q: Tensor, k: Tensor) -> float:
    """max |q·k| / sqrt(K) over the first row's newest queries and the keys before them."""
    head_width = getattr(attention, "head_width", None)
    if head_width is None or q.dim() != 3:
        return 0.0
    q_THK = q[0].float().view(q.shape[1], -1, head_width)[-QUERIES:]
    k_SGK = k[0].float().view(k.shape[1], -1, head_width)
    for name, of in (("query_norm", "q"), ("key_norm", "k")):
        norm = getattr(attention, name, None)
        if norm is not None and of == "q":
            q_THK = norm(q_THK)
        elif norm is not None:
            k_SGK = norm(k_SGK)
    k_SHK = k_SGK.repeat_interleave(q_THK.shape[1] // k_SGK.shape[1], dim=1)
    scores_HTS = torch.einsum("thk,shk->hts", q_THK, k_SHK).abs_()
    later = len(k_SHK) - len(q_THK) + 1
    return float(scores_HTS.tril_(later - 1).max()) / math.sqrt(head_width)


def _is_silent(x: Tensor) -> Tensor:
    """[F] of whether a unit's activations (…, F) are all next to nothing."""
    largest_F = x.detach().abs().flatten(0, -2).amax(0).float()
    usual = float(x.detach().float().square().mean().sqrt())
    return largest_F <= 1e-3 * usual


def _some(parameter: Tensor) -> Tensor:
    """Numbers of a parameter, or of the rows that are here, from evenly spaced places."""
    here: Tensor = getattr(parameter.detach(), "_local_tensor", parameter.detach())
    flat = here.reshape(-1)
    return flat[:: max(1, len(flat) // SAMPLE)][:SAMPLE].float().clone()


def _kinds(model: nn.Module) -> dict[str, str]:
    tell = getattr(model, "parameter_kinds", None)
    if tell is not None:
        return {name: str(kind) for name, kind in tell().items()}
    return {name: "matrix" if p.dim() > 1 else "vector" for name, p in model.named_parameters()}
