"""Numbers as people write them."""

from __future__ import annotations


def bytes_text(count: float) -> str:
    """1536 -> "1.5 kB"; decimal units, as disks are sold."""
    return scaled(count, ("B", "kB", "MB", "GB", "TB"))


def scaled(count: float, units: tuple[str, ...]) -> str:
    """With two or three digits, in the largest of `units`, each a thousand of the one before, of
    which there is one."""
    step = 0
    while abs(count) >= 999.5 and step < len(units) - 1:
        count /= 1000
        step += 1
    number = f"{count:.1f}" if step and abs(count) < 99.95 else f"{count:.0f}"
    return f"{number} {units[step]}".strip()
