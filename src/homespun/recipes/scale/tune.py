"""A search over rates, shape and regularisation within a budget of minutes, by Optuna.

Trials are drawn by its TPE sampler and stopped early by successive halving (Li et al. 2018, arXiv
1810.05934): each trial reports its validation loss at nine points of its length, and of those that
reached points 1 and 3 the better third goes on, and the rules' own trial in any case. All trials
make the same number of operations, so shapes are compared at equal cost. Models of the preset fast
stand beside an n-gram table of the text, counted once a call. Everything is in `tune/journal.log`
(JSON lines) of the run's folder; a killed search goes on, its unfinished trial counts as failed.
"""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import (
    DivergedError,
    Progress,
    RunDirectory,
    RunError,
    Silent,
    WorkClock,
    derive_seed,
)
from homespun.core.files import cut_torn_line, write_json
from homespun.core.machine import num_cores
from homespun.recipes.measure import TextBeside, best_dtype_name, best_kernels
from homespun.recipes.process import prepare_process
from homespun.recipes.scale.aim import (
    POINTS,
    REDUCTION,
    Aim,
    count_beside,
    known_aim,
    new_aim,
    timed_aim,
)
from homespun.recipes.scale.options import VALIDATION_TOKENS, bytes_per_token
from homespun.recipes.scale.shapes import PRESET, Preset, shape_name, size_of
from homespun.recipes.scale.tuned import TunedSettings
from homespun.scaling.rules import (
    DECAY_SHARE,
    WEIGHT_DECAY,
    layers_for,
    optimizer_settings,
    settings_for,
    warmup_for,
)

if TYPE_CHECKING:
    import optuna

    from homespun.models import DecoderConfig

BASE_WIDTH = 96
# The best of many trials is lucky as well: it must be ahead of the rules by more than two seeds of
# one setting commonly differ. LOG.md: 0.2, 0.5 and 1.1% in runs of 300 steps ("Muon by a rational
# function"); beside a table 0.5 to 1% ("Fast 64x3 on novels").
LUCK: dict[Preset, float] = {"portable": 0.005, "fast": 0.01}
WARMUPS = (0.002, 0.1)
_RULES = "by the rules"


def tune(
    run_dir: Path,
    *,
    minutes: float,
    trials: int | None = None,
    width: int | None = None,
    preset: Preset | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Search for `minutes`, or for so many `trials` if that is sooner; returns tune/result.json.

    Args:
        run_dir: a run with tokenizer and shards.
        minutes: of work in this call; another call adds to what is known. The trial of the plans'
            own rules goes to its end, whatever the time and the others.
        trials: in all, with those of earlier calls; None for no limit.
        width: in the middle of the shapes tried; None for that of the search that is there, or
            `BASE_WIDTH`.
        preset: of the models tried; None for that of the search that is there, or portable.
        progress: who is told how far it is.

    Raises:
        RunError, DataError: as their messages say. BudgetError: the disk is full. ConfigError: the
            search that is there is of another width, preset or vocabulary.
    """
    prepare_process()  # before torch is loaded
    import torch

    from homespun.training import set_threads

    say = progress or Silent()
    run = RunDirectory.open(run_dir)
    set_threads(min(torch.get_num_threads(), num_cores()))
    if not (run.shards / "index.json").is_file():
        raise RunError(
            f"{run.path} has no text in tokens to try models on",
            remedy=f"run `homespun tokenizer train {run.path}` first",
        )
    with run.locked() as clock:
        until = clock.seconds() + 60 * minutes
        aim = known_aim(run, width=width, preset=preset) or new_aim(
            run, width=width or BASE_WIDTH, preset=preset or PRESET
        )
        beside = count_beside(run, aim.preset, context=aim.context)
        if not aim.tokens:
            aim = timed_aim(run, aim, seconds=60 * minutes, beside=beside)
        say.say(
            f"the models tried are of the preset {aim.preset}, around a width of {aim.width}; each "
            f"reads about {aim.tokens:,} tokens, unless it is stopped"
        )
        study = open_study(run.path / "tune", seed=run.record().seed)
        if not _by_the_rules(study):
            study.enqueue_trial(rules_trial(aim), user_attrs={_RULES: True})
        task = say.task("tune", 60 * minutes, "s")
        try:
            while clock.seconds() < until:
                if trials is not None and _num_finished(study) >= trials:
                    break
                began = clock.seconds()
                study.optimize(
                    lambda trial: objective(run, trial, aim, clock, until, beside), n_trials=1
                )
                last = study.get_trials(deepcopy=False)[-1]
                note = f"{last.state.name.lower()} {last.value}"
                task.advance(clock.seconds() - began, note=note)
            task.finish()
        finally:
            # Also where somebody stops it: what was found is not lost.
            result = describe(study, aim)
            write_json(run.path / "tune" / "result.json", result)
            write_json(run.path / "tune" / "best.json", result["best"])
    return result


def _num_finished(study: optuna.Study) -> int:
    """Trials that came to an end of their own, the pruned ones included."""
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return len(study.get_trials(deepcopy=False, states=states))


def _by_the_rules(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials of the rules' own settings that came to their end, or will be made."""
    import optuna

    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.WAITING)
    trials = study.get_trials(deepcopy=False, states=states)
    return [trial for trial in trials if trial.user_attrs.get(_RULES)]


def open_study(folder: Path, *, seed: int) -> optuna.Study:
    """The search in `folder`, new or begun, which nobody else is at work on; trials that were under
    way when it died are failed, and what they left on the disk is removed."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("trial-*"):
        shutil.rmtree(left, ignore_errors=True)
    journal = folder / "journal.log"
    # Whoever held it is dead, since the run is ours. Its link leads nowhere where the folder was
    # given from elsewhere, and Optuna waits for such a lock without end.
    journal.with_name("journal.log.lock").unlink(missing_ok=True)
    cut_torn_line(journal)  # what is added to half a line makes the whole search unreadable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(journal)))
        study = optuna.create_study(
            storage=storage,
            study_name="tune",
            direction="minimize",
            load_if_exists=True,
            pruner=optuna.pruners.SuccessiveHalvingPruner(
                min_resource=1, reduction_factor=REDUCTION
            ),
        )
    running = optuna.trial.TrialState.RUNNING
    for trial in study.get_trials(deepcopy=False, states=(running,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    # A new process must not draw again what an earlier one drew.
    seed = derive_seed(seed, "tune", len(study.get_trials(deepcopy=False))) % 2**31
    study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=6)
    return study


def rules_trial(aim: Aim) -> dict[str, float]:
    """Parameters of the trial that changes nothing, which every search begins with: what it finds
    is worth as much as it is ahead of that."""
    width = _near(aim.width)
    shape = aim.shape(width)
    tokens = aim.flops / size_of(shape).flops_per_token
    return {
        "width": width,
        "more_layers": 0,
        "rate_factor": 1.0,
        "matrix_rate_factor": 1.0,
        "weight_decay": WEIGHT_DECAY,
        "warmup": max(WARMUPS[0], warmup_for(size_of(shape).parameters, tokens)),
        "dropout": 0.0,
    }


def _near(width: float) -> int:
    """A width that heads and kernels like."""
    return max(16, round(width / 16) * 16)


def draw(trial: optuna.Trial, aim: Aim) -> tuple[DecoderConfig, TunedSettings, int]:
    """A shape, settings around the rules' own, and the tokens it reads."""
    widths = sorted({_near(aim.width * f) for f in (0.67, 0.83, 1.0, 1.25, 1.5)})
    width = trial.suggest_categorical("width", widths)
    layers = layers_for(width) + trial.suggest_int("more_layers", -1, 2)
    shape = aim.shape(width, max(1, layers))
    tokens = int(aim.flops / size_of(shape).flops_per_token)
    rules = settings_for(size_of(shape).parameters, tokens, context=aim.context, preset=aim.preset)
    rate = trial.suggest_float("rate_factor", 0.2, 5.0, log=True)
    matrix = trial.suggest_float("matrix_rate_factor", 0.2, 5.0, log=True)
    decay = trial.suggest_float("weight_decay", 0.01, 2.0, log=True)
    warmup = trial.suggest_float("warmup", *WARMUPS, log=True)
    dropout = trial.suggest_float("dropout", 0.0, 0.3)
    shape = shape.model_copy(update={"dropout": dropout})
    settings = TunedSettings(
        preset=aim.preset,
        size=shape_name(shape),
        learning_rate=rules.learning_rate * rate,
        matrix_learning_rate=rules.matrix_learning_rate * matrix,
        weight_decay=decay,
        warmup=warmup,
        dropout=dropout,
    )
    return shape, settings, tokens


def objective(
    run: RunDirectory,
    trial: optuna.Trial,
    aim: Aim,
    clock: WorkClock,
    until: float,
    beside: TextBeside | None = None,
) -> float:
    """Train one trial; bits per byte of held-out text.

    Args:
        beside: the table of a fast model; it is shared with the other trials and does not learn.

    Raises:
        TrialPruned: it is among the worse two thirds, did not stay finite, or the time is over.
    """
    import optuna
    import torch

    from homespun.corpus import open_split
    from homespun.evaluation import quick_validation
    from homespun.training import CausalObjective, TokenBatches, train

    shape, settings, tokens = draw(trial, aim)
    seed = derive_seed(run.record().seed, "tune")
    rules = settings_for(size_of(shape).parameters, tokens, context=aim.context, preset=aim.preset)
    text: Any = open_split(run.shards, "train")
    held_out: Any = open_split(run.shards, "validation")
    model = shape.build(torch.Generator().manual_seed(derive_seed(seed, "weights")))
    blocks = None
    if beside is not None:
        model.attach_prior(beside.prior)
        blocks = beside.blocks
    factor = 1 / math.log(2) / bytes_per_token(run)
    point = 0

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        nonlocal point
        point += 1
        bits = factor * quick_validation(
            model, held_out, context=aim.context, max_tokens=VALIDATION_TOKENS
        )
        if not math.isfinite(bits):  # it compares with nothing, and no file of results holds it
            raise optuna.TrialPruned
        trial.report(bits, point)
        is_beaten = trial.should_prune()  # asked for always: so the trial counts among the others
        is_late = clock.seconds() > until
        # The rules' own goes to its end: what all others are compared with is there at all then.
        if point < POINTS and (is_beaten or is_late) and not trial.user_attrs.get(_RULES):
            raise optuna.TrialPruned
        return {"bits_per_byte": bits, "split": "validation"}

    folder = run.path / "tune" / f"trial-{trial.number}"
    try:
        result = train(
            model,
            CausalObjective(),
            TokenBatches(text, context=aim.context, rows=rules.rows, seed=seed, blocks=blocks),
            config=trial_config(settings, rules.num_steps, rules.rows * aim.context, tokens),
            stage_dir=folder,
            clock=clock,
            evaluate=evaluate,
        )
    except DivergedError as error:  # a bad draw, not a bug
        raise optuna.TrialPruned from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return float(result.evaluation["bits_per_byte"])


def trial_config(settings: TunedSettings, num_steps: int, batch: int, tokens: int) -> Any:
    from homespun.training import (
        OptimizerConfig,
        ScheduleConfig,
        SpikeConfig,
        TrainConfig,
        beta2_for,
    )

    assert settings.learning_rate is not None
    assert settings.weight_decay is not None
    assert settings.warmup is not None
    return TrainConfig(
        num_steps=num_steps,
        optimizer=OptimizerConfig(
            **optimizer_settings(tied=False),
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate,
            beta2=beta2_for(batch, tokens),
            weight_decay=settings.weight_decay,
        ),
        schedule=ScheduleConfig(kind="wsd", warmup=settings.warmup, decay=DECAY_SHARE),
        compute_dtype=best_dtype_name(),
        kernels=best_kernels().name,
        eval_share=1 / POINTS,
        checkpoint_seconds=None,
        spikes=SpikeConfig(in_a_row=3, max_rewinds=0),  # a trial that fails is not nursed
        tensorboard=False,
    )


def describe(study: optuna.Study, aim: Aim) -> dict[str, Any]:
    """JSON values: the best settings, all trials, and which of them mattered.

    Where no trial is ahead of the rules' own by `LUCK`, the best settings change nothing;
    `gain_over_rules` is None where theirs did not come to its end. `luck` is of the preset.
    """
    import optuna

    done = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    ordered = sorted(done, key=_value)
    names: Callable[[Any], str] = lambda trial: trial.state.name.lower()  # noqa: E731
    importance: dict[str, float] = {}
    if len(done) >= 4 and len({trial.value for trial in done}) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # By name: what is taken where none is named changes between versions.
            importance = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
    rules = next((trial for trial in _by_the_rules(study) if trial.value is not None), None)
    gain = None if rules is None else 1 - _value(ordered[0]) / _value(rules)
    luck = LUCK[aim.preset]
    is_luck = gain is not None and gain < luck
    taken = None if is_luck else next(iter(ordered), None)
    best = TunedSettings() if taken is None else found_settings(taken.params, aim.preset)
    return {
        "format": 1,
        "aim": aim.model_dump(),
        "best": best.model_dump(),
        "gain_over_rules": None if gain is None else round(gain, 5),
        "is_luck": is_luck,
        "luck": luck,
        "best_bits_per_byte": ordered[0].value if ordered else None,
        "importance": {name: round(value, 4) for name, value in importance.items()},
        "trials": [
            {
                "number": trial.number,
                "state": names(trial),
                "points": len(trial.intermediate_values),
                "bits_per_byte": trial.value
                if trial.value is not None
                else min(filter(math.isfinite, trial.intermediate_values.values()), default=None),
                "parameters": trial.params,
            }
            for trial in study.get_trials(deepcopy=False)
        ],
    }


def found_settings(params: Mapping[str, Any], preset: Preset) -> TunedSettings:
    """What a plan for another budget may take over of a trial; not its size, which the law chooses
    for that budget."""
    return TunedSettings(
        preset=preset,
        rate_factor=params["rate_factor"],
        matrix_rate_factor=params["matrix_rate_factor"],
        weight_decay=params["weight_decay"],
        warmup=params["warmup"],
        dropout=params["dropout"],
    )


def _value(trial: optuna.trial.FrozenTrial) -> float:
    return math.inf if trial.value is None else trial.value
