"""`homespun corpus`: build the documents a model learns from, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import LanguageOption, RunsOption, SeedOption, resolve_run, run_name, text

_NUM_SHOWN = 5


def build_group() -> typer.Typer:
    group = new_group("Build a clean corpus, look at what is in it.")
    group.command("build")(build)
    group.command("inspect")(inspect)
    group.command("tag")(tag)
    return group


def build(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", callback=text, help="A folder, a file, or a corpus by name."
        ),
    ],
    name: Annotated[
        str, typer.Option("--name", callback=run_name, help="The run that will hold the corpus.")
    ],
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
    runs: RunsOption = Path("runs"),
) -> None:
    """Read, clean, deduplicate and split text; say what was dropped and why."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.recipes import build_corpus_stage

    run = runs / name
    with open_progress() as progress:
        build_corpus_stage(run, source, language=lang, seed=seed, progress=progress)
    print_card(run / "corpus")
    say(f"Next: {command_name()} tokenizer train {typed(name)}")


def inspect(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|FOLDER", help="A run, or a folder with a card.json.")
    ],
    runs: RunsOption = Path("runs"),
) -> None:
    """Say what a corpus holds, what was dropped and why."""
    folder = run if (run / "card.json").is_file() else resolve_run(run, runs=runs) / "corpus"
    print_card(folder)
    print_tags(folder)


def tag(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run with a corpus.")],
    tagger: Annotated[
        Path,
        typer.Argument(
            metavar="TAGGER", help="A folder of `homespun finetune tag` or `finetune segment`."
        ),
    ],
    characters: Annotated[
        int, typer.Option("--characters", min=1, help="Of the training text, to read at most.")
    ] = 1_000_000,
    segmenter: Annotated[
        Path | None,
        typer.Option(help="What `finetune segment` wrote: parts Chinese for a tagger of words."),
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Say which names, words by part of speech, or Chinese words a corpus holds."""
    from homespun.cli.commands.tasks.apply import unparted_text
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import err
    from homespun.recipes.tagging import tag_run

    where = resolve_run(run, runs=runs)
    with open_progress() as progress:
        told = tag_run(
            where, tagger, segmenter=segmenter, most_characters=characters, progress=progress
        )
    print_tags(where / "corpus")
    if told["unparted"]:
        err().print(
            unparted_text(f"{told['unparted']:,} sentences"), style="yellow", soft_wrap=True
        )


def print_tags(corpus: Path) -> None:
    """Print what a tagger found in the corpus in `corpus`; nothing where none has looked."""
    from homespun.cli.terminal import out, table
    from homespun.core.files import read_json

    if not (corpus / "tags.json").is_file():
        return
    told = read_json(corpus / "tags.json")
    title = f"what {told['tagger']} found in {told['read']['characters']:,} characters"
    shown = table("what", "how many", "different", title=title)
    shown.add_column("the commonest")
    for kind, found in told["kinds"].items():
        common = ", ".join(f"{text} {num:,}" for text, num in found["common"][:_NUM_SHOWN])
        shown.add_row(kind, f"{found['num']:,}", f"{found['different']:,}", common)
    out().print(shown)


def print_card(corpus: Path) -> None:
    """Print the data card of the corpus in `corpus`."""
    from homespun.cli.terminal import bytes_text, out, say, table
    from homespun.core.files import read_json

    card: dict[str, Any] = read_json(corpus / "card.json")
    console = out()
    splits = table("split", "documents", "text", title=f"corpus {card['name']}")
    for split, counts in card["splits"].items():
        splits.add_row(split, f"{counts['documents']:,}", bytes_text(counts["bytes"]))
    console.print(splits)
    languages = sorted(card["languages"].items(), key=lambda item: -item[1]["bytes"])
    say("languages: " + ", ".join(f"{k} {bytes_text(v['bytes'])}" for k, v in languages))
    if card["dropped"]:
        dropped = table("dropped", "what", "text")
        dropped.add_column("why")
        for reason, counts in card["dropped"].items():
            dropped.add_row(
                reason, dropped_text(counts), bytes_text(counts["bytes"]), counts["explanation"]
            )
        console.print(dropped)
    for row in card["unreadable"][:_NUM_SHOWN]:
        say(f"not read: {row['path']} ({row['why']})")
    num_more = card.get("num_unreadable", len(card["unreadable"])) - _NUM_SHOWN
    if num_more > 0:
        say(f"and {num_more:,} more not read, see {corpus / 'card.json'}")
    for note in card["notes"][:_NUM_SHOWN]:
        say(f"note: {note}")
    if len(card["notes"]) > _NUM_SHOWN:
        say(f"and {len(card['notes']) - _NUM_SHOWN:,} more notes, see {corpus / 'card.json'}")


def dropped_text(counts: dict[str, Any]) -> str:
    """ "25 documents, 3,120 paragraphs", leaving out what there is none of."""
    parts = [
        f"{counts[what]:,} {what if counts[what] != 1 else what.removesuffix('s')}"
        for what in ("documents", "paragraphs")
        if counts.get(what)
    ]
    return ", ".join(parts) or "none"
