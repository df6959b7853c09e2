"""`homespun scale`: measure how loss falls with size and text, fit the law, draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import minutes, number, numbers, whole_numbers

if TYPE_CHECKING:
    from homespun.scaling.law import Law

_GIVEABLE = ("E", "A", "B", "alpha", "beta")
SweepArgument = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a sweep.")]


def build_group() -> typer.Typer:
    group = new_group("Our own scaling law: sweep, fit, plot.")
    group.command("sweep")(sweep)
    group.command("fit")(fit)
    group.command("plot")(plot)
    return group


def sweep(
    out: Annotated[Path, typer.Option("--out", help="The folder of the sweep, new or begun.")],
    corpus: Annotated[
        str, typer.Option(help="A folder, a file, or a corpus by name.")
    ] = "gutenberg-classics",
    budgets: Annotated[
        str, typer.Option(help="Operations a run, one parabola each.")
    ] = "1e12,3e12,1e13,3e13",
    sizes: Annotated[
        str | None, typer.Option(help="Shapes to choose from, WIDTHxLAYERS; a ladder by default.")
    ] = None,
    grid: Annotated[
        Path | None, typer.Option(help="A JSON file with any of these settings, by SweepConfig.")
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="The first for all runs, further ones for two runs each.")
    ] = "0",
    repeats: Annotated[
        bool, typer.Option("--repeats", help="Also read parts of the text 1 to 16 times.")
    ] = False,
    budget_minutes: Annotated[
        float | None, typer.Option(callback=minutes, help="Begin no run that would end later.")
    ] = None,
    vocab: Annotated[int, typer.Option(callback=number(256, 65_536), help="Token ids.")] = 2048,
    context: Annotated[int, typer.Option(callback=number(16, 4096), help="Tokens a row.")] = 256,
    preset: Annotated[str, typer.Option(help="Of the models: portable or fast.")] = "portable",
    validation_tokens: Annotated[
        int | None, typer.Option(callback=number(256, 10**9), help="Of the final loss; all.")
    ] = None,
) -> None:
    """Train every run of a grid of sizes and budgets; stopped or killed, it continues."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.core import DataError, parse_config
    from homespun.core.files import read_json
    from homespun.recipes.scale.sweep import SweepConfig
    from homespun.recipes.scale.sweep import sweep as run_sweep
    from homespun.scaling.grid import parse_shapes

    values = {
        "corpus": corpus,
        "budgets": numbers(budgets, "--budgets"),
        "shapes": None if sizes is None else parse_shapes(sizes),
        "seeds": whole_numbers(seeds, "--seeds"),
        "repeats": repeats,
        "budget_minutes": budget_minutes,
        "vocab_size": vocab,
        "context": context,
        "preset": preset,
        "max_validation_tokens": validation_tokens,
    }
    if grid is not None:
        read = read_json(grid)
        if not isinstance(read, dict):
            raise DataError(f"{grid} is not a JSON object", remedy='write {"budgets": [1e12], …}')
        values |= read
    config = parse_config(SweepConfig, values, where=str(grid or "the sweep's settings"))
    with open_progress() as progress:
        rows = run_sweep(out, config, progress=progress)
    say(f"{len(rows)} runs in {out / 'runs.jsonl'}")
    say(f"Next: {command_name()} scale fit {typed(out)}")


def fit(
    folder: SweepArgument,
    provisional: Annotated[
        bool, typer.Option("--provisional", help="Mark the law as one of a small sweep.")
    ] = False,
    least_budget: Annotated[
        float, typer.Option("--from", help="Leave out runs of fewer operations than this.")
    ] = 0.0,
    least_tokens: Annotated[
        float, typer.Option("--from-tokens", help="Leave out runs of fewer tokens than this.")
    ] = 0.0,
    given: Annotated[
        str | None,
        typer.Option(help="Taken over, as E=2,alpha=0.35: a small sweep cannot tell them apart."),
    ] = None,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint",
            help="Fit all constants to all runs at once: for a text so small that every run of use "
            "reads it more than once.",
        ),
    ] = False,
    counting: Annotated[
        str,
        typer.Option(
            help="The parameters that are N: compute (matrices and head), total or non_embedding. "
            "The latter two are for comparing, in files of their own: plans count as compute does.",
        ),
    ] = "compute",
    draws: Annotated[
        int, typer.Option(callback=number(100, 10**5), help="Of the bootstrap.")
    ] = 1000,
) -> None:
    """Fit the law to a sweep, with intervals, and write law.json."""
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.recipes.scale.sweep import fit_sweep, law_path
    from homespun.scaling.runs import COUNTINGS

    if counting not in COUNTINGS:
        raise typer.BadParameter(f"--counting is {', '.join(COUNTINGS)} (got {counting!r})")
    law = fit_sweep(
        folder,
        least_budget=least_budget,
        least_tokens=least_tokens,
        given=None if given is None else constants(given),
        joint=joint,
        counting=counting,
        provisional=provisional,
        num_draws=draws,
    )
    print_law(law)
    say(f"written to {law_path(folder, counting)}")
    say(f"Next: {command_name()} scale plot {typed(folder)}")


def plot(folder: SweepArgument) -> None:
    """Draw the law as SVG files and write the comparison with published ones."""
    from homespun.cli.terminal import say
    from homespun.reports.law import write_law_plots

    for path in write_law_plots(folder):
        say(f"written to {path}")


def print_law(law: Law) -> None:
    """The constants with their intervals, and the exponents of the parabolas."""
    from homespun.cli.terminal import out, say, table
    from homespun.scaling.isoflop import LEAST_BUDGETS

    c = law.constants
    if law.table is None:
        say("L = E + A / N^alpha + B / D^beta, nats per token", "bold")
    else:
        say("x = A / N^alpha + B / D^beta, nats per token", "bold")
        say("L = E + (x^-p + (T - E)^-p)^(-1/p)", "bold")
        say(f"p = {law.sharpness:g}, T the loss of the table alone, of order {law.table.order}")
    rows = table("constant", "fitted")
    for title in ("80% interval", "95% interval"):
        rows.add_column(title)
    values = c.model_dump() | {"a = beta / (alpha + beta)": c.beta / (c.alpha + c.beta)}
    for name, value in values.items():
        spans = law.intervals.get(name)
        shown = [f"{low:.4g} to {high:.4g}" for low, high in spans.values()] if spans else []
        rows.add_row(name, f"{value:.4g}", *(shown or ["taken over", "taken over"]))
    out().print(rows)
    if law.frontier["a"] is None:
        inside = sum(line["parameters"] is not None for line in law.frontier["parabolas"])
        few = f"{inside} budgets have their minimum inside, and {LEAST_BUDGETS} are needed"
        lost = f"of {inside} budgets too few keep their minimum in most draws of the bootstrap"
        say(f"no exponents from parabolas: {few if inside < LEAST_BUDGETS else lost}")
    else:
        low, high = law.frontier["a_interval"]
        say(f"parabolas: N* ~ C^{law.frontier['a']:.3f} ({low:.3f} to {high:.3f}), ")
        low, high = law.frontier["b_interval"]
        say(f"           D* ~ C^{law.frontier['b']:.3f} ({low:.3f} to {high:.3f})")
    for line in law.frontier["parabolas"]:
        why = line["why_not"] or f"lowest at N = {line['parameters']:,.0f}, {line['loss']:.4f} nats"
        say(f"  C = {line['budget']:.3g}: {why}")
    for name in (name for name in c.untold() if name in law.fitted):
        given = f", or give it with --given {name}=VALUE" if name in _GIVEABLE else ""
        say(
            f"{name} lies at the edge of what is searched: the runs do not tell it. Sweep more "
            f"sizes and budgets{given}.",
            "yellow",
        )
    say(f"a run differs from the law by {100 * law.noise:.2f}% (standard deviation)")


def constants(text: str) -> dict[str, float]:
    """ "E=2,alpha=0.35" as numbers by name."""
    found = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name.strip() not in _GIVEABLE:
            raise typer.BadParameter(f"--given wants E, A, B, alpha or beta (got {part!r})")
        found[name.strip()] = numbers(value, "--given")[0]
    return found
