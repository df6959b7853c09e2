"""Memory of a container is that of its groups, files that were read not counted."""

from __future__ import annotations

from pathlib import Path

import psutil

from homespun.core.machine import available_memory

MB = 1_000_000


def write_group(folder: Path, limit: object, used: int, statistics: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(statistics)


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    found = available_memory(tmp_path, tmp_path / "nothing")
    assert found.total == psutil.virtual_memory().total
    assert 0 < found.free <= found.total
    write_group(tmp_path, "max", 10 * MB)
    assert available_memory(tmp_path, tmp_path / "nothing").total == found.total


def test_the_narrowest_of_all_groups_around_counts(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    write_group(tmp_path / "outer/inner", "max", 2 * MB)
    write_group(tmp_path / "outer", 9 * MB, 4 * MB)
    assert available_memory(tmp_path, own) == (9 * MB, 5 * MB)
    write_group(tmp_path / "outer/inner", 3 * MB, 4 * MB)  # more is in use than is allowed now
    assert available_memory(tmp_path, own) == (3 * MB, 0)


def test_files_that_were_read_are_no_use_of_memory(tmp_path: Path) -> None:
    kept = f"anon 7\ninactive_file {MB}\nactive_file {2 * MB}\n"
    write_group(tmp_path, 9 * MB, 4 * MB, kept)
    assert available_memory(tmp_path, tmp_path / "nothing") == (9 * MB, 8 * MB)


def test_groups_of_version_one(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("7:cpu,cpuacct:/job\n5:memory:/job\n")
    folder = tmp_path / "memory/job"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text(f"{6 * MB}")
    (folder / "memory.usage_in_bytes").write_text(f"{5 * MB}")
    (folder / "memory.stat").write_text(f"inactive_file 1\ntotal_inactive_file {MB}\n")
    assert available_memory(tmp_path, own) == (6 * MB, 2 * MB)
