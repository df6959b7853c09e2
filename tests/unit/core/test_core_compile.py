"""C code is compiled once, kept where it can be kept, and never loaded where it is not whole."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest

from homespun.core import ConfigError
from homespun.core import compile as compiling
from homespun.core.compile import (
    CompileError,
    Source,
    build_folder,
    found_compilers,
    load_compiled,
    private_folder,
)
from homespun.models.native import load_kernels

pytestmark = pytest.mark.skipif(not found_compilers(), reason="there is no C compiler")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    main = tmp_path / "code" / "answer.c"
    main.parent.mkdir()
    main.write_text("int answer(void) { return 42; }\n")
    return Source("answer", main, (), ("-O1",), machines=("x86_64", "AMD64", "aarch64"))


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_what_was_built_is_used_again(source: Source, tmp_path: Path) -> None:
    assert load_compiled(source, tmp_path / "kept").answer() == 42
    (path,) = (tmp_path / "kept").iterdir()
    made = path.stat().st_mtime_ns
    assert load_compiled(source, tmp_path / "kept").answer() == 42
    assert path.stat().st_mtime_ns == made
    assert list((tmp_path / "kept").iterdir()) == [path]


def test_other_code_and_other_flags_are_other_libraries(source: Source, tmp_path: Path) -> None:
    load_compiled(source, tmp_path / "kept")
    load_compiled(source._replace(flags=("-O2",)), tmp_path / "kept")
    source.main.write_text("int answer(void) { return 43; }\n")
    assert load_compiled(source, tmp_path / "kept").answer() == 43
    assert len(list((tmp_path / "kept").iterdir())) == 3


@pytest.mark.parametrize("keep", [0, 1, 400, -40, -1])
def test_a_file_that_is_cut_short_is_made_anew(source: Source, tmp_path: Path, keep: int) -> None:
    load_compiled(source, tmp_path / "kept")
    (path,) = (tmp_path / "kept").iterdir()
    whole = path.read_bytes()
    path.unlink()  # the one that is loaded stays as it is
    path.write_bytes(whole[:keep])
    assert load_compiled(source, tmp_path / "kept").answer() == 42
    assert len(path.read_bytes()) == len(whole)


def test_a_folder_that_cannot_be_written_is_replaced_by_a_temporary_one(
    source: Source, tmp_path: Path, temporary: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert load_compiled(source, tmp_path / "file" / "kernels").answer() == 42
    (path,) = temporary.glob("homespun-kernels-*/*.so")
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_compiled(source, tmp_path / "file" / "kernels").answer() == 42


def test_no_home_is_no_reason_to_fail(
    source: Source, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(compiling.Path, "home", homeless)
    with pytest.raises(OSError, match="home"):
        build_folder()
    assert load_compiled(source).answer() == 42
    assert list(temporary.glob("homespun-kernels-*/*.so"))


def test_no_folder_at_all_is_told_like_any_other_reason(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, on which Python finds no place for temporary files."""

    def nowhere() -> Path:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(compiling, "private_folder", nowhere)
    monkeypatch.setattr(compiling, "build_folder", nowhere)
    with pytest.raises(CompileError, match="no folder to compile in"):
        load_compiled(source)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CompileError, match="compiling failed"):
        load_compiled(source, tmp_path / "file")


def test_a_temporary_folder_of_somebody_else_is_not_taken(tmp_path: Path, temporary: Path) -> None:
    usual = temporary / f"homespun-kernels-{os.geteuid()}"
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    usual.symlink_to(tmp_path / "elsewhere")
    assert private_folder() != usual
    usual.unlink()
    usual.mkdir()
    usual.chmod(0o777)
    assert private_folder() != usual
    usual.chmod(0o700)
    assert private_folder() == usual


def test_the_next_compiler_is_tried(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = found_compilers()[0]
    broken = tmp_path / "broken"
    broken.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {working} --version\nexit 1\n')
    broken.chmod(0o755)
    monkeypatch.setattr(compiling, "COMPILERS", (str(broken), working))
    assert load_compiled(source, tmp_path / "kept").answer() == 42
    monkeypatch.setattr(compiling, "COMPILERS", (str(broken),))
    with pytest.raises(CompileError, match="compiling failed"):
        load_compiled(source._replace(flags=("-O0",)), tmp_path / "kept")


def test_what_the_code_lacks_is_told_at_once(source: Source, tmp_path: Path) -> None:
    source.main.write_text("int missing(void);\nint answer(void) { return missing(); }\n")
    with pytest.raises(CompileError, match="missing"):
        load_compiled(source, tmp_path / "kept")
    assert not list((tmp_path / "kept").iterdir())


def test_a_compiler_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    path = shutil.which("cc") or found_compilers()[0]
    monkeypatch.setattr(compiling, "COMPILERS", (path, path, os.path.realpath(path)))
    assert len(found_compilers()) == 1


@pytest.mark.parametrize(("compilers", "told"), [((), "no C compiler"), (("false",), "failed")])
def test_training_kernels_that_cannot_be_had_are_told_in_plain_words(
    compilers: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "COMPILERS", compilers)
    with pytest.raises(ConfigError, match=f"{told}.*install gcc"):
        load_kernels(tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
