"""How many threads compute is asked again and again, of prompts as of answers."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

import pytest
import torch
from inference_fakes import TOKENIZER, real_decoder

from homespun.core import ConfigError, SamplingSettings
from homespun.inference import Engine
from homespun.inference.native import NativeRunner, load_library
from homespun.inference.native.threads import StepWork, ThreadWatch
from homespun.inference.runners import Work
from homespun.inference.runners.work import Results

IDS = [(i * 37 + 11) % 250 for i in range(40)]


def have_compiler() -> bool:
    try:
        load_library()
    except ConfigError:
        return False
    return True


compiled = pytest.mark.skipif(not have_compiler(), reason="there is no C compiler")


def test_one_thread_takes_over_where_several_wait_for_a_core() -> None:
    watch, busy = ThreadWatch(4), False
    used = []
    for call in range(3000):
        busy = 500 <= call < 1500
        used.append(threads := watch.next())
        watch.took(8, 8e-4 * ((3.0 if busy else 0.6) if threads > 1 else 1.0))
    assert used[:64] == [4] * 64
    assert used[490:500] == [4] * 10
    assert used[1490:1500] == [1] * 10, "noticed within a second or a few"
    assert used[-10:] == [4] * 10
    assert sum(a != b for a, b in itertools.pairwise(used)) < 60, "and seldom tried"
    alone = ThreadWatch(1)
    for _ in range(100):
        assert alone.next() == 1
        alone.took(1, 1.0)


def test_calls_are_compared_with_their_kind_alone() -> None:
    """One token of a kind costs a hundred times as much as of the other: no reason to change."""
    watch = ThreadWatch(2)
    costs = {"short": 100.0, "long": 1.0}
    used = []
    for call in range(2000):
        # Kinds come in runs, so that a trial begins among others than those before it.
        kind = "long" if call // 64 % 2 else "short"
        used.append(threads := watch.next(kind))
        watch.took(1, costs[kind] * (1.0 if threads == 2 else 1.5), kind)
    assert set(used) == {1, 2}
    assert used.count(1) < 0.1 * len(used)
    changes = sum(a != b for a, b in itertools.pairwise(used))
    assert changes < 60, "tried and given up each time"
    for _ in range(300):  # now one thread is better, for either kind
        for kind in costs:
            threads = watch.next(kind)
            watch.took(1, costs[kind] * (1.0 if threads == 1 else 1.5), kind)
    assert watch.now == 1


def test_a_kind_that_is_not_known_is_not_tried() -> None:
    watch = ThreadWatch(2)
    for _ in range(64):
        assert watch.next("known") == 2
        watch.took(1, 1.0, "known")
    for _ in range(3):
        assert watch.next("new") == 2
        watch.took(1, 1.0, "new")
    assert watch.next("new") == 1


class Noted(ThreadWatch):
    """Takes turns, and keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(2)
        self.told: list[tuple[float, Hashable]] = []

    def next(self, kind: Hashable = None) -> int:
        return 1 + len(self.told) % 2

    def took(self, amount: float, seconds: float, kind: Hashable = None) -> None:
        assert seconds > 0
        self.told.append((amount, kind))


@compiled
def test_steps_that_read_prompts_are_watched_too() -> None:
    runner = NativeRunner(real_decoder(), 6, num_threads=2)
    one, many = Noted(), Noted()
    runner._watches = {"one": one, "many": many, "groups": Noted()}
    found = [
        runner.run([Work(IDS[:length], 0, [0, 1, 2], 1, [])]).scores_RV
        for length in (40, 40, 5, 16, 5, 40)
    ]
    assert [kind for _, kind in many.told] == [("read", n) for n in (6, 6, 5, 6)]
    assert [kind for _, kind in one.told] == [("read", 3)] * 2
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[2], found[4])
    assert many.told[0][0] > 2.5 * many.told[2][0], "of 40 tokens and of 16"


@compiled
def test_an_engine_that_only_reads_tries_too(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(real_decoder(), TOKENIZER, kernels="native", num_threads=2)
    runner = engine._runner
    assert isinstance(runner, NativeRunner)
    watch = ThreadWatch(2)
    runner._watches = {"one": ThreadWatch(2), "many": watch, "groups": ThreadWatch(2)}
    used, usual = [], watch.next
    monkeypatch.setattr(watch, "next", lambda kind=None: used.append(usual(kind)) or used[-1])
    wish = SamplingSettings(max_tokens=1, temperature=0.0)
    fixed = Engine(real_decoder(), TOKENIZER, kernels="native", num_threads=1)
    for number in range(72):
        ids = [number, *IDS]
        assert engine.generate(ids, wish).token_ids == fixed.generate(ids, wish).token_ids
    assert used[:64] == [2] * 64
    assert set(used[64:]) >= {1}


@compiled
@pytest.mark.parametrize(
    ("asked", "given", "most"),
    [(None, None, 4), ("1", None, 1), ("3", None, 3), ("99", None, 4), ("1", 2, 2)],
)
def test_it_takes_no_more_threads_than_the_user_wants(
    asked: str | None, given: int | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homespun.core.machine.num_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    tried = []
    runner_run = NativeRunner.run

    def run(self: NativeRunner, works: Sequence[Work], **more: bool) -> Results:
        tried.append(self.num_threads)
        return runner_run(self, works, **more)

    monkeypatch.setattr(NativeRunner, "run", run)
    # Large enough that threads are tried for it.
    runner = NativeRunner(
        real_decoder(width=128, mlp_width=512, vocab_size=2000), 6, num_threads=given
    )
    assert max([*tried, runner.num_threads]) == most
    assert runner.num_workers <= most


@compiled
def test_the_work_of_a_step_is_that_of_its_multiplications() -> None:
    model = real_decoder(num_kv_heads=2)
    runner = NativeRunner(model, 6, num_threads=1)
    of = StepWork.of(runner.description.model)
    assert of([Work([1], 0, [0], 0, [])]) == pytest.approx(1, rel=0.05)
    assert of([Work([1] * 8, 0, [0], 0, [])]) > 8
    later = of([Work([1] * 8, 30, [0, 1, 2], 0, [])])
    assert later - of([Work([1] * 8, 0, [0], 0, [])]) == pytest.approx(8 * 30 * of.seen)
    scored = of([Work([1], 0, [0], 1, [])]) - of([Work([1], 0, [0], 0, [])])
    assert scored == pytest.approx(of.score)
