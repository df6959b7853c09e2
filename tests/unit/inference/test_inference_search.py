"""Beam search, contrastive search, guesses ahead and constraints, against slow versions."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import pytest
import torch
from inference_fakes import WINDOW, FakeDecoder, FakeTokenizer

from homespun.core import Constraint, RequestError, SamplingSettings
from homespun.inference import (
    Engine,
    Request,
    reference_beams,
    reference_contrastive,
    reference_generate,
)
from homespun.inference.search import AcceptanceMeter, BeamSearch, best_candidate, guess

TOKENIZER = FakeTokenizer()
MODEL = FakeDecoder(TOKENIZER.vocab_size)
PROMPT = [TOKENIZER.end_of_text_id, *b"spinning a long yarn"]
BEAMS = SamplingSettings(max_tokens=8, beams=4)


def engine(**wish: int) -> Engine:
    return Engine(MODEL, TOKENIZER, **wish)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"num_answers": 3},
        {"length_penalty": 0.0},
        {"length_penalty": 2.0, "stop": ("e", "a")},
        {"beams": 6, "beam_groups": 3, "diversity_penalty": 1.5, "num_answers": 6},
        {"banned_tokens": tuple(range(32)), "min_tokens": 4},
    ],
)
def test_beams_over_the_cache_are_those_read_anew(wish: dict[str, object]) -> None:
    settings = replace(BEAMS, **wish)  # type: ignore[arg-type]
    slow = reference_beams(MODEL, TOKENIZER, PROMPT, settings, window=WINDOW)
    served = engine()
    fast = served.complete(PROMPT, settings)
    assert [done.token_ids for done in fast] == [beam.ids for beam in slow]
    for done, beam in zip(fast, slow, strict=True):
        assert done.score == pytest.approx(beam.score(settings.length_penalty), rel=1e-4)
        assert not any(word in done.text for word in settings.stop)
    assert served.stats.num_free_blocks == served.stats.num_blocks


def test_beams_in_a_cache_that_barely_holds_them() -> None:
    settings = replace(BEAMS, max_tokens=11, num_answers=2)
    served = engine(kv_tokens=8 * 16)
    numbers = [served.add_request(Request(PROMPT, settings)) for _ in range(3)]
    found = {}
    while served.has_work:
        for output in served.step():
            found.setdefault(output.request_id, []).append(output.completion)
    slow = reference_beams(MODEL, TOKENIZER, PROMPT, settings, window=32)
    for number in numbers:
        assert [done.token_ids for done in found[number] if done] == [beam.ids for beam in slow]
    assert served.stats.num_free_blocks == served.stats.num_blocks


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_wide_beams_find_the_best_of_all_answers(power: float) -> None:
    """Beside every answer of four tokens or fewer: token 0 ends it."""
    table = torch.randn(5, 5, generator=torch.Generator().manual_seed(4)).log_softmax(-1)
    settings = SamplingSettings(beams=64, length_penalty=power)
    search = BeamSearch(settings, most=4, end_ids=frozenset({0}), is_stopped=lambda ids: False)
    while search.live:
        search.advance([table[beam.ids[-1] if beam.ids else 0] for beam in search.live])
    best, best_score = None, float("-inf")
    for num in range(5):
        for ids in itertools.product(range(1, 5), repeat=num):
            path = [0, *ids] if num == 4 else [0, *ids, 0]
            total = sum(float(table[a, b]) for a, b in itertools.pairwise(path))
            score = total / max(1, len(path) - 1) ** power
            if score > best_score:
                best, best_score = ids, score
    (found,) = search.best(1)
    assert found.ids == best
    assert found.score(power) == pytest.approx(best_score, rel=1e-5)


def search_obvious(
    table: torch.Tensor, *, beams: int, most: int, power: float
) -> list[tuple[tuple[int, ...], float]]:
    """Beam search over a table of transitions at each place, as one would say it: token 0 begins
    and ends. The texts that ended, best first, with their scores."""
    live: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    ended: dict[tuple[int, ...], float] = {}
    for length in range(1, most + 1):
        candidates = [
            (total + float(table[len(ids), ids[-1] if ids else 0, token]), ids, token)
            for ids, total in live
            for token in range(table.shape[2])
        ]
        candidates.sort(key=lambda item: -item[0])
        for total, ids, _ in [item for item in candidates[:beams] if item[2] == 0]:
            ended[ids] = total / length**power
        going_on = [item for item in candidates[: 2 * beams] if item[2] != 0][:beams]
        live = [((*ids, token), total) for total, ids, token in going_on]
        enough = sorted(ended.values(), reverse=True)[:beams]
        if len(enough) == beams and all(t / length**power <= enough[-1] for _, t in live):
            live = []
    ended |= {ids: total / most**power for ids, total in live}
    return sorted(ended.items(), key=lambda item: -item[1])


@pytest.mark.parametrize("beams", [1, 2, 3, 5])
@pytest.mark.parametrize("power", [0.0, 0.6, 1.0])
def test_beams_are_those_of_the_obvious_search(beams: int, power: float) -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        table = (2 * torch.randn(7, 9, 9, generator=generator)).log_softmax(-1).double()
        settings = SamplingSettings(beams=beams, length_penalty=power)
        search = BeamSearch(settings, most=7, end_ids=frozenset({0}), is_stopped=lambda ids: False)
        while search.live:
            search.advance([table[len(b.ids), b.ids[-1] if b.ids else 0] for b in search.live])
        slow = search_obvious(table, beams=beams, most=7, power=power)
        found = search.best(beams)
        assert [beam.ids for beam in found] == [ids for ids, _ in slow[:beams]]
        assert [beam.score(power) for beam in found] == pytest.approx([s for _, s in slow[:beams]])


def test_an_end_that_is_not_among_the_best_is_no_answer() -> None:
    """Of two beams the third best may be the end: taken, the empty text would win, since whatever
    comes later is unlikely."""
    first = torch.tensor([0.05, 0.5, 0.45]).log()
    later = torch.tensor([0.001, 0.001, 0.001]).log()
    settings = SamplingSettings(beams=2, length_penalty=1.0)
    search = BeamSearch(settings, most=2, end_ids=frozenset({0}), is_stopped=lambda ids: False)
    search.advance([first])
    assert search.ended == []
    search.advance([later, later])
    assert () not in [beam.ids for beam in search.best(9)]


def test_groups_differ_where_difference_is_rewarded() -> None:
    table = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    settings = SamplingSettings(beams=2, beam_groups=2, diversity_penalty=5.0)
    search = BeamSearch(settings, most=2, end_ids=frozenset(), is_stopped=lambda ids: False)
    search.advance([table])
    assert [beam.ids for beam in search.live] == [(0,), (1,)]
    # The penalty chooses, but is no part of the score.
    assert search.live[1].total == pytest.approx(float(table[1]))


@pytest.mark.parametrize("chunk", [6, 256])
def test_contrastive_search_takes_what_the_slow_version_takes(chunk: int) -> None:
    wish = SamplingSettings(contrastive_alpha=0.6, top_k=5, max_tokens=10)
    slow = reference_contrastive(MODEL, TOKENIZER, PROMPT, wish, window=WINDOW)
    served = engine(prefill_chunk=chunk)
    assert list(served.generate(PROMPT, wish).token_ids) == slow
    assert slow != list(served.generate(PROMPT, replace(wish, contrastive_alpha=0.0)).token_ids)
    assert served.stats.num_free_blocks == served.stats.num_blocks


def test_the_best_candidate_by_hand() -> None:
    p_K = torch.tensor([0.6, 0.3])
    before_SD = torch.tensor([[1.0, 0.0]])
    hidden_KD = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    # 0.5 · 0.6 - 0.5 · 1 against 0.5 · 0.3 - 0.5 · 0
    assert best_candidate(p_K, hidden_KD, before_SD, 0.5) == 1
    assert best_candidate(p_K, hidden_KD, before_SD, 0.1) == 0


@pytest.mark.parametrize(
    ("ids", "most", "expected"),
    [
        ([1, 2, 3, 4, 1, 2, 3], 2, [4, 1]),
        ([1, 2, 9, 5, 2, 9], 3, [5, 2, 9]),
        ([7, 7, 7, 7], 4, [7]),
        ([1, 2, 3], 4, []),
        ([], 4, []),
    ],
)
def test_guesses(ids: list[int], most: int, expected: list[int]) -> None:
    assert guess(ids, most) == expected


def test_guessing_turns_itself_off_where_it_is_of_no_use_and_tries_again() -> None:
    meter = AcceptanceMeter()
    for _ in range(meter.TRIAL):
        assert meter.is_on
        meter.count(4, 0)
    rests = 0
    while not meter.is_on:
        meter.pause()
        rests += 1
    assert rests == 32
    for _ in range(3 * meter.TRIAL):
        meter.count(4, 2)
    assert meter.is_on
    assert (meter.num_guessed, meter.num_right) == (128, 48)


SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }
)


def constrained(constraint: Constraint, **wish: object) -> SamplingSettings:
    fields = {"max_tokens": 24, "temperature": 1.0, "top_p": 1.0} | wish
    return SamplingSettings(constraint=constraint, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("constraint", "expression"),
    [
        (Constraint(kind="regex", text="[a-c]{2,4}-[0-9]+"), r"[a-c]{2,4}-[0-9]+"),
        (Constraint(kind="choice", choices=("yes", "no.", "你好")), r"yes|no\.|你好"),
        (Constraint(kind="grammar", text='start: "<" /[a-z]/ start? ">"'), r"(<[a-z])+>+"),
        (Constraint(kind="json_schema", text=SCHEMA), None),
    ],
)
def test_constrained_answers_are_what_they_must_be(
    constraint: Constraint, expression: str | None, seed: int
) -> None:
    wish = constrained(constraint, seed=seed)
    served = engine()
    done = served.generate(PROMPT[:4], wish)
    slow = reference_generate(MODEL, TOKENIZER, PROMPT[:4], wish, window=WINDOW)
    assert (done.text, done.token_ids) == (slow.text, slow.token_ids)
    guessed = served.generate(PROMPT[:4], replace(wish, lookup_tokens=4))
    assert guessed.text == done.text
    if done.finish_reason == "length":
        return
    if expression is not None:
        assert re.fullmatch(expression, done.text)
    else:
        assert set(json.loads(done.text)) == {"a", "b"}


def test_a_choice_ends_by_itself() -> None:
    wish = constrained(Constraint(kind="choice", choices=("yes", "no")))
    answers = engine().complete(PROMPT, replace(wish, num_answers=6))
    assert {done.text for done in answers} <= {"yes", "no"}
    assert {done.finish_reason for done in answers} == {"stop"}


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint(kind="regex", text="(a"),
        Constraint(kind="regex", text=""),
        Constraint(kind="grammar", text="start: nothing"),
        Constraint(kind="json_schema", text="{"),
        Constraint(kind="json_schema", text="[1]"),
        Constraint(kind="json_schema", text='{"type": "nonsense"}'),
        Constraint(kind="json_schema", text='{"a":' * 10_000 + "1" + "}" * 10_000),
        Constraint(kind="json_schema", text='{"enum": ["' + "x" * 70_000 + '"]}'),
        Constraint(kind="choice", choices=()),
        Constraint(kind="choice", choices=("a",) * 5000),
    ],
    ids=lambda constraint: f"{constraint.kind}-{constraint.text[:12]}",
)
def test_constraints_that_cannot_be_used_are_refused_and_nothing_is_kept(
    constraint: Constraint,
) -> None:
    served = engine()
    with pytest.raises(RequestError):
        served.add_request(Request(PROMPT, constrained(constraint)))
    assert not served.has_work


def test_hostile_constraints_neither_hang_nor_fail() -> None:
    served = engine()
    loop = json.dumps({"$ref": "#"})
    for constraint in (
        Constraint(kind="regex", text="(a+)+b"),
        Constraint(kind="regex", text="a{1,1000000000}"),
        Constraint(kind="regex", text="(a|aa)*c|.{0,400}"),
        Constraint(kind="json_schema", text=loop),
    ):
        try:
            done = served.generate(PROMPT, constrained(constraint, max_tokens=12))
        except RequestError:
            continue
        assert len(done.token_ids) <= 12
    assert served.stats.num_free_blocks == served.stats.num_blocks
