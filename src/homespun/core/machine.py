"""What this process runs on: versions, processor, cores and memory. Imports nothing heavy."""

from __future__ import annotations

import math
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


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
        quota: where Linux says the share, as "microseconds period" or "max period".
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    try:
        share, period = quota.read_text().split()
        return max(1, min(cores, math.ceil(int(share) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):
        return cores


def peak_memory_bytes() -> int:
    """The most memory this process has held resident so far."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as handle:
            for line in handle:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
