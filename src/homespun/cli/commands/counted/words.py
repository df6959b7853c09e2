"""`homespun words`: vectors of words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import JsonOption, LanguageOption, SeedOption, number, text

if TYPE_CHECKING:
    from collections.abc import Sequence

METHODS = ("skipgram", "cbow", "glove")
VectorsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="VECTORS", help="What `words learn` wrote, or a file in word2vec's or GloVe's form."
    ),
]
NumOption = Annotated[int, typer.Option("--num", callback=number(1, 1000), help="Words.")]
SegmenterOption = Annotated[
    Path | None,
    typer.Option(
        "--segmenter", help="What `finetune segment` wrote: Chinese words, not characters."
    ),
]


def build_group() -> typer.Typer:
    group = new_group("Vectors of words: learn them from your texts, ask them, judge them.")
    group.command("learn")(learn)
    group.command("near")(near)
    group.command("analogy")(analogy)
    group.command("judge")(judge)
    group.command("picture")(picture)
    return group


def _method(value: str) -> str:
    if value not in METHODS:
        raise typer.BadParameter(f"got {value!r}, choose one of {', '.join(METHODS)}")
    return value


def learn(
    source: Annotated[str, typer.Argument(metavar="TEXT", help="A folder, a file, or a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    method: Annotated[
        str, typer.Option(callback=_method, help="skipgram, cbow (word2vec) or glove.")
    ] = "skipgram",
    dim: Annotated[int, typer.Option(callback=number(1, 4096), help="Width of a vector.")] = 100,
    window: Annotated[
        int | None, typer.Option(callback=number(1, 100), help="Neighbours to each side.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(callback=number(1, 10_000), help="Passes over the text.")
    ] = None,
    min_count: Annotated[
        int, typer.Option(callback=number(1, 10**6), help="Rarer words get no vector.")
    ] = 5,
    segmenter: SegmenterOption = None,
    threads: Annotated[
        int, typer.Option(callback=number(1, 1024), help="More than 1: no two runs are alike.")
    ] = 1,
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Learn a vector for every word: near one another where words stand among the same ones."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import say
    from homespun.recipes.counted import WordsAsk, learn_words

    ask = WordsAsk(
        source=source,
        language=lang,
        method=cast(Literal["skipgram", "cbow", "glove"], method),
        dim=dim,
        window=window,
        epochs=epochs,
        min_count=min_count,
        segmenter=None if segmenter is None else str(segmenter),
        threads=threads,
        seed=seed,
    )
    with open_progress() as progress:
        card = learn_words(ask, out, progress=progress)
    say(f"{out}: {card['words']:,} words, from {card['read']:,} of the text", "bold")
    for word, others in card["near"].items():
        say(f"  {word}: {', '.join(other for other, _ in others)}")
    say(f"Next: {command_name()} words near {typed(out)} WORD; the picture is {out / 'words.svg'}")


def near(
    vectors: VectorsArgument,
    word: Annotated[str, typer.Argument(callback=text, help="Whose neighbours are wanted.")],
    num: NumOption = 10,
) -> None:
    """The words nearest to a word, and how near: the cosine."""
    from homespun.recipes.counted import open_words

    _say_words(open_words(vectors).nearest(word, num))


def analogy(
    vectors: VectorsArgument,
    a: Annotated[str, typer.Argument(callback=text)],
    b: Annotated[str, typer.Argument(callback=text)],
    c: Annotated[str, typer.Argument(callback=text)],
    num: NumOption = 5,
) -> None:
    """What is to C as B is to A: `analogy VECTORS man king woman`."""
    from homespun.recipes.counted import open_words

    _say_words(open_words(vectors).analogy(a, b, c, num=num))


def judge(
    vectors: VectorsArgument,
    pairs: Annotated[
        list[Path] | None,
        typer.Option("--pairs", help="Pairs of words and how alike people find them."),
    ] = None,
    analogies: Annotated[
        list[Path] | None, typer.Option("--analogies", help="Lines of four words.")
    ] = None,
    without_common: Annotated[
        bool,
        typer.Option(
            "--without-common", help="First take out what nearly all vectors have in common."
        ),
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure vectors on published lists: WordSim-353, SimLex-999, questions-words, CA8."""
    from homespun.cli.terminal import out, table
    from homespun.core import ConfigError
    from homespun.core.files import write_json
    from homespun.recipes.counted import judge_words, open_words

    if not pairs and not analogies:
        raise ConfigError("there is nothing to judge by", remedy="give --pairs or --analogies")
    opened = open_words(vectors)
    if without_common:
        opened = opened.without_common()
    rows = judge_words(opened, pairs=pairs or (), analogies=analogies or ())
    shown = table("file", "measure", "value", "known")
    for row in rows:
        value = "-" if row["value"] is None else f"{row['value']:.3f}"
        shown.add_row(row["file"], row["measure"], value, f"{row['known']:,} of {row['num']:,}")
    out().print(shown)
    if json_file is not None:
        write_json(json_file, {"format": 1, "rows": rows})


def picture(
    vectors: VectorsArgument,
    words: Annotated[list[str], typer.Argument(metavar="WORD...", help="What to draw.")],
    out: Annotated[Path, typer.Option("--out", help="An SVG file.")] = Path("words.svg"),
) -> None:
    """Draw words where they differ most."""
    from homespun.cli.terminal import say
    from homespun.core.files import write_text
    from homespun.recipes.counted import open_words
    from homespun.recipes.counted.words import draw_words

    write_text(out, draw_words(open_words(vectors), words))
    say(f"drawn in {out}")


def _say_words(found: Sequence[tuple[str, float]]) -> None:
    from homespun.cli.terminal import say

    for word, score in found:
        say(f"{score:6.3f}  {word}")
