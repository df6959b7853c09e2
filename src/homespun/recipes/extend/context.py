"""`homespun extend context`: rows longer than the model was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from homespun.core import ConfigError, DataError, Progress, RunDirectory, Tokenizer, did_you_mean
from homespun.recipes.extend import lineage
from homespun.recipes.extend.compare import Difference, Scores, in_numbers
from homespun.recipes.extend.engine import extend_run, link_texts

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import Decoder, DecoderConfig

Method = Literal["base", "linear", "yarn"]
REWARM = 0.3
MAX_WINDOWS = 64
MAX_TOKENS = 32_768


def extend_context(  # noqa: PLR0913 - the command, as one call
    parent: Path | str,
    context: int,
    *,
    method: Method = "base",
    minutes: float | None = None,
    steps: int | None = None,
    rewarm: float = REWARM,
    name: str | None = None,
    strategy: str | None = None,
    progress: Progress | None = None,
) -> RunDirectory:
    """Give a finished run's model a longer context, and train it a little at that length, in a new
    run. Killed, the same call goes on.

    Args:
        parent: the finished run.
        context: in tokens, more than now.
        method: how rotary positions are rescaled, see `models.reshape.rope_scaling`.
        minutes, steps, rewarm, strategy: as for `continue_run`.
        name: of the new run; by default the parent's with the context.
        progress: who is told.

    Raises:
        ConfigError: the context is not longer than now, or too long; an unknown method.
    """
    if method not in get_args(Method):
        raise ConfigError(
            "there is no such way to rescale positions",
            got=method,
            remedy=did_you_mean(method, list(get_args(Method))),
        )
    return extend_run(
        parent,
        _LongerContext(context, method),
        minutes=minutes,
        steps=steps,
        rewarm=rewarm,
        name=name or f"{Path(parent).resolve().name}-{context}",
        strategy=strategy,
        progress=progress,
    )


def longer(shape: DecoderConfig, context: int, method: Method) -> DecoderConfig:
    """The shape with rotary positions rescaled for `context`.

    Raises:
        ConfigError: not longer than now, too long, or rescaled before.
    """
    from homespun.models.reshape.rope_scaling import RopeScaling, larger_base

    if context <= shape.context:
        raise ConfigError(
            f"the model's context is {shape.context} tokens already",
            got=context,
            remedy="give --context a larger number",
        )
    if shape.rope_scaling is not None:
        raise ConfigError(
            "the positions of this model were rescaled before",
            got=shape.rope_scaling.kind,
            remedy="extend the run it came from, or use `--method base` the first time",
        )
    factor = context / shape.context
    fields = {**shape.model_dump(), "context": context}
    if method == "base":
        fields["rope_base"] = larger_base(shape.rope_base, shape.head_width, factor)
    else:
        fields["rope_scaling"] = RopeScaling(
            kind=method, factor=factor, original_context=shape.context
        )
    return type(shape)(**fields)


class _LongerContext:
    kind: lineage.Kind = "context"

    def __init__(self, context: int, method: Method) -> None:
        self._context, self._method = context, method
        self._old_context = 0

    def settings(self) -> dict[str, Any]:
        return {"context": self._context, "method": self._method}

    def check(self, old: RunDirectory, shape: DecoderConfig) -> None:
        from homespun.corpus import open_split

        self._old_context = shape.context
        longer(shape, self._context, self._method)
        if len(open_split(old.shards, "validation")) <= self._context:
            raise DataError(
                f"the validation text of {old.path} is shorter than a context of {self._context}",
                got=f"{len(open_split(old.shards, 'validation'))} tokens",
                remedy="choose a shorter context, or begin with more text",
            )

    def take_texts(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        link_texts(old, run)

    def take_table(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        lineage.take_table(old, run)

    def shape(self, run: RunDirectory, shape: DecoderConfig) -> DecoderConfig:
        return longer(shape, self._context, self._method)

    def weights(
        self,
        run: RunDirectory,
        old: RunDirectory,
        tensors: Mapping[str, Tensor],
        shapes: tuple[DecoderConfig, DecoderConfig],
    ) -> dict[str, Tensor]:
        return dict(tensors)

    def score(self, model: Decoder, tokenizer: Tokenizer, run: RunDirectory) -> Scores:
        return score_positions(
            model, tokenizer, run, old_context=self._old_context, context=self._context
        )

    def sentences(
        self, at_start: Mapping[str, Difference], after: Mapping[str, Difference]
    ) -> list[str]:
        beyond, within = after["beyond"], after["within"]
        used = {
            "better": "The longer context helps beyond the old one",
            "worse": "Beyond the old context the model is worse than with the old one alone: "
            "it wants more minutes at the new length",
            "unclear": "Beyond the old context nothing is gained or lost that can be measured",
            "unknown": "Beyond the old context",
        }[beyond.outcome]
        return [
            f"{used}: {in_numbers(beyond)}.",
            f"Within the old context: {in_numbers(within)}.",
            f"Right after rescaling, before training, it stood at "
            f"{at_start['beyond'].after:.3f} beyond and {at_start['within'].after:.3f} within.",
        ]


def score_positions(
    model: Decoder,
    tokenizer: Tokenizer,
    run: RunDirectory,
    *,
    old_context: int,
    context: int,
) -> Scores:
    """Windows of `context` tokens of the validation stream: what is predicted from the first
    `old_context` tokens of each ("within"), and the rest ("beyond").

    A model of a shorter context reads the rest in overlapping windows of its own, as it would have
    to in use.
    """
    import numpy as np

    from homespun.corpus import open_split
    from homespun.evaluation.bits_per_byte import evaluating, score_sequences

    tokens = open_split(run.shards, "validation")
    wanted = min(MAX_WINDOWS, max(8, MAX_TOKENS // context), len(tokens) - context)
    starts = np.unique(np.linspace(0, len(tokens) - context - 1, wanted).astype(np.int64))
    windows = [np.asarray(tokens[start : start + context + 1]).astype(np.int64) for start in starts]
    beyond = np.arange(context + 1) > old_context
    found: Scores = {}
    with evaluating(model):
        for name, counted in (("within", ~beyond), ("beyond", beyond)):
            nats = score_sequences(model, windows, counted=[counted] * len(windows))
            kept = [window[1:][counted[1:]] for window in windows]
            found[name] = {
                "nats": [round(float(value), 6) for value in nats],
                "bytes": [sum(len(tokenizer.token_bytes(int(i))) for i in ids) for ids in kept],
                "tokens": [len(ids) for ids in kept],
            }
    return found
