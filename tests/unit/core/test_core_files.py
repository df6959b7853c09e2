"""Files are whole or absent, and a setting with a slip is answered with the right one."""

from __future__ import annotations

import errno
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from homespun.core import (
    BudgetError,
    Config,
    ConfigError,
    DataError,
    RunError,
    derive_seed,
    parse_config,
    permutation,
)
from homespun.core.files import (
    append_row,
    atomic_path,
    cut_torn_line,
    read_json,
    read_jsonl,
    sha256_file,
    write_json,
    write_text,
)


class Loom(Config):
    width: int = 3
    colour: str = "red"


def fail_midway(path: Path) -> None:
    """Write half of a file, and no more."""

    def write_half() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise ValueError("midway")

    with pytest.raises(ValueError, match="midway"):
        write_half()


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    fail_midway(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_left_of_a_file_goes_when_it_is_written_again(
    tmp_path: Path,
) -> None:
    nobody, somebody = 999_999_999, os.getppid()
    left = tmp_path / f".a.txt.{nobody}.tmp"
    stays = [
        tmp_path / name
        for name in (
            f".a.txt.{somebody}.tmp",  # it may be at it for hours
            f".a.txt.{nobody + 1}.tmp",  # written to a moment ago, perhaps on another machine
            f".b.txt.{nobody}.tmp",
            f"a.txt.{nobody}.tmp",
            ".a.txt.notes.tmp",
        )
    ]
    for path in (left, *stays):
        path.write_text("half")
        if path != stays[1]:
            os.utime(path, (0, 0))
    write_text(tmp_path / "a.txt", "text")
    assert not left.exists()
    assert all(path.exists() for path in stays)
    assert (tmp_path / "a.txt").read_text() == "text"


def test_a_full_disk_is_a_budget_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="no space left"), atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "no space")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_a_run_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("in the way")
    with pytest.raises(RunError, match="while writing"):
        write_text(tmp_path / "folder" / "a.txt", "text")


def test_a_file_system_that_cannot_sync_folders_is_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def fails(number: int) -> Callable[[int], None]:
        def fail(handle: int) -> None:
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                raise OSError(number, os.strerror(number))
            sync(handle)

        return fail

    monkeypatch.setattr(os, "fsync", fails(errno.EINVAL))
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"
    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    with pytest.raises(BudgetError, match="no space left"):
        write_text(tmp_path / "a.txt", "text")


def test_new_folders_are_made_durable_in_those_around_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr("homespun.core.files.fsync_dir", synced.append)
    write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    synced.clear()
    write_text(tmp_path / "a" / "b" / "d.txt", "text")
    assert synced == [tmp_path / "a" / "b"]


def test_a_pipe_stays_a_pipe_and_is_handed_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_json(path, {"loss": 1.5})
        assert stat.S_ISFIFO(path.stat().st_mode)
        assert os.read(reader, 100) == b'{\n  "loss": 1.5\n}\n'

        fail_midway(path)
        assert os.read(reader, 100) == b""
    finally:
        os.close(reader)
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="Linux names open files so")
def test_a_file_that_is_open_already_is_written_on_and_not_replaced(tmp_path: Path) -> None:
    """As /dev/stdout is, which leads there."""
    with open(tmp_path / "a.txt", "w+b") as file:
        file.write(b"before ")
        file.flush()
        write_text(Path(f"/proc/self/fd/{file.fileno()}"), "after")
        file.seek(0)
        assert file.read() == b"before after"


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_json_comes_back_as_it_was(value: dict[str, object]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        write_json(path, value, sync=False)
        assert read_json(path) == value


def test_json_that_is_no_number_or_not_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": math.nan})
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(DataError, match="missing"):
        read_json(tmp_path / "c.json")
    (tmp_path / "long.json").write_text("1" * 5000 + "\n")  # a number that Python does not read
    with pytest.raises(DataError, match="not valid JSON"):
        read_json(tmp_path / "long.json")
    with pytest.raises(DataError, match="line 1"):
        list(read_jsonl(tmp_path / "long.json"))


def test_a_last_row_cut_by_a_crash_is_left_out_and_any_other_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n{"a"')
    assert list(read_jsonl(path)) == [{"a": 1}, {"a": 2}]
    path.write_text('{"a": 1}\n{"a"\n{"a": 3}\n')
    with pytest.raises(DataError, match="line 2"):
        list(read_jsonl(path))


def test_a_line_is_added_after_what_a_crash_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    append_row(path, {"a": 1})
    with open(path, "a") as handle:
        handle.write('{"b": ')
    append_row(path, {"c": 3})
    assert path.read_text() == '{"a": 1}\n{"c": 3}\n'


def test_only_what_has_no_end_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    cut_torn_line(path)
    assert not path.exists()
    for before, after in (("", ""), ("a\nb\n", "a\nb\n"), ("a\nb", "a\n"), ("a", "")):
        path.write_text(before)
        cut_torn_line(path)
        assert path.read_text() == after


def test_the_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_key_with_a_slip_is_answered_with_the_right_one() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown key 'widht' in loom.json; did you mean 'width'"
    ):
        parse_config(Loom, {"widht": 4}, where="loom.json")
    with pytest.raises(ConfigError, match="choose one of: width, colour"):
        parse_config(Loom, {"qqq": 4}, where="loom.json")


class Mill(Config):
    power: float = 1.0
    loom: Loom = Loom()
    spare: Loom | None = None
    looms: tuple[Loom, ...] = ()
    rented: dict[str, Loom] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"loom": {"widht": 4}}, "loom.widht"),
        ({"spare": {"widht": 4}}, "spare.widht"),
        ({"looms": [{}, {"widht": 4}]}, "looms.1.widht"),
        ({"rented": {"power": {"widht": 4}}}, "rented.power.widht"),
    ],
)
def test_a_slip_further_in_is_answered_with_the_right_key_of_that_place(
    values: dict[str, object], key: str
) -> None:
    with pytest.raises(ConfigError, match=rf"'{key}' in mill.json; did you mean 'width'"):
        parse_config(Mill, values, where="mill.json")


@pytest.mark.parametrize("value", [[], [1], ["ab"], None, "width", 3])
def test_what_has_no_keys_is_no_config(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^loom.json is not a JSON object \(got .*\); write it"):
        parse_config(Loom, value, where="loom.json")


def test_a_wrong_value_is_shown() -> None:
    with pytest.raises(ConfigError, match=r"width in loom.json is wrong.*got broad"):
        parse_config(Loom, {"width": "broad"}, where="loom.json")
    assert parse_config(Loom, {"width": 4}, where="").width == 4


def test_seeds_and_orders_are_functions_of_names() -> None:
    seeds = {derive_seed(seed, name) for seed in range(10) for name in ("a", "b", "ab")}
    assert len(seeds) == 30
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, "a", "b") != derive_seed(1, "ab")
    order = permutation(7, 2, 100)
    assert sorted(order.tolist()) == list(range(100))
    assert (order == permutation(7, 2, 100)).all()
    assert (order != permutation(7, 3, 100)).any()
