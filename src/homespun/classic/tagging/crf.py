"""A linear-chain CRF over sparse binary features, trained by L-BFGS with an L2 penalty.

Letters: N positions, T tags, F features, P pairs of feature and tag that have a weight.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from homespun.classic.store import are_names, load_parts, save_parts
from homespun.classic.tagging.base import (
    ScoredTagger,
    Sentence,
    check_pairs,
    check_training,
    not_fitted,
)
from homespun.classic.tagging.features import EXTRACTORS
from homespun.classic.tagging.lattice import Floats, Ints, Lattice, Pairs, Sequences
from homespun.classic.tagging.native import Kernels, make_lattice
from homespun.classic.tagging.spans import allowed_pairs
from homespun.core import ConfigError, did_you_mean

_FORBIDDEN = -1e4
Watch = Callable[[int, float], None]


class CRF(ScoredTagger):
    """A tagger by conditional random field.

    Minimises -log p(tags | sentence) + l2 / 2 * |weights|^2 (Lafferty, McCallum & Pereira 2001;
    the training of Sha & Pereira 2003).

    Args:
        features: which of `EXTRACTORS` says what there is at a position.
        l2: strength of the penalty; 1 suits tens of thousands of words.
        min_count: features met less often in training are left out.
        pairs: weights for each feature with "all" tags, or those "seen" with it: smaller, quicker.
        max_steps: of L-BFGS at most.
        spans: tags are those of spans (BIO or BIOES); what fits no span is never predicted.
        kernels: compiled or numpy loops; "auto" takes compiled ones where they are to be had.

    Raises:
        ConfigError: an argument is unknown or out of range.
    """

    def __init__(
        self,
        features: str = "words",
        *,
        l2: float = 1.0,
        min_count: int = 1,
        pairs: Literal["seen", "all"] = "seen",
        max_steps: int = 100,
        spans: bool = False,
        kernels: Kernels = "auto",
    ) -> None:
        if features not in EXTRACTORS:
            raise ConfigError(
                "unknown features", got=features, remedy=f"take one of {', '.join(EXTRACTORS)}"
            )
        if not l2 >= 0 or min_count < 1 or max_steps < 1 or pairs not in ("seen", "all"):
            raise ConfigError(
                "a setting of the CRF is out of range",
                got=f"l2={l2}, min_count={min_count}, max_steps={max_steps}, pairs={pairs}",
                remedy="l2 is at least 0, the counts at least 1, pairs is seen or all",
            )
        self._features, self._l2, self._min_count = features, float(l2), min_count
        self._all_pairs, self._max_steps, self._spans = pairs == "all", max_steps, spans
        self._kernels: Kernels = kernels
        self._tags: list[str] = []
        self._ids: dict[str, int] = {}
        self._pairs: Pairs | None = None
        self._weights: Floats = np.zeros(0)

    @property
    def tags(self) -> list[str]:
        """The tags it knows, in the order of `marginals`."""
        return list(self._tags)

    @property
    def num_weights(self) -> int:
        """How many weights there are."""
        return len(self._weights)

    def fit(
        self,
        sentences: Sequence[Sentence],
        tags: Sequence[Sentence],
        *,
        watch: Watch | None = None,
    ) -> Self:
        """Learn from tagged sentences.

        Args:
            sentences: of words, or of characters.
            tags: of each word.
            watch: is told step and objective after each step of L-BFGS.

        Raises:
            DataError: there are no words, or not a tag for each.
        """
        check_training(sentences, tags)
        self._tags = sorted({tag for row in tags for tag in row})
        number = {tag: at for at, tag in enumerate(self._tags)}
        gold_N = np.array([number[tag] for row in tags for tag in row], np.int32)
        sequences = self._learn_features(sentences)
        self._pairs = self._learn_pairs(sequences, gold_N)
        lattice = make_lattice(sequences, self._pairs, self._kernels)
        self._weights = _descend(
            lattice, gold_N, self._pairs.num_weights, (self._l2, self._max_steps), watch
        )
        return self

    def predict(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """The most probable tags of each sentence (Viterbi). Raises ConfigError before `fit`."""
        paths_N = self._lattice(sentences).paths(self._decoding_weights())
        return _cut([self._tags[at] for at in paths_N], sentences)

    def marginals(self, sentences: Sequence[Sentence]) -> list[Floats]:
        """Probability of each tag at each word: an array (words, T) for each sentence.

        Raises ConfigError before `fit`.
        """
        p_NT = self._lattice(sentences).marginals(self._decoding_weights())
        ends = np.cumsum([len(sentence) for sentence in sentences])
        return [np.asarray(part) for part in np.split(p_NT, ends[:-1])] if len(ends) else []

    def log_likelihood(self, sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> float:
        """Of all tags given the sentences, in nats.

        Raises ConfigError before `fit`, and on a tag it does not know; DataError where there is
        not a tag for each word.
        """
        number = {tag: at for at, tag in enumerate(self._tags)}
        lattice = self._lattice(sentences)
        check_pairs(sentences, tags)
        for tag in chain.from_iterable(tags):
            if tag not in number:
                remedy = did_you_mean(tag, self._tags)
                raise ConfigError("a tag that was not in training", got=tag, remedy=remedy)
        gold_N = np.array([number[tag] for row in tags for tag in row], np.int32)
        return -lattice.objective(self._weights, gold_N)[0]

    def save(self, folder: Path) -> None:
        """Write `classic.json` and `weights.safetensors` into `folder`.

        Raises ConfigError before `fit`; RunError or BudgetError where it cannot be written.
        """
        if self._pairs is None:
            raise not_fitted("CRF")
        settings = {
            "features": self._features,
            "l2": self._l2,
            "min_count": self._min_count,
            "pairs": "all" if self._all_pairs else "seen",
            "max_steps": self._max_steps,
            "spans": self._spans,
        }
        record = {"settings": settings, "tags": self._tags, "features": list(self._ids)}
        arrays: dict[str, NDArray[Any]] = {
            "start": self._pairs.start,
            "tag": self._pairs.tag,
            "weights": self._weights,
        }
        save_parts(folder, "crf", record, arrays)

    @classmethod
    def load(cls, folder: Path, *, kernels: Kernels = "auto") -> CRF:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""

        def make(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> CRF:
            tagger = cls(**record["settings"], kernels=kernels)
            tagger._tags = record["tags"]
            tagger._ids = {name: at for at, name in enumerate(record["features"])}
            tagger._pairs = Pairs(arrays["start"], arrays["tag"], len(tagger._tags))
            tagger._weights = arrays["weights"]
            return tagger

        return load_parts(folder, "crf", _check, make)

    def _learn_features(self, sentences: Sequence[Sentence]) -> Sequences:
        ids: dict[str, int] = {}
        counts: Counter[int] = Counter()
        flat: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        for rows in map(EXTRACTORS[self._features], sentences):
            found = [ids.setdefault(name, len(ids)) for row in rows for name in row]
            counts.update(found)
            flat.append(np.array(found, np.int32))
            lengths += map(len, rows)
        names = list(ids)
        kept = [at for at in range(len(names)) if counts[at] >= self._min_count]
        self._ids = {names[old]: new for new, old in enumerate(kept)}
        new_F = np.full(len(names), -1, np.int32)
        new_F[kept] = np.arange(len(kept))
        all_features = new_F[np.concatenate(flat)]
        owner = np.repeat(np.arange(len(lengths)), lengths)[all_features >= 0]
        per_position = np.bincount(owner, minlength=len(lengths))
        return Sequences(
            _starts([len(sentence) for sentence in sentences]),
            _starts(per_position),
            all_features[all_features >= 0],
        )

    def _learn_pairs(self, sequences: Sequences, gold_N: Ints) -> Pairs:
        num_features, num_tags = len(self._ids), len(self._tags)
        if self._all_pairs:
            tag_P = np.tile(np.arange(num_tags, dtype=np.int32), num_features)
            return Pairs(np.arange(num_features + 1) * num_tags, tag_P, num_tags)
        per_position = np.diff(sequences.position_start)
        codes = sequences.features.astype(np.int64) * num_tags + np.repeat(gold_N, per_position)
        feature_P, tag_P = np.divmod(np.unique(codes), num_tags)
        starts = _starts(np.bincount(feature_P, minlength=num_features))
        return Pairs(starts, tag_P.astype(np.int32), num_tags)

    def _lattice(self, sentences: Sequence[Sentence]) -> Lattice:
        if self._pairs is None:
            raise not_fitted("CRF")
        ids, extract = self._ids, EXTRACTORS[self._features]
        lengths: list[int] = []
        flat: list[int] = []
        for sentence in sentences:
            for row in extract(sentence):
                known = [ids[name] for name in row if name in ids]
                flat += known
                lengths.append(len(known))
        starts = _starts([len(sentence) for sentence in sentences])
        sequences = Sequences(starts, _starts(lengths), np.array(flat, np.int32))
        return make_lattice(sequences, self._pairs, self._kernels)

    def _decoding_weights(self) -> Floats:
        if not self._spans:
            return self._weights
        bars = [np.where(may, 0.0, _FORBIDDEN).ravel() for may in allowed_pairs(self._tags)]
        barred = self._weights.copy()
        barred[len(barred) - sum(map(len, bars)) :] += np.concatenate(bars)
        return barred


def _descend(
    lattice: Lattice,
    gold_N: Ints,
    num_weights: int,
    settings: tuple[float, int],
    watch: Watch | None,
) -> Floats:
    l2, max_steps = settings

    def objective(weights: Floats) -> tuple[float, Floats]:
        loss, gradient = lattice.objective(weights, gold_N)
        gradient += l2 * weights
        return loss + 0.5 * l2 * float(weights @ weights), gradient

    step = 0

    def callback(intermediate_result: Any) -> None:  # scipy goes by the argument's name
        nonlocal step
        step += 1
        if watch is not None:
            watch(step, float(intermediate_result.fun))

    options = {"maxiter": max_steps, "maxfun": 2 * max_steps, "maxcor": 6, "ftol": 1e-6}
    start = np.zeros(num_weights)
    minimize: Any = optimize.minimize  # scipy has no types
    found = minimize(
        objective, start, method="L-BFGS-B", jac=True, callback=callback, options=options
    )
    return np.asarray(found.x, np.float64)


def _starts(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _cut(flat: list[str], sentences: Sequence[Sentence]) -> list[list[str]]:
    items = iter(flat)
    return [[next(items) for _ in sentence] for sentence in sentences]


def _check(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether lengths and ranges are such that no loop leaves its arrays."""
    start, tag = arrays["start"], arrays["tag"]
    num_tags = len(record["tags"])
    return bool(
        are_names(record["tags"])
        and are_names(record["features"])
        and start.dtype == np.int64
        and tag.dtype == np.int32
        and arrays["weights"].dtype == np.float64
        and len(start) == len(record["features"]) + 1
        and start[0] == 0
        and start[-1] == len(tag)
        and (np.diff(start) >= 0).all()
        and (len(tag) == 0 or (tag.min() >= 0 and tag.max() < num_tags))
        # As many pairs as tags is read as all of them in order.
        and _rising(start, tag)
        and arrays["weights"].shape == (len(tag) + num_tags**2 + 2 * num_tags,)
    )


def _rising(start: NDArray[Any], tag: NDArray[Any]) -> bool:
    inside = np.ones(max(0, len(tag) - 1), np.bool_)
    bounds = start[1:-1]
    inside[bounds[(bounds > 0) & (bounds < len(tag))] - 1] = False
    return bool((np.diff(tag)[inside] > 0).all())
