"""Linear classifiers of bags of words.

Shape letters: N texts, F features, C classes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from homespun.classic.bags.features import BagFeatures
from homespun.classic.store import are_names, load_parts, save_parts
from homespun.core import ConfigError, DataError

Kind = Literal["logistic", "bayes"]
Floats = NDArray[np.float64]
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0)
"""Inverse strengths of the penalty that are tried."""
MOST_WEIGHTS = 1 << 23
"""Features times classes of a regression over all classes: L-BFGS holds some 25 numbers a weight,
of its last ten steps, which together take 2 GB. Up to 16 classes have all features."""
_CHEAPER = 4
"""How many times as many weights there may be where none needs more than a few numbers: those that
are counted, and those that are learned class by class."""


class BagClassifier:
    """Says the classes of texts.

    "logistic": logistic regression on TF-IDF with an L2 penalty; where there are texts to choose
    by, its strength is chosen among `PENALTIES` by them. "bayes": multinomial naive Bayes on
    counts, smoothed by 1 (McCallum and Nigam 1998). Of several labels a text, each is a question of
    its own, yes from a half on. Where there are many classes the commonest features are learned
    from, so many that their weights fit into memory (`MOST_WEIGHTS`).

    Args:
        kind: which of the two.
        penalty: inverse strength where there is nothing to choose by.
    """

    def __init__(self, kind: Kind = "logistic", *, penalty: float = 3.0) -> None:
        self.kind, self.penalty = kind, penalty
        self.is_multi = False
        self.classes_: list[str] = []
        self.features_ = BagFeatures(
            weighting="tfidf" if kind == "logistic" else "counts", parts=kind == "logistic"
        )
        self._weight_CF: Floats = np.zeros((0, 0))
        self._bias_C: Floats = np.zeros(0)

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[Sequence[str]],
        *,
        dev_texts: Sequence[str] = (),
        dev_labels: Sequence[Sequence[str]] = (),
        is_multi: bool = False,
    ) -> Self:
        """Learn.

        Args:
            texts: N of them.
            labels: of each; exactly one, unless `is_multi`.
            dev_texts, dev_labels: to choose the penalty by; then they are learned from as well.
            is_multi: any number of labels a text.

        Raises:
            DataError: numbers differ, a text's labels are a word or not as many as they must be,
                or there are fewer than two classes.
        """
        for some_texts, some_labels in ((texts, labels), (dev_texts, dev_labels)):
            _check_labels(some_texts, some_labels, is_multi)
        self.is_multi = is_multi
        self.classes_ = sorted({label for some in (*labels, *dev_labels) for label in some})
        if len(self.classes_) < 2:
            raise DataError(
                "there must be two classes at least",
                got=self.classes_,
                remedy="give texts of another class",
            )
        self.features_.most_features = min(self.features_.most_features, self._most_features())
        if self.kind == "logistic" and dev_texts:
            self.features_.fit(texts)
            rows, held_out = self.features_.transform(texts), self.features_.transform(dev_texts)
            self.penalty = max(
                PENALTIES,
                key=lambda penalty: self._dev(rows, labels, held_out, dev_labels, penalty),
            )
        texts, labels = [*texts, *dev_texts], [*labels, *dev_labels]
        self.features_.fit(texts)
        self._learn(self.features_.transform(texts), labels, self.penalty)
        return self

    def scores(self, texts: Sequence[str]) -> Floats:
        """How likely each class is, (N, C); of one label a text rows add up to 1.

        Raises:
            ConfigError: before `fit`.
        """
        return self._scores(self.features_.transform(texts))

    def predict(self, texts: Sequence[str]) -> list[list[str]]:
        """The classes of each text: one, or with several labels those from a half on."""
        return self.predicted(self.scores(texts))

    def save(self, folder: Path) -> None:
        """Write it. Raises ConfigError before `fit`, RunError where it cannot be written."""
        if not self.classes_:
            raise ConfigError("BagClassifier was not fitted", remedy="call fit first")
        record = {
            "settings": {"kind": self.kind, "penalty": self.penalty},
            "is_multi": self.is_multi,
            "classes": self.classes_,
            "vocabulary": list(self.features_.vocabulary_),
            "left_out": self.features_.num_left_out_,
        }
        arrays: dict[str, NDArray[Any]] = {
            "weight": self._weight_CF.astype(np.float32),
            "bias": self._bias_C,
            "idf": self.features_.idf_F,
        }
        save_parts(folder, "bag", record, arrays)

    @classmethod
    def load(cls, folder: Path) -> BagClassifier:
        """What `save` wrote. Raises CheckpointError where it is absent or damaged."""
        return load_parts(folder, "bag", _check, cls._of)

    @classmethod
    def _of(cls, record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> BagClassifier:
        found = cls(**record["settings"])
        found.is_multi, found.classes_ = record["is_multi"], record["classes"]
        found.features_.vocabulary_ = {name: n for n, name in enumerate(record["vocabulary"])}
        found.features_.idf_F = arrays["idf"]
        found.features_.num_left_out_ = record.get("left_out", 0)  # not told of before
        found._weight_CF = arrays["weight"].astype(np.float64)
        found._bias_C = arrays["bias"]
        return found

    def _most_features(self) -> int:
        """That weights of all classes fit into memory."""
        num = 1 if len(self.classes_) == 2 else len(self.classes_)
        is_cheap = self.is_multi or self.kind == "bayes"
        return max(1, MOST_WEIGHTS * (_CHEAPER if is_cheap else 1) // num)

    def _dev(
        self,
        rows: Any,
        labels: Sequence[Sequence[str]],
        held_out: Any,
        right: Sequence[Sequence[str]],
        penalty: float,
    ) -> float:
        """Share of held-out texts whose labels are right."""
        self._learn(rows, labels, penalty)
        found = self.predicted(self._scores(held_out))
        return sum(set(a) == set(b) for a, b in zip(found, right, strict=True)) / len(right)

    def _learn(self, rows: Any, labels: Sequence[Sequence[str]], penalty: float) -> None:
        codes = {label: code for code, label in enumerate(self.classes_)}
        if self.is_multi:
            parts = [
                self._learn_one(rows, np.array([int(label in some) for some in labels]), penalty)
                for label in self.classes_
            ]
            self._weight_CF = np.stack([weight_F for weight_F, _ in parts])
            self._bias_C = np.array([bias for _, bias in parts])
            return
        codes_N = np.array([codes[some[0]] for some in labels])
        if self.kind == "bayes":
            self._weight_CF, self._bias_C = _bayes(rows, codes_N, len(self.classes_))
            return
        there = np.unique(codes_N)
        self._weight_CF = np.zeros((len(self.classes_), rows.shape[1]))
        self._bias_C = np.full(len(self.classes_), -50.0)  # of classes that were not there
        self._bias_C[there] = 0.0
        if len(there) == 2:  # the second over the first
            last = there[-1]
            is_last_N = (codes_N == last).astype(np.int64)
            self._weight_CF[last], self._bias_C[last] = self._learn_one(rows, is_last_N, penalty)
        elif len(there) > 2:
            model = _regression(rows, codes_N, penalty)
            self._weight_CF[there], self._bias_C[there] = model.coef_, model.intercept_

    def _learn_one(
        self, rows: Any, is_it_N: NDArray[np.int64], penalty: float
    ) -> tuple[Floats, float]:
        """Weights of the answer yes over no."""
        if is_it_N.min() == is_it_N.max():  # always, or never
            return np.zeros(rows.shape[1]), 50.0 if is_it_N[0] else -50.0
        if self.kind == "bayes":
            weight_CF, bias_C = _bayes(rows, is_it_N, 2)
            return weight_CF[1] - weight_CF[0], float(bias_C[1] - bias_C[0])
        model = _regression(rows, is_it_N, penalty)
        return model.coef_[0], float(model.intercept_[0])

    def _scores(self, rows: Any) -> Floats:
        logits_NC: Floats = np.asarray(rows.dot(self._weight_CF.T)) + self._bias_C
        if self.is_multi:
            found: Floats = 1 / (1 + np.exp(-np.clip(logits_NC, -500, 500)))
            return found
        logits_NC -= logits_NC.max(axis=1, keepdims=True)
        likely_NC = np.exp(logits_NC)
        shares: Floats = likely_NC / likely_NC.sum(axis=1, keepdims=True)
        return shares

    def predicted(self, scores_NC: Floats) -> list[list[str]]:
        """The classes that `scores` speak for."""
        if self.is_multi:
            return [
                [self.classes_[code] for code in np.argsort(-row) if row[code] >= 0.5]
                for row in scores_NC
            ]
        return [[self.classes_[int(code)]] for code in scores_NC.argmax(axis=1)]


def _regression(rows: Any, codes_N: NDArray[np.int64], penalty: float) -> Any:
    import sklearn.linear_model
    from sklearn.exceptions import ConvergenceWarning

    models: Any = sklearn.linear_model

    with warnings.catch_warnings():
        # Of the largest penalties tried some stop early; the ones chosen are judged all the same.
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Nearly every row a class of its own is no error, and the numbers tell.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        return models.LogisticRegression(C=penalty, max_iter=300).fit(rows, codes_N)


def _bayes(rows: Any, codes_N: NDArray[np.int64], num: int) -> tuple[Floats, Floats]:
    """Log-probabilities of features (C, F) and of classes (C,)."""
    one_NC = np.eye(num)[codes_N]
    counts_CF = np.asarray(rows.T.dot(one_NC)).T + 1.0
    weight_CF: Floats = np.log(counts_CF / counts_CF.sum(axis=1, keepdims=True))
    of_class_C = one_NC.sum(axis=0)
    bias_C: Floats = np.log(np.maximum(of_class_C, 1e-9) / len(codes_N))
    return weight_CF, bias_C


def _check_labels(texts: Sequence[str], labels: Sequence[Sequence[str]], is_multi: bool) -> None:
    """Raises DataError where they are not what `fit` says."""
    if len(texts) != len(labels):
        raise DataError(
            "there must be labels for each text",
            got=(len(texts), len(labels)),
            remedy='give a list for each text: [["good"], ["bad"]]',
        )
    for number, some in enumerate(labels):
        # A string is a sequence of strings too: each of its letters would become a class.
        if isinstance(some, str) or not (is_multi or len(some) == 1):
            raise DataError(
                f"text {number} must have a list of {'labels' if is_multi else 'one label'}",
                got=some,
                remedy='give ["label"]' + ("" if is_multi else ", or say is_multi=True"),
            )


def _check(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> bool:
    num_features, num_classes = len(record["vocabulary"]), len(record["classes"])
    return (
        are_names(record["vocabulary"])
        and are_names(record["classes"])
        and num_features > 0
        and num_classes > 0
        and arrays["weight"].shape == (num_classes, num_features)
        and arrays["bias"].shape == (num_classes,)
        and arrays["idf"].shape == (num_features,)
        and record["settings"]["kind"] in ("logistic", "bayes")
        and isinstance(record["is_multi"], bool)
        and isinstance(record.get("left_out", 0), int)
    )
