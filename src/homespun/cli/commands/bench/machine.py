"""`homespun bench machine`: matrix products, memory, and training speed of this machine."""

from __future__ import annotations

from homespun.cli.options import JsonOption


def machine(json_file: JsonOption = None) -> None:
    """Measure matrix products, memory reads and training steps, as `homespun doctor` does."""
    from homespun.cli.commands.doctor import doctor

    doctor(json_file, quick=False)
