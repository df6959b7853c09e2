"""How a benchmark trains our model: one frozen object, and how the command line changes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from pydantic import Field

from homespun.core import Config, ConfigError, Progress, RunDirectory, Silent, parse_config
from homespun.recipes.plan import RunPlan, make_run_plan, read_plan
from homespun.recipes.plan.changes import put
from homespun.recipes.plan.checks import NO_OPTIONS
from homespun.recipes.scale.shapes import Preset, changes_for
from homespun.scaling.rules import MATRIX_RATES, optimizer_settings

if TYPE_CHECKING:
    from homespun.models import DecoderConfig
    from homespun.training import TrainConfig

SECTIONS = ("model", "optimizer", "schedule", "train")


class BenchRecipe(Config):
    """Settings of one training. The four sections are handed on as they are.

    Attributes:
        preset: parts of the model that "fast" adds and other tools have not; `model` wins.
        model: fields of `DecoderConfig`; the vocabulary is the text's.
        optimizer: fields of `OptimizerConfig`.
        schedule: fields of `ScheduleConfig`.
        train: other fields of `TrainConfig`; how long it runs is said elsewhere.
        rows: sequences of a batch.
        prior_order: longest n-gram of the table beside the model; 0 for no table.
        taught: share of the table's probabilities in what a model is taught (see
            `TaughtObjective`), which then has no table of its own; None for a table beside it.
        prior_copies: whether the table looks at what followed earlier in the context.
        prior_blocks: parts of the text that the table is counted without, one after another.
        compute_dtype: of activations and products; "auto" takes what this processor is fast in.
        threads: of torch; None leaves torch's choice.
    """

    preset: Literal["portable", "fast"] = "portable"
    model: dict[str, Any] = Field(default_factory=dict)
    optimizer: dict[str, Any] = Field(default_factory=dict)
    schedule: dict[str, Any] = Field(default_factory=dict)
    train: dict[str, Any] = Field(default_factory=dict)
    rows: int = Field(default=8, gt=0)
    prior_order: int = Field(default=0, ge=0, le=16)
    prior_copies: bool = False
    taught: float | None = Field(default=None, gt=0, le=1)
    prior_blocks: int = Field(default=8, gt=1, le=255)
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = Field(default=None, gt=0)

    def decoder(self, vocab_size: int) -> DecoderConfig:
        """The model for a text of `vocab_size` different tokens.

        Raises:
            ConfigError: a field of the section is unknown or wrong.
        """
        from homespun.models import DecoderConfig, preset_options

        parts = preset_options(self.preset, vocab_size)
        if self.taught is not None and not self.prior_order:
            raise ConfigError(
                "a model is taught by a table of counts and there is none",
                got=f"taught={self.taught:g}, prior_order=0",
                remedy="set prior_order=4 as well",
            )
        beside = {"ngram_prior": bool(self.prior_order) and self.taught is None}
        fields = {**parts, **self.model, **beside, "vocab_size": vocab_size}
        return parse_config(DecoderConfig, fields, where="the section model")

    def training(self, *, seconds: float | None, num_steps: int | None, seed: int) -> TrainConfig:
        """The loop's settings for this many seconds, steps, or what is reached first.

        Raises:
            ConfigError: a field of the sections is unknown or wrong.
        """
        from homespun.recipes.measure import best_kernels
        from homespun.training import OptimizerConfig, ScheduleConfig, TrainConfig

        fields: dict[str, Any] = {
            "compute_dtype": self.dtype_name(),
            "kernels": best_kernels().name,
            "checkpoint_seconds": None,
            "tensorboard": False,
            **self.train,
            "seconds": seconds,
            "num_steps": num_steps,
            "seed": seed,
            "optimizer": parse_config(
                OptimizerConfig, self.optimizer, where="the section optimizer"
            ),
            "schedule": parse_config(ScheduleConfig, self.schedule, where="the section schedule"),
        }
        return parse_config(TrainConfig, fields, where="the section train")

    def dtype_name(self) -> str:
        if self.compute_dtype != "auto":
            return self.compute_dtype
        from homespun.recipes.measure import best_dtype_name

        return best_dtype_name()


class StartingRecipe(BenchRecipe):
    """A first choice for some megabytes of text and minutes; see LOG.md for what was tried."""

    table_order: ClassVar[int] = 5
    table_matrix_rate: ClassVar[float] = MATRIX_RATES["fast"]

    model: dict[str, Any] = Field(
        default_factory=lambda: {
            "num_layers": 4,
            "width": 128,
            "num_heads": 4,
            "num_kv_heads": 4,
            "head_width": 32,
            "mlp_width": 352,
            "context": 256,
        }
    )
    optimizer: dict[str, Any] = Field(
        default_factory=lambda: {
            **optimizer_settings(tied=False),
            "learning_rate": 1e-2,
            "matrix_learning_rate": MATRIX_RATES["portable"],
            "beta2": 0.99,
            "weight_decay": 0.1,
        }
    )
    schedule: dict[str, Any] = Field(
        default_factory=lambda: {"kind": "wsd", "warmup": 0.02, "decay": 0.6}
    )

    @classmethod
    def from_preset(cls, name: str) -> Self:
        """The recipe with the parts of "portable", which exports to Hugging Face, or of "fast".

        Raises:
            ConfigError: there is no such preset.
        """
        from homespun.recipes.plan import check_preset

        check_preset(name)
        portable = cls()
        if name == "portable":
            return portable
        # Ungated: twice the width of the gated layer at four thirds of its weights.
        model = {**portable.model, "mlp_width": 4 * portable.model["width"], **changes_for("fast")}
        return portable.model_copy(
            update={
                "preset": "fast",
                "model": model,
                "optimizer": {
                    **portable.optimizer,
                    "matrix_learning_rate": cls.table_matrix_rate,
                },
                "prior_order": cls.table_order,
            }
        )


def planned_recipe(plan: RunPlan) -> BenchRecipe:
    """What `homespun pretrain` would train by this plan, as a recipe."""
    from homespun.recipes.learn.pretrain import pretrain_config

    config = pretrain_config(plan, seed=0)
    return BenchRecipe(
        preset=plan.preset,
        model={k: v for k, v in plan.model.items() if k not in ("vocab_size", "ngram_prior")},
        optimizer=config.optimizer.model_dump(),
        schedule=config.schedule.model_dump(),
        rows=plan.rows,
        prior_order=plan.prior_order,
        prior_blocks=plan.prior_blocks,
        prior_copies=plan.prior_copies,
        threads=plan.threads,
    )


def make_recipe(
    run: RunDirectory,
    *,
    seconds: float,
    size: str | None = None,
    preset: Preset,
    text_tokens: int | None = None,
    progress: Progress | None = None,
) -> tuple[BenchRecipe, RunPlan]:
    """Plan a run as `homespun pretrain` would, see `make_run_plan`, and read the plan as a recipe.

    Args:
        text_tokens: that will be read, where that is a part of the run's text; None for all.

    Raises:
        ConfigError: an unknown size or preset.
    """
    with run.locked():
        make_run_plan(
            run,
            seconds=seconds,
            size=size,
            preset=preset,
            options=NO_OPTIONS._replace(text_tokens=text_tokens),
            progress=progress or Silent(),
        )
    plan = read_plan(run)
    return planned_recipe(plan), plan


RecipeT = TypeVar("RecipeT", bound=BenchRecipe)


def override(recipe: RecipeT, settings: Iterable[str]) -> RecipeT:
    """`recipe` with settings written as `rows=16` or `optimizer.kinds.head.rate=0.1`.

    Values are read as JSON and, where they are none, as text.

    Raises:
        ConfigError: a setting is not key=value, or its key is unknown.
    """
    values = recipe.model_dump()
    for setting in settings:
        put(values, setting, sections=SECTIONS)
    return parse_config(type(recipe), values, where="--set")
