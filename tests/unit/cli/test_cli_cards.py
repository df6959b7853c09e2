"""What commands print of a data card, a tokenizer's cut and a finished run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.commands.corpus import dropped_text, print_card
from homespun.cli.commands.tokenizer import print_split
from homespun.cli.errors import explain
from homespun.cli.summary import command_name, print_next
from homespun.tokenizer import TokenizerConfig, train_tokenizer


def card(**changed: Any) -> dict[str, Any]:
    counts = {"documents": 2, "bytes": 100, "characters": 100}
    return {
        "name": "notes",
        "splits": {"train": counts},
        "languages": {"zh": {"documents": 2, "bytes": 100}},
        "dropped": {},
        "unreadable": [],
        "num_unreadable": 0,
        "notes": [],
        **changed,
    }


def write(folder: Path, value: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.json").write_text(json.dumps(value), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("documents", "paragraphs", "text"),
    [
        (25, 3120, "25 documents, 3,120 paragraphs"),
        (0, 3120, "3,120 paragraphs"),
        (1, 0, "1 document"),
        (0, 1, "1 paragraph"),
    ],
)
def test_both_counts_of_what_was_dropped_are_shown(
    documents: int, paragraphs: int, text: str
) -> None:
    assert dropped_text({"documents": documents, "paragraphs": paragraphs}) == text


def test_all_unreadable_files_are_counted_and_notes_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"path": f"{n}.json", "why": "is not JSON"} for n in range(7)]
    print_card(write(tmp_path, card(unreadable=rows, num_unreadable=1234, notes=["a note"])))
    printed = " ".join(capsys.readouterr().out.split())
    assert "not read: 4.json (is not JSON)" in printed
    assert "5.json" not in printed
    assert "and 1,229 more not read" in printed
    assert "note: a note" in printed


def test_a_character_of_several_tokens_is_shown_as_the_character(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tokenizer = train_tokenizer(["words"], config=TokenizerConfig(kind="byte"))
    print_split(tokenizer, "a京")
    printed = capsys.readouterr().out
    assert printed.startswith("a|京\n")
    assert "4 tokens for 4 bytes" in printed


@pytest.mark.parametrize(("language", "prompt"), [("zh", "从前"), ("en", "Once")])
def test_the_prompt_suggested_is_in_the_run_s_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], language: str, prompt: str
) -> None:
    counts = {"documents": 2, "bytes": 100}
    other = {"documents": 9, "bytes": 10}
    write(tmp_path / "corpus", card(languages={"fr": other, language: counts}))
    print_next(tmp_path)
    assert f'--prompt "{prompt}"' in capsys.readouterr().out


def test_talking_is_suggested_once_the_chat_stage_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sft").mkdir()
    print_next(tmp_path)
    assert "homespun chat" not in capsys.readouterr().out
    (tmp_path / "sft" / "done.json").write_text("{}")
    print_next(tmp_path)
    assert "homespun chat" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "wanted"),
    [("transformers.models", "'homespun[hf]'"), ("pyarrow.parquet", "pyarrow")],
)
def test_a_missing_package_is_named_as_it_is_installed(module: str, wanted: str) -> None:
    sentence = explain(ModuleNotFoundError(f"No module named {module!r}", name=module)).sentence
    assert f"pip install {wanted}`" in sentence


def test_a_command_off_the_path_is_called_by_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / ".venv" / "bin" / "homespun"
    started.parent.mkdir(parents=True)
    started.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("sys.argv", [str(started)])
    assert command_name() == ".venv/bin/homespun"
