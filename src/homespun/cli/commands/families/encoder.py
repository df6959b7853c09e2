"""`homespun encoder`: an encoder of one's own texts, to begin tasks with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import LanguageOption, SeedOption, StepsOption, number
from homespun.cli.options import minutes as checked
from homespun.cli.options import text as checked_text


def encoder(
    text: Annotated[str, typer.Argument(help="A folder, a file, or the name of a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write, for `--base` later.")],
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", callback=checked, help="Of training, once the text is prepared."),
    ] = None,
    steps: StepsOption = None,
    size: Annotated[
        str | None, typer.Option(help="Width and layers, as in 256x4; by the time if left out.")
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(callback=number(300, 60_000), help="Pieces of words; by the text if left."),
    ] = None,
    portable: Annotated[
        bool, typer.Option("--portable", help="BERT's own shape, which transformers reads.")
    ] = False,
    cased: Annotated[
        bool, typer.Option("--cased", help="Tell capitals from small letters, as names want it.")
    ] = False,
    masked: Annotated[
        float,
        typer.Option(
            "--masked", callback=number(0.01, 0.9), help="Share of words hidden; BERT's is 0.15."
        ),
    ] = 0.2,
    tokenizer: Annotated[
        str,
        typer.Option(callback=checked_text, help="wordpiece, or bpe: byte-level, nothing unknown."),
    ] = "wordpiece",
    segmenter: Annotated[
        Path | None,
        typer.Option(help="What `finetune segment` wrote: Chinese words are hidden as wholes."),
    ] = None,
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Train an encoder (BERT) on your texts: it learns words behind masks.

    `homespun finetune TASK --base OUT` begins with it; so do `embed` and `search`.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import count_text, say
    from homespun.recipes.counted.trained import judged_text
    from homespun.recipes.encoder import EncoderAsk, pretrain_encoder

    ask = EncoderAsk(
        source=text,
        language=lang,
        seconds=None if minutes is None else 60 * minutes,
        steps=steps,
        size=size,
        vocab_size=vocab_size,
        portable=portable,
        cased=cased,
        masked=masked,
        tokenizer=tokenizer,
        segmenter=None if segmenter is None else str(segmenter),
        seed=seed,
    )
    with open_progress() as progress:
        card = pretrain_encoder(ask, out, progress=progress)
    mine, others = card["masked"], card["by_frequency"]
    say(
        f"{out}: {count_text(card['parameters'])} parameters, {card['size']}, read "
        f"{count_text(card['tokens_read'])} tokens, the text {card['epochs']:.1f} times",
        "bold",
    )
    say(
        f"of {mine['num']:,} masked tokens of {judged_text(card)} it says {mine['accuracy']:.1%} "
        f"({mine['low']:.1%} to {mine['high']:.1%}), {mine['loss']:.3f} nats each; the commonest "
        f"word would be {others['accuracy']:.1%}, frequencies {others['loss']:.3f} nats"
    )
    say(f"Next: {command_name()} finetune classify FILE --base {typed(out)}")
