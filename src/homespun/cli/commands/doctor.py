"""`homespun doctor`: what this machine has, how fast it is, and what it can train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homespun.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.table import Table


def doctor(
    json_file: JsonOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Measure shorter, less exactly.")] = False,
) -> None:
    """Measure this machine; say what it can train in ten minutes, an hour and a night."""
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes import doctor as examine

    with open_progress() as progress:
        found = examine(quick=quick, progress=progress)
    print_findings(found)
    if json_file is not None:
        write_json(Path(json_file), found)


def print_findings(found: dict[str, Any]) -> None:
    """Print what `homespun.recipes.doctor` found, as tables."""
    from homespun.cli.terminal import out, say

    console = out()
    console.print(_machine_table(found))
    console.print(_training_table(found["training"]))
    for assumption in found["training"]["assumptions"]:
        say(f"- {assumption}", "dim")
    for warning in found["warnings"]:
        say(f"! {warning}", "yellow")


def _machine_table(found: dict[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from homespun.cli.terminal import bytes_text, visible

    machine, memory, disk, speed = (found[k] for k in ("machine", "memory", "disk", "speed"))
    rows = Table(
        box=SIMPLE_HEAD,
        show_header=False,
        title="this machine",
        title_justify="left",
        pad_edge=False,
    )
    rows.add_column(no_wrap=True)
    rows.add_column()
    flags = " ".join(name for name, has in machine["instructions"].items() if has)
    bf16 = speed["gemm_bf16_gflops"]
    versions = " ".join(f"{name} {version}" for name, version in found["versions"].items())
    facts = {
        "processor": f"{machine['processor']}, {machine['cores']} cores",
        "instructions": flags or "none of avx2, avx512, bf16, amx",
        "threads": str(machine["threads"]),
        "memory": f"{bytes_text(memory['available_bytes'])} free of "
        f"{bytes_text(memory['total_bytes'])}",
        "disk": f"{bytes_text(disk['free_bytes'])} free of {bytes_text(disk['total_bytes'])}",
        "matrix product, fp32": f"{speed['gemm_fp32_gflops']:.0f} GFLOP/s",
        "matrix product, bf16": f"{bf16:.0f} GFLOP/s",
        "memory read": f"{speed['memory_read_gbs']:.1f} GB/s",
        "versions": versions,
    }
    for name, value in facts.items():
        rows.add_row(name, visible(value))
    return rows


def _training_table(training: dict[str, Any]) -> Table:
    from homespun.cli.terminal import count_text, table

    rows = table(
        "in", "size", "parameters", "tokens/s", "tokens", "each", title="what it can train"
    )
    for row in training["budgets"]:
        rows.add_row(
            row["name"],
            row["size"],
            count_text(row["parameters"]),
            count_text(row["tokens_per_second"]),
            count_text(row["tokens"]),
            f"{row['tokens'] / row['parameters']:.0f}",
        )
    return rows
