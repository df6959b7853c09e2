"""What this process runs on: versions, processor, cores and memory. Imports nothing heavy."""

from __future__ import annotations

import ctypes
import gc
import math
import os
import platform
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
CGROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
_NO_MEMORY = (
    "not enough memory",  # torch's processor allocator on Windows and macOS, and we ourselves
    "can't allocate memory",  # the same on Linux
    "out of memory",
    "alloc_failed",  # cuBLAS
)


class Memory(NamedTuple):
    """Bytes that this process could have: of the machine, or of its container where that is less.

    Attributes:
        free: without those that are taken, by this process too.
    """

    total: int
    free: int


def versions() -> dict[str, str]:
    """Versions that a result depends on, read from package metadata."""
    found = {"python": platform.python_version()}
    for package in ("homespun", "torch", "numpy", "tokenizers", "gigatoken", "safetensors"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def machine() -> dict[str, str | int | float]:
    """The machine in a few words: system, processor, cores, memory in bytes."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        memory = 0
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": num_cores(),
        "memory_bytes": memory,
        "python": sys.implementation.name,
    }


def num_cores(quota: Path = CPU_QUOTA) -> int:
    """Cores this process may use: those it may run on, and no more than a container's share.

    Args:
        quota: where Linux says the share, as "microseconds period" or "max period"; version 1 of
            its groups in two files of the folder "cpu" beside it.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    first = quota.parent / "cpu"
    for files in ((quota,), (first / "cpu.cfs_quota_us", first / "cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            share, period = (int(word) for file in files for word in file.read_text().split())
            if share > 0:  # version 1 says -1 where there is no limit
                return max(1, min(cores, math.ceil(share / period)))
    return cores


def num_threads() -> int:
    """Threads an operation may use: a core each, or fewer where OMP_NUM_THREADS says so, which
    torch heeds as well (two trainings side by side on all cores take many times as long as on half
    of them each)."""
    asked = os.environ.get("OMP_NUM_THREADS", "").strip()
    return max(1, min(num_cores(), int(asked))) if asked.isdecimal() else num_cores()


def peak_memory_bytes() -> int:
    """The most memory this process has held resident so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes


def give_back_memory() -> None:
    """Let the system have freed memory after all, where there is little of it or what comes next
    needs other pieces. Takes some hundredths of a second."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that an allocation failed, on a processor or an accelerator. torch tells
    both by a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        sign in str(error).lower() for sign in _NO_MEMORY
    )


def available_memory(cgroups: Path = CGROUPS, own: Path = OWN_GROUPS) -> Memory:
    """What there is, and what is free of it.

    Args:
        cgroups: where Linux says what groups of processes may use (version 2, or 1 in "memory").
        own: which groups this process is in.
    """
    import psutil

    now = psutil.virtual_memory()
    total, free = int(now.total), int(now.available)
    for group, names in _groups(cgroups, own):
        limit, used = (_number(group / name) for name in names[:2])
        if limit is None or used is None or limit >= int(now.total):
            continue
        # Files that were read are kept in memory until somebody needs the room.
        used -= min(used, _kept_files(group / "memory.stat", prefix=names[2]))
        total, free = min(total, limit), min(free, max(0, limit - used))
    return Memory(total, free)


def _groups(cgroups: Path, own: Path) -> list[tuple[Path, tuple[str, str, str]]]:
    """The group of this process and all those around it, with the names of limit and use and
    how those of its statistics begin."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    found = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            top, names = cgroups, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            top = cgroups / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        inner = top / path.strip("/")
        found += [(group, names) for group in (inner, *inner.parents) if group.is_relative_to(top)]
    return found


def _number(path: Path) -> int | None:
    """In a file that may say "max" or be absent."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _kept_files(path: Path, *, prefix: str) -> int:
    try:
        rows = dict(line.split() for line in path.read_text().splitlines())
        return sum(int(rows.get(f"{prefix}{kind}_file", 0)) for kind in ("inactive", "active"))
    except (OSError, ValueError):
        return 0


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as handle:
            for line in handle:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
