"""`homespun continue`: a finished model reads on, in new text, and is asked what it forgot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.core import (
    ConfigError,
    Document,
    Progress,
    RunDirectory,
    Silent,
    WorkClock,
    derive_seed,
    parse_config,
)
from homespun.core.files import read_json, write_json
from homespun.recipes import texts
from homespun.recipes.extend import lineage
from homespun.recipes.extend.compare import (
    Difference,
    compare,
    held_out_pieces,
    in_numbers,
    score,
)
from homespun.recipes.extend.further import (
    Budget,
    Part,
    check_budget,
    ensure_further,
    ensure_plan,
    num_tokens,
    readings_of_old_text,
    replay_sizes,
    start_model,
)
from homespun.recipes.judge import ensure_report
from homespun.recipes.pipeline import default_name, source_name, undone_if_nothing
from homespun.recipes.plan import read_plan, regularised_text
from homespun.recipes.prior.kept import counted_text, ensure_prior, own_blocks, text_blocks
from homespun.recipes.process import prepare_process
from homespun.recipes.timing import Timings
from homespun.recipes.together import Helpers, check_strategy, led

if TYPE_CHECKING:
    from homespun.training.distributed import World

REPLAY = 0.25
REWARM = 1.0  # learnt more for what it forgot than a half or a quarter, see LOG.md
MAX_REPLAY = 0.9


def continue_run(  # noqa: PLR0913 - the command, as one call
    parent: Path | str,
    source: str | Path,
    *,
    minutes: float | None = None,
    steps: int | None = None,
    replay: float = REPLAY,
    rewarm: float = REWARM,
    name: str | None = None,
    strategy: str | None = None,
    progress: Progress | None = None,
) -> RunDirectory:
    """Train a finished run's model further on new text, in a new run beside it.

    The new text is cleaned by the rules of the parent's corpus, with what the parent has read
    counted as seen; it is encoded by the parent's tokenizer. A share of the rows of every batch is
    old text. Killed, the same call goes on.

    Args:
        parent: the finished run.
        source: the new text: a folder, a file or a named corpus.
        minutes: of everything; 5 where steps are not given either.
        steps: of training, in place of minutes.
        replay: share of rows that are old text; 0 for none.
        rewarm: peak learning rate, as a share of the parent's.
        name: of the new run; by default after both.
        strategy: under torchrun, how the model is spread over the processes, see `ParallelConfig`.
        progress: who is told.

    Returns:
        the new run; `change.json` in it says what was gained and what was forgotten.

    Raises:
        ConfigError, DataError, BudgetError, RunError: as their messages say.
    """
    prepare_process()
    budget = check_budget(minutes, steps, rewarm)
    if not 0 <= replay <= MAX_REPLAY:
        raise ConfigError(
            f"replay is the share of old text, 0 to {MAX_REPLAY:g}",
            got=replay,
            remedy="give --replay such a number; 0.25 is a good one",
        )
    place = source_name(source)
    settings = {"source": place, "replay": replay, "rewarm": rewarm}

    def work(world: World | None) -> str:
        say = progress or Silent()
        check_strategy(strategy)
        old = RunDirectory.open(parent)
        record = lineage.describe_parent(old, kind="continue", settings=settings)
        asked = {"command": "continue", "parent": record.run, "minutes": minutes, "steps": steps}
        path = old.path.parent / (name or f"{record.run}+{default_name(place)}")
        is_new = not (path / "run.json").exists()
        run = lineage.begin_child(
            path, old, record, asked={**asked, **settings}, seed=old.record().seed
        )
        with run.locked() as clock:
            if lineage.change_path(run).is_file():
                ensure_prior(run, read_plan(run), progress=say)  # if it was lost
                say.say(f"{run.path} is finished; choose another --name to go on once more")
                return str(run.path)
            with undone_if_nothing(run, is_new):
                _ensure_new_corpus(run, old, place, progress=say)
                held_out_pieces(run.corpus)  # of a single document none is held out
            helpers = Helpers(world, strategy)
            _continue(run, old, budget, replay=replay, helpers=helpers, clock=clock, progress=say)
        return str(run.path)

    return RunDirectory.open(led(work))


def _continue(
    run: RunDirectory,
    old: RunDirectory,
    budget: Budget,
    *,
    replay: float,
    helpers: Helpers,
    clock: WorkClock,
    progress: Progress,
) -> None:
    """Everything after the corpus; what is done already is passed over."""
    from homespun.models import DecoderConfig
    from homespun.training import load_weights

    timings = Timings(run.path / "timings.json", clock)
    timings.mark("corpus", start=0.0)
    with timings.stage("tokenizer"):
        lineage.take_tokenizer(old, run)
        lineage.take_replay(old, run)
        tokenizer = texts.ensure_tokenizer(run, progress=progress, kind=_kind(run))
        texts.ensure_shards(run, tokenizer, progress=progress)
    shape = DecoderConfig(**read_plan(old).model)
    lineage.write_start(run, load_weights(old.stage("pretrain")), {"from": str(old.path)})
    pieces = _pieces(run)
    with timings.stage("measure"):
        began = clock.seconds()
        before_path = run.path / "before.json"
        if not before_path.is_file():
            task = progress.task("measuring before")
            write_json(before_path, score(start_model(run, shape, table_of=old), tokenizer, pieces))
            task.finish()
        reserve = 2.0 + 1.5 * (clock.seconds() - began)
    with timings.stage("table"):
        # Of the old text and the new: so the table forgets nothing, and knows of both.
        ensure_prior(run, read_plan(old), progress=progress)
    parts = text_parts(run, old, replay=replay)
    plan = ensure_plan(run, old, shape, budget, reserve=reserve, clock=clock, parts=parts)
    if sentence := regularised_text(plan):
        progress.say(sentence)
    with timings.stage("pretrain"):
        source = mixed_rows(run, replay=replay)
        done = ensure_further(
            run,
            source,
            rewarm=budget.rewarm,
            replay=replay,
            clock=clock,
            progress=progress,
            helpers=helpers,
        )
    with timings.stage("evaluate"):
        from homespun.recipes.weights import load_model

        after = score(load_model(run, "pretrain"), tokenizer, pieces)
        changes = compare(read_json(before_path), after, seed=run.record().seed)
        lineage.write_change(
            run,
            changes,
            what_happened(changes, replay=replay),
            result={key: done["result"][key] for key in ("steps", "tokens", "seconds")},
        )
    timings.mark("report")
    ensure_report(run, again=True)


def text_parts(run: RunDirectory, old: RunDirectory, *, replay: float) -> list[Part]:
    """The texts that `mixed_rows` deals rows of: the new one and, where a share of the rows is of
    it, that of all runs before, with what these have read of it."""
    parts = [Part(1 - replay, num_tokens(run.shards))]
    if replay:
        unique = sum(replay_sizes(run).values())
        parts.append(Part(replay, unique, readings_of_old_text(run, old)))
    return parts


def mixed_rows(run: RunDirectory, *, replay: float) -> Any:
    """Rows of the run's own text, with a share `replay` of those in its folder `replay/`."""
    from homespun.corpus import open_split, verify_shards
    from homespun.training import MixedBatches, TokenBatches

    plan = read_plan(run)
    context, seed = plan.model["context"], run.record().seed
    blocks, own = None, own_blocks(run, plan)
    if own is not None:
        blocks = text_blocks(counted_text(run), plan.prior_blocks)
    verify_shards(run.shards)
    tokens: Any = open_split(run.shards, "train")
    if not replay:
        return TokenBatches(
            tokens,
            context=context,
            rows=plan.rows,
            seed=derive_seed(seed, "new text"),
            blocks=own,
        )
    folders = [folder / "shards" for folder in lineage.replay_folders(run)]
    for folder in folders:
        verify_shards(folder)
    parts: list[Any] = [open_split(folder, "train") for folder in folders]
    before: Any = parts[0] if len(parts) == 1 else _joined(parts)
    return MixedBatches(
        [
            TokenBatches(
                part,
                context=context,
                rows=1,
                seed=derive_seed(seed, name),
                blocks=of_part,
            )
            for part, name, of_part in (
                (tokens, "new text", own),
                (before, "old text", blocks),  # the old comes first in what is counted
            )
        ],
        shares=[1 - replay, replay],
        rows=plan.rows,
    )


def _joined(parts: list[Any]) -> Any:
    from homespun.corpus.token_view import TokenView

    return TokenView(parts)


def what_happened(changes: Mapping[str, Difference], *, replay: float) -> list[str]:
    """What was gained, what was forgotten, and how sure that is."""
    new, old = changes["new"], changes["old"]
    gained = {
        "better": "The model learnt from the new text",
        "worse": "The model became worse on the new text",
        "unclear": "The model learnt nothing from the new text that can be measured",
        "unknown": "On the new text",
    }[new.outcome]
    forgot = {
        "better": "It became better on the old text too",
        "worse": "It forgot some of the old text",
        "unclear": "It forgot nothing of the old text that can be measured",
        "unknown": "On the old text",
    }[old.outcome]
    found = [f"{gained}: {in_numbers(new)}.", f"{forgot}: {in_numbers(old)}."]
    if old.outcome == "worse" and new.outcome == "better":
        share = -old.difference / new.difference
        found.append(f"For each bit gained on the new text it lost {share:.2f} on the old.")
    if old.outcome == "worse":
        wanted = min(MAX_REPLAY, max(0.25, 2 * replay))
        more = "a smaller --rewarm" if replay >= 0.5 else f"--replay {wanted:g}"
        found.append(f"To forget less, continue from the same run with {more}.")
    return found


def _ensure_new_corpus(
    run: RunDirectory, old: RunDirectory, place: str, *, progress: Progress
) -> None:
    """The new text, cleaned as the parent's was; what the parent's runs have read is left out."""
    from homespun.corpus import CorpusConfig, build_corpus

    if (run.corpus / "card.json").is_file():
        return
    rules = read_json(old.corpus / "card.json").get("config", {})
    build_corpus(
        place,
        run.corpus,
        config=parse_config(CorpusConfig, rules, where=str(old.corpus / "card.json")),
        known=lambda: _read_before(old),
        progress=progress,
    )


def _read_before(old: RunDirectory) -> Iterator[Document]:
    """Every document of the parent and of the runs before it, held-out ones included."""
    from homespun.core import SPLITS
    from homespun.corpus import iter_documents

    for folder in (*lineage.replay_folders(old), old.path):
        for split in SPLITS:
            yield from iter_documents(folder / "corpus", split)


def _pieces(run: RunDirectory) -> dict[str, list[str]]:
    """Held-out text: new, and old in equal parts of the runs before."""
    old = [held_out_pieces(folder / "corpus") for folder in lineage.replay_folders(run)]
    share = len(old)
    return {
        "old": [piece for pieces in old for piece in pieces[::share]],
        "new": held_out_pieces(run.corpus),
    }


def _kind(run: RunDirectory) -> texts.TokenizerKind:
    kind: texts.TokenizerKind = read_json(run.path / "tokenizer_stats.json")["config"]["kind"]
    return kind
