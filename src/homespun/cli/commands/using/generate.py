"""`homespun generate`: let a model continue a text, or many."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homespun.cli import sampling as options
from homespun.cli.options import (
    MaxTokensOption,
    MinPOption,
    PenaltyOption,
    RunArgument,
    RunsOption,
    SeedOption,
    StopOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    resolve_run,
    text,
)

if TYPE_CHECKING:
    from homespun.core import SamplingSettings
    from homespun.recipes import Run


def generate(
    run: RunArgument,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            callback=text,
            help="The text to continue; - reads stdin. Left out, the model begins a document.",
        ),
    ] = None,
    input_: Annotated[
        Path | None,
        typer.Option(
            "--input",
            help='Many at once: JSON lines with "prompt" or "messages", "id" and settings.',
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where their answers go; continues if stopped.")
    ] = None,
    max_tokens: MaxTokensOption = 200,
    min_tokens: options.MinTokensOption = 0,
    temperature: TemperatureOption = 0.8,
    top_k: TopKOption = 0,
    top_p: TopPOption = 0.95,
    min_p: MinPOption = 0.0,
    typical: options.TypicalOption = 1.0,
    repetition_penalty: PenaltyOption = 1.0,
    frequency_penalty: options.FrequencyOption = 0.0,
    presence_penalty: options.PresenceOption = 0.0,
    bias: options.BiasOption = None,
    ban: options.BanOption = None,
    seed: SeedOption = 0,
    stop: StopOption = None,
    stop_token: options.StopTokenOption = None,
    logprobs: options.LogprobsOption = None,
    answers: options.AnswersOption = 1,
    best_of: options.BestOfOption = 0,
    beams: options.BeamsOption = 0,
    beam_groups: options.BeamGroupsOption = 1,
    diversity_penalty: options.DiversityOption = 0.0,
    length_penalty: options.LengthOption = 1.0,
    contrastive: options.ContrastiveOption = 0.0,
    lookup: options.LookupOption = 0,
    json_schema: options.SchemaOption = None,
    regex: options.RegexOption = None,
    choice: options.ChoiceOption = None,
    grammar: options.GrammarOption = None,
    weights: options.WeightsOption = "float32",
    kernels: options.KernelsOption = "auto",
    device: options.DeviceOption = "auto",
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the continuation alone, nothing around it.")
    ] = False,
    runs: RunsOption = Path("runs"),
) -> None:
    """Continue a text as the model would: it knows no questions here, only text that goes on."""
    from homespun.core import ConfigError, RequestError, SamplingSettings
    from homespun.recipes import open_run

    path = resolve_run(run, runs=runs)
    if (input_ is None) != (out is None) or (input_ is not None and (prompt is not None or raw)):
        raise ConfigError(
            "many texts come from --input and go to --out",
            remedy="give both and neither --prompt nor --raw, or none of them",
        )
    if input_ is None:
        _check_used(logprobs, beams, beam_groups, diversity_penalty, length_penalty)
    if prompt == "-":
        prompt = sys.stdin.read()
    if prompt == "":
        raise RequestError(
            "the prompt is empty", remedy="leave --prompt out to let the model begin a document"
        )
    settings = SamplingSettings(
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical,
        repetition_penalty=repetition_penalty,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
        logit_bias=options.biases_of(bias),
        banned_tokens=tuple(ban or ()),
        seed=seed,
        stop=tuple(stop or ()),
        stop_tokens=tuple(stop_token or ()),
        logprobs=logprobs,
        num_answers=answers,
        best_of=best_of,
        beams=beams,
        beam_groups=beam_groups,
        diversity_penalty=diversity_penalty,
        length_penalty=length_penalty,
        contrastive_alpha=contrastive,
        lookup_tokens=lookup,
        constraint=options.constraint_of(json_schema, regex, choice, grammar),
    )
    opened = open_run(path, weights=weights, kernels=kernels, device=device)
    if opened.objective != "causal" and input_ is None:
        is_other = (weights, kernels, device) != ("float32", "auto", "auto")
        _print_both_ways(opened, prompt or "", settings, raw=raw, is_other=is_other)
        return
    options.tell_notice(opened)
    if input_ is not None and out is not None:
        _many(opened, input_, out, settings)
    elif raw:
        _print_raw(opened, prompt or "", settings)
    else:
        _print(opened, prompt or "", settings)


def _check_used(
    logprobs: int | None,
    beams: int,
    beam_groups: int,
    diversity_penalty: float,
    length_penalty: float,
) -> None:
    """Raises ConfigError where an option would change nothing. Lines of a file have settings of
    their own, so that there it may."""
    from homespun.core import ConfigError

    if logprobs is not None:
        raise ConfigError(
            "--logprobs are written beside the answers to a file",
            got=logprobs,
            remedy="ask with --input and --out, or leave --logprobs out",
        )
    of_beams = {
        "--beam-groups": (beam_groups, 1),
        "--diversity-penalty": (diversity_penalty, 0.0),
        "--length-penalty": (length_penalty, 1.0),
    }
    for name, (value, usual) in of_beams.items():
        if value != usual and not beams:
            raise ConfigError(
                f"{name} is for beam search",
                got=value,
                remedy=f"say how wide with --beams, or leave {name} out",
            )


def _print_both_ways(
    run: Run, prompt: str, settings: SamplingSettings, *, raw: bool, is_other: bool
) -> None:
    """What a model that reads its prompt both ways makes of it.

    Args:
        is_other: another way to compute was asked for than there is.
    """
    from homespun.cli.terminal import err, visible, write_answer, write_prompt
    from homespun.recipes.learn.behind import NOTICE, write_both_ways

    if is_other:
        err().print(visible(f"({run.path.name} {NOTICE})"), style="dim", soft_wrap=True)
    done = write_both_ways(run, prompt, settings)
    if raw:
        write_answer(done.text)
        return
    if run.objective == "prefix":
        write_prompt(prompt)
    write_answer(done.text + "\n")


def _many(run: Run, source: Path, out: Path, settings: SamplingSettings) -> None:
    from homespun.cli.progress import open_progress
    from homespun.cli.terminal import err, say, visible
    from homespun.recipes import generate_file

    with open_progress() as progress:
        done = generate_file(run, source, out, settings, progress=progress)
    failed = f", {done.num_errors} of them with an error" if done.num_errors else ""
    say(f"{out} has the answers to {done.num_lines} lines{failed}")
    if done.num_errors:
        err().print(visible(f"the first error is that of id {done.first_error}"), soft_wrap=True)
        raise typer.Exit(1)  # a script is to notice; the answers of all other lines are there


def _print_raw(run: Run, prompt: str, settings: SamplingSettings) -> None:
    from homespun.cli.terminal import write_answer

    if settings.num_answers > 1:
        answers = run.engine.complete(run.prompt_ids(prompt), settings)
        write_answer("\n".join(done.text for done in answers) + "\n")
        return
    for piece in run.engine.stream(run.prompt_ids(prompt), settings):
        write_answer(piece)


def _print(run: Run, prompt: str, settings: SamplingSettings) -> None:
    from homespun.cli.terminal import say, write_answer, write_prompt

    if settings.num_answers > 1:
        answers = run.engine.complete(run.prompt_ids(prompt), settings)
        for number, done in enumerate(answers, 1):
            score = "" if done.score is None else f", {done.score:.3f} nats a token"
            say(f"answer {number} of {len(answers)}{score}", "bold")
            write_prompt(prompt)
            write_answer(done.text + "\n")
        return
    pieces = run.engine.stream(run.prompt_ids(prompt), settings)
    first = next(pieces, "")  # a refused request is told before anything is printed
    write_prompt(prompt)
    write_answer(first)
    for piece in pieces:
        write_answer(piece)
    write_answer("\n")
