"""What a pretrained decoder learns, by the plan's `objective`.

causal  every token from those before it
prefix  what follows a part of the row that is seen both ways (a prefix language model)
blank   pieces that were taken out, written behind what is left, which is seen both ways (GLM)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError, Objective, RunDirectory, RunError, did_you_mean
from homespun.core.files import write_json
from homespun.recipes.plan import TARGETS, RunPlan, Target, read_plan
from homespun.recipes.prior.kept import own_blocks

if TYPE_CHECKING:
    from homespun.recipes.scale.shapes import Preset
    from homespun.training import RampConfig

BLANK = "[BLANK]"
"""What a person writes where something is to be filled in."""
_HELD_OUT_TOKENS = 32_768


class Taught(NamedTuple):
    """Attributes:
    objective: turns a batch into a loss.
    source: batches of the training text.
    held_out: of the validation text, the first `num_held_out` of which are looked at.
    """

    objective: Objective
    source: Any
    held_out: Any
    num_held_out: int


def check_objective(
    objective: str | None, preset: Preset | None, *, ramp: object = None
) -> Target | None:
    """That objective. Raises ConfigError where there is none of that name, or the preset's models
    cannot learn it, or not by a ramp."""
    found = next((name for name in TARGETS if name == objective), None)
    if objective is not None and found is None:
        raise ConfigError(
            "there is no objective of that name",
            got=objective,
            remedy=did_you_mean(objective, list(TARGETS)),
        )
    if found not in (None, "causal") and preset == "fast":
        raise ConfigError(
            "models of the preset fast have parts that know the past alone",
            got=f"--objective {objective}",
            remedy="use --portable",
        )
    if found not in (None, "causal") and ramp is not None:
        raise ConfigError(
            "rows of a growing context are for causal models",
            got=f"--objective {objective}",
            remedy="plan without --ramp",
        )
    return found


def settle_objective(run: RunDirectory, objective: Target | None) -> None:
    """Put the objective into the plan, where pretraining has not begun.

    Raises:
        RunError: it has begun with another, or the plan's model has parts that know the past alone.
    """
    plan = read_plan(run)
    if objective is None or objective == plan.objective:
        return
    stage = run.stage("pretrain")
    begun = any((stage / name).is_file() for name in ("config.json", "done.json"))
    looks_back = plan.preset != "portable" or plan.prior_order > 0
    if begun or (objective != "causal" and looks_back):
        why = "was begun with" if begun else f"is planned as {plan.preset}, which goes with"
        raise RunError(
            f"{run.path} {why} --objective {plan.objective}",
            got=objective,
            remedy="leave --objective out, make a new run, or "
            f"{run.to_redo('plan')} and plan with --portable",
        )
    check_objective(objective, None, ramp=plan.ramp)
    # What was foretold is of telling every token from its past, and of the kernels for that.
    foretold = ("prediction", "other", "expected_seconds", "memory_bytes", "needed_bytes")
    changed = plan.model_copy(update={"objective": objective, **dict.fromkeys(foretold)})
    write_json(run.plan, changed.model_dump())


def blank_marks(tokenizer: Any) -> list[int]:
    """The control tokens that stand for the first, the second … piece of a row: those that plain
    text and chats have no use for."""
    from homespun.tokenizer.special import CLASSIFY, MASK, SEPARATOR, UNUSED

    return [int(tokenizer.special_ids[name]) for name in (MASK, SEPARATOR, CLASSIFY, UNUSED)]


def taught(
    run: RunDirectory, plan: RunPlan, tokens: Any, *, ramp: RampConfig | None, seed: int
) -> Taught:
    """Batches and objective of a plan.

    Args:
        tokens: of the training split.
        ramp: by which rows and context grow; only causal models have one.
        seed: of the rows' order and of what is drawn in them.
    """
    from homespun.corpus import open_split
    from homespun.tokenizer import load_tokenizer
    from homespun.training import CausalObjective, PrefixObjective, TokenBatches
    from homespun.training.data.denoising import InfillingBatches
    from homespun.training.data.prefixes import PrefixRows

    held_out: Any = open_split(run.shards, "validation")
    marks = [] if plan.objective != "blank" else blank_marks(load_tokenizer(run.path))
    context = int(plan.model["context"])
    length = context - 2 * len(marks)  # each mark stands twice in a row

    def rows(text: Any, row_seed: int, **more: Any) -> Any:
        source = TokenBatches(text, context=length, rows=plan.rows, seed=row_seed, **more)
        if plan.objective == "prefix":
            return PrefixRows(source, seed=row_seed)
        if plan.objective == "blank":
            end = load_tokenizer(run.path).end_of_text_id
            return InfillingBatches(source, context=context, marks=marks, end_id=end, seed=row_seed)
        return source

    if plan.objective == "causal":
        blocks = own_blocks(run, plan)
        if ramp is None:
            return Taught(CausalObjective(), rows(tokens, seed, blocks=blocks), None, 0)
        assert plan.ramp_steps is not None
        ramped = ramp.build(tokens, num_batches=plan.ramp_steps, seed=seed, blocks=blocks)
        return Taught(CausalObjective(), ramped, None, 0)
    num = 0
    if len(held_out) > length + 1:  # one more to tell, and one that closes the ring
        num = max(1, min(_HELD_OUT_TOKENS, len(held_out)) // (plan.rows * length))
    return Taught(PrefixObjective(), rows(tokens, seed), rows(held_out, 0) if num else None, num)
