"""`homespun ngrams`: how likely a word is after those before it, by counting."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.commands.counted.words import SegmenterOption
from homespun.cli.groups import new_group
from homespun.cli.options import JsonOption, LanguageOption, SeedOption, number, text

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="What `ngrams learn` wrote, or an ARPA file.")
]
_NO_CHANCE = 1e9
BlanksOption = Annotated[
    bool,
    typer.Option(
        "--blanks",
        help="A line is a sentence, its words stand between blanks, as KenLM reads texts; "
        "without, where the ARPA file's words ask for it.",
    ),
]


def build_group() -> typer.Typer:
    group = new_group("Kneser-Ney n-gram models: learn, score, write; ARPA files in and out.")
    group.command("learn")(learn)
    group.command("score")(score)
    group.command("write")(write)
    return group


def learn(
    source: Annotated[str, typer.Argument(metavar="TEXT", help="A folder, a file, or a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    order: Annotated[int, typer.Option(callback=number(1, 16), help="Longest n-gram.")] = 5,
    min_count: Annotated[
        int, typer.Option(callback=number(1, 10**6), help="Rarer words count as unknown.")
    ] = 2,
    segmenter: SegmenterOption = None,
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Count a text's n-grams into a model, and say what it makes of text it has not counted."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.recipes.counted import NgramsAsk, learn_ngrams

    ask = NgramsAsk(
        source=source,
        language=lang,
        order=order,
        min_count=min_count,
        segmenter=None if segmenter is None else str(segmenter),
        seed=seed,
    )
    with open_progress() as progress:
        card = learn_ngrams(ask, out, progress=progress)
    say(f"{out}: {sum(card['ngrams']):,} n-grams of {card['words']:,} words", "bold")
    say("of text it has not counted:")
    _say_scores(card["held_out"])
    say(f"frequencies alone: perplexity {card['by_frequency']['perplexity']:,.1f}")
    say(f"Next: {command_name()} ngrams score {typed(out)} FILE")


def score(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="A text file.")],
    blanks: BlanksOption = False,
    json_file: JsonOption = None,
) -> None:
    """How likely a model finds a text: perplexity of a word."""
    from homespun.cli.terminal import say
    from homespun.core.files import write_json
    from homespun.recipes.counted import open_ngrams, reads_lines, score_file

    opened = open_ngrams(model, blanks=blanks)
    found = score_file(opened, file)
    if reads_lines(opened) and not blanks:
        say("a line is read as a sentence, words as they stand between blanks, as in the model")
    _say_scores(found)
    if json_file is not None:
        write_json(json_file, {"format": 1, **found})


def write(
    model: ModelArgument,
    prompt: Annotated[str, typer.Option(callback=text, help="How it begins.")] = "",
    num: Annotated[int, typer.Option("--num", callback=number(1, 10**6), help="Sentences.")] = 5,
    blanks: BlanksOption = False,
    seed: SeedOption = 0,
) -> None:
    """Draw sentences from a model."""
    import numpy as np

    from homespun.classic.units import as_text
    from homespun.cli.terminal import say
    from homespun.recipes.counted import open_ngrams

    opened = open_ngrams(model, blanks=blanks)
    generator = np.random.Generator(np.random.PCG64(seed))
    for _ in range(num):
        said = opened.sample(generator, prompt=prompt)
        say(as_text([prompt, *said] if prompt else said))


def _say_scores(found: dict[str, Any]) -> None:
    from homespun.cli.terminal import say

    every = f"{found['perplexity']:,.1f}"
    if found["perplexity"] > _NO_CHANCE:  # a closed vocabulary: -99 in the file is none
        every = "without end (it holds unknown words for impossible)"
    say(
        f"perplexity {every} over {found['words']:,} words, "
        f"{found['unknown']:,} unknown; {found['known_perplexity']:,.1f} over known ones"
    )
