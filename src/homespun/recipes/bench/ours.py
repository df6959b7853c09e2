"""Our model learns a token stream through the one training loop, watched by validation passes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import Objective, Progress, Silent, TextBlocks, WorkClock, derive_seed
from homespun.core.files import read_jsonl
from homespun.recipes.bench.recipe import BenchRecipe
from homespun.recipes.bench.validation import ValidationPass, decoder_score, validation_pass
from homespun.recipes.prior import make_prior

if TYPE_CHECKING:
    from collections.abc import Iterator

    from homespun.training import Judge, TrainResult

SAMPLE_WINDOWS = 16
"""Windows of the cheap estimates between complete passes."""

# A complete pass is made once the estimate, corrected by the last complete pass, is this near.
_NEAR = 1.005
_NEAR_AT_FIRST = 1.02


class TokenText(NamedTuple):
    """A text as a model sees it.

    Attributes:
        train: ids to learn from.
        held_out: ids to predict; the first one is context only.
        vocab_size: number of different ids.
        num_bytes: UTF-8 bytes of what is predicted.
        end_of_text_id: between documents; None where the text is one.
    """

    train: NDArray[Any]
    held_out: NDArray[Any]
    vocab_size: int
    num_bytes: int
    end_of_text_id: int | None = None


@dataclass(frozen=True)
class Budget:
    """How long to learn and what to watch.

    Attributes:
        seconds: from `started` to the last step and its checkpoint; None counts steps alone.
        num_steps: optimiser steps; None counts seconds alone.
        started: `time.monotonic()` at which the seconds begin.
        eval_seconds: an estimate of the loss is made this often; None never.
        target: complete passes are made where the estimate nears this loss.
        sliding: whether the sliding pass is made at the end, which takes twice as long again.
    """

    seconds: float | None
    num_steps: int | None
    started: float
    eval_seconds: float | None = None
    target: float | None = None
    sliding: bool = True


def learn_and_judge(
    text: TokenText,
    recipe: BenchRecipe,
    *,
    budget: Budget,
    seed: int,
    stage_dir: Path,
    progress: Progress | None = None,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train a new model for the budget, then judge it by complete passes, which do not count.

    Args:
        device: on what it is trained. Peers know the processor alone.

    Returns:
        JSON values, see benchmarks/README.md.

    Raises:
        ConfigError: a setting of the recipe is unknown or wrong.
    """
    import torch

    from homespun.models import count_parameters, train_flops_per_token
    from homespun.training import (
        CausalObjective,
        TaughtObjective,
        TokenBatches,
        set_threads,
        train,
    )

    if recipe.threads is not None:
        set_threads(recipe.threads)
    shape = recipe.decoder(text.vocab_size)
    model = shape.build(torch.Generator().manual_seed(derive_seed(seed, "weights")))
    blocks = None
    objective: Objective = CausalObjective()
    if recipe.prior_order:
        blocks = TextBlocks(
            text.train, end_of_text_id=text.end_of_text_id, num_blocks=recipe.prior_blocks
        )
        prior = make_prior(
            text.train,
            vocab_size=text.vocab_size,
            order=recipe.prior_order,
            blocks=blocks,
            end_of_text_id=text.end_of_text_id,
            copy_context=shape.context if recipe.prior_copies else None,
        )
        if recipe.taught is None:
            model.attach_prior(prior)
        else:
            objective = TaughtObjective(prior, share=recipe.taught)
    source = TokenBatches(
        text.train,
        context=shape.context,
        rows=recipe.rows,
        seed=derive_seed(seed, "batches"),
        blocks=blocks,
    )
    watch = _Watch(text, context=shape.context, budget=budget)
    config = recipe.training(
        seconds=budget.seconds, num_steps=budget.num_steps, seed=derive_seed(seed, "loop")
    )
    # Only now: asking for the settings may have compiled kernels, which counts.
    setup = time.monotonic() - budget.started
    if budget.seconds is not None:
        config = config.model_copy(update={"seconds": max(1.0, budget.seconds - setup)})
    if budget.eval_seconds is not None and budget.seconds is not None:
        share = min(1.0, budget.eval_seconds / budget.seconds)
        config = config.model_copy(update={"eval_share": share})
    result = train(
        model.to(device),
        objective,
        source,
        config=config,
        stage_dir=stage_dir,
        clock=WorkClock(stage_dir.parent / "clock.json"),
        evaluate=watch if config.eval_share or config.eval_steps else None,
        progress=progress or Silent(),
        judge=watch.judge() if config.best is not None else None,
    )
    ended = time.monotonic() - budget.started
    window, sliding = judge(model, text, context=shape.context, sliding=budget.sliding)
    judged = time.monotonic() - budget.started
    curve = [
        {
            "seconds": round(row["seconds"] + setup, 2),
            "step": row["step"],
            "loss": row["loss"],
            "complete": bool(row.get("complete")),
        }
        for row in read_jsonl(stage_dir / "metrics.jsonl")
        if row["kind"] == "eval" and row.get("loss") is not None
    ]
    weights = judged_weights(result)
    # At the end the windows' own time is counted, not the sliding pass that no target asks for.
    curve.append(
        {
            "seconds": round(ended + window.seconds, 2),
            "step": weights["step"],
            "loss": window.result.loss,
            "complete": True,
        }
    )
    return {
        "name": "homespun",
        "parameters": count_parameters(shape),
        "flops_per_token": train_flops_per_token(shape),
        "recipe": recipe.model_dump(),
        "dtype": config.compute_dtype,
        "threads": torch.get_num_threads(),
        "seconds": round(ended, 2),
        "setup_seconds": round(setup, 2),
        "judging_seconds": round(judged - ended, 2),
        "steps": result.steps,
        "weights": weights,
        "tokens": result.tokens,
        "epochs": round(result.epochs, 3),
        "tokens_per_second": round(result.tokens / max(result.seconds, 1e-9), 1),
        "train_loss": result.final_loss,
        **judgement(window.result, sliding, text, context=shape.context),
        "curve": curve,
        "target": reached(curve, budget.target),
        "peak_memory_bytes": result.peak_memory_bytes,
    }


class _Timed(NamedTuple):
    result: ValidationPass
    seconds: float


def judge(
    model: Any, text: TokenText, *, context: int, sliding: bool
) -> tuple[_Timed, ValidationPass | None]:
    """Complete passes in float32: windows side by side, and sliding by half the context."""
    began = time.monotonic()
    with _exact(model):
        score = decoder_score(model)
        window = _Timed(
            validation_pass(score, text.held_out, context=context), time.monotonic() - began
        )
        if not sliding:
            return window, None
        stride = sliding_stride(context)
        return window, validation_pass(score, text.held_out, context=context, stride=stride)


def sliding_stride(context: int) -> int:
    return max(1, context // 2)


def judgement(
    window: ValidationPass, sliding: ValidationPass | None, text: TokenText, *, context: int
) -> dict[str, Any]:
    """The figures every contender gets."""
    return {
        "val_loss": window.loss,
        "val_bpb": window.bits_per_byte(text.num_bytes),
        "val_loss_sliding": None if sliding is None else sliding.loss,
        "val_bpb_sliding": None if sliding is None else sliding.bits_per_byte(text.num_bytes),
        "context": context,
        "stride": sliding_stride(context),
        "predictions": window.predictions,
        "bytes": text.num_bytes,
    }


def judged_weights(result: TrainResult) -> dict[str, Any]:
    """Which weights are judged. The best ones were chosen by the very text they are judged by."""
    kept = result.weights
    if kept is None:
        return {"judged": "last", "step": result.steps}
    return {
        "judged": "last" if kept.step == kept.last_step else "best",
        "step": kept.step,
        "last_loss": kept.last_loss,
        "sentence": kept.sentence,
    }


def reached(curve: list[dict[str, Any]], target: float | None) -> dict[str, Any] | None:
    """When a complete pass first came out at the target or below; None where none was asked."""
    if target is None:
        return None
    for row in curve:
        if row["complete"] and row["loss"] <= target:
            return {"loss": target, "seconds": row["seconds"], "step": row["step"]}
    return {"loss": target, "seconds": None, "step": None}


class _Watch:
    """What the loop calls between steps: an estimate from a few windows, in the precision the
    model trains in; near the target a complete pass, until one has reached it."""

    def __init__(self, text: TokenText, *, context: int, budget: Budget) -> None:
        self._text, self._context, self._target = text, context, budget.target
        self._ratio, self._is_measured, self._is_reached = 1.0, False, False

    def __call__(self, model: Any, step: int) -> Mapping[str, Any]:
        estimate = self._pass(model, SAMPLE_WINDOWS).loss
        margin = _NEAR if self._is_measured else _NEAR_AT_FIRST
        if (
            self._target is None
            or self._is_reached
            or estimate * self._ratio > margin * self._target
        ):
            return {"loss": estimate * self._ratio, "complete": False, "split": "validation"}
        complete = self._pass(model, None)
        self._ratio, self._is_measured = complete.loss / estimate, True
        self._is_reached = complete.loss <= self._target
        return {
            "loss": complete.loss,
            "bits_per_byte": complete.bits_per_byte(self._text.num_bytes),
            "complete": True,
            "split": "validation",
        }

    def judge(self) -> Judge:
        """A complete pass, as at the end."""
        from homespun.training import Judge

        def complete(model: Any, step: int) -> Mapping[str, Any]:
            with _exact(model):
                return {"loss": self._pass(model, None).loss}

        windows = len(self._text.held_out) / self._context
        return Judge(complete, 2 * max(1.0, windows / SAMPLE_WINDOWS))  # in float32

    def _pass(self, model: Any, max_windows: int | None) -> ValidationPass:
        return validation_pass(
            decoder_score(model),
            self._text.held_out,
            context=self._context,
            max_windows=max_windows,
        )


@contextmanager
def _exact(model: Any) -> Iterator[None]:
    import torch

    from homespun.evaluation.bits_per_byte import evaluating

    with evaluating(model, dtype=torch.float32):
        yield


def as_stream(ids: NDArray[Any]) -> NDArray[Any]:
    """Ids as small as they fit, for the training loop's slices."""
    return ids.astype(np.uint16 if int(ids.max()) < 1 << 16 else np.uint32)
