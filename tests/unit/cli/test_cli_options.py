"""Values are checked before any work starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from homespun.cli.main import main
from homespun.cli.options import number, resolve_run, run_name, text, whole_numbers
from homespun.core import RunError


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), float("-inf"), 11])
def test_a_number_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(typer.BadParameter, match=r"got .*, give a number above 0, at most 10"):
        number(0, 10, above=True)(value)


@pytest.mark.parametrize("value", [0, 1, 9.5, 10, None])
def test_a_number_inside_its_range_passes(value: float | None) -> None:
    assert number(0, 10)(value) == value


@pytest.mark.parametrize("value", ["", ".", "..", "a/b", "/tmp/x", "-x", " x", "a\0b", "a\nb"])
def test_a_run_name_that_is_a_path_is_refused(value: str) -> None:
    with pytest.raises(typer.BadParameter):
        run_name(value)


@pytest.mark.parametrize("value", ["a", "python-2", "红楼梦", "v1.2+x", None])
def test_a_run_name_that_is_a_name_passes(value: str | None) -> None:
    assert run_name(value) == value


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="UTF-8"):
        text(b"caf\xe9".decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("option", ["--stop", "--choice", "--regex", "--prompt"])
def test_no_option_of_an_answer_takes_text_that_is_not_utf8(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert main(["generate", "tales", option, given]) == 2
    told = capsys.readouterr().err
    assert f"'{option}': it is not valid UTF-8" in told


def test_a_run_is_found_by_folder_and_by_bare_name(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "tales"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert resolve_run(run) == run
    assert resolve_run(Path("tales"), runs=tmp_path / "runs") == run


def test_a_run_that_is_missing_is_answered_with_the_nearest_there_is(tmp_path: Path) -> None:
    (tmp_path / "tales").mkdir()
    (tmp_path / "tales" / "run.json").write_text("{}")
    with pytest.raises(RunError, match="did you mean 'tales'"):
        resolve_run(Path("tale"), runs=tmp_path)
    with pytest.raises(RunError, match="homespun spin"):
        resolve_run(Path("tale"), runs=tmp_path / "nowhere")


@pytest.mark.parametrize("words", ["", ",", "1.5", "0,-1", "a", "1e3", "9" * 30, "²"])
def test_seeds_that_are_no_whole_numbers_are_refused(words: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"^--seeds wants whole numbers"):
        whole_numbers(words, "--seeds")


def test_a_seed_that_is_named_twice_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match=r"each number once \(got 2 twice\)"):
        whole_numbers("0,2,1,02", "--seeds")


def test_seeds_are_taken_as_they_stand() -> None:
    assert whole_numbers("0, 2,9007199254740993", "--seeds") == [0, 2, 9007199254740993]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("plan tales --minutes 1 --name other", "--name is for the run that is made of a --corpus"),
        ("tune tales --name other", "--name is for the run that is made of a --corpus"),
        ("generate tales --logprobs 3", "--logprobs are written beside the answers to a file"),
        ("generate tales --beam-groups 2", "--beam-groups is for beam search (got 2)"),
        ("generate tales --length-penalty 0.5", "--length-penalty is for beam search (got 0.5)"),
        ("generate tales --diversity-penalty 1", "--diversity-penalty is for beam search"),
        ("tokenizer train tales --kind byte --vocab-size 300", "bytes are as many as there are"),
        ("bench decode --run tales --size 1m", "--size is for measuring speed, and --run for"),
        ("bench decode --run tales --shape gpt2", "--shape is for measuring speed, and --run for"),
        ("bench decode --run tales --seconds 3", "--seconds is for measuring speed, and --run"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(
    line: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "tales"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert main(line.split()) == 2
    captured = capsys.readouterr().err
    assert captured.startswith(f"error: {told}")
    assert "; " in captured
