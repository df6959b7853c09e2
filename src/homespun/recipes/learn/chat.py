"""The chat fine-tune of a pretrained run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from homespun.core import (
    ChatTokens,
    Message,
    Progress,
    RunDirectory,
    RunError,
    Silent,
    Tokenizer,
    WorkClock,
    derive_seed,
)
from homespun.core.files import read_json, read_jsonl, write_json
from homespun.recipes.learn.pretrain import pretrain_config
from homespun.recipes.plan import RunPlan, read_plan
from homespun.recipes.scale.room import check_room
from homespun.recipes.together import ALONE, Helpers
from homespun.recipes.weights import load_model
from homespun.scaling.rules import MATRIX_RATES

if TYPE_CHECKING:
    from homespun.training import ChatBatches, TrainConfig

CHAT_RATE = 1.5e-2  # of tables and vectors at most; tiny models pretrain with higher ones
# A few hundred steps are all there is, and with a third of these rates most of it is not learnt
# (LOG.md). Beside a table too: what is noise there in pretraining is not in answers.
CHAT_MATRIX_RATE = MATRIX_RATES["portable"]
# Answers are learnt by heart from the fourth reading on, and the form has been learnt by then.
MAX_CHAT_EPOCHS = 4
DEFAULT_CHAT_EPOCHS = 3
# A few dozen conversations fill less than one step: their owner wants them learnt all the same.
MIN_CHAT_STEPS = 150
MIN_CHAT_SECONDS = 3.0


def ensure_chat(
    run: RunDirectory,
    tokenizer: Tokenizer,
    *,
    seconds: float | None = None,
    until: float | None = None,
    steps: int | None = None,
    clock: WorkClock,
    progress: Progress,
    helpers: Helpers = ALONE,
) -> dict[str, Any]:
    """Fine-tune the pretrained model on chat/train.jsonl; returns done.json.

    Without a limit the conversations are read three times.

    Args:
        seconds: of training; the conversations are read at most `MAX_CHAT_EPOCHS` times,
            or for `MIN_CHAT_STEPS` where that is more.
        until: in place of `seconds`, when to be done on the run's clock.
        steps: in place of both.
        helpers: who trains along.

    Raises:
        RunError: the stage began with weights that pretraining no longer ends with.
    """
    stage = run.stage("sft")
    _pin_base(run)
    if not (stage / "done.json").is_file():
        plan = read_plan(run)
        if not (stage / "config.json").is_file():
            check_room(run, plan)
        task = progress.task("reading conversations")
        source = _chat_batches(run, tokenizer, "train", seed=derive_seed(run.record().seed, "chat"))
        task.finish(f"{source.stats.conversations:,} conversations")
        if until is not None:  # what encoding took is counted in
            seconds = max(MIN_CHAT_SECONDS, until - clock.seconds())
        if steps is None:
            epochs = DEFAULT_CHAT_EPOCHS if seconds is None else MAX_CHAT_EPOCHS
            steps = max(MIN_CHAT_STEPS, epochs * source.rows_per_epoch // plan.rows)
        budget = _kept_budget(run, seconds, steps)
        helpers.call("chat", run.path, budget=budget)
        _fine_tune(
            run,
            tokenizer,
            source,
            budget=budget,
            clock=clock,
            progress=progress,
            helpers=helpers,
        )
    done: dict[str, Any] = read_json(stage / "done.json")
    return done


def help_with_chat(
    run: RunDirectory,
    *,
    budget: tuple[float | None, int | None],
    clock: WorkClock,
    helpers: Helpers,
) -> None:
    """What the other processes do while the leader fine-tunes."""
    from homespun.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(run.path)
    _fine_tune(
        run,
        tokenizer,
        _chat_batches(run, tokenizer, "train", seed=derive_seed(run.record().seed, "chat")),
        budget=budget,
        clock=clock,
        progress=Silent(),
        helpers=helpers,
    )


def _fine_tune(
    run: RunDirectory,
    tokenizer: Tokenizer,
    source: ChatBatches,
    *,
    budget: tuple[float | None, int | None],
    clock: WorkClock,
    progress: Progress,
    helpers: Helpers,
) -> None:
    from homespun.training import ChatObjective, Watch, set_threads, train

    plan = read_plan(run)
    set_threads(plan.threads)
    held_out = _chat_batches(run, tokenizer, "validation", seed=0)
    seconds, steps = budget
    train(
        load_model(run, "pretrain"),
        ChatObjective(),
        source,
        config=chat_config(plan, seconds=seconds, steps=steps, seed=run.record().seed),
        stage_dir=run.stage("sft"),
        clock=clock,
        evaluate=lambda model, step: _chat_loss(model, held_out),
        watch=Watch(leaked=leaked_share(run)),
        progress=progress,
        world=helpers.world,
        parallel=helpers.parallel(plan.parts),
    )


def _chat_batches(run: RunDirectory, tokenizer: Tokenizer, split: str, *, seed: int) -> ChatBatches:
    from homespun.training import ChatBatches

    plan = read_plan(run)
    return ChatBatches(
        encoded_conversations(run, tokenizer, split),
        context=plan.model["context"],
        rows=plan.rows,
        seed=seed,
    )


def chat_config(
    plan: RunPlan, *, seconds: float | None, steps: int | None, seed: int
) -> TrainConfig:
    from homespun.training import ScheduleConfig

    config = pretrain_config(plan, seed=derive_seed(seed, "chat"))
    optimizer = config.optimizer.model_copy(
        update={
            "learning_rate": min(CHAT_RATE, config.optimizer.learning_rate),
            "matrix_learning_rate": CHAT_MATRIX_RATE,
        }
    )
    return config.model_copy(
        update={
            "num_steps": steps,
            "seconds": seconds,
            "optimizer": optimizer,
            "schedule": ScheduleConfig(kind="linear", warmup=0.02),
            "eval_share": 0.2,
            "eval_cost": None,
            # Answers get better for longer than the loss of a few held-out ones shows.
            "best": None,
        }
    )


def leaked_share(run: RunDirectory) -> float:
    """Of the conversations that are held out, how many stand among those learned from too."""
    train, held_out = (
        [json.dumps(row["messages"]) for row in read_jsonl(run.path / "chat" / f"{split}.jsonl")]
        for split in ("train", "validation")
    )
    known = set(train)
    return sum(text in known for text in held_out) / max(1, len(held_out))


def encoded_conversations(
    run: RunDirectory, tokenizer: Tokenizer, split: str
) -> Iterator[ChatTokens]:
    """The conversations of chat/SPLIT.jsonl, one after another."""
    for row in read_jsonl(run.path / "chat" / f"{split}.jsonl"):
        messages = [Message(part["role"], part["content"]) for part in row["messages"]]
        yield tokenizer.encode_chat(messages)


def _chat_loss(model: Any, held_out: Any, *, max_batches: int = 8) -> Mapping[str, Any]:
    """Mean nats per answer token on held-out conversations."""
    from homespun.training import ChatObjective, held_out_loss

    return held_out_loss(model, ChatObjective(), islice(held_out.once(), max_batches))


def check_chat_budget(run: RunDirectory, *, seconds: float | None, steps: int | None) -> None:
    """Raises RunError where the chat fine-tune has begun with another budget than the one asked."""
    kept = run.stage("sft") / "config.json"
    if (seconds is None and steps is None) or not kept.is_file():
        return
    before = read_json(kept)["train"]
    if seconds is not None:
        option, same = "minutes", before["seconds"] == round(seconds, 1)
    else:  # a number of steps beside seconds is the cap on readings, which nobody asked for
        option, same = "steps", before["seconds"] is None and before["num_steps"] == steps
    if not same:
        raise RunError(
            f"the chat fine-tune of {run.path} was started with another number of {option}",
            remedy=f"leave --{option} out to continue it, or {run.to_redo('sft')}",
        )


def _pin_base(run: RunDirectory) -> None:
    """Note in sft/base.json which weights the fine-tune begins with, or check that it still does.

    Raises:
        RunError: pretraining was done again since.
    """
    from homespun.training import read_done

    path = run.stage("sft") / "base.json"
    done = read_done(run.stage("pretrain"))
    if done is None:
        raise RunError(
            f"{run.path} has not been pretrained", remedy=f"run `homespun pretrain {run.path}`"
        )
    if not path.is_file():
        write_json(path, {"stage": "pretrain", "weights_sha256": done.weights_sha256})
    elif read_json(path).get("weights_sha256") != done.weights_sha256:
        raise RunError(
            f"the chat fine-tune of {run.path} began with other weights than pretraining now has",
            remedy=run.to_redo("sft"),
        )


def _kept_budget(
    run: RunDirectory, seconds: float | None, steps: int | None
) -> tuple[float | None, int | None]:
    """The budget the chat stage was first started with: a restart has less time left, but the
    stage's own clock has counted what it used."""
    kept = run.stage("sft") / "config.json"
    if kept.is_file():
        before = read_json(kept)["train"]
        return before["seconds"], before["num_steps"]
    return (None if seconds is None else round(seconds, 1)), steps
