"""A plan takes what fits into memory and onto the disk, says so, and refuses where nothing does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homespun import corpus
from homespun.core import BudgetError, ConfigError, RunDirectory
from homespun.core.machine import Memory
from homespun.core.processes import Place
from homespun.models import count_parameters, parameters_by_kind
from homespun.recipes.measure import (
    JUDGING_BYTES,
    STAGE_BYTES,
    UPDATE_BYTES,
    ShapeSpeed,
    counted_memory,
    counting_bytes,
    judging_memory,
    learned_overhead,
    needed_memory,
    usual_overhead,
)
from homespun.recipes.plan import reach_text
from homespun.recipes.plan.make import _memory_note
from homespun.recipes.scale import propose, room, shape_name, size_of
from homespun.recipes.scale.aim import count_beside
from homespun.recipes.scale.ask import Ask
from homespun.recipes.scale.options import Text
from homespun.recipes.scale.room import Room, check_disk, check_room, fitting, parse_memory
from homespun.recipes.scale.table import Tables, TableText
from homespun.recipes.together import Helpers
from homespun.scaling.law import Prediction
from homespun.scaling.rules import (
    LEAST_TRAINING,
    before_counting,
    left_after_counting,
    rows_for,
    table_for,
)

GB = 10**9
NEVER = 10**15


def ask(tokens: int, limit: int = NEVER, **more: Any) -> Ask:
    run = RunDirectory(Path("nowhere"))
    given = {
        "size": None,
        "seconds": None,
        "steps": 1000,
        "room": Room(limit),
        "overhead": usual_overhead(),
        **more,
    }
    return Ask(run, Text(tokens, 3.0), "bpe", 2048, 256, **given)


def need_of(shape: Any, rows: int) -> int:
    return needed_memory(shape, rows=rows, before=0, overhead=usual_overhead())


def test_counting_that_does_not_fit_leaves_portable() -> None:
    assert propose._within_memory(ask(10_000, GB), None) is None
    assert propose._within_memory(ask(10_000, GB), "fast") == "fast"
    assert propose._within_memory(ask(10**8, GB), None) == "portable"
    assert propose._within_memory(ask(10**8, GB), "portable") == "portable"
    with pytest.raises(BudgetError, match=r"needs 23 GB of memory, more than the 1 GB.*--portable"):
        propose._within_memory(ask(10**8, GB), "fast")


def test_searches_and_sweeps_count_no_table_that_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: Memory(total=10 * GB, free=2 * GB))
    monkeypatch.setattr(room, "resident_bytes", lambda: GB)
    monkeypatch.setattr(corpus, "open_split", lambda *_: range(10**8))
    settings = table_for("fast")
    text = TableText(range(10**8), range(9), 2048, 0, 256, 9)  # type: ignore[arg-type]
    with pytest.raises(BudgetError, match=r"needs 24 GB .* than the 2.8 GB .*--preset portable"):
        count_beside(RunDirectory(tmp_path), "fast", context=256)
    with pytest.raises(BudgetError, match=r"needs 24 GB .* than the 2.8 GB .*--preset portable"):
        Tables().of("all", text, settings)
    assert count_beside(RunDirectory(tmp_path), "portable", context=256) is None


def test_what_was_freed_is_given_back_before_a_table_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, table = [4 * GB], counting_bytes(5, 10**7)
    total = held[0] + 2 * GB
    assert 0.9 * 2 * GB < table < 0.9 * 5 * GB
    monkeypatch.setattr(room, "available_memory", lambda: Memory(total=total, free=total - held[0]))
    monkeypatch.setattr(room, "resident_bytes", lambda: held[0])
    monkeypatch.setattr(room, "give_back_memory", lambda: held.__setitem__(0, GB))
    room.check_counting(5, 10**7, remedy="none")
    assert held == [GB]
    # What fits as it is gives nothing back, which would slow the trainings that come after.
    held[0] = 4 * GB
    room.check_counting(5, 10**6, remedy="none")
    assert held == [4 * GB]
    # What it says is needed is so after that.
    with pytest.raises(BudgetError, match=r"needs 24 GB of memory, more than the 5.5 GB"):
        room.check_counting(5, 10**8, remedy="none")


def test_counting_leaves_time_to_train() -> None:
    assert left_after_counting(60, 10) == 50
    assert left_after_counting(60, 100) == LEAST_TRAINING * 60
    for training, counting in ((60, 0), (60, 10), (60, 60), (60, 600)):
        given = before_counting(training, counting)
        assert left_after_counting(given, counting) == pytest.approx(training)


def test_a_plan_by_steps_takes_the_best_shape_that_fits() -> None:
    free = propose.decide_by_steps(ask(10**9, steps=3_000_000), "portable").taken
    assert free.unlimited is None
    assert free.parts == 1
    need = need_of(free.model, 8)
    enough = propose.decide_by_steps(ask(10**9, need, steps=3_000_000), "portable").taken
    assert enough.model == free.model
    assert enough.unlimited is None
    # In parts it fits into less, and is still better than a smaller one.
    parted = propose.decide_by_steps(ask(10**9, need - 1, steps=3_000_000), "portable").taken
    assert (parted.model, parted.parts, parted.unlimited) == (free.model, 2, None)
    assert "in 2 parts" in _memory_note(Room(need - 1), parted)
    least = need_of(free.model, 1)
    taken = propose.decide_by_steps(ask(10**9, least - 1, steps=3_000_000), "portable").taken
    assert taken.model.width < free.model.width
    assert need_of(taken.model, -(-8 // taken.parts)) < least
    assert taken.unlimited == shape_name(free.model)
    note = _memory_note(Room(least - 1, is_given=True), taken, judged=least - 1)
    assert "evaluating" not in note
    assert f"without that limit it would be {shape_name(free.model)}" in note
    assert _memory_note(Room(need), enough) == ""


def test_evaluating_beyond_the_memory_that_training_fits_into_is_told() -> None:
    taken = propose.decide_by_steps(ask(10**9, steps=3_000_000), "portable").taken
    judged = judging_memory(taken.model, before=300_000_000, table_bytes=50_000_000)
    models = 4 * 4 * count_parameters(taken.model)
    assert judged > 350_000_000 + STAGE_BYTES + JUDGING_BYTES + models
    assert _memory_note(Room(judged, is_given=True), taken, judged) == ""
    note = _memory_note(Room(600_000_000, is_given=True), taken, 755_000_000)
    assert note == "training fits into the 600 MB given, evaluating at the end may take 755 MB"


def test_a_plan_by_seconds_takes_the_best_shape_that_fits() -> None:
    asked = ask(10**8, seconds=3000.0, steps=None)
    speeds = []
    for shape in asked.shapes("portable")[3:9]:
        flops = size_of(shape).flops_per_token
        speeds.append(ShapeSpeed(shape_name(shape), 1, 8, 1e11 / flops, flops))
    free = propose.propose(asked, "portable", speeds, 3000.0)
    assert free.unlimited is None
    least = need_of(asked.shapes("portable")[0], rows_for(10**8, context=256))
    rows = rows_for(free.chosen.tokens, context=256)
    tight = asked._replace(room=Room(need_of(free.model, rows) - 1))
    parted = propose.propose(tight, "portable", speeds, 3000.0)
    assert (parted.model, parted.parts, parted.unlimited) == (free.model, 2, None)
    limit = max(least, need_of(free.model, 1) // 2)
    taken = propose.propose(asked._replace(room=Room(limit)), "portable", speeds, 3000.0)
    assert taken.unlimited == shape_name(free.model)
    assert taken.model.width < free.model.width
    assert taken.chosen.loss > free.chosen.loss
    # What lies far below the shapes that were timed is better than nothing.
    one = propose.propose(asked._replace(room=Room(limit)), "portable", speeds[-1:], 3000.0)
    assert one.model.width <= taken.model.width


def test_a_size_asked_for_is_learned_in_parts_and_refused_where_a_row_is_too_much() -> None:
    asked = ask(10**7, size="256x7")
    (shape,) = asked.shapes("portable")
    for parts, rows in ((1, 8), (2, 4)):
        limit = need_of(shape, rows)
        taken = propose.decide_by_steps(asked._replace(room=Room(limit)), "portable").taken
        assert (taken.parts, taken.model) == (parts, shape)
        assert ("in 2 parts" in _memory_note(Room(limit), taken)) == (parts == 2)
    small = asked._replace(room=Room(need_of(shape, 1) - 1_000_000, is_given=True))
    with pytest.raises(BudgetError, match=r"this size needs \d+ MB .* more than the \d+ MB given"):
        propose.decide_by_steps(small, "portable")


@pytest.mark.parametrize(("limit", "parts"), [(800, 1), (799, 2), (399, 4), (199, 8), (100, 8)])
def test_rows_are_cut_into_no_more_parts_than_it_takes(limit: int, parts: int) -> None:
    shapes: Any = ["only"]
    found = fitting(shapes, Room(limit), rows_of=lambda s: 8, need=lambda s, rows: 100 * rows)
    assert found.parts == [parts]
    with pytest.raises(BudgetError):
        fitting(shapes, Room(99), rows_of=lambda s: 8, need=lambda s, rows: 100 * rows)


def test_what_an_update_takes_does_not_shrink_with_the_rows() -> None:
    (shape,) = ask(10**7, size="384x9").shapes("portable")
    states = counted_memory(shape, rows=1).total - counted_memory(shape, rows=1).activations
    matrix = parameters_by_kind(shape).matrix
    few, many = need_of(shape, 4), need_of(shape, 8)
    assert few > STAGE_BYTES + states + UPDATE_BYTES * matrix
    assert few > 0.5 * many
    assert needed_memory(
        shape, rows=4, before=GB, overhead=usual_overhead()
    ) - few == pytest.approx(1.04 * GB)


def test_even_the_smallest_size_may_not_fit() -> None:
    for more in ({"steps": 10}, {"steps": None, "seconds": 60.0}):
        asked = ask(10**6, 2 * 10**6, **more)
        with pytest.raises(BudgetError, match=r"even the smallest size needs .* than the 2 MB"):
            propose.fit_guessed(asked, "portable")


def test_a_table_that_does_not_fit_leaves_portable_unless_it_was_asked_for() -> None:
    asked = ask(3 * 10**6, steps=1000)
    table = counting_bytes(asked.table("fast").order, 3 * 10**6)
    assert propose.decide_by_steps(asked, None).other is not None
    tight = asked._replace(room=Room(table - 1))
    decided = propose.decide_by_steps(tight, None)
    assert (decided.taken.preset, decided.other) == ("portable", None)
    with pytest.raises(BudgetError, match="counting the n-gram table"):
        propose.decide_by_steps(tight, "fast")


def test_no_room_no_limit() -> None:
    found = fitting([object(), object()], None, rows_of=lambda s: 1, need=lambda s, r: NEVER)  # type: ignore[list-item]
    assert len(found.shapes) == 2
    assert (found.parts, found.left_out) == ([1, 1], False)


def test_room_is_what_is_free_and_what_is_held_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: Memory(total=10 * GB, free=2 * GB))
    monkeypatch.setattr(room, "resident_bytes", lambda: GB)
    busy, all_there_is, given = (
        room.find_room(),
        room.find_room(busy=False),
        room.find_room(3 * GB),
    )
    assert busy is not None
    assert all_there_is is not None
    assert given is not None
    assert busy.limit == round(room.FREE_SHARE * 2 * GB) + GB
    assert all_there_is.limit == round(room.FREE_SHARE * 10 * GB)
    assert (given.limit, given.is_given) == (3 * GB, True)
    monkeypatch.setattr(room, "process_place", lambda: Place(0, 2, 0, 2))
    shared = room.find_room()
    assert shared is not None
    assert shared.limit == round(room.FREE_SHARE * GB) + GB


def test_training_is_refused_before_it_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(room, "available_memory", lambda: Memory(total=10 * GB, free=2 * GB))
    monkeypatch.setattr(room, "resident_bytes", lambda: 0)
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: SimpleNamespace(free=5 * GB, total=5 * GB)
    )
    run = RunDirectory(tmp_path / "run")

    def plan(memory_bytes: int | None, disk_bytes: int | None, **asked: int) -> Any:
        return SimpleNamespace(
            memory_bytes=10 * GB, needed_bytes=memory_bytes, disk_bytes=disk_bytes, asked=asked
        )

    check_room(run, plan(2 * GB, 5 * GB))
    older = plan(None, None)
    older.memory_bytes = None
    check_room(run, older)
    check_room(run, plan(3 * GB, 1, memory=4 * GB))  # asked for by hand
    with pytest.raises(BudgetError, match=r"needs 2\.5 GB of memory, and 2 GB are free"):
        check_room(run, plan(5 * GB // 2, 1))
    with pytest.raises(BudgetError, match=r"checkpoints .* take 5\.1 GB .* room for 5 GB"):
        check_room(run, plan(1, 51 * GB // 10))
    with pytest.raises(BudgetError, match="the texts as tokens"):
        check_disk(tmp_path / "not/there/yet", 6 * GB, what="the texts as tokens")


def test_parts_of_a_plan_are_cut_by_the_loop() -> None:
    assert Helpers().parallel().accumulate == 1
    assert Helpers().parallel(4).accumulate == 4
    assert Helpers(strategy="ddp+accumulate8").parallel(4).accumulate == 8
    assert Helpers(strategy="ddp+accumulate2").parallel(4).accumulate == 4


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * GB), ("512 mb", 512 * 10**6), ("1.5G", 3 * GB // 2), ("2000000", 2 * 10**6)],
)
def test_memory_as_people_write_it(text: str, size: int) -> None:
    assert parse_memory(text) == size
    assert parse_memory(None) is None


@pytest.mark.parametrize("text", ["", "GB", "-4GB", "4 XB", "4GBs", "nan", "1kB", "9" * 30, "四GB"])
def test_memory_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a number with a unit.*--memory 4GB"):
        parse_memory(text)


def test_what_activations_take_is_learned_from_a_peak_of_its_own_alone() -> None:
    (shape,) = ask(10**7, size="128x5").shapes("portable")
    counted = counted_memory(shape, rows=8)
    kept = counted.total - counted.activations + UPDATE_BYTES * parameters_by_kind(shape).matrix
    peak = round(GB + kept + 0.8 * counted.activations)
    assert learned_overhead(shape, rows=8, before=GB, peaks=(GB, peak)) == pytest.approx(0.8)
    assert learned_overhead(shape, rows=8, before=GB, peaks=(peak, peak)) is None
    assert learned_overhead(shape, rows=8, before=GB, peaks=(GB, 100 * GB)) is None


def test_a_bound_that_says_nothing_is_not_told() -> None:
    assert reach_text(Prediction(2.1, 1.8, 2.5)).endswith("2.100 bits per byte (1.800 to 2.500)")
    assert "may learn next to nothing" in reach_text(Prediction(31.52, 2.0, 1554.279))
    told = reach_text(Prediction(4.724, 1.966, 1554.279))
    assert "1554" not in told
    assert "4.724 bits per byte, 1.966 at best" in told
