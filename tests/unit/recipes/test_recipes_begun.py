"""A folder that was asked for something: whose it is, and what is left where it cannot be."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from homespun.core import ConfigError, RunError
from homespun.core.files import read_json
from homespun.recipes.counted import begun
from homespun.recipes.counted.begun import TextAsk, asked_folder

ASK = TextAsk(source="/texts")


def test_of_two_that_begin_a_folder_at_the_same_moment_the_first_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, lock = tmp_path / "out", begun.locked_folder
    other = ASK.model_copy(update={"seed": 1})

    def after_another(folder: Path, *, remedy: str) -> AbstractContextManager[None]:
        monkeypatch.setattr(begun, "locked_folder", lock)
        with asked_folder(out, other, what="words"):
            pass
        return lock(folder, remedy=remedy)

    monkeypatch.setattr(begun, "locked_folder", after_another)
    with (
        pytest.raises(RunError, match="begun with other settings: seed 1"),
        asked_folder(out, ASK, what="words"),
    ):
        pass
    assert read_json(out / "asked.json")["seed"] == 1


def test_a_record_that_another_process_is_writing_is_not_something_else(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".asked.json.4711.tmp").write_text("{")
    with (
        begun.locked_folder(out, remedy=""),
        pytest.raises(RunError, match=r"another process .* is working on"),
        asked_folder(out, ASK, what="words"),
    ):
        pass
    with asked_folder(out, ASK, what="words"):  # the other one was killed
        assert (out / "asked.json").is_file()


@pytest.mark.parametrize("name", ["letter.txt", "lock"])
def test_a_folder_that_is_something_else_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("dear")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / name).write_text("dear")
    for out in (tmp_path / "mine", tmp_path / "file"):
        with (
            pytest.raises(RunError, match="is nothing of this kind; name another --out"),
            asked_folder(out, ASK, what="words"),
        ):
            pass
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]
    assert (tmp_path / "mine" / name).read_text() == "dear"


def test_what_is_not_possible_leaves_no_new_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ConfigError), asked_folder(out, ASK, what="words"):
        raise ConfigError("there is no such thing")
    assert list(tmp_path.iterdir()) == []
    with asked_folder(out, ASK, what="words"):
        pass
    with pytest.raises(ConfigError), asked_folder(out, ASK, what="words"):
        raise ConfigError("there is no such thing any more")
    assert (out / "asked.json").is_file()
