"""The commands on a real, tiny run: what they print, and that they agree with the files."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from homespun.cli import main

Cli = Callable[..., "Said"]


class Said(NamedTuple):
    """What a command printed."""

    out: str
    err: str


@pytest.fixture
def cli(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    """Run a command that must succeed, in a folder that holds runs/tiny."""
    shutil.copytree(finished, tmp_path / "runs" / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: str, code: int = 0) -> Said:
        capsys.readouterr()
        ended = main(words)
        captured = capsys.readouterr()
        assert ended == code, captured.err
        return Said(captured.out, captured.err)

    return run


def test_runs_lists_the_run_and_how_far_it_got(cli: Cli) -> None:
    told = cli("runs").out
    row = next(line for line in told.splitlines() if "tiny" in line)
    assert "can chat" in row


def test_a_folder_without_runs_is_told_how_to_begin(cli: Cli) -> None:
    assert "homespun spin" in cli("runs", "--runs", "elsewhere").out


def test_corpus_inspect_says_what_the_card_says(cli: Cli) -> None:
    card = json.loads(Path("runs/tiny/corpus/card.json").read_text())
    told = cli("corpus", "inspect", "tiny").out
    assert cli("corpus", "inspect", "runs/tiny/corpus").out == told
    for split, counts in card["splits"].items():
        row = next(line for line in told.splitlines() if line.split()[:1] == [split])
        assert row.split()[1] == f"{counts['documents']:,}"


def test_tokenizer_inspect_shows_every_token_of_a_text(cli: Cli) -> None:
    told = cli("tokenizer", "inspect", "tiny", "--text", "fox 狐").out
    assert told.splitlines()[0] == "f|o|x|·|狐"
    assert "7 tokens for 7 bytes, 1.00 a token" in told


def test_tokenizer_inspect_colours_tokens_on_a_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" in cli("tokenizer", "inspect", "tiny", "--text", "fox").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in cli("tokenizer", "inspect", "tiny", "--text", "fox").out


def test_tokenizer_inspect_gives_bytes_a_token_in_each_language(cli: Cli) -> None:
    told = cli("tokenizer", "inspect", "tiny").out
    statistics = json.loads(Path("runs/tiny/tokenizer_stats.json").read_text())
    for language, counts in statistics["languages"].items():
        row = next(line for line in told.splitlines() if line.split()[:1] == [language])
        assert f"{counts['bytes_per_token']:.2f}" in row
    assert "longest tokens" in told


def test_plan_prints_what_was_chosen_and_why(cli: Cli) -> None:
    shutil.rmtree("runs/tiny/pretrain")
    Path("runs/tiny/plan.json").unlink()
    told = cli("plan", "tiny", "--steps", "7", "--size", "0.2m").out
    plan = json.loads(Path("runs/tiny/plan.json").read_text())
    assert plan["num_steps"] == 7
    assert "size 0.2m" in told
    assert "7 steps" in told
    assert plan["reason"] in told


def test_raw_generation_is_the_continuation_alone_and_repeats(cli: Cli) -> None:
    line = ("generate", "tiny", "--prompt", "The fox", "--max-tokens", "9", "--raw")
    first = cli(*line)
    assert first == cli(*line)
    assert first.err == ""
    assert not first.out.startswith("The fox")
    assert cli(*line, "--seed", "1").out != first.out


def test_generation_shows_the_prompt_and_what_follows(cli: Cli) -> None:
    line = ("generate", "tiny", "--prompt", "The fox", "--max-tokens", "5", "--temperature", "0")
    assert cli(*line).out.startswith("The fox")


def test_a_prompt_can_come_from_a_pipe(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--max-tokens", "5", "--raw")
    given = cli("generate", "tiny", "--prompt", "The fox", *options).out
    monkeypatch.setattr(sys, "stdin", io.StringIO("The fox"))
    assert cli("generate", "tiny", "--prompt", "-", *options).out == given


def test_without_a_prompt_the_model_begins_a_document(cli: Cli) -> None:
    assert cli("generate", "tiny", "--max-tokens", "5", "--raw").out != ""


def test_one_question_is_answered_and_nothing_more(cli: Cli) -> None:
    line = ("chat", "tiny", "--once", "Who are you?", "--max-tokens", "6")
    told = cli(*line)
    assert told == cli(*line)
    assert told.out.endswith("\n")
    assert told.err == ""


def test_a_conversation_can_come_from_a_pipe(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello\n/undo\n/reset\n/quit\nnot asked\n"))
    told = cli("chat", "tiny", "--max-tokens", "4").out
    assert "(the last turn is undone)" in told
    assert "forgotten" in told


def test_an_export_can_be_opened_by_the_library_it_is_for(cli: Cli) -> None:
    assert "out" in cli("export", "hf", "tiny", "out").out
    names = {path.name for path in Path("out").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names


def test_a_finished_stage_is_not_done_again(cli: Cli) -> None:
    done = Path("runs/tiny/pretrain/done.json").read_bytes()
    cli("pretrain", "tiny")
    assert Path("runs/tiny/pretrain/done.json").read_bytes() == done


def test_startup_is_measured_and_loads_no_torch(cli: Cli) -> None:
    cli("bench", "startup", "--repeats", "1", "--json", "startup.json")
    found = json.loads(Path("startup.json").read_text())
    assert [row["imports_torch"] for row in found["commands"]] == [False] * 4
    assert all(row["best"] > 0 for row in found["commands"])


def test_write_says_whether_the_form_was_kept(cli: Cli) -> None:
    poem = cli("write", "tiny", "--kind", "poem", "--form", "2x2", "--max-tokens", "60")
    assert re.fullmatch("[\u4e00-\u9fff]{2}，[\u4e00-\u9fff]{2}。\n", poem.out)
    code = cli("write", "tiny", "--kind", "code", "--max-tokens", "30", "--tries", "20")
    assert code.out.strip()
    failed = cli("write", "tiny", "--max-tokens", "1", "--tries", "1", code=1)
    assert "none of 1 kept its form" in failed.err
