"""Stages by themselves: what one that cannot be done leaves behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from homespun.core import DataError, RunError
from homespun.recipes.stages import build_corpus_stage


def test_a_corpus_of_unusable_texts_leaves_no_run(tmp_path: Path) -> None:
    run, empty, texts = (tmp_path / name for name in ("mine", "empty", "texts"))
    empty.mkdir()
    with pytest.raises(DataError):
        build_corpus_stage(run, str(empty))
    assert not run.exists()
    # So the name is free for texts that can be used.
    texts.mkdir()
    for number in range(8):
        lines = (f"On day {number} the fox ran over hill {number * line}." for line in range(60))
        (texts / f"{number}.txt").write_text("\n".join(lines))
    assert build_corpus_stage(run, str(texts))["splits"]["train"]["documents"] > 0
    # A run that was there stays, whatever becomes of the texts.
    (run / "corpus" / "card.json").unlink()
    for path in texts.iterdir():
        path.unlink()
    with pytest.raises(DataError):
        build_corpus_stage(run, str(texts))
    assert (run / "run.json").is_file()
    with pytest.raises(RunError, match="other settings: source"):
        build_corpus_stage(run, str(empty))
