"""`homespun encoder-decoder`: one of one's own texts, to begin translations and summaries with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.options import LanguageOption, SeedOption, StepsOption, number
from homespun.cli.options import minutes as checked


def encoder_decoder(
    text: Annotated[str, typer.Argument(help="A folder, a file, or the name of a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write, for `--base` later.")],
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", callback=checked, help="Of training, once the text is prepared."),
    ] = None,
    steps: StepsOption = None,
    size: Annotated[
        str | None,
        typer.Option(help="Width and layers of each half, as in 256x4; by the time if left out."),
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(callback=number(300, 60_000), help="Tokens; by the text if left."),
    ] = None,
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Train an encoder-decoder on your texts: it learns to write pieces that were taken out (T5).

    `homespun finetune translate|summarise --base OUT` begins with it.
    """
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import count_text, say
    from homespun.recipes.counted.trained import judged_text
    from homespun.recipes.rewriter import RewriterAsk, pretrain_rewriter

    ask = RewriterAsk(
        source=text,
        language=lang,
        seconds=None if minutes is None else 60 * minutes,
        steps=steps,
        size=size,
        vocab_size=vocab_size,
        seed=seed,
    )
    with open_progress() as progress:
        card = pretrain_rewriter(ask, out, progress=progress)
    mine, others = card["pieces"], card["by_frequency"]
    say(
        f"{out}: {count_text(card['parameters'])} parameters, {card['size']}, read "
        f"{count_text(card['tokens_read'])} tokens, the text {card['epochs']:.1f} times",
        "bold",
    )
    say(
        f"of {mine['num']:,} tokens taken out of {judged_text(card)} it writes "
        f"{mine['accuracy']:.1%} ({mine['low']:.1%} to {mine['high']:.1%}), {mine['loss']:.3f} "
        f"nats each; the commonest would be {others['accuracy']:.1%}, frequencies "
        f"{others['loss']:.3f} nats"
    )
    say(f"Next: {command_name()} finetune translate FILE --base {typed(out)}")
