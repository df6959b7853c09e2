"""What the ways to extend a model share: a new run whose model begins as the old one, changed.

An `Extension` says how shape, weights and perhaps the tokenizer change, and how the change is
measured; `extend_run` does the rest: the run's folder, texts, weights to start from, training, and
the comparison of before, at the start and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from homespun.core import Progress, RunDirectory, Silent, Tokenizer, WorkClock, derive_seed
from homespun.core.files import read_json, write_json
from homespun.recipes import texts
from homespun.recipes.extend import lineage
from homespun.recipes.extend.compare import Difference, Scores, compare, held_out_pieces, score
from homespun.recipes.extend.further import (
    Budget,
    Part,
    check_budget,
    ensure_further,
    ensure_plan,
    num_tokens,
    readings_until,
    start_model,
)
from homespun.recipes.judge import ensure_report
from homespun.recipes.plan import read_plan, regularised_text
from homespun.recipes.prior.kept import own_blocks
from homespun.recipes.process import prepare_process
from homespun.recipes.timing import Timings
from homespun.recipes.together import Helpers, check_strategy, led

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models import Decoder, DecoderConfig
    from homespun.training.distributed import World


class Extension(Protocol):
    """One way to extend a model."""

    kind: lineage.Kind

    def settings(self) -> dict[str, Any]:
        """What was asked, JSON values; part of run.json."""
        ...

    def check(self, old: RunDirectory, shape: DecoderConfig) -> None:
        """Raise ConfigError for what cannot be done, before anything is written."""
        ...

    def take_texts(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        """Put corpus, tokenizer and shards into the new run."""
        ...

    def take_table(self, old: RunDirectory, run: RunDirectory, *, progress: Progress) -> None:
        """Put an n-gram table into the new run, where the old model has one, unless it is there."""
        ...

    def shape(self, run: RunDirectory, shape: DecoderConfig) -> DecoderConfig:
        """The new model's shape; the run's texts are there."""
        ...

    def weights(
        self,
        run: RunDirectory,
        old: RunDirectory,
        tensors: Mapping[str, Tensor],
        shapes: tuple[DecoderConfig, DecoderConfig],
    ) -> dict[str, Tensor]:
        """The new model's first weights, from those of the old one."""
        ...

    def score(self, model: Decoder, tokenizer: Tokenizer, run: RunDirectory) -> Scores:
        """Held-out text as the model predicts it."""
        ...

    def sentences(
        self, at_start: Mapping[str, Difference], after: Mapping[str, Difference]
    ) -> list[str]:
        """What came of it."""
        ...


def extend_run(
    parent: Path | str,
    extension: Extension,
    *,
    minutes: float | None,
    steps: int | None,
    rewarm: float,
    name: str,
    strategy: str | None = None,
    progress: Progress | None = None,
) -> RunDirectory:
    """Make the new run `name` beside its parent, or go on with it; returns it.

    Args:
        strategy: under torchrun, how the model is spread over the processes, see `ParallelConfig`.

    Raises:
        ConfigError, DataError, RunError: as their messages say.
    """
    budget = check_budget(minutes, steps, rewarm)
    prepare_process()

    def work(world: World | None) -> str:
        from homespun.models import DecoderConfig

        say = progress or Silent()
        check_strategy(strategy)
        old = RunDirectory.open(parent)
        record = lineage.describe_parent(old, kind=extension.kind, settings=extension.settings())
        extension.check(old, DecoderConfig(**read_plan(old).model))
        first = old.record()
        everything = {
            "command": f"extend {extension.kind}",
            "parent": record.run,
            "source": first.asked.get("source"),
            "minutes": minutes,
            "steps": steps,
            "rewarm": rewarm,
            **extension.settings(),
        }
        path = old.path.parent / name
        run = lineage.begin_child(path, old, record, asked=everything, seed=first.seed)
        with run.locked() as clock:
            if lineage.change_path(run).is_file():
                extension.take_table(old, run, progress=say)  # if it was lost
                say.say(f"{run.path} is finished; choose another --name to extend the model again")
                return str(run.path)
            helpers = Helpers(world, strategy)
            _extend(run, old, extension, budget, helpers=helpers, clock=clock, progress=say)
        return str(run.path)

    return RunDirectory.open(led(work))


def _extend(
    run: RunDirectory,
    old: RunDirectory,
    extension: Extension,
    budget: Budget,
    *,
    helpers: Helpers,
    clock: WorkClock,
    progress: Progress,
) -> None:
    from homespun.models import DecoderConfig
    from homespun.recipes.weights import load_model
    from homespun.training import load_weights

    timings = Timings(run.path / "timings.json", clock)
    with timings.stage("tokenizer"):
        extension.take_texts(old, run, progress=progress)
    tokenizer = texts.ensure_tokenizer(run, progress=progress, **kept_kind(run))
    before = DecoderConfig(**read_plan(old).model)
    after = extension.shape(run, before)
    extension.take_table(old, run, progress=progress)
    if not (run.stage("start") / "done.json").is_file():
        tensors = load_weights(old.stage("pretrain"))
        new = extension.weights(run, old, tensors, (before, after))
        lineage.write_start(run, new, {"from": str(old.path)})
    with timings.stage("measure"):
        began = clock.seconds()
        if not (run.path / "before.json").is_file():
            task = progress.task("measuring before")
            from homespun.tokenizer import load_tokenizer

            found = {
                "before": extension.score(
                    load_model(old, "pretrain"), load_tokenizer(old.path), run
                ),
                "start": extension.score(start_model(run, after, table_of=run), tokenizer, run),
            }
            write_json(run.path / "before.json", found)
            task.finish()
        reserve = 2.0 + (clock.seconds() - began)
    # What the parent has read counts: the model reads on in the same text.
    part = Part(1.0, num_tokens(run.shards), before=readings_until(old))
    plan = ensure_plan(run, old, after, budget, reserve=reserve, clock=clock, parts=[part])
    if sentence := regularised_text(plan):
        progress.say(sentence)
    with timings.stage("pretrain"):
        done = ensure_further(
            run,
            own_rows(run),
            rewarm=budget.rewarm,
            clock=clock,
            progress=progress,
            helpers=helpers,
        )
    with timings.stage("evaluate"):
        scores = read_json(run.path / "before.json")
        last = extension.score(load_model(run, "pretrain"), tokenizer, run)
        seed = run.record().seed
        at_start = compare(scores["before"], scores["start"], seed=seed)
        changes = compare(scores["before"], last, seed=seed)
        lineage.write_change(
            run,
            changes,
            extension.sentences(at_start, changes),
            result={key: done["result"][key] for key in ("steps", "tokens", "seconds")},
            at_start=at_start,
        )
    timings.mark("report")
    ensure_report(run, again=True)


def own_rows(run: RunDirectory) -> Any:
    """Rows of the run's training text, in an order of their own."""
    from homespun.corpus import open_split, verify_shards
    from homespun.training import TokenBatches

    plan = read_plan(run)
    verify_shards(run.shards)
    tokens: Any = open_split(run.shards, "train")
    return TokenBatches(
        tokens,
        context=plan.model["context"],
        rows=plan.rows,
        seed=derive_seed(run.record().seed, "extended"),
        blocks=own_blocks(run, plan),
    )


def link_texts(old: RunDirectory, run: RunDirectory, *, shards: bool = True) -> None:
    """Corpus, and tokenizer and shards where these stay as they are; what older runs have read
    comes along in `replay/`."""
    lineage.take_folder(old.corpus, run.corpus, last="card.json")
    if shards:
        lineage.take_tokenizer(old, run)
        lineage.take_folder(old.shards, run.shards, last="index.json")
        for folder in lineage.replay_folders(old):
            for part, last in (("corpus", "card.json"), ("shards", "index.json")):
                lineage.take_folder(
                    folder / part, run.path / "replay" / folder.name / part, last=last
                )


def score_validation(model: Decoder, tokenizer: Tokenizer, run: RunDirectory) -> Scores:
    """The run's validation text, by the convention of bits per byte."""
    return score(model, tokenizer, {"same": held_out_pieces(run.corpus)})


def kept_kind(run: RunDirectory) -> dict[str, Any]:
    """The kind of tokenizer the run has, so that no other is asked for."""
    return {"kind": read_json(run.path / "tokenizer_stats.json")["config"]["kind"]}
