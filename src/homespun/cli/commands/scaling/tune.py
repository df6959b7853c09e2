"""`homespun tune`: search for better settings than the rules give."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.options import (
    MinutesOption,
    NameOption,
    PresetOption,
    RunsOption,
    chosen_preset,
    number,
    run_or_corpus,
)


def tune(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="A run: its folder, or its name under runs/."),
    ] = None,
    corpus: Annotated[
        str | None, typer.Option(help="Without a run: a folder, a file, or a corpus by name.")
    ] = None,
    minutes: MinutesOption = 10.0,
    trials: Annotated[
        int | None, typer.Option(callback=number(1, 10_000), help="End after so many in all.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            callback=number(16, 4096), help="In the middle of the shapes tried; 96 in a new search."
        ),
    ] = None,
    preset: PresetOption = None,
    name: NameOption = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Search rates, shape, dropout and weight decay by successive halving; killed, it goes on.

    Models are portable ones unless --preset fast is given; what is found is for a plan of that
    preset. The best settings are for `homespun plan RUN --minutes N --settings RUN/tune/best.json`.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import say
    from homespun.recipes.scale.tune import tune as search

    find = run_or_corpus(run, corpus, name=name, runs=runs, asked="a search")
    with open_progress() as progress:
        path = find(progress)
        assert minutes is not None
        found = search(
            path,
            minutes=minutes,
            trials=trials,
            width=width,
            preset=chosen_preset(preset, False),
            progress=progress,
        )
    print_search(found)
    if found["best"]["preset"]:
        say(f"these settings are for models of the preset {found['best']['preset']}")
    say(next_command(found, path))


def next_command(found: dict[str, Any], path: Path) -> str:
    """What to type next; settings that change nothing are not named."""
    from homespun.cli.summary import command_name, typed

    name, best = typed(path), typed(path / "tune" / "best.json")
    settings = f" --settings {best}" if found["best"]["preset"] else ""
    return f"Next: {command_name()} plan {name} --minutes N{settings}, then pretrain {name}"


def print_search(found: dict[str, Any]) -> None:
    """The best trials, and which settings mattered."""
    from homespun.cli.terminal import out, say, table

    done = [trial for trial in found["trials"] if trial["state"] == "complete"]
    say(f"{len(found['trials'])} trials, {len(done)} to their end")
    if not done:
        say("none came to its end: give it more minutes")
        return
    best = sorted(done, key=lambda trial: trial["bits_per_byte"])[:5]
    rows = table("trial", "bits per byte", *best[0]["parameters"])
    for trial in best:
        values = [
            f"{value:.3g}" if isinstance(value, float) else str(value)
            for value in trial["parameters"].values()
        ]
        rows.add_row(str(trial["number"]), f"{trial['bits_per_byte']:.4f}", *values)
    out().print(rows)
    gain = found["gain_over_rules"]
    if gain is None:
        say("the rules' own settings did not come to their end: nothing to compare with")
    elif found["is_luck"]:
        say(
            f"the best is {gain:.1%} below the rules, and seeds of the same settings differ by "
            f"about {found['luck']:.1%}: the rules' settings stay"
        )
    else:
        say(f"the best is {gain:.1%} below the rules")
    if found["importance"]:
        say("what mattered, as shares of the differences between the better and all trials:")
        shares = table("setting", "share")
        for name, share in found["importance"].items():
            shares.add_row(name, f"{100 * share:.0f}%")
        out().print(shares)
    else:
        say("too few trials came to their end to say which settings mattered")
