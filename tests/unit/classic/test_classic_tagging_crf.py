from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

from homespun.classic.tagging import CRF, EXTRACTORS, character_type, word_shape
from homespun.classic.tagging.lattice import Floats, NumpyLattice, Pairs, Sequences
from homespun.classic.tagging.native import NativeLattice
from homespun.core import CheckpointError, ConfigError, DataError
from homespun.core.compile import CompileError

T, F = 3, 5


def problem(seed: int, *, every: bool) -> tuple[Sequences, Pairs, Floats]:
    """Four sequences (one empty, one of one position), random features, some twice."""
    generator = np.random.default_rng(seed)
    lengths = [4, 0, 1, 3]
    per_position = generator.integers(0, 4, sum(lengths))
    sequences = Sequences(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        np.concatenate([[0], np.cumsum(per_position)]).astype(np.int64),
        generator.integers(0, F, per_position.sum()).astype(np.int32),
    )
    has = np.ones((F, T), bool) if every else generator.random((F, T)) < 0.5
    pairs = Pairs(
        np.concatenate([[0], np.cumsum(has.sum(axis=1))]).astype(np.int64),
        np.nonzero(has)[1].astype(np.int32),
        T,
    )
    return sequences, pairs, generator.normal(0, 2, pairs.num_weights)


def obvious_paths(
    sequences: Sequences, pairs: Pairs, weights: Floats
) -> Iterator[dict[tuple[int, ...], float]]:
    """The score of each path of each sequence, one by one."""
    chain = weights[len(pairs.tag) :]
    for start, stop in zip(sequences.sequence_start, sequences.sequence_start[1:], strict=False):
        scores = {}
        for path in product(range(T), repeat=int(stop - start)):
            score = 0.0
            for at, tag in enumerate(path):
                first, last = sequences.position_start[start + at : start + at + 2]
                for feature in sequences.features[first:last]:
                    for pair in range(pairs.start[feature], pairs.start[feature + 1]):
                        if pairs.tag[pair] == tag:
                            score += weights[pair]
                score += chain[path[at - 1] * T + tag] if at else chain[T * T + tag]
            if path:
                score += chain[T * T + T + path[-1]]
            scores[path] = float(score)
        yield scores


def native(sequences: Sequences, pairs: Pairs) -> NativeLattice:
    try:
        return NativeLattice(sequences, pairs)
    except CompileError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_numpy_agrees_with_all_paths(seed: int, every: bool) -> None:
    sequences, pairs, weights = problem(seed, every=every)
    lattice = NumpyLattice(sequences, pairs)
    gold = np.random.default_rng(seed).integers(0, T, 8).astype(np.int32)
    loss, paths, marginals = 0.0, [], []
    for number, scores in enumerate(obvious_paths(sequences, pairs, weights)):
        start, stop = sequences.sequence_start[number : number + 2]
        total = float(logsumexp(list(scores.values())))
        loss += total - scores[tuple(gold[start:stop].tolist())]
        paths += max(scores, key=lambda path: scores[path])
        for at in range(stop - start):
            found = [0.0] * T
            for path, score in scores.items():
                found[path[at]] += np.exp(score - total)
            marginals.append(found)
    got, gradient = lattice.objective(weights, gold)
    assert got == pytest.approx(loss, rel=1e-9)
    assert lattice.paths(weights).tolist() == paths
    assert np.allclose(lattice.marginals(weights), marginals, atol=1e-9)
    for at in range(len(weights)):
        step = np.zeros_like(weights)
        step[at] = 1e-5
        high, low = (lattice.objective(weights + s, gold)[0] for s in (step, -step))
        assert gradient[at] == pytest.approx((high - low) / 2e-5, abs=1e-6)


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("size", [1.0, 30.0])
def test_compiled_agrees_with_numpy(every: bool, size: float) -> None:
    for seed in range(5):
        sequences, pairs, weights = problem(seed, every=every)
        slow, fast = NumpyLattice(sequences, pairs), native(sequences, pairs)
        gold = np.random.default_rng(seed).integers(0, T, 8).astype(np.int32)
        (a, a_gradient), (b, b_gradient) = (
            lattice.objective(size * weights, gold) for lattice in (slow, fast)
        )
        assert b == pytest.approx(a, rel=1e-9, abs=1e-9)
        assert np.allclose(b_gradient, a_gradient, atol=1e-8)
        assert np.array_equal(fast.paths(weights), slow.paths(weights))
        assert np.allclose(fast.marginals(weights), slow.marginals(weights), atol=1e-9)


SENTENCES = [
    ["张", "三", "在", "北", "京"],
    ["李", "四", "在", "上", "海"],
    ["她", "在", "北", "京"],
    [],
]
TAGS = [
    ["B-PER", "E-PER", "O", "B-LOC", "E-LOC"],
    ["B-PER", "E-PER", "O", "B-LOC", "E-LOC"],
    ["O", "O", "B-LOC", "E-LOC"],
    [],
]


@pytest.mark.parametrize("pairs", ["seen", "all"])
def test_learns_saves_and_loads(pairs: str, tmp_path: Path) -> None:
    steps: list[float] = []
    tagger = CRF("characters", l2=0.1, pairs=pairs, spans=True)  # type: ignore[arg-type]
    tagger.fit(SENTENCES, TAGS, watch=lambda step, value: steps.append(value))
    assert steps == sorted(steps, reverse=True)
    assert len(steps) > 3
    assert tagger.predict(SENTENCES) == TAGS
    assert tagger.predict([["王", "五", "在", "北", "京"]])[0][2:] == ["O", "B-LOC", "E-LOC"]
    assert tagger.predict([]) == []
    tagger.save(tmp_path / "crf")
    again = CRF.load(tmp_path / "crf", kernels="numpy")
    assert again.predict(SENTENCES) == TAGS
    for a, b in zip(again.marginals(SENTENCES), tagger.marginals(SENTENCES), strict=True):
        assert a.shape == b.shape
        assert np.allclose(a, b)
    likelihood = tagger.log_likelihood(SENTENCES, TAGS)
    assert -3 < likelihood < 0
    assert again.log_likelihood(SENTENCES, TAGS) == pytest.approx(likelihood)


def test_both_loops_learn_the_same() -> None:
    native(*problem(0, every=True)[:2])
    fast, slow = (
        CRF("characters", kernels=kernels, max_steps=20).fit(SENTENCES, TAGS)  # type: ignore[arg-type]
        for kernels in ("native", "numpy")
    )
    for a, b in zip(fast.marginals(SENTENCES), slow.marginals(SENTENCES), strict=True):
        assert np.allclose(a, b, atol=1e-3)


def test_spans_are_whole_whatever_the_weights() -> None:
    tagger = CRF("words", spans=True, max_steps=3).fit(
        [["a", "b"], ["b", "a"], ["a"]], [["B-X", "E-X"], ["O", "S-X"], ["O"]]
    )
    generator = np.random.default_rng(0)
    allowed = {("", "B"), ("", "O"), ("", "S"), ("B", "E"), ("E", ""), ("O", ""), ("S", "")}
    allowed |= {(a, b) for a in "EOS" for b in "BOS"}
    for _ in range(50):
        tagger._weights = generator.normal(0, 5, tagger.num_weights)
        (row,) = tagger.predict([["a", "b", "b", "a", "c"]])
        marks = ["", *(tag[0] for tag in row), ""]
        assert set(pairwise(marks)) <= allowed


def test_too_little_memory_is_no_result() -> None:
    sequences, pairs, weights = problem(0, every=True)
    lattice = native(sequences, pairs)

    class Short:
        """What the library answers where it gets no memory."""

        def crf_objective(self, *_: object) -> float:
            return float("nan")

    lattice._library = Short()  # type: ignore[assignment]
    with pytest.raises(MemoryError, match="sums over all tags"):
        lattice.objective(weights, np.zeros(8, np.int32))
    with pytest.raises(MemoryError, match="sums over all tags"):
        lattice.marginals(weights)


def test_compiled_loops_are_had_on_arm_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They are plain C, as those of word vectors and n-grams are; numpy's are far slower."""
    sequences, pairs, _ = problem(0, every=True)
    native(sequences, pairs)  # skips where nothing can be compiled
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert isinstance(NativeLattice(sequences, pairs, folder=tmp_path), NativeLattice)


def test_what_goes_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown features"):
        CRF("letters")
    with pytest.raises(ConfigError, match="out of range"):
        CRF(l2=-1.0)
    with pytest.raises(ConfigError, match="learnt nothing"):
        CRF().predict([["a"]])
    with pytest.raises(DataError, match="no word"):
        CRF().fit([[]], [[]])
    with pytest.raises(DataError, match="not as many"):
        CRF().fit([["a"]], [["A", "B"]])
    with pytest.raises(CheckpointError, match="no whole crf"):
        CRF.load(tmp_path)
    tagger = CRF("characters", max_steps=2).fit(SENTENCES, TAGS)
    with pytest.raises(ConfigError, match="not in training"):
        tagger.log_likelihood([["a"]], [["B-ORG"]])
    tagger.save(tmp_path)
    text = (tmp_path / "classic.json").read_text(encoding="utf-8")
    (tmp_path / "classic.json").write_text(text.replace('"0=张", ', "", 1), encoding="utf-8")
    with pytest.raises(CheckpointError, match="no whole crf"):
        CRF.load(tmp_path)


def test_features_see_both_scripts() -> None:
    assert word_shape("McDonald's-99") == "XxXxx'x-dd"
    assert word_shape("北京大学") == word_shape("𠮷野") == word_shape("\ufa11\U00030000") == "cc"
    assert [character_type(c) for c in "三月a好𠮷。😀"] == list("ntlccpp")
    assert {"e3=ing", "w=Running", "p2=ru", "-1=is"} <= set(
        EXTRACTORS["words"](["is", "Running"])[1]
    )
    assert "double" in EXTRACTORS["mixed"](["高高兴兴"])[0]
    assert {"=-1", "-1,0=高高"} <= set(EXTRACTORS["characters"](list("高高"))[1])
    assert "w=北京" in EXTRACTORS["placed"](["北0", "京1", "好0"])[1]
    assert all(extract([]) == [] for extract in EXTRACTORS.values())
