"""One stage of a run at a time, as the commands do. Each takes the run's lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import Progress, RunDirectory, RunError, Silent
from homespun.core.files import read_json
from homespun.recipes import learn, texts
from homespun.recipes.judge import ensure_evaluation, ensure_report
from homespun.recipes.plan import (
    DEFAULT_PRESET,
    NO_OPTIONS,
    PlanOptions,
    check_not_begun,
    check_plan,
    check_settings,
    make_run_plan,
    read_changes,
    settle_changes,
)
from homespun.recipes.process import prepare_process
from homespun.recipes.together import Helpers, check_strategy, led
from homespun.recipes.weights import check_causal

if TYPE_CHECKING:
    from homespun.recipes.scale.shapes import Preset
    from homespun.training.distributed import World


def _open(run_dir: Path) -> RunDirectory:
    prepare_process()
    return RunDirectory.open(run_dir)


def _source(run: RunDirectory) -> str:
    return str(run.record().asked["source"])


def _need(run: RunDirectory, path: Path, command: str) -> None:
    if not path.is_file():
        needed = {"pretrain": "pretrained model", "tokenizer train": "tokenizer"}
        raise RunError(
            f"{run.path} has no {needed.get(command, path.name)} yet",
            remedy=f"run `homespun {command} {run.path}` first",
        )


def _need_corpus(run: RunDirectory) -> None:
    if not (run.corpus / "card.json").is_file():
        raise RunError(
            f"{run.path} has no corpus yet",
            remedy=f"run `homespun corpus build FOLDER --name {run.name}` first",
        )


def _not_a_child(run: RunDirectory) -> None:
    """Raises RunError for a run that goes on from another: its plan follows from its parent's."""
    if (run.path / "parent.json").is_file() and not (run.stage("pretrain") / "done.json").is_file():
        raise RunError(
            f"{run.path} goes on from another run",
            remedy="repeat the `homespun continue` or `homespun extend` command it was begun with",
        )


def _not_imported(run: RunDirectory) -> None:
    """Raises RunError for a model from elsewhere: its plan is the shape it came with, its tokenizer
    its own, and its chat template marks nothing to learn from."""
    if (run.path / "import.json").is_file():
        raise RunError(
            f"{run.path} was imported with its tokenizer and its weights, and is not trained here",
            remedy=f"write with it by `homespun generate {run.path}`, or train a model of your own "
            "text with `homespun spin FOLDER`",
        )


def build_corpus_stage(
    run_dir: Path,
    source: str,
    *,
    language: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Clean `source` into a new run; returns the data card. Of texts that turn out to be unusable
    nothing is left behind."""
    from homespun.recipes.pipeline import source_name, undone_if_nothing

    source = source_name(source)
    texts.corpus_config(language, seed)
    is_new = not (Path(run_dir) / "run.json").exists()
    run = RunDirectory.create(
        run_dir,
        asked={"command": "corpus build", "source": source, "language": language},
        seed=seed,
    )
    with run.locked(), undone_if_nothing(run, is_new):
        return texts.ensure_corpus(
            run, source, language=language, seed=seed, progress=progress or Silent()
        )


def prepare_corpus(
    source: str,
    *,
    name: str | None = None,
    runs: Path = Path("runs"),
    remedy: str = "choose another --name",
    progress: Progress,
) -> Path:
    """A run of `source` with its corpus built and its tokenizer trained, so that it can be planned.

    Args:
        name: of the run; None for one after the source.
        remedy: where there is a run of that name with another text.

    Returns:
        its folder, which a later call finds again and leaves as it is.

    Raises:
        RunError: there is a run of that name with another text.
    """
    from homespun.recipes.pipeline import default_name, source_name

    place = source_name(source)
    path = runs / (name or default_name(place))
    if (path / "run.json").is_file():
        texts.check_source(RunDirectory.open(path), place, remedy=remedy)
    if not (path / "corpus" / "card.json").is_file():
        build_corpus_stage(path, source, progress=progress)
    if not (path / "shards" / "index.json").is_file():
        train_tokenizer_stage(path, progress=progress)
    return path


def train_tokenizer_stage(
    run_dir: Path,
    *,
    kind: texts.TokenizerKind = "bpe",
    vocab_size: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train the tokenizer of a run and encode its corpus; returns tokenizer_stats.json."""
    run = _open(run_dir)
    _not_imported(run)
    _need_corpus(run)
    with run.locked():
        tokenizer = texts.ensure_tokenizer(
            run, kind=kind, vocab_size=vocab_size, progress=progress or Silent()
        )
        texts.ensure_shards(run, tokenizer, progress=progress or Silent())
        stats: dict[str, Any] = read_json(run.path / "tokenizer_stats.json")
        return stats


def plan_stage(  # noqa: PLR0913 - what a run is planned for
    run_dir: Path | Callable[[Progress], Path],
    *,
    minutes: float | None = None,
    steps: int | None = None,
    size: str | None = None,
    preset: Preset | None = None,
    settings_file: Path | None = None,
    strategy: str | None = None,
    options: PlanOptions = NO_OPTIONS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Choose shape and schedule for `minutes` of pretraining (or `steps`); returns plan.json.

    Args:
        run_dir: or what finds the run or makes it; of several processes the leader's is called.
        preset: "portable" or "fast"; None leaves the choice to the law.
        strategy: that several processes will train by; they measure together.
    """

    def work(world: World | None) -> dict[str, Any]:
        say = progress or Silent()
        check_strategy(strategy)
        run = _open(run_dir(say) if callable(run_dir) else run_dir)
        _not_imported(run)
        _need(run, run.tokenizer, "tokenizer train")
        _not_a_child(run)
        with run.locked():
            check_not_begun(run)
            return make_run_plan(
                run,
                seconds=_seconds(minutes),
                steps=steps,
                size=size,
                preset=preset or DEFAULT_PRESET,
                settings_file=settings_file,
                options=options,
                helpers=Helpers(world, strategy),
                progress=say,
            )

    prepare_process()
    return led(work)


def pretrain_stage(  # noqa: PLR0913 - what a run is planned for
    run_dir: Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    size: str | None = None,
    preset: Preset | None = None,
    objective: str | None = None,
    settings_file: Path | None = None,
    strategy: str | None = None,
    options: PlanOptions = NO_OPTIONS,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Pretrain by the run's plan, making one for `minutes` or `steps` where there is none.

    Under torchrun all processes train, spread by `strategy`, see `ParallelConfig`.

    Args:
        objective: "causal", "prefix" or "blank", see `learn.targets`; None as planned.
    """
    target = learn.check_objective(objective, preset, ramp=options.ramp)
    looks_back = target in (None, "causal")
    read_changes(options.changes)  # what is wrong is told before anything is done

    def work(world: World | None) -> dict[str, Any]:
        check_strategy(strategy)
        run, helpers = _open(run_dir), Helpers(world, strategy)
        _not_imported(run)
        _need_corpus(run)
        _not_a_child(run)
        say = progress or Silent()
        with run.locked() as clock:
            tokenizer = texts.ensure_tokenizer(run, progress=say, **_kept_settings(run))
            texts.ensure_shards(run, tokenizer, progress=say)
            if not run.plan.is_file():
                make_run_plan(
                    run,
                    seconds=_seconds(minutes),
                    steps=steps,
                    size=size,
                    preset=preset or (DEFAULT_PRESET if looks_back else "portable"),
                    settings_file=settings_file,
                    is_counted=True,
                    objective=target or "causal",
                    options=options,
                    helpers=helpers,
                    progress=say,
                )
            else:
                check_settings(run, settings_file)
                check_plan(
                    run,
                    seconds=_seconds(minutes),
                    steps=steps,
                    size=size,
                    preset=preset,
                    options=options,
                )
            settle_changes(run, options.changes)
            learn.settle_objective(run, target)
            return learn.ensure_pretrained(run, helpers=helpers, clock=clock, progress=say)

    prepare_process()
    return led(work)


def chat_stage(
    run_dir: Path,
    *,
    chat: Path | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    strategy: str | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fine-tune a pretrained run for chat; under torchrun as `pretrain_stage`."""

    def work(world: World | None) -> dict[str, Any]:
        check_strategy(strategy)
        run = _open(run_dir)
        _not_imported(run)
        _need(run, run.stage("pretrain") / "done.json", "pretrain")
        check_causal(run)
        say = progress or Silent()
        chat_file = texts.check_chat_file(chat)
        with run.locked() as clock:
            tokenizer = texts.ensure_tokenizer(run, progress=say, **_kept_settings(run))
            seed = run.record().seed
            learn.check_chat_budget(run, seconds=_seconds(minutes), steps=steps)
            texts.ensure_conversations(run, _source(run), chat_file, seed=seed, progress=say)
            return learn.ensure_chat(
                run,
                tokenizer,
                seconds=_seconds(minutes),
                steps=steps,
                helpers=Helpers(world, strategy),
                clock=clock,
                progress=say,
            )

    prepare_process()
    return led(work)


def evaluate_stage(
    run_dir: Path, *, seconds: float = 120.0, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure a trained run again; returns eval.json. A report there is is written anew."""
    run = _open(run_dir)
    _need(run, run.stage("pretrain") / "done.json", "pretrain")
    if not (run.corpus / "card.json").is_file():  # only a model that was imported has none
        raise RunError(
            f"{run.path} was imported without a text to measure its model on",
            remedy="import it once more, under another --name and with --text FOLDER",
        )
    say = progress or Silent()
    with run.locked():
        tokenizer = texts.ensure_tokenizer(run, progress=say, **_kept_settings(run))
        texts.ensure_baselines(run, tokenizer, progress=say)
        result = ensure_evaluation(run, seconds=seconds, again=True, progress=say)
        if run.report.is_file():
            ensure_report(run, again=True)
        return result


def report_stage(run_dir: Path) -> Path:
    """Write report.html from what the run has so far; returns its path."""
    run = _open(run_dir)
    run.record()
    with run.locked():
        return ensure_report(run, again=True)


def _kept_settings(run: RunDirectory) -> dict[str, Any]:
    """The kind of tokenizer a run already has, so that later stages do not ask for another."""
    stats = run.path / "tokenizer_stats.json"
    return {"kind": read_json(stats)["config"]["kind"]} if stats.is_file() else {}


def _seconds(minutes: float | None) -> float | None:
    return None if minutes is None else 60.0 * minutes
