"""Hidden Markov models: a tagger that counts, and a language model with or without tags.

Letters: L positions of a sentence, T tags (states), V words.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from homespun.classic.store import are_names, load_parts, save_parts
from homespun.classic.tagging.base import ScoredTagger, Sentence, check_training, not_fitted
from homespun.classic.tagging.features import word_shape
from homespun.classic.tagging.hmm_inference import (
    Chain,
    Floats,
    baum_welch,
    forward_backward,
    normalise,
    sequence_log_likelihood,
    viterbi,
)
from homespun.core import ConfigError, DataError

_RARE = 5  # words met less often teach what unknown words are like; TnT takes 10 for news
_FLOOR = 1e-12


class HMM(ScoredTagger):
    """A first-order hidden Markov model of sentences.

    `fit` counts tagged sentences; transitions are interpolated with the frequency of tags (weights
    by deleted interpolation), words of training by their counts, others by their ending and shape
    (Brants 2000, sections 2.2 and 2.3, for pairs of tags). `fit_unsupervised` finds `num_states`
    states by expectation maximisation.

    Args:
        max_suffix: the longest ending that is looked at in an unknown word.
        smoothing: added to counts of emissions and transitions.

    Raises:
        ConfigError: an argument is out of range.
    """

    def __init__(self, *, max_suffix: int = 8, smoothing: float = 1e-3) -> None:
        if max_suffix < 0 or not smoothing > 0:
            raise ConfigError(
                "a setting of the HMM is out of range",
                got=f"max_suffix={max_suffix}, smoothing={smoothing}",
                remedy="max_suffix is 0 or more, smoothing above 0",
            )
        self._max_suffix, self._smoothing = max_suffix, smoothing
        self._tags: list[str] = []
        self._words: dict[str, int] = {}
        self._suffixes: dict[str, int] = {}
        self._chain: Chain | None = None
        self._emissions_VT: Floats = np.zeros((0, 0))
        self._unknown_ST: Floats = np.zeros((0, 0))
        self._default_T: Floats = np.zeros(0)

    @property
    def tags(self) -> list[str]:
        """Tags, or the names of states, in the order of `posteriors`."""
        return list(self._tags)

    def fit(self, sentences: Sequence[Sentence], tags: Sequence[Sentence]) -> Self:
        """Count. Raises DataError where there are no words, or not a tag for each."""
        check_training(sentences, tags)
        self._tags = sorted({tag for row in tags for tag in row})
        number = {tag: at for at, tag in enumerate(self._tags)}
        num_tags = len(number)
        begin_T, end_T = np.zeros(num_tags), np.zeros(num_tags)
        pairs_TT = np.zeros((num_tags, num_tags))
        counts: Counter[str] = Counter(word for row in sentences for word in row)
        self._words = {word: at for at, word in enumerate(counts)}
        emitted_VT = np.zeros((len(counts), num_tags))
        for sentence, row in zip(sentences, tags, strict=True):
            ids = [number[tag] for tag in row]
            if not ids:
                continue
            begin_T[ids[0]] += 1
            end_T[ids[-1]] += 1
            np.add.at(pairs_TT, (ids[:-1], ids[1:]), 1)
            np.add.at(emitted_VT, ([self._words[word] for word in sentence], ids), 1)
        tags_T = emitted_VT.sum(axis=0)
        self._chain = _smooth(begin_T, pairs_TT, end_T, tags_T, self._smoothing)
        unseen = (sum(count == 1 for count in counts.values()) + 1) / (sum(counts.values()) + 2)
        # Seen words leave to unseen ones what words met once had (Good 1953), by tag.
        self._learn_unknown(counts, emitted_VT, tags_T, unseen)
        known_T = tags_T + self._smoothing * len(counts)
        kept_T = np.log1p(-np.exp(self._default_T))
        self._emissions_VT = np.log((emitted_VT + self._smoothing) / known_T) + kept_T
        return self

    def fit_unsupervised(
        self,
        sentences: Sequence[Sentence],
        *,
        num_states: int,
        generator: np.random.Generator,
        num_rounds: int = 20,
    ) -> list[float]:
        """Learn `num_states` states by Baum-Welch from a random start.

        Returns:
            Log-likelihood of the sentences before each round.

        Raises:
            DataError: there are no words. ConfigError: there is to be no state.
        """
        if num_states < 1:
            raise ConfigError("no state to learn", got=num_states, remedy="take 1 or more")
        if not any(sentences):
            raise DataError("there is no word to learn from", got=0, remedy="give sentences")
        counts: Counter[str] = Counter(word for row in sentences for word in row)
        self._words = {word: at for at, word in enumerate(counts)}
        self._tags = [f"state{number}" for number in range(num_states)]
        sequences = [np.array([self._words[w] for w in row], np.int64) for row in sentences]
        noise = generator.random((num_states, len(counts))) + 0.5
        emissions_TV = np.log(noise / noise.sum(axis=1, keepdims=True))
        start = normalise(
            *(
                generator.random(shape) + 0.5
                for shape in ((num_states,), (num_states, num_states), (num_states,))
            )
        )
        found = baum_welch(
            sequences, start, emissions_TV, num_rounds=num_rounds, smoothing=self._smoothing
        )
        self._chain = found.chain
        # A word that was never met is as likely in each state as one met half a time.
        unseen = 0.5 / (sum(counts.values()) + 0.5)
        self._emissions_VT = found.emissions_TV.T + np.log1p(-unseen)
        self._suffixes, self._unknown_ST = {}, np.zeros((0, num_states))
        self._default_T = np.full(num_states, np.log(unseen))
        return found.history

    def predict(self, sentences: Sequence[Sentence]) -> list[list[str]]:
        """The best path of tags (Viterbi). Raises ConfigError before `fit`."""
        chain = self._ready()
        paths = (viterbi(chain, self._emit(sentence))[0] for sentence in sentences)
        return [[self._tags[at] for at in path] for path in paths]

    def posteriors(self, sentences: Sequence[Sentence]) -> list[Floats]:
        """Probability of each tag at each word, arrays (L, T). Raises ConfigError before `fit`."""
        chain = self._ready()
        return [forward_backward(chain, self._emit(sentence)).p_LT for sentence in sentences]

    def log_likelihood(self, sentence: Sentence) -> float:
        """Log-probability of the words and of the end, summed over tags, in nats; 0 of none.

        All unknown words are one event here, whatever their ending, so that the probabilities of
        all sentences over the known words and that event sum to one.
        Raises ConfigError before `fit`.
        """
        return sequence_log_likelihood(self._ready(), self._emit(sentence, endings=False))

    def save(self, folder: Path) -> None:
        """Write the model. Raises ConfigError before `fit`; RunError where it cannot be written."""
        chain = self._ready()
        settings = {"max_suffix": self._max_suffix, "smoothing": self._smoothing}
        record = {
            "settings": settings,
            "tags": self._tags,
            "words": list(self._words),
            "suffixes": list(self._suffixes),
        }
        arrays = {**chain._asdict(), "emissions": self._emissions_VT}
        arrays |= {"unknown": self._unknown_ST, "default": self._default_T}
        save_parts(folder, "hmm", record, arrays)

    @classmethod
    def load(cls, folder: Path) -> HMM:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""
        return load_parts(folder, "hmm", _check, cls._of)

    @classmethod
    def _of(cls, record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> HMM:
        model = cls(**record["settings"])
        model._tags = record["tags"]
        model._words = {word: at for at, word in enumerate(record["words"])}
        model._suffixes = {suffix: at for at, suffix in enumerate(record["suffixes"])}
        model._chain = Chain(arrays["begin_T"], arrays["trans_TT"], arrays["end_T"])
        model._emissions_VT, model._unknown_ST = arrays["emissions"], arrays["unknown"]
        model._default_T = arrays["default"]
        return model

    def _ready(self) -> Chain:
        if self._chain is None:
            raise not_fitted("HMM")
        return self._chain

    def _emit(self, sentence: Sentence, *, endings: bool = True) -> Floats:
        rows = [self._emit_word(word, endings) for word in sentence]
        return np.array(rows) if rows else np.zeros((0, len(self._tags)))

    def _emit_word(self, word: str, endings: bool) -> Floats:
        known = self._words.get(word)
        if known is not None:
            row_T: Floats = self._emissions_VT[known]
            return row_T
        for ending in reversed(_endings(word, self._max_suffix) if endings else []):
            at = self._suffixes.get(ending)
            if at is not None:
                found_T: Floats = self._unknown_ST[at]
                return found_T
        return self._default_T

    def _learn_unknown(
        self, counts: Counter[str], emitted_VT: Floats, tags_T: Floats, unseen: float
    ) -> None:
        """p(tag | ending) of rare words, each ending smoothed with the next shorter one."""
        num_tags = len(tags_T)
        by_ending: dict[str, Floats] = defaultdict(lambda: np.zeros(num_tags))
        rare_T = np.full(num_tags, self._smoothing)
        for word, at in self._words.items():
            if counts[word] >= _RARE:
                continue
            rare_T += emitted_VT[at]
            for ending in _endings(word, self._max_suffix):
                by_ending[ending] += emitted_VT[at]
        prior_T = tags_T / tags_T.sum()
        default_T = rare_T / rare_T.sum()
        # Brants 2000, eq. 12: one weight for all endings, the spread of the tags' frequencies.
        theta = float(np.clip(prior_T.std(ddof=1) if num_tags > 1 else 0.1, 0.02, 1.0))
        smooth: dict[str, Floats] = {}
        for ending in sorted(by_ending, key=len):
            shorter = smooth.get(_shorter(ending), default_T)
            counted = by_ending[ending]
            smooth[ending] = (counted / counted.sum() + theta * shorter) / (1 + theta)
        self._suffixes = {ending: at for at, ending in enumerate(smooth)}
        # By Bayes p(word | tag) = p(tag | word) p(word) / p(tag); unknown words share `unseen`.
        invert_T = np.log(unseen) - np.log(np.maximum(prior_T, _FLOOR))
        rows = np.array(list(smooth.values())).reshape(len(smooth), num_tags)
        self._unknown_ST = np.log(rows + _FLOOR) + invert_T
        self._default_T = np.minimum(np.log(default_T + _FLOOR) + invert_T, np.log(0.5))


def _endings(word: str, longest: int) -> list[str]:
    """Its shape, then with its last letters, one more each time: "xx|", "xx|g", "xx|ng"."""
    shape = word_shape(word)
    lower = word.lower()
    return [f"{shape}|{lower[len(lower) - n :]}" for n in range(min(longest, len(lower)) + 1)]


def _shorter(ending: str) -> str:
    shape, _, letters = ending.partition("|")
    return f"{shape}|{letters[1:]}" if letters else ""


def _smooth(
    begin_T: Floats, pairs_TT: Floats, end_T: Floats, tags_T: Floats, smoothing: float
) -> Chain:
    """Transitions interpolated with frequencies; each row and its end sum to one."""
    following_TT = np.concatenate([pairs_TT, end_T[:, None]], axis=1) + smoothing
    following_T = np.append(tags_T, end_T.sum()) + smoothing
    share_T = following_T / following_T.sum()
    weight = _interpolation(following_TT, following_T)
    mixed_TT = weight * following_TT / following_TT.sum(axis=1, keepdims=True)
    mixed_TT = np.log(mixed_TT + (1 - weight) * share_T)
    begin_share_T = (begin_T + smoothing) / (begin_T + smoothing).sum()
    return Chain(np.log(begin_share_T), mixed_TT[:, :-1].copy(), mixed_TT[:, -1].copy())


def _interpolation(pairs_TT: Floats, single_T: Floats) -> float:
    """Share of the pairs: each votes, itself left out, for what foretells it better."""
    with_T = np.maximum(pairs_TT.sum(axis=1, keepdims=True) - 1, _FLOOR)
    by_pair = (pairs_TT - 1) / with_T
    by_single = (single_T - 1) / max(single_T.sum() - 1, _FLOOR)
    votes = float(pairs_TT[by_pair > by_single].sum())
    return min(max(votes / float(pairs_TT.sum()), 0.05), 0.999)


def _check(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bool:
    num_tags = len(record["tags"])
    shapes = {
        "begin_T": (num_tags,),
        "trans_TT": (num_tags, num_tags),
        "end_T": (num_tags,),
        "emissions": (len(record["words"]), num_tags),
        "unknown": (len(record["suffixes"]), num_tags),
        "default": (num_tags,),
    }
    return (
        num_tags > 0
        and all(are_names(record[name]) for name in ("tags", "words", "suffixes"))
        and isinstance(record["settings"]["max_suffix"], int)
        and _have(arrays, shapes)
    )


def _have(arrays: dict[str, NDArray[Any]], shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether there is an array of float64 of each of these shapes."""
    return all(
        arrays[name].shape == shape and arrays[name].dtype == np.float64
        for name, shape in shapes.items()
    )
