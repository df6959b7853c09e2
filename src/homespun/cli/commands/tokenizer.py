"""`homespun tokenizer`: train one, and see how it cuts text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import RunArgument, RunsOption, number, resolve_run, text

if TYPE_CHECKING:
    from homespun.core import Tokenizer

_STYLES = ("black on bright_cyan", "black on bright_yellow", "black on bright_green")
_LONGEST = 24


def build_group() -> typer.Typer:
    group = new_group("Train a tokenizer, see how it cuts text.")
    group.command("train")(train)
    group.command("inspect")(inspect)
    return group


def train(
    run: RunArgument,
    kind: Annotated[
        Literal["bpe", "char", "byte"], typer.Option(help="Merges, characters or bytes.")
    ] = "bpe",
    vocab_size: Annotated[
        int | None,
        typer.Option(callback=number(1, 10**6), help="Chosen from the corpus where not given."),
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Train a tokenizer on the run's corpus and turn the corpus into token shards."""
    from homespun.cli.progress import open_progress
    from homespun.core import ConfigError
    from homespun.recipes import train_tokenizer_stage

    if kind == "byte" and vocab_size is not None:
        raise ConfigError(
            "bytes are as many as there are", got=vocab_size, remedy="leave --vocab-size out"
        )
    path = resolve_run(run, runs=runs)
    with open_progress() as progress:
        train_tokenizer_stage(path, kind=kind, vocab_size=vocab_size, progress=progress)
    print_statistics(path)


def inspect(
    run: RunArgument,
    sample: Annotated[
        str | None, typer.Option("--text", callback=text, help="Show how this text is cut.")
    ] = None,
    runs: RunsOption = Path("runs"),
) -> None:
    """Show how text is cut, the longest tokens, and bytes per token in each language."""
    from homespun.tokenizer import open_tokenizer

    path = resolve_run(run, runs=runs)
    tokenizer = open_tokenizer(path)
    if sample is not None:
        print_split(tokenizer, sample)
        return
    if (path / "tokenizer_stats.json").is_file():  # one that came with a model has none
        print_statistics(path)
    print_longest(tokenizer)


def print_split(tokenizer: Tokenizer, sample: str) -> None:
    """One colour after another, a token each; without colours, a bar between tokens."""
    from rich.text import Text

    from homespun.cli.terminal import out, say
    from homespun.tokenizer import split_for_display

    tokens = split_for_display(tokenizer, sample)
    ids = [token_id for _, token_id in tokens]
    # A character spelled by several tokens is shown once, where it begins.
    pieces = [_shown(piece.encode("utf-8", "replace")) for piece, _ in tokens if piece]
    console = out()
    if console.color_system and not console.no_color:
        line = Text()
        for index, piece in enumerate(pieces):
            line.append(piece, style=_STYLES[index % len(_STYLES)])
        console.print(line, soft_wrap=True)
    else:
        say("|".join(pieces))
    num_bytes = len(sample.encode())
    say(f"{len(ids)} tokens for {num_bytes} bytes, {num_bytes / max(1, len(ids)):.2f} a token")
    say("ids: " + " ".join(map(str, ids)))


def print_statistics(run: Path) -> None:
    """Print what `tokenizer_stats.json` says."""
    from homespun.cli.terminal import bytes_text, out, say, table
    from homespun.core.files import read_json

    statistics: dict[str, Any] = read_json(run / "tokenizer_stats.json")
    used = statistics["vocabulary_used"]
    say(f"{statistics['vocab_size']:,} tokens, {used:.0%} of them met in text not trained on")
    languages = table("language", "text", "bytes/token", "tokens/character")
    for language, counts in statistics["languages"].items():
        languages.add_row(
            language,
            bytes_text(counts["bytes"]),
            f"{counts['bytes_per_token']:.2f}",
            f"{counts['tokens_per_character']:.2f}",
        )
    out().print(languages)


def print_longest(tokenizer: Tokenizer) -> None:
    """Print the longest tokens there are."""
    from homespun.cli.terminal import say

    tokens = sorted((tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)), key=len)
    say("longest tokens: " + "  ".join(_shown(t) for t in reversed(tokens[-_LONGEST:])))


def _shown(token: bytes) -> str:
    """A token's text with its spaces visible."""
    from homespun.tokenizer import display_text

    return display_text(token).replace(" ", "·")
