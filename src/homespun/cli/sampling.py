"""Options that say how answers are made, and what they come to together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from homespun.cli.options import number, text, texts

if TYPE_CHECKING:
    from homespun.core import Constraint
    from homespun.recipes import Run

_SEARCH, _BOUND, _ENGINE = "Searching", "Bound answers", "Engine"

MinTokensOption = Annotated[
    int, typer.Option(callback=number(0, 10**6), help="Do not end by itself before as many.")
]
TypicalOption = Annotated[
    float,
    typer.Option(
        "--typical", callback=number(0, 1, above=True), help="Choose what surprises as usual."
    ),
]
FrequencyOption = Annotated[
    float,
    typer.Option(callback=number(-100, 100), help="Taken for each time a token was said."),
]
PresenceOption = Annotated[
    float, typer.Option(callback=number(-100, 100), help="Taken once a token was said.")
]
BiasOption = Annotated[
    list[str] | None,
    typer.Option("--bias", metavar="ID=VALUE", help="Added to a token's score; several times."),
]
BanOption = Annotated[
    list[int] | None, typer.Option("--ban", metavar="ID", help="A token that is never said.")
]
StopTokenOption = Annotated[
    list[int] | None, typer.Option("--stop-token", metavar="ID", help="End at this token.")
]
LogprobsOption = Annotated[
    int | None,
    typer.Option(callback=number(0, 20), help="In a batch: tell the N likeliest of each place."),
]
AnswersOption = Annotated[
    int,
    typer.Option(
        "--answers", "-n", callback=number(1, 128), help="Answers to one prompt.",
        rich_help_panel=_SEARCH,
    ),
]  # fmt: skip
BestOfOption = Annotated[
    int,
    typer.Option(
        callback=number(0, 128), help="Make as many and give the likeliest.",
        rich_help_panel=_SEARCH,
    ),
]  # fmt: skip
BeamsOption = Annotated[
    int,
    typer.Option(callback=number(0, 64), help="Beam search so wide.", rich_help_panel=_SEARCH),
]
BeamGroupsOption = Annotated[
    int,
    typer.Option(
        callback=number(1, 64), help="Groups of beams that differ.", rich_help_panel=_SEARCH
    ),
]
DiversityOption = Annotated[
    float,
    typer.Option(
        callback=number(0, 100), help="How much groups must differ.", rich_help_panel=_SEARCH
    ),
]
LengthOption = Annotated[
    float,
    typer.Option(
        callback=number(-10, 10), help="Beams: 1 scores by the mean, 0 by the sum.",
        rich_help_panel=_SEARCH,
    ),
]  # fmt: skip
ContrastiveOption = Annotated[
    float,
    typer.Option(
        "--contrastive", callback=number(0, 1), help="Contrastive search; wants --top-k.",
        rich_help_panel=_SEARCH,
    ),
]  # fmt: skip
LookupOption = Annotated[
    int,
    typer.Option(
        "--lookup", callback=number(0, 16), help="Guess as many tokens ahead; changes nothing.",
        rich_help_panel=_SEARCH,
    ),
]  # fmt: skip
SchemaOption = Annotated[
    str | None,
    typer.Option(
        "--json-schema", callback=text, rich_help_panel=_BOUND,
        help="The answer is JSON of this schema, or of the one in this file.",
    ),
]  # fmt: skip
RegexOption = Annotated[
    str | None,
    typer.Option("--regex", callback=text, help="The answer matches this.", rich_help_panel=_BOUND),
]
ChoiceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--choice", callback=texts, help="The answer is one of these.", rich_help_panel=_BOUND
    ),
]
GrammarOption = Annotated[
    Path | None,
    typer.Option(
        "--grammar", help="The answer follows the Lark grammar in this file.",
        rich_help_panel=_BOUND,
    ),
]  # fmt: skip
WeightsOption = Annotated[
    Literal["float32", "bfloat16", "int8", "int4"],
    typer.Option(
        "--weights", help="How weights are kept while answering: fewer bits are faster.",
        rich_help_panel=_ENGINE,
    ),
]  # fmt: skip
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"],
    typer.Option("--device", help="Where; auto is a GPU if any.", rich_help_panel=_ENGINE),
]
KernelsOption = Annotated[
    Literal["auto", "native", "torch"],
    typer.Option("--kernels", help="What computes.", rich_help_panel=_ENGINE),
]


def constraint_of(
    schema: str | None, regex: str | None, choices: list[str] | None, grammar: Path | None
) -> Constraint | None:
    """What the options say an answer must look like; None where none is given.

    Raises:
        ConfigError: several are. DataError: a file cannot be read, or a schema is not JSON.
    """
    from homespun.core import ConfigError, Constraint

    given = {"--json-schema": schema, "--regex": regex, "--choice": choices, "--grammar": grammar}
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise ConfigError(
            "an answer is bound in one way", got=" and ".join(names), remedy="choose one of them"
        )
    if schema is not None:
        return Constraint(kind="json_schema", text=_schema(schema))
    if grammar is not None:
        return Constraint(kind="grammar", text=_read(grammar))
    if regex is not None:
        return Constraint(kind="regex", text=regex)
    if choices:
        return Constraint(kind="choice", choices=tuple(choices))
    return None


def biases_of(given: list[str] | None) -> tuple[tuple[int, float], ...]:
    """ "5=2.5" as pairs. Raises ConfigError for what is none."""
    from homespun.core import ConfigError

    found = []
    for pair in given or ():
        token, _, value = pair.partition("=")
        try:
            found.append((int(token), float(value)))
        except ValueError as error:
            raise ConfigError(
                "a bias is a token's id and a number", got=pair, remedy="as in --bias 42=-5"
            ) from error
    return tuple(found)


def tell_notice(run: Run) -> None:
    """Say on stderr where answers come slower than they could."""
    from homespun.cli.terminal import err, visible

    if run.engine.notice:
        err().print(f"({visible(run.engine.notice)})", style="dim", soft_wrap=True)


def _schema(given: str) -> str:
    """The schema itself, or what the file of that name holds; JSON in either case."""
    from homespun.core import DataError

    is_schema = given.lstrip().startswith("{")
    found = given if is_schema else _read(Path(given))
    try:
        json.loads(found)
    except ValueError as error:
        raise DataError(
            f"{'the schema' if is_schema else given} is not JSON: {error}", remedy="mend it"
        ) from error
    return found


def _read(path: Path) -> str:
    from homespun.core import DataError
    from homespun.core.files import os_error

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text", remedy="save it as UTF-8") from error
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing", remedy="name a file that is there") from error
    except OSError as error:
        raise os_error(error, f"reading {path}") from error
