"""Decoders that learn a user's texts: from nothing, or a run that goes on; and a run as it is."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from homespun.classic.units import is_chinese
from homespun.core import DataError, RunDirectory, derive_seed
from homespun.recipes.applications.contract import NOT_NEEDED, Lesson, Method
from homespun.recipes.applications.neural import (
    CHOSEN_BY,
    ONLY_WATCHED,
    fit_with,
    load_model,
    looks_at,
    read_choice,
    read_option,
    save_weights,
)
from homespun.recipes.applications.write.forms import form_asked
from homespun.recipes.applications.write.task import Piece, Written
from homespun.recipes.applications.write.writer import Habits, Writer, load_writer, save_writer
from homespun.recipes.measure import best_dtype_name
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig
    from homespun.recipes.plan import RunPlan
    from homespun.tokenizer import ByteLevelTokenizer, ImportedTokenizer
    from homespun.training import ChatBatches, OptimizerConfig, TrainConfig

_WRITING: Mapping[str, str] = {
    "kind": "",
    "form": "",
    "between": "",
    "max_tokens": "",
    "temperature": "0.8",
    "tries": "3",
}
_BATCHES = 16
"""Of a reading at least, where a run's usual batch would hold all there is."""
_READ_AT_MOST, _EPOCHS = 6_000_000, (2, 10)
"""Tokens read from nothing where nothing else is said, and how often texts are read for it."""
_MOST_RATE = 0.1
"""Of a run that goes on: its usual one is 0.015 at most, and far above that it forgets all."""
_LONGER, _MOST_TEXTS = 1.25, 0.95
"""What is written may be so much longer than that share of the texts learned from."""


class Begun(NamedTuple):
    """Attributes:
    model, config: with weights to begin with.
    tokenizer: of it.
    plan: of the run it comes from; None from nothing.
    """

    model: Decoder
    config: DecoderConfig
    tokenizer: ByteLevelTokenizer | ImportedTokenizer
    plan: RunPlan | None = None


class _DecoderLearning(Method[Piece, Written]):
    """What all share."""

    takes_time = True
    held_out = CHOSEN_BY
    held_out_few = ONLY_WATCHED

    @abstractmethod
    def begin(self, lesson: Lesson[Piece]) -> Begun:
        """The model before it learns."""

    @abstractmethod
    def plan(self, lesson: Lesson[Piece], begun: Begun, source: ChatBatches) -> TrainConfig:
        """What the loop is told."""

    @abstractmethod
    def rows(self, lesson: Lesson[Piece], begun: Begun, num_rows: int) -> int:
        """Rows of a batch, of those of a reading."""

    def learn(self, lesson: Lesson[Piece]) -> Writer:
        from homespun.training import ChatBatches, ChatObjective, held_out_loss

        begun = self.begin(lesson)
        writer = kept_writer(lesson, begun)
        taught = writer.chats(lesson.train)
        shape = {"context": begun.config.context, "seed": derive_seed(lesson.seed, "order")}
        num_rows = ChatBatches(taught, rows=1, **shape).rows_per_epoch
        rows = self.rows(lesson, begun, num_rows)
        source = ChatBatches(taught, rows=rows, **shape)
        held_out = ChatBatches(writer.chats(lesson.dev), rows=rows, **shape)

        def evaluate(model: Any, step: int) -> Mapping[str, Any]:
            return held_out_loss(model, ChatObjective(), held_out.once())

        looks = looks_at(writer, lesson, evaluate)._replace(score=None)
        config = self.plan(lesson, begun, source)
        fit_with(writer.model, ChatObjective(), source, lesson, config, looks)
        return writer

    def load(self, folder: Path) -> Writer:
        return load_writer(folder)


class DecoderMethod(_DecoderLearning):
    """A small decoder of today's shape, with a tokenizer of its own."""

    name = "decoder"
    summary = "A small decoder learned from nothing: wants some hundred KB of texts, and minutes."
    options: ClassVar[Mapping[str, str]] = {
        "width": "128",
        "layers": "4",
        "context": "256",
        "pieces": "",
        "dropout": "0.25",
        "tokens": "2048",
        "epochs": "",
        "rate": "0.02",
        "matrix_rate": "0.01",
        **_WRITING,
    }

    def begin(self, lesson: Lesson[Piece]) -> Begun:
        import torch

        from homespun.models.presets import decoder_shape
        from homespun.tokenizer import TokenizerConfig, train_tokenizer

        options = lesson.options
        texts = [text for piece in lesson.train for text in (piece.prompt, piece.text or "")]
        pieces = _num_pieces(options, texts)
        tokenizer = train_tokenizer(
            texts, config=TokenizerConfig(vocab_size=pieces, seed=lesson.seed)
        )
        config = decoder_shape(
            width=read_option(options, "width", int, low=8, high=8192),
            num_layers=read_option(options, "layers", int, low=1, high=64),
            vocab_size=tokenizer.vocab_size,
            context=read_option(options, "context", int, low=16, high=1 << 16),
            changes={"dropout": read_option(options, "dropout", float, low=0.0, high=0.9)},
        )
        generator = torch.Generator().manual_seed(derive_seed(lesson.seed, "weights"))
        return Begun(config.build(generator), config, tokenizer)

    def rows(self, lesson: Lesson[Piece], begun: Begun, num_rows: int) -> int:
        tokens: int = read_option(lesson.options, "tokens", int, low=16, high=1 << 20)
        return min(max(1, tokens // begun.config.context), max(1, num_rows // _BATCHES))

    def plan(self, lesson: Lesson[Piece], begun: Begun, source: ChatBatches) -> TrainConfig:
        from homespun.scaling.rules import DECAY_SHARE, WEIGHT_DECAY, optimizer_settings
        from homespun.training import OptimizerConfig, ScheduleConfig, TrainConfig

        options = lesson.options
        tokens = source.rows_per_epoch * begun.config.context
        epochs = min(max(_READ_AT_MOST / tokens, _EPOCHS[0]), _EPOCHS[1])
        return TrainConfig(
            num_steps=_steps(options, epochs, source),
            seconds=lesson.seconds,
            optimizer=OptimizerConfig(
                **optimizer_settings(tied=begun.config.tied),
                learning_rate=read_option(options, "rate", float, low=1e-7, high=1.0),
                matrix_learning_rate=read_option(options, "matrix_rate", float, low=1e-7, high=1.0),
                beta2=0.98,
                weight_decay=WEIGHT_DECAY,
            ),
            schedule=ScheduleConfig(kind="wsd", warmup=0.02, decay=DECAY_SHARE),
            compute_dtype=best_dtype_name(training_device()),
            seed=derive_seed(lesson.seed, "loop"),
            eval_share=0.1,
            eval_cost=0.1,
        )


class TunedMethod(_DecoderLearning):
    """A run of `homespun spin`, `pretrain` or `import` that goes on learning.

    `rate` is the peak rate of tables and vectors; that of matrices keeps its proportion to it. ""
    takes both as the run learns chats.
    """

    name = "tuned"
    summary = "A pretrained run that goes on learning: wants some hundred texts."
    needs_base = takes_base = True
    base_kind, base_file = "run", "run.json"
    options: ClassVar[Mapping[str, str]] = {"epochs": "8", "rate": "", **_WRITING}

    def begin(self, lesson: Lesson[Piece]) -> Begun:
        from homespun.models import DecoderConfig
        from homespun.recipes.plan import read_plan
        from homespun.recipes.weights import load_model as load_run
        from homespun.tokenizer import ByteLevelTokenizer, ImportedTokenizer, open_tokenizer

        assert lesson.base is not None  # it needs one
        run = RunDirectory.open(lesson.base)
        if not (run.stage("pretrain") / "done.json").is_file():
            raise DataError(
                f"{run.path} has not been pretrained", remedy=f"run `homespun pretrain {run.path}`"
            )
        plan = read_plan(run)
        model, tokenizer = load_run(run, "pretrain"), open_tokenizer(run.path)
        assert isinstance(tokenizer, ByteLevelTokenizer | ImportedTokenizer)
        return Begun(model, DecoderConfig(**plan.model), tokenizer, plan)

    def rows(self, lesson: Lesson[Piece], begun: Begun, num_rows: int) -> int:
        assert begun.plan is not None
        return min(begun.plan.rows, max(1, num_rows // _BATCHES))

    def plan(self, lesson: Lesson[Piece], begun: Begun, source: ChatBatches) -> TrainConfig:
        from homespun.recipes.learn.chat import chat_config

        assert begun.plan is not None
        steps = _steps(lesson.options, 8.0, source)
        config = chat_config(begun.plan, seconds=lesson.seconds, steps=steps, seed=lesson.seed)
        optimizer = config.optimizer
        if lesson.options["rate"]:
            rate = read_option(lesson.options, "rate", float, low=1e-7, high=_MOST_RATE)
            optimizer = _at_rate(optimizer, rate)
        return config.model_copy(
            update={"optimizer": optimizer, "eval_share": 0.1, "eval_cost": 0.1}
        )


class UntaughtMethod(TunedMethod):
    """The run as it is: what learning must improve on."""

    name = "untaught"
    summary = "The run as it is."
    takes_time = False
    held_out = NOT_NEEDED
    held_out_few = ""
    options: ClassVar[Mapping[str, str]] = dict(_WRITING)

    def learn(self, lesson: Lesson[Piece]) -> Writer:
        writer = kept_writer(lesson, self.begin(lesson))
        save_weights(writer.model, lesson.folder)
        load_model(writer.model, lesson.folder)
        return writer


def kept_writer(lesson: Lesson[Piece], begun: Begun) -> Writer:
    """What will write, all but its weights kept in the lesson's folder."""
    options, texts = lesson.options, [piece.text or "" for piece in lesson.train]
    form = form_asked(options["kind"], options["form"], texts)
    has_prompts = any(piece.prompt for piece in lesson.train)
    between = "line" if has_prompts else "nothing"
    if options["between"]:
        between = read_choice(options, "between", ("line", "nothing"))
    habits = Habits(
        kind=form.kind,
        lines=form.lines,
        between="\n" if between == "line" else "",
        max_tokens=_most_written(options, begun, texts),
        temperature=read_option(options, "temperature", float, low=0.0, high=10.0),
        tries=read_option(options, "tries", int, low=1, high=20),
        seed=lesson.seed,
    )
    begun.tokenizer.save(lesson.folder)
    save_writer(lesson.folder, begun.config.model_dump(mode="json"), habits, begun.model)
    return Writer(begun.model.eval(), begun.tokenizer, habits, texts)


def _most_written(options: Mapping[str, str], begun: Begun, texts: Sequence[str]) -> int:
    if options["max_tokens"]:
        most: int = read_option(options, "max_tokens", int, low=1, high=1 << 20)
        return most
    some = texts[:: max(1, len(texts) // 1000)]
    lengths = sorted(len(ids) + 1 for ids in begun.tokenizer.encode_batch(some))
    usual = lengths[min(len(lengths) - 1, int(_MOST_TEXTS * len(lengths)))]
    return max(16, min(begun.config.context, math.ceil(_LONGER * usual)))


def _num_pieces(options: Mapping[str, str], texts: Sequence[str]) -> int:
    from homespun.tokenizer.training import choose_vocab_size

    if options["pieces"]:
        num: int = read_option(options, "pieces", int, low=264, high=1 << 20)
        return num
    size = sum(len(text.encode()) for text in texts)
    return choose_vocab_size(size, "zh" if is_chinese(texts) else "en")


def _at_rate(optimizer: OptimizerConfig, rate: float) -> OptimizerConfig:
    """The same with this peak rate of tables and vectors, and all others in proportion."""
    matrix = optimizer.matrix_learning_rate
    if matrix is not None:
        matrix *= rate / optimizer.learning_rate
    return optimizer.model_copy(update={"learning_rate": rate, "matrix_learning_rate": matrix})


def _steps(options: Mapping[str, str], epochs: float, source: ChatBatches) -> int:
    if options["epochs"]:
        epochs = read_option(options, "epochs", float, low=0.01, high=100_000)
    return max(1, math.ceil(epochs / source.epochs(1)))
