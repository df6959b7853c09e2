"""plan.json: what a plan says, and reading it."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field

from homespun.core import Config, RunDirectory, RunError, parse_config
from homespun.core.files import read_json
from homespun.recipes.scale.shapes import Preset
from homespun.recipes.scale.tuned import TunedSettings
from homespun.scaling.choose import Calibration
from homespun.scaling.law import Prediction

FORMAT = 2
READ_FORMATS = (1, 2)  # 1 had no rates, no prediction, no memory


class PlanPrediction(Config):
    """Bits per byte of the validation text at the end, with a 95% interval, and what it rests on.

    Attributes:
        provisional: the law was fitted to a small sweep.
        runs_sha256: of the runs the law was fitted to.
        repetition: of the text, by which the law was chosen; None in plans of before.
        beyond: operations of the run, in those of the law's largest; 1 where it is no larger.
        calibration: what a short training said of this text, None where there was no time for it.
    """

    bits_per_byte: float
    low: float
    high: float
    provisional: bool
    runs_sha256: str
    repetition: float | None = None
    beyond: float = 1.0
    calibration: Calibration | None


BITS_OF_CHANCE = 8.0  # a byte, where all are held equally likely


# Of documentation by 3.4%: 1.394 and 1.348 bits per byte of the same model (LOG.md).
SIDE_BY_SIDE = (
    "the figure is of held-out text in windows side by side, as looks during training have it; the "
    "evaluation lets each token see more of what stands before it, and comes to some percent less"
)


def is_told(prediction: Prediction) -> bool:
    """Whether a figure is foretold at all: what bytes by chance keep is none."""
    return prediction.loss < BITS_OF_CHANCE


def reach_text(told: Prediction) -> str:
    """What a model should reach, in bits per byte and in words. A bound that bytes by chance keep
    is no bound."""
    if not is_told(told):
        return "so short a training cannot be foretold: it may learn next to nothing"
    if told.high >= BITS_OF_CHANCE:
        return (
            f"it should reach {told.loss:.3f} bits per byte, {told.low:.3f} at best; so short a "
            "training cannot be foretold closely"
        )
    return f"it should reach {told.loss:.3f} bits per byte ({told.low:.3f} to {told.high:.3f})"


class OtherPreset(Config):
    """What the preset that the plan does not take was foretold to reach in the same time, by its
    law and the same pilot, at a speed that was guessed from the other's where it is the fast one.
    """

    preset: Preset
    size: str
    bits_per_byte: float

    def in_words(self, taken: str, bits_per_byte: float) -> str:
        """A sentence that says what `taken` costs or gains."""
        why = "which other tools can read" if taken == "portable" else "which only Homespun reads"
        if max(bits_per_byte, self.bits_per_byte) >= BITS_OF_CHANCE:
            return (
                f"{taken}, {why}, is taken; so short a training cannot be foretold of both presets"
            )
        percent = 100 * (bits_per_byte / self.bits_per_byte - 1)
        state = "above" if percent > 0 else "below"
        return (
            f"{taken}, {why}, is foretold {bits_per_byte:.3f} bits per byte, {abs(percent):.1f}% "
            f"{state} the {self.bits_per_byte:.3f} of {self.preset}"
        )


Target = Literal["causal", "prefix", "blank"]
TARGETS: tuple[Target, ...] = get_args(Target)


class RunPlan(Config):
    """plan.json. `seconds` or `num_steps`, or both, limit pretraining; the rest follows from them.

    Attributes:
        asked: what the plan was made for.
        size, parameters: width and layers, or the named size asked for, and its count.
        model: a `DecoderConfig`.
        rows: of `model.context` tokens, a step.
        seconds: of pretraining at most, None where steps were asked for.
        num_steps: of pretraining at most, None where the text is too long to be read often enough
            in `seconds`. Where both are given, whichever comes first ends pretraining.
        expected_seconds: of pretraining, less than `seconds` where the text is read often enough
            before; None where steps were asked for.
        expected_tokens, expected_epochs: what pretraining will read. read_before: readings of the
            same text by the runs this one goes on from. replay_read: the same of the texts in
            `replay/`, taken together; replay_share: of the rows, that are of them.
        speeds: what was measured.
        reason: why this size, in words.
        compute_dtype: of activations and products.
        kernels: that train, "native" (compiled for this machine) or "torch"; the last bits of the
            result depend on it.
        threads: that train; the last bits of the result depend on it too.
        preset: whose parts the model has and whose settings it is trained with.
        prior_order: longest n-gram of the table beside the model, 0 for none; `model.ngram_prior`
            says the same. prior_copies: whether it looks at its context. prior_blocks: parts of
            the text, each trained on with its own counts left out.
        learning_rate, matrix_learning_rate, warmup, weight_decay: by `scaling.rules` or a search;
            None, as in plans of format 1, leaves them to `learn`.
        objective: what the model learns, see `learn.targets`.
        tuned: settings of a search that the plan took over; None for none.
        prediction: of the loss. other: what the preset not taken would come to.
        memory_bytes: at the most, of a process that has planned before it trains. needed_bytes: of
            one that trains alone. disk_bytes: of checkpoints.
        parts: that the rows of a step are cut into and learned from one after another, so that they
            fit into memory; the step is the same. memory_note: what the memory there is changed,
            in words; empty where it changed nothing.
        ramp: a `RampConfig`, by which rows and context grow; `rows` are of its largest batch then.
        ramp_steps: that the ramp's shares are of; its last part goes on beyond them.
        regularised_for: readings of the text that dropout and weight decay were chosen for; None
            where they were not.
        stop_early: whether pretraining ends where the held-out loss has turned.
        changes: settings of the training in place of these and the rules', by section; see
            `plan.changes`.
    """

    format: int = FORMAT
    asked: dict[str, Any]
    size: str
    parameters: int
    model: dict[str, Any]
    rows: int
    seconds: float | None
    num_steps: int | None
    expected_seconds: float | None = None
    expected_tokens: int
    expected_epochs: float
    read_before: float = 0.0
    replay_read: float = 0.0
    replay_share: float = 0.0
    speeds: list[dict[str, Any]]
    reason: str
    compute_dtype: str
    kernels: Literal["torch", "native"] = "torch"  # in plans of before there was a choice
    threads: int
    preset: Preset = "portable"
    prior_order: int = 0
    prior_blocks: int = 8
    prior_copies: bool = False
    learning_rate: float | None = None
    matrix_learning_rate: float | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    objective: Target = "causal"
    tuned: TunedSettings | None = None
    prediction: PlanPrediction | None = None
    other: OtherPreset | None = None
    memory_bytes: int | None = None
    needed_bytes: int | None = None
    disk_bytes: int | None = None
    parts: int = 1
    memory_note: str = ""
    ramp: dict[str, Any] | None = None
    ramp_steps: int | None = None
    regularised_for: float | None = None
    stop_early: bool = False
    changes: dict[str, dict[str, Any]] = Field(default_factory=dict)


def read_plan(run: RunDirectory) -> RunPlan:
    """Raises DataError, ConfigError or RunError where plan.json is damaged or of a later format."""
    value = read_json(run.plan)
    if not isinstance(value, dict):
        raise RunError(f"{run.plan} is not a plan", remedy="restore it from a copy")
    if value.get("format") not in READ_FORMATS:
        raise RunError(
            f"{run.plan} is of format {value.get('format')} and this version reads up to {FORMAT}",
            remedy="use the version that wrote it",
        )
    return parse_config(RunPlan, value, where=str(run.plan))


def regularised_text(plan: RunPlan) -> str:
    """What it was regularised by, in words; empty where it was not."""
    if plan.regularised_for is None:
        return ""
    decay = "" if plan.weight_decay is None else f", weight decay {plan.weight_decay:.2g}"
    return (
        f"regularised for {plan.regularised_for:.1f} readings of the text: "
        f"dropout {plan.model['dropout']:.2g}{decay}"
    )
