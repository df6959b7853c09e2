"""The compiled step gives the decoder's scores, whatever the parts, the batch and the threads."""

from __future__ import annotations

import ctypes
import errno
import math
import mmap
import os
import platform
import signal
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from inference_fakes import TOKENIZER, FakeTokenizer, real_decoder
from torch import Tensor

from homespun.core import CheckpointError, ConfigError, SamplingSettings
from homespun.core import compile as compiling
from homespun.inference import Engine, Request, reference_generate
from homespun.inference.choice import Kernels
from homespun.inference.native import NativeRunner, load_library, packed, unpacked
from homespun.inference.native.pack import WEIGHT_KINDS, WeightKind
from homespun.inference.pace import Pace
from homespun.inference.runners import BurstRow, Work
from homespun.inference.runners.work import Written
from homespun.inference.sampling import Ask, Filters, choose
from homespun.models import Decoder, preset_options
from homespun.models.position import CHUNK


def have_compiler() -> bool:
    from homespun.inference.native import load_library

    try:
        load_library()
    except ConfigError:
        return False
    return True


pytestmark = pytest.mark.skipif(not have_compiler(), reason="there is no C compiler")

PARTS: dict[str, dict[str, object]] = {
    "portable": {},
    "grouped": {"num_kv_heads": 2},
    "untied, without norms of heads": {"tied": False, "qk_norm": False, "norm_weights": False},
    "squared ReLU": {"activation": "relu2", "mlp_width": 50},
    "softcap": {"softcap": 3.0, "qk_scale": 1.44},
    "residual scalars": {"residual_scalars": True},
    "value embeddings": {"value_embeddings": True},
    "bigrams": {"bigram_rows": 500},
    "every bigram": {"bigram_rows": (TOKENIZER.vocab_size + 5) ** 2},
    "smear": {"smear": True, "embedding_norm": True},
    "head gate": {"head_gate": True},
    "wide heads": {"head_width": 40, "num_heads": 3, "num_kv_heads": 1},
    "many heads a key": {"head_width": 16, "num_heads": 8, "num_kv_heads": 1},
    "layer norms": {"norm": "layer", "qk_norm": False},
    "layer norms without weights": {"norm": "layer", "qk_norm": False, "norm_weights": False},
    "learned positions": {"positions": "learned"},
    "gelu": {"activation": "gelu", "mlp_width": 50},
    "gelu by tanh": {"activation": "gelu_tanh", "mlp_width": 50},
    "biases": {"attention_bias": True, "out_bias": True, "mlp_bias": True, "num_kv_heads": 2},
    "biases of no gates": {"mlp_bias": True, "activation": "relu2", "residual_scalars": True},
    "gpt2": {
        "norm": "layer",
        "qk_norm": False,
        "positions": "learned",
        "activation": "gelu_tanh",
        "attention_bias": True,
        "out_bias": True,
        "mlp_bias": True,
    },
    "fast": preset_options("fast", TOKENIZER.vocab_size) | {"smear": True},
}
IDS = [(i * 37 + 11) % 250 for i in range(40)]
BLOCKS = [3, 1, 4]


def scores(model: Decoder, ids: list[int]) -> Tensor:
    with torch.inference_mode():
        return model.head(model(torch.tensor([ids])))[0]


def whole(runner: NativeRunner, ids: list[int], blocks: list[int]) -> Tensor:
    return runner.run([Work(ids, 0, blocks, len(ids), [])]).scores_RV


@pytest.mark.parametrize("changes", PARTS.values(), ids=PARTS.keys())
def test_the_scores_are_those_of_the_decoder(changes: dict[str, object]) -> None:
    model = real_decoder(**changes)
    runner = NativeRunner(model, 6, num_threads=2)
    expected = scores(model, IDS)
    torch.testing.assert_close(whole(runner, IDS, BLOCKS), expected, atol=2e-4, rtol=2e-4)


def test_a_model_with_a_part_it_does_not_know_is_left_to_torch() -> None:
    model = real_decoder()
    model.blocks[1].mlp.another = torch.nn.Parameter(torch.zeros(3))  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="another"):
        NativeRunner(model, 6)
    wish = SamplingSettings(max_tokens=5)
    plain = Engine(real_decoder(), TOKENIZER).generate(IDS, wish)
    assert Engine(model, TOKENIZER).generate(IDS, wish).token_ids == plain.token_ids
    with pytest.raises(ConfigError):
        Engine(model, TOKENIZER, kernels="native")


UNKNOWN: dict[str, object] = {"norm": "layer", "qk_norm": False, "embedding_norm": True}


def test_families_it_does_not_know_are_answered_by_torch() -> None:
    model = real_decoder(**UNKNOWN)
    with pytest.raises(ConfigError, match="all parts"):
        NativeRunner(model, 6)
    wish = SamplingSettings(max_tokens=5)
    slow = reference_generate(model, TOKENIZER, IDS, wish, window=48)
    assert Engine(model, TOKENIZER).generate(IDS, wish).token_ids == slow.token_ids
    batch = Engine(model, TOKENIZER).generate_batch([IDS, IDS[:9]], wish)
    assert batch[0].token_ids == slow.token_ids


@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_a_row_has_the_same_bits_in_any_batch_chunk_and_number_of_threads(
    weights: WeightKind,
) -> None:
    model = real_decoder(**PARTS["fast"], num_kv_heads=2)
    one, two = (NativeRunner(model, 12, weights=weights, num_threads=n) for n in (1, 2))
    expected = whole(one, IDS, BLOCKS)
    assert torch.equal(whole(two, IDS, BLOCKS), expected)
    for chunk in (1, 2, 3, 7, 13):
        blocks, found = [7, 0, 9], []
        for start in range(0, len(IDS), chunk):
            ids = IDS[start : start + chunk]
            other = [5, *range(start + 1)][:20]
            works = [
                Work(other, 0, [2, 6], 0, []),
                Work(ids, start, blocks, len(ids), IDS[:start]),
                Work(other[:1], 0, [8], 1, []),
            ]
            found.append(two.run(works).scores_RV[: len(ids)])
        assert torch.equal(torch.cat(found), expected)


@pytest.mark.parametrize("weights", ["float32", "bfloat16"])
@pytest.mark.parametrize("head_width", [8, 10, 32, 40, 48, 64])
def test_one_query_of_a_long_row_has_the_bits_it_has_among_others(
    head_width: int, weights: WeightKind
) -> None:
    model = real_decoder(num_heads=2, num_kv_heads=2, head_width=head_width, context=96)
    runner = NativeRunner(model, 8, num_threads=1, weights=weights)
    ids = [(7 * at + 3) % 50 for at in range(83)]
    blocks = [5, 0, 7, 2, 6, 1]
    expected = whole(runner, ids, blocks)
    found = [
        runner.run([Work([token], at, blocks, 1, ids[:at])]).scores_RV
        for at, token in enumerate(ids)
    ]
    assert torch.equal(torch.cat(found), expected)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="flags of x86")
@pytest.mark.parametrize("flag", ["-mno-avx512bf16", "-mno-avx512f", "-mno-avx2"])
def test_processors_without_the_widest_products_compute_the_same(
    flag: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from homespun.inference.native import build, runner

    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, flag))
    library = load_library(tmp_path)
    monkeypatch.setattr(runner, "load_library", lambda: library)
    model = real_decoder(num_kv_heads=2)
    expected = scores(model, IDS)
    for weights, tolerance in (("float32", 1e-4), ("bfloat16", 0.01), ("int8", 0.08)):
        few = NativeRunner(model, 6, num_threads=1, weights=weights)  # type: ignore[arg-type]
        found = whole(few, IDS, BLOCKS)
        error = (found - expected).square().mean().sqrt() / expected.std()
        assert error < tolerance
        alone = [
            few.run([Work([t], i, [0, 5, 2], 1, IDS[:i])]).scores_RV for i, t in enumerate(IDS)
        ]
        assert torch.equal(torch.cat(alone), found)


def test_tokens_are_counted_as_one_by_one_however_an_answer_ends() -> None:
    model = real_decoder()
    wishes = [SamplingSettings(max_tokens=most, temperature=1.0, seed=1) for most in (1, 5, 21)]
    wishes += [
        SamplingSettings(max_tokens=30, temperature=1.0, seed=seed, stop=stop)
        for seed in range(16)
        for stop in ((), ("a", "e"))
    ]
    ended = set()
    for wish in wishes:
        counts = []
        for kernels in ("native", "torch"):
            engine = Engine(model, TOKENIZER, kernels=kernels)  # type: ignore[arg-type]
            done = engine.generate(IDS[:7], wish)
            counts.append((engine.stats.num_tokens, done.token_ids, done.finish_reason))
        assert counts[0] == counts[1], wish
        ended.add((done.finish_reason, bool(wish.stop)))
    assert ended == {("length", False), ("length", True), ("stop", False), ("stop", True)}


@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_packed_weights_are_those_of_their_slow_version(weights: WeightKind) -> None:
    generator = torch.Generator().manual_seed(1)
    model = real_decoder(width=64, mlp_width=96)
    rounded = real_decoder(width=64, mlp_width=96)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.ndim == 2 and parameter is not rounded.embedding.weight:
                parameter.copy_(unpacked(parameter, weights))
    # Tied: the table is looked up as it is, and rounded as the head.
    kind: WeightKind = "int8" if weights == "int4" else weights
    head = unpacked(model.head_weight, kind)
    with torch.inference_mode():
        hidden = rounded(torch.tensor([IDS]))[0]
    expected = hidden @ head.T
    found = whole(NativeRunner(model, 6, weights=weights, num_threads=1), IDS, BLOCKS)
    # Keys and values are rounded to bfloat16 where weights have fewer bits than 32, and inputs to 7
    # or 8 bits where those are whole numbers.
    tolerance = {"float32": 1e-3, "bfloat16": 0.01}.get(weights, 0.08)
    error = (found - expected).square().mean().sqrt() / expected.std()
    assert error < tolerance
    weight = torch.randn(50, 70, generator=generator)
    near = {"float32": 0.0, "bfloat16": 3e-3, "int8": 0.01, "int4": 0.12}[weights]
    assert (unpacked(weight, weights) - weight).square().mean().sqrt() <= near
    bits = {"float32": 32, "bfloat16": 16, "int8": 8.5, "int4": 4.5}[weights]
    assert packed(torch.zeros(64, 64), weights).num_bytes == 64 * 64 * bits / 8


def test_groups_of_zeros_stay_zeros() -> None:
    for weights in WEIGHT_KINDS:
        assert torch.equal(unpacked(torch.zeros(4, 40), weights), torch.zeros(4, 40))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_weights_that_are_not_finite_are_not_hidden(weights: WeightKind, bad: float) -> None:
    weight = torch.ones(4, 64)
    weight[1, 40] = bad
    assert not unpacked(weight, weights)[1, 40].isfinite()
    assert unpacked(weight, weights)[[0, 2, 3]].isfinite().all()
    model = real_decoder(tied=False)
    with torch.no_grad():
        model.blocks[1].mlp.down.weight[3, 5] = bad  # type: ignore[index,union-attr]
    engine = Engine(model, TOKENIZER, weights=weights, kernels="native")
    with pytest.raises(CheckpointError, match="not finite"):
        engine.generate(IDS[:5], SamplingSettings(max_tokens=4))


@pytest.mark.parametrize(
    "wish",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "top_p": 1.0},
        {"temperature": 0.7, "top_k": 5, "top_p": 1.0},
        {"temperature": 1.3, "top_p": 0.8},
        {"temperature": 1.0, "top_p": 0.95, "min_p": 0.05, "top_k": 40},
    ],
)
def test_a_burst_chooses_what_is_chosen_one_by_one(wish: dict[str, float]) -> None:
    model = real_decoder(**PARTS["fast"])
    ends = [token for token in range(TOKENIZER.vocab_size) if token % 9 == 0]
    runner = NativeRunner(model, 12, num_threads=2, num_words=TOKENIZER.vocab_size, end_ids=ends)
    rows, expected = [], []
    for number in range(4):
        ids, blocks = IDS[: 3 + 5 * number], [3 * number, 3 * number + 1, 3 * number + 2]
        settings = SamplingSettings(seed=number, **wish)  # type: ignore[arg-type]
        filters = Filters.of(settings)
        runner.run([Work(ids[:-1], 0, blocks, 0, [])])
        rows.append(
            BurstRow(ids[-1], ids[:-1], len(ids) - 1, blocks, Ask(filters, number, 2), 9 + number)
        )
        said = list(ids)
        for place in range(2, 2 + min(10, 9 + number)):
            last = scores(model, said)[-1:, : TOKENIZER.vocab_size]
            said += choose(last, [Ask(filters, number, place)])
            if said[-1] in ends:
                break
        expected.append(said[len(ids) :])
    assert [written.tokens for written in runner.burst(rows, 10)] == expected
    assert len({len(tokens) for tokens in expected}) > 1


@pytest.mark.parametrize("num_threads", [1, 2, 3])
@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_rows_in_groups_are_written_as_rows_together(
    num_threads: int, weights: WeightKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each thread takes some rows where weights are small; all share every token where not."""
    model = real_decoder(**PARTS["fast"])
    runner = NativeRunner(model, 3 * 70, weights=weights, num_threads=num_threads)
    runner._ends[::50] = 1
    rows = []
    for number in range(67):
        ids, blocks = IDS[number % 30 : number % 30 + 9], [3 * number + at for at in range(3)]
        runner.run([Work(ids[:-1], 0, blocks, 0, [])])
        filters = Filters.of(SamplingSettings(temperature=0.7 + number / 60, top_p=0.9))
        told = 3 if number % 5 == 0 else None
        row = BurstRow(ids[-1], ids[:-1], 8, blocks, Ask(filters, number, 1), 4 + number % 9, told)
        rows.append(row)
    groups = runner._group(67, num_threads)
    grouped = runner.burst(rows, 11)
    monkeypatch.setattr(runner, "_group", lambda num_rows, threads: 0)
    assert (groups > 0, grouped) == (True, runner.burst(rows, 11))
    assert len({len(written.tokens) for written in grouped}) > 5


def test_large_weights_and_few_rows_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = NativeRunner(real_decoder(), 6, num_threads=2)
    sizes = [runner._group(num, 2) for num in (1, 15, 16, 24, 32, 33, 48, 64)]
    assert sizes == [0, 0, 8, 16, 16, 8, 8, 16]
    monkeypatch.setattr(runner.description, "num_bytes", 1 << 30)
    assert runner._group(64, 2) == 0


@pytest.mark.parametrize("num", [1, 7, 300, 2000])
@pytest.mark.parametrize("kind", ["spread", "near", "equal", "tiny", "one"])
def test_the_least_power_of_a_nucleus_is_that_of_a_sort(num: int, kind: str) -> None:
    library = load_library()
    library.find_least.restype = ctypes.c_float
    draw = np.random.default_rng(num)
    powers = {
        "spread": np.exp(-20 * draw.random(num)),
        "near": 1 - 2.0**-24 * draw.integers(0, 3, num),
        "equal": np.full(num, 0.3),
        "tiny": draw.random(num) * 1e-40,
        "one": np.eye(1, num)[0],
    }[kind].astype(np.float32)
    order = np.sort(powers)[::-1]
    sums = np.cumsum(order.astype(np.float64))

    def least(mass: float, count: int) -> float:
        found: float = library.find_least(
            powers.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(num),
            ctypes.c_double(mass),
            ctypes.c_int64(count),
        )
        return found

    for share in (1e-9, 0.1, 0.5, 0.9, 0.999):
        mass = share * sums[-1]
        at = int(np.searchsorted(sums, mass))
        if abs(sums[at] - mass) > 1e-9 * sums[-1]:  # on the edge, rounding decides
            assert least(mass, 0) == order[at]
    assert least(2 * float(sums[-1]) + 1, 0) <= order[-1]  # more than there is: all
    for count in {1, 2, num // 2, num - 1, num} & set(range(1, num + 1)):
        assert least(-1.0, count) == order[count - 1]


def jobs(engine: Engine, *settings: SamplingSettings) -> list[Any]:
    """Requests that have begun to write, or just been read."""
    for number, wish in enumerate(settings):
        engine.add_request(Request(IDS[: 5 + number], wish))
    return [reading.job for reading in engine._scheduler.plan()]


def test_bursts_are_as_long_as_all_can_bear() -> None:
    wish = SamplingSettings(max_tokens=100, ignore_end=True)
    engine = Engine(real_decoder(), TOKENIZER, kernels="native", kv_tokens=16 * 16)
    writers = jobs(engine, wish, wish)
    bursts = engine._bursts
    bursts._pace._step_seconds = 1e-4

    def length(**more: Any) -> int:
        return bursts.length(writers, more.pop("rest", []), somebody_waits=more.pop("waits", False))

    assert length() == 4, "nobody has seen a first token"
    for job in writers:
        job.has_begun = True
    assert length() == 32
    assert length(waits=True) == 4
    other = engine._scheduler.plan()[:1]
    assert length(rest=[other[0]._replace(job=object())]) == 1, "somebody chooses one by one"
    assert length(rest=[other[0]._replace(job=writers[0])]) == 32, "its own prompt has been read"
    bursts._pace._step_seconds = 0.011
    assert length() == 4, "on a busy machine"
    bursts._pace._step_seconds = 0.04
    assert length() == 1
    bursts._pace._step_seconds = 1e-4
    pool = engine._pool
    for job in writers:  # which gives back what the bursts above have taken
        del job.row.blocks[1:]
    pool._unused.clear()
    before = [len(job.row.blocks) for job in writers]
    assert length() == 16, "places for more than the block each has are not there"
    assert [len(job.row.blocks) for job in writers] == before


class NotANumber:
    """A decoder that is sound but for one token: reading it gives no numbers any more."""

    token = 77

    @classmethod
    def decoder(cls, **changes: object) -> Decoder:
        model = real_decoder(tied=False, **changes)
        with torch.no_grad():
            model.embedding.weight[cls.token] = float("nan")
        return model


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_inputs_that_are_not_finite_are_not_hidden(weights: WeightKind, bad: float) -> None:
    model = real_decoder(tied=False, activation="relu2")
    with torch.no_grad():
        model.embedding.weight[IDS[-1], 3] = bad
    runner = NativeRunner(model, 6, weights=weights, num_threads=1)
    assert whole(runner, IDS[:-1], BLOCKS).isfinite().all()
    assert not whole(runner, IDS, BLOCKS)[-1].isfinite().any()


@pytest.mark.parametrize("weights", ["int8", "int4"])
@pytest.mark.parametrize("size", [1e-38, 1e-44])
def test_inputs_next_to_zero_are_zero(weights: WeightKind, size: float) -> None:
    model = real_decoder(tied=False, smear=False)
    with torch.no_grad():
        for block in model.blocks:
            block.attention_norm.weight.mul_(size)  # type: ignore[operator,union-attr]
    assert (
        whole(NativeRunner(model, 6, weights=weights, num_threads=1), IDS, BLOCKS).isfinite().all()
    )


@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_a_model_that_diverges_in_the_middle_ends_its_own_request_with_an_error(
    weights: WeightKind,
) -> None:
    engine = Engine(NotANumber.decoder(), TOKENIZER, weights=weights, kernels="native")
    wish = SamplingSettings(max_tokens=30, temperature=0.0, ignore_end=True)
    told = engine.generate(IDS[:5], wish).token_ids
    # The same text, but with the unsound token where it is chosen by force.
    bad = SamplingSettings(
        max_tokens=30, temperature=0.0, ignore_end=True, forced_tokens=(NotANumber.token,)
    )
    numbers = [engine.add_request(Request(IDS[:5], s)) for s in (bad, wish)]
    last = {number: [] for number in numbers}
    while engine.has_work:
        for output in engine.step():
            last[output.request_id].append(output)
    assert isinstance(last[numbers[0]][-1].error, CheckpointError)
    assert last[numbers[0]][0].token_ids == (NotANumber.token,)  # what came before is handed out
    assert [t for o in last[numbers[1]] for t in o.token_ids] == list(told)
    # Nothing of it is left in the cache that could spoil others.
    for _ in range(3):
        assert engine.generate(IDS[:5], wish).token_ids == told


@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("stop", [(), ("zzz",)])
def test_log_probabilities_of_a_burst_are_those_of_single_steps(
    temperature: float, stop: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(real_decoder(), TOKENIZER, kernels="native", weights="int8")
    lengths = []
    burst = engine._runner.burst

    def counted(rows: Sequence[BurstRow], most: int) -> Any:
        written = burst(rows, most)
        lengths.append(max(len(one.tokens) for one in written))
        return written

    monkeypatch.setattr(engine._runner, "burst", counted)
    for top in (0, 3, 20):
        wish = SamplingSettings(
            max_tokens=40, temperature=temperature, logprobs=top, seed=top, stop=stop
        )
        together = engine.generate(IDS[:7], wish)
        with monkeypatch.context() as alone:
            alone.setattr(engine._bursts, "part", lambda readings: (list(readings), []))
            single = engine.generate(IDS[:7], wish)
        assert together.token_ids == single.token_ids
        assert together.logprobs is not None
        assert single.logprobs is not None
        assert together.score == pytest.approx(single.score, abs=1e-5)
        assert len(together.logprobs) == len(together.token_ids)
        for mine, its in zip(together.logprobs, single.logprobs, strict=True):
            assert mine.token_id == its.token_id
            assert mine.logprob == pytest.approx(its.logprob, abs=1e-5)
            assert [token for token, _ in mine.top] == [token for token, _ in its.top]
            assert [value for _, value in mine.top] == pytest.approx(
                [value for _, value in its.top], abs=1e-5
            )
    assert max(lengths) > 1


@pytest.mark.parametrize("lookup", [0, 3])
def test_a_row_with_a_penalty_keeps_no_other_from_bursts(
    lookup: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And newcomers are read beside those that write: all texts are as alone."""
    plain = SamplingSettings(max_tokens=24, temperature=0.9, seed=3, ignore_end=True)
    wishes = [
        plain,
        replace(plain, repetition_penalty=1.3, seed=4),
        replace(plain, seed=5, logprobs=2),
        replace(plain, seed=6, lookup_tokens=lookup),
        replace(plain, seed=7, stop_tokens=(IDS[3],), ignore_end=False),
    ]
    engine = Engine(real_decoder(), TOKENIZER, kernels="native", prefill_chunk=8)
    alone = [engine.generate(IDS[: 9 + 4 * at], wish) for at, wish in enumerate(wishes)]
    counts: list[int] = []
    lengths: set[int] = set()
    burst = engine._runner.burst

    def counted(rows: Sequence[BurstRow], most: int) -> Any:
        counts.append(len(rows))
        lengths.add(most)
        return burst(rows, most)

    monkeypatch.setattr(engine._runner, "burst", counted)
    for small in (True, False):
        engine._bursts._is_small = small
        counts.clear()
        numbers = {}
        for at, wish in enumerate(wishes):
            numbers[engine.add_request(Request(IDS[: 9 + 4 * at], wish))] = at
            for output in engine.step():  # the next one comes while this one writes
                assert output.error is None
        done = {}
        while engine.has_work:
            for output in engine.step():
                if output.completion is not None:
                    done[numbers[output.request_id]] = output.completion
        for at, found in done.items():
            assert found.token_ids == alone[at].token_ids
            assert found.text == alone[at].text
        assert len(done) == len(wishes)
        assert (max(counts, default=0) > 1) == small, "several rows wrote while others did not"
    assert 1 in lengths


@pytest.mark.parametrize("lookup", [0, 3])
def test_siblings_of_an_answer_that_diverges_go_with_it(lookup: int) -> None:
    engine = Engine(NotANumber.decoder(), TOKENIZER, kernels="native")
    num_failed = 0
    for seed in range(8):
        wish = SamplingSettings(
            max_tokens=60,
            temperature=3.0,
            top_p=1.0,
            ignore_end=True,
            seed=seed,
            num_answers=6,
            lookup_tokens=lookup,
        )
        engine.add_request(Request(IDS[:5], wish))
        while engine.has_work:
            num_failed += sum(output.error is not None for output in engine.step())
    assert num_failed > 0, "else this says nothing"
    stats = engine.stats
    assert (stats.num_running, stats.num_free_blocks) == (0, stats.num_blocks)


def test_chunks_of_prompts_are_as_long_as_time_allows() -> None:
    pace = Pace(256)
    pace.read(256, 0.4)  # 640 tokens a second
    assert pace.chunk == 64
    pace.read(64, 1.0)
    assert pace.chunk == 32
    pace.read(8, 1.0)  # says nothing of many
    for longer in (64, 128, 256, 256):
        pace.read(32, 1e-4)
        assert pace.chunk == longer


@pytest.mark.parametrize("kernels", ["native", "torch"])
def test_a_slow_machine_reads_shorter_chunks(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.inference.pace.CHUNK_SECONDS", 1e-9)
    engine = Engine(real_decoder(), TOKENIZER, kernels=kernels, prefill_chunk=64)
    engine.generate(IDS[:40], SamplingSettings(max_tokens=2))
    # With torch a number may depend on the chunk, so it stays.
    assert engine._scheduler.prefill_chunk == {"native": 32, "torch": 64}[kernels]


def test_a_burst_ends_a_row_whose_scores_are_no_numbers() -> None:
    runner = NativeRunner(NotANumber.decoder(), 12, num_threads=2)
    rows = []
    for number, token in enumerate((IDS[5], NotANumber.token)):
        blocks = [3 * number, 3 * number + 1]
        runner.run([Work(IDS[:5], 0, blocks, 0, [])])
        for temperature in (0.0, 1.0):
            filters = Filters.of(SamplingSettings(temperature=temperature))
            rows.append(BurstRow(token, IDS[4:5], 5, blocks, Ask(filters, 1, 0), 8))
    written = runner.burst([rows[0], rows[0], *rows[2:]], 8)
    sound, also_sound, *broken = (one.tokens for one in written)
    assert len(sound) == 8
    assert sound == also_sound
    assert min(sound) >= 0
    assert broken == [[-1], [-1]]


def test_what_follows_a_stop_string_does_not_spoil_the_answer() -> None:
    engine = Engine(real_decoder(), TOKENIZER, kernels="native")
    wish = SamplingSettings(max_tokens=9, stop=("END",))
    end = next(t for t in range(TOKENIZER.vocab_size) if TOKENIZER.token_bytes(t) == b"END")
    engine._runner.burst = lambda rows, most: [  # type: ignore[method-assign]
        Written([65, end, 66, -1], []) for _ in rows
    ]
    done = engine.generate(IDS[:5], wish)
    assert (done.text, done.token_ids, done.finish_reason) == ("A", (65, end), "stop")
    with pytest.raises(CheckpointError, match="not finite"):
        engine.generate(IDS[:5], replace(wish, stop=("ZZZ",)))
    assert engine.stats.num_free_blocks == engine.stats.num_blocks


class Three(FakeTokenizer):
    """Three letters and the end of a text."""

    def __init__(self) -> None:
        self._tokens = [b"a", b"b", b"c"]
        self._first_special = self.end_of_text_id = self.end_of_turn_id = 3
        self.vocab_size, self.start_ids = 4, (3,)


@pytest.mark.parametrize("kernels", ["native", "torch"])
def test_no_more_words_are_told_than_there_are(kernels: Kernels) -> None:
    engine = Engine(real_decoder(vocab_size=4), Three(), kernels=kernels)
    wish = SamplingSettings(max_tokens=5, logprobs=20, ignore_end=True)
    told = engine.generate([3, 0], wish).logprobs
    assert told is not None
    assert [sorted(token for token, _ in one.top) for one in told] == [[0, 1, 2, 3]] * 5
    for one in told:
        assert sum(math.exp(value) for _, value in one.top) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kernels", ["native", "torch", "auto"])
def test_a_tokenizer_of_more_words_than_the_model_has_is_refused(kernels: Kernels) -> None:
    Engine(real_decoder(vocab_size=TOKENIZER.vocab_size), TOKENIZER, kernels=kernels)
    with pytest.raises(ConfigError, match="the tokenizer has 268 tokens") as told:
        Engine(real_decoder(vocab_size=TOKENIZER.vocab_size - 1), TOKENIZER, kernels=kernels)
    assert "267" in str(told.value)


@pytest.mark.parametrize("kernels", ["native", "torch"])
def test_what_a_request_that_failed_has_read_is_not_remembered(kernels: Kernels) -> None:
    engine = Engine(NotANumber.decoder(), TOKENIZER, kernels=kernels)
    wish = SamplingSettings(max_tokens=4, temperature=0.0, ignore_end=True)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="not finite"):
            engine.generate([*IDS[:33], NotANumber.token], wish)
    assert engine.stats.num_cached_tokens == 0
    done = engine.generate(IDS[:33], wish)
    assert (
        done.token_ids == Engine(NotANumber.decoder(), TOKENIZER).generate(IDS[:33], wish).token_ids
    )


@pytest.mark.parametrize(
    ("kernels", "weights"), [("native", "float32"), ("native", "bfloat16"), ("torch", "float32")]
)
def test_old_numbers_of_the_cache_do_not_spoil_others(
    kernels: Kernels, weights: WeightKind
) -> None:
    model = NotANumber.decoder()
    engine = Engine(model, TOKENIZER, kernels=kernels, kv_tokens=96, max_rows=3, weights=weights)
    wish = SamplingSettings(max_tokens=12, temperature=0.0, ignore_end=True)
    expected = [engine.generate(IDS[:n], wish).token_ids for n in (5, 9)]
    assert NotANumber.token not in {*expected[0], *expected[1]}
    for _ in range(4):
        number = engine.add_request(Request([NotANumber.token] * 40, wish))
        engine.step()
        engine.cancel(number)
        found = engine.generate_batch([IDS[:5], IDS[:9]], wish)
        assert [done.token_ids for done in found] == expected


def test_a_child_of_fork_computes_as_its_parent_does() -> None:
    runner = NativeRunner(real_decoder(), 6, num_threads=2)
    expected = whole(runner, IDS, BLOCKS)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads: that is the point
        child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(20)
            status = 0 if torch.equal(whole(runner, IDS, BLOCKS), expected) else 2
            os.write(writer, b"%d" % runner.num_workers)
            runner.__del__()
            runner._pool = None
        finally:
            os._exit(status)
    os.close(writer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert os.read(reader, 10) == b"2"
    os.close(reader)
    assert torch.equal(whole(runner, IDS, BLOCKS), expected)


def test_more_threads_than_are_wanted_sleep_on() -> None:
    runner = NativeRunner(real_decoder(), 6, num_threads=4)
    expected = whole(runner, IDS, BLOCKS)
    for num in (1, 3, 2, 4, 1):
        runner.num_threads = runner._threads_of_many = num
        for _ in range(5):
            assert torch.equal(whole(runner, IDS, BLOCKS), expected)


def test_rotations_of_a_huge_context_are_made_as_they_are_needed() -> None:
    model = real_decoder(context=131_072)
    runner = NativeRunner(model, 8, num_threads=1)
    found = whole(runner, IDS, BLOCKS)
    torch.testing.assert_close(found, scores(model, IDS), atol=2e-4, rtol=2e-4)
    turns = runner.description._turns[0]
    assert turns.shape == (CHUNK, 8)
    runner.description.reach(CHUNK + 1)
    assert len(runner.description._turns[0]) == 2 * CHUNK
    assert torch.equal(runner.description._turns[0][:CHUNK], turns)
    assert torch.equal(whole(runner, IDS, BLOCKS), found)


def test_a_system_without_huge_pages_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole(NativeRunner(real_decoder(), 6, num_threads=1), IDS, BLOCKS)
    refused = []

    class Plain(mmap.mmap):
        def madvise(self, *_: Any) -> None:
            refused.append(len(self))
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(mmap, "mmap", Plain)
    found = whole(NativeRunner(real_decoder(), 6, num_threads=1), IDS, BLOCKS)
    assert refused
    assert torch.equal(found, expected)


def test_without_a_compiler_torch_computes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    wish = SamplingSettings(max_tokens=5)
    fast = Engine(real_decoder(), TOKENIZER)
    assert fast.notice == ""
    monkeypatch.setattr(compiling, "COMPILERS", ("no-such-compiler",))
    slow = Engine(real_decoder(), TOKENIZER)
    assert "install gcc" in slow.notice
    assert slow.generate(IDS, wish).token_ids == fast.generate(IDS, wish).token_ids
    with pytest.raises(ConfigError, match="no C compiler"):
        Engine(real_decoder(), TOKENIZER, kernels="native")


def test_a_model_the_compiled_step_does_not_know_says_so() -> None:
    wish = SamplingSettings(max_tokens=5)
    slow = Engine(real_decoder(**UNKNOWN), TOKENIZER)
    assert slow.notice.startswith("slower answers: the compiled step does not know")
    assert "take kernels" not in slow.notice
    assert len(slow.generate(IDS, wish).token_ids) == 5


@pytest.mark.parametrize("seed", [0, 3, 2**40 + 1, 2**63 - 1])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_a_seed_chooses_the_same_tokens_by_c_and_by_torch(seed: int, temperature: float) -> None:
    model = real_decoder()
    wish = SamplingSettings(max_tokens=30, temperature=temperature, seed=seed, num_answers=2)
    fast = Engine(model, TOKENIZER, kernels="native").complete(IDS[:7], wish)
    slow = Engine(model, TOKENIZER, kernels="torch").complete(IDS[:7], wish)
    assert [a.token_ids for a in fast] == [a.token_ids for a in slow]
    numpy = replace(wish, seed=np.int64(seed), max_tokens=np.int32(30))  # type: ignore[arg-type]
    for kernels in ("native", "torch"):
        found = Engine(model, TOKENIZER, kernels=kernels).complete(IDS[:7], numpy)  # type: ignore
        assert [a.token_ids for a in found] == [a.token_ids for a in fast]
