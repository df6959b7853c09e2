"""`homespun bench startup`: how soon the command line answers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from homespun.cli.options import JsonOption, number

BAR_SECONDS = 0.4
COMMANDS = (("--help",), ("--version",), ("data", "list"), ("runs",))


def startup(
    json_file: JsonOption = None,
    repeats: Annotated[int, typer.Option(callback=number(1, 1000), help="Starts a command.")] = 7,
) -> None:
    """Time a fresh process from start to exit for commands that need no model."""
    from homespun.cli.terminal import out, say, table
    from homespun.core.files import write_json

    rows = [measure(command, repeats) for command in COMMANDS]
    times = table("command", "best", "median", "worst")
    for row in rows:
        values = (f"{row[key]:.3f} s" for key in ("best", "median", "worst"))
        times.add_row(row["command"], *values)
    out().print(times)
    say(f"{repeats} starts of each; the bar is {BAR_SECONDS} s")
    if json_file is not None:
        write_json(json_file, {"format": 1, "bar_seconds": BAR_SECONDS, "commands": rows})


def measure(command: tuple[str, ...], repeats: int) -> dict[str, Any]:
    """Seconds of whole processes, and whether torch was among what they imported."""
    import statistics
    import subprocess
    import sys
    import time

    code = (
        "import sys; from homespun.cli.main import main; code = main(); "
        "sys.stderr.write('torch' if 'torch' in sys.modules else ''); sys.exit(code)"
    )
    seconds, told = [], ""
    for _ in range(repeats):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - start)
        told = done.stderr
    return {
        "command": " ".join(("homespun", *command)),
        "best": min(seconds),
        "median": statistics.median(seconds),
        "worst": max(seconds),
        "imports_torch": told.endswith("torch"),
    }
