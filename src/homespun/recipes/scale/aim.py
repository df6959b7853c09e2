"""What the trials of a search have in common: how long they are, and the models they try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homespun.core import Config, ConfigError, RunDirectory, parse_config
from homespun.core.files import read_json, write_json
from homespun.recipes.measure import TextBeside, tokens_per_second
from homespun.recipes.scale.options import tokenizer_kind
from homespun.recipes.scale.room import check_counting
from homespun.recipes.scale.shapes import PRESET, Preset, decoder_shape, size_of
from homespun.scaling.rules import table_for

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

POINTS = 9
REDUCTION = 3
USUAL_TRIALS = 24
_REMEDY = "search with --preset portable, whose models need no table, or close other programs"


class Aim(Config):
    """What the trials of a search have in common; kept, so that a later part of it is the same.

    Attributes:
        width: in the middle of the shapes tried.
        flops: operations of a trial that is not stopped.
        tokens: the middle shape reads with these.
        context, vocab_size, preset: of all shapes. Files of before there was a choice name no
            preset: it was portable.
    """

    width: int
    flops: float
    tokens: int
    context: int
    vocab_size: int
    preset: Preset = PRESET

    def shape(self, width: int, num_layers: int | None = None) -> DecoderConfig:
        return decoder_shape(
            width=width,
            num_layers=num_layers,
            vocab_size=self.vocab_size,
            context=self.context,
            preset=self.preset,
        )


def known_aim(run: RunDirectory, *, width: int | None, preset: Preset | None) -> Aim | None:
    """That of the search which is there, None without one.

    Trials of a study are compared with one another, so all must have one aim.

    Raises:
        ConfigError: something else is asked for, or the tokenizer is another.
    """
    path = run.path / "tune" / "aim.json"
    if not path.is_file():
        return None
    aim = parse_config(Aim, read_json(path), where=str(path))
    vocab_size = int(read_json(run.shards / "index.json")["vocab_size"])
    asked = {"width": width, "preset": preset, "vocab_size": vocab_size}
    for name, value in asked.items():
        if value is not None and value != getattr(aim, name):
            kept = "" if name == "vocab_size" else f"leave --{name} out to go on with it, or "
            raise ConfigError(
                f"the search in {path.parent} is for {name} = {getattr(aim, name)}",
                got=value,
                remedy=f"{kept}delete {path.parent} to search anew",
            )
    return aim


def count_beside(run: RunDirectory, preset: Preset, *, context: int) -> TextBeside | None:
    """The table that models of the preset are tried beside; None where they have none.

    It is kept in memory alone: one that lies in the run's folder belongs to its plan.

    Args:
        context: of the models.

    Raises:
        BudgetError: counting it takes more memory than there is.
    """
    import numpy as np

    from homespun.core import TextBlocks
    from homespun.corpus import open_split
    from homespun.recipes.prior import make_prior

    settings = table_for(preset, tokenizer_kind(run))
    if not settings.order:
        return None
    text: Any = open_split(run.shards, "train")
    check_counting(settings.order, len(text), remedy=_REMEDY)
    tokens = np.asarray(text[:])
    # Every document of a split is preceded by the mark that ends one.
    end = int(tokens[0])
    blocks = TextBlocks(tokens, end_of_text_id=end, num_blocks=settings.blocks)
    prior = make_prior(
        tokens,
        vocab_size=int(read_json(run.shards / "index.json")["vocab_size"]),
        order=settings.order,
        blocks=blocks,
        end_of_text_id=end,
        copy_context=context if settings.copies else None,
    )
    return TextBeside(text, prior, blocks)


def new_aim(run: RunDirectory, *, width: int, preset: Preset) -> Aim:
    """That of a new search; how long its trials are is still to be measured, see `timed_aim`."""
    from homespun.recipes.plan import fitting_context

    index = read_json(run.shards / "index.json")
    return Aim(
        width=width,
        flops=0.0,
        tokens=0,
        context=fitting_context(int(index["splits"]["train"]["tokens"])),
        vocab_size=int(index["vocab_size"]),
        preset=preset,
    )


def timed_aim(
    run: RunDirectory, aim: Aim, *, seconds: float, beside: TextBeside | None = None
) -> Aim:
    """`aim` with the length of a trial: about `USUAL_TRIALS` of them, most stopped early, fill the
    time. Kept in the run's folder."""
    shape = aim.shape(aim.width)
    span = min(2.0, 0.02 * seconds)
    rate = tokens_per_second(shape, rows=8, seconds=span, beside=beside)
    # A ninth of each goes to the first halving, a third of the rest on to the next.
    share = 1 / POINTS + 1 / REDUCTION * (1 / 3 - 1 / POINTS) + 1 / REDUCTION**2 * (2 / 3)
    tokens = max(20 * aim.context, int(rate * seconds / (USUAL_TRIALS * share)))
    flops = tokens * size_of(shape).flops_per_token
    aim = aim.model_copy(update={"tokens": tokens, "flops": flops})
    write_json(run.path / "tune" / "aim.json", aim.model_dump())
    return aim
