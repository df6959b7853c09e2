"""`homespun recurrent`: an RNN, LSTM or GRU of one's own texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, cast

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import JsonOption, LanguageOption, SeedOption, StepsOption, number
from homespun.cli.options import minutes as checked
from homespun.cli.options import text as checked_text

ModelArgument = Annotated[
    Path, typer.Argument(metavar="MODEL", help="What `recurrent learn` wrote.")
]


def build_group() -> typer.Typer:
    group = new_group("Recurrent language models (RNN, LSTM, GRU): learn, score, write.")
    group.command("learn")(learn)
    group.command("score")(score)
    group.command("write")(write)
    return group


def learn(
    source: Annotated[str, typer.Argument(metavar="TEXT", help="A folder, a file, or a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    cell: Annotated[str, typer.Option(callback=checked_text, help="rnn, lstm or gru.")] = "lstm",
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", callback=checked, help="Of training, once the text is prepared."),
    ] = None,
    steps: StepsOption = None,
    size: Annotated[
        str | None, typer.Option(help="Width and layers, as in 512x2; by the time if left out.")
    ] = None,
    vocab_size: Annotated[
        int | None,
        typer.Option(callback=number(300, 60_000), help="Tokens; by the text if left."),
    ] = None,
    lang: LanguageOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Train a recurrent model on your texts, and say what it makes of text it has not seen."""
    from homespun.cli.progress import open_progress
    from homespun.cli.summary import command_name, typed
    from homespun.cli.terminal import count_text, say
    from homespun.core import ConfigError, did_you_mean
    from homespun.recipes.counted.trained import judged_text
    from homespun.recipes.recurrent import RecurrentAsk, learn_recurrent

    cells = ["rnn", "lstm", "gru"]
    if cell not in cells:
        raise ConfigError("there is no such cell", got=cell, remedy=did_you_mean(cell, cells))
    ask = RecurrentAsk(
        source=source,
        language=lang,
        cell=cast("Literal['rnn', 'lstm', 'gru']", cell),
        seconds=None if minutes is None else 60 * minutes,
        steps=steps,
        size=size,
        vocab_size=vocab_size,
        seed=seed,
    )
    with open_progress() as progress:
        card = learn_recurrent(ask, out, progress=progress)
    say(
        f"{out}: {count_text(card['parameters'])} parameters, {cell} {card['size']}, read "
        f"{count_text(card['tokens_read'])} tokens, the text {card['epochs']:.1f} times",
        "bold",
    )
    _say_scores(card["held_out"], f"of {judged_text(card)}: ")
    say(f"Next: {command_name()} recurrent write {typed(out)}")


def score(
    model: ModelArgument,
    file: Annotated[Path, typer.Argument(help="A text file.")],
    json_file: JsonOption = None,
) -> None:
    """How likely a model finds a text: bits per byte, and perplexity of a token."""
    from homespun.core.files import write_json
    from homespun.recipes.recurrent import open_recurrent

    found = open_recurrent(model).score_file(file)
    _say_scores(found)
    if json_file is not None:
        write_json(json_file, {"format": 1, **found})


def write(
    model: ModelArgument,
    prompt: Annotated[str, typer.Option(callback=checked_text, help="How it begins.")] = "",
    num: Annotated[int, typer.Option("--num", callback=number(1, 1000), help="Texts.")] = 1,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", callback=number(1, 10**6), help="Of each.")
    ] = 200,
    temperature: Annotated[
        float, typer.Option(callback=number(0.0, 10.0), help="0: always the likeliest.")
    ] = 0.8,
    top_p: Annotated[
        float, typer.Option("--top-p", callback=number(0.01, 1.0), help="Of the likeliest.")
    ] = 1.0,
    seed: SeedOption = 0,
) -> None:
    """Write on from a prompt."""
    from homespun.cli.terminal import write_answer
    from homespun.recipes.recurrent import open_recurrent

    texts = open_recurrent(model).write(
        prompt, num=num, max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed
    )
    write_answer("".join(f"{prompt}{text}\n" for text in texts))


def _say_scores(found: dict[str, Any], ahead: str = "") -> None:
    from homespun.cli.terminal import say

    say(
        f"{ahead}{found['bits_per_byte']:.3f} bits per byte over {found['bytes']:,} bytes, "
        f"perplexity {found['perplexity']:,.1f} of {found['tokens']:,} tokens"
    )
