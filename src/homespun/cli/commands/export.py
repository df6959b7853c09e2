"""`homespun export`: a model for other people's tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homespun.cli.groups import new_group
from homespun.cli.options import RunArgument, RunsOption, resolve_run


def build_group() -> typer.Typer:
    group = new_group("Write a model for other tools.")
    group.command("hf")(hf)
    group.command("gguf")(gguf)
    return group


def hf(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    runs: RunsOption = Path("runs"),
) -> None:
    """Write the model as a Hugging Face folder that `transformers` opens."""
    from homespun.cli.terminal import say
    from homespun.core import RequestError
    from homespun.recipes import open_run

    path = resolve_run(run, runs=runs)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RequestError(
            f"{folder} exists and is not an empty folder", remedy="choose a new folder"
        )
    open_run(path).export_hf(folder)
    say(f"written to {folder}; open it with transformers' AutoModelForCausalLM")


def gguf(
    run: RunArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file, such as model.gguf.")],
    quantize: Annotated[
        str, typer.Option("--quantize", help="Weights as f16, q8_0 (8 bits) or q4_0 (4 bits).")
    ] = "f16",
    runs: RunsOption = Path("runs"),
) -> None:
    """Write the model as one file for llama.cpp and the tools around it."""
    from homespun.cli.terminal import say
    from homespun.recipes import open_run

    path = resolve_run(run, runs=runs)
    open_run(path).export_gguf(file, quantization=quantize)
    say(f"written to {file} ({file.stat().st_size:,} bytes); run it with llama.cpp's llama-cli -m")
