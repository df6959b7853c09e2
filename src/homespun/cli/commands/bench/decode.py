"""`homespun bench decode`: how fast answers are written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from homespun.cli.options import JsonOption, RunsOption, number, resolve_run


def decode(
    size: Annotated[
        list[str] | None, typer.Option("--size", help="1m, 15m or 110m; several times for more.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="float32, bfloat16, int8, int4, or torch; several times for more."),
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            "--peer", help="transformers, llama.cpp, ctranslate2 or openvino, measured beside."
        ),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(help="llama (where none is named), gpt2, qwen2 or qwen3.")
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            help="Rows at once, 64 at the most; several times for more; 1, 16 and 64 if none."
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(callback=number(0, above=True), help="Of each measurement; 2 if left out."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(callback=number(1, 1024), help="Of every contender alike.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="A run: what fewer bits cost it, on its held-out text, not speed."),
    ] = None,
    runs: RunsOption = Path("runs"),
    json_file: JsonOption = None,
) -> None:
    """Time the engine on random models of three sizes, or measure what weights of few bits cost."""
    from homespun.cli.progress import open_progress
    from homespun.core.files import write_json
    from homespun.recipes.bench import DecodeAsk, bench_decode, weight_losses

    if run is not None:
        from homespun.core import ConfigError
        from homespun.recipes import open_run

        speeds = {
            "--size": size,
            "--weights": weights,
            "--peer": peer,
            "--shape": shape,
            "--batch": batch,
            "--seconds": seconds,
            "--threads": threads,
        }
        given = [name for name, value in speeds.items() if value]
        if given:
            raise ConfigError(
                f"{given[0]} is for measuring speed, and --run for what fewer bits cost",
                remedy="leave one of them out",
            )

        found: dict[str, Any] = weight_losses(open_run(resolve_run(run, runs=runs)))
        _show_losses(found)
    else:
        ask = DecodeAsk(
            sizes=tuple(size or ("1m", "15m", "110m")),
            weights=tuple(weights or ("float32", "int8", "int4")),
            batches=tuple(batch or (1, 16, 64)),
            seconds=2.0 if seconds is None else seconds,
            peers=tuple(peer or ()),
            threads=threads,
            shape=shape or "llama",
        )
        with open_progress() as progress:
            found = bench_decode(ask, progress=progress)
        _show_speeds(found)
    if json_file is not None:
        write_json(json_file, found)


def _show_losses(found: dict[str, Any]) -> None:
    from homespun.cli.terminal import out, table

    shown = table("weights", "bits/byte", "against float32")
    for kind, row in found.items():
        shown.add_row(kind, f"{row['bits_per_byte']:.4f}", f"{row['against_float32']:+.2%}")
    out().print(shown)


def _show_speeds(found: dict[str, Any]) -> None:
    from homespun.cli.terminal import out, say, table

    for size in found["sizes"]:
        batches = [f"{batch} rows" for batch in found["batches"]]
        name = f"{found['shape']} {size['size']}, {size['parameters'] / 1e6:.1f}M"
        shown = table(name, *batches, "prefill", "of bandwidth", "threads")
        for row in size["contenders"]:
            share = row["share_of_read_bandwidth"]
            shown.add_row(
                row["name"],
                *(
                    "" if rate is None else f"{rate:,.0f}"
                    for rate in row["tokens_per_second"].values()
                ),
                f"{row['prefill_tokens_per_second']:,.0f}",
                "" if share is None else f"{share:.0%}",
                str(row["threads"] or "own"),
            )
        out().print(shown)
    say(
        f"tokens/s of all rows together after prompts of {found['prompt']} tokens; prefill of "
        f"{found['long_prompt']}; bandwidth: weights read a token, by what this machine reads"
    )
