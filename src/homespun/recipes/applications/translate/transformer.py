"""An encoder-decoder that learns to write one text from another, from nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.classic.units import is_chinese
from homespun.core import ConfigError, derive_seed, parse_config
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import read_choice, read_option
from homespun.recipes.applications.translate.members import MOST_MEMBERS, learn_members
from homespun.recipes.applications.translate.recall import (
    REMEMBERING,
    Recall,
    num_recalled,
    recall_of,
)
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import (
    WRITING,
    PairWriter,
    WriterMethod,
    finish,
    save_writer,
    teach,
    teaching,
    writing_settings,
)
from homespun.recipes.measure import best_dtype_name
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from homespun.models import EncoderDecoderConfig
    from homespun.training import PairBatches, TrainConfig, TurnBatches


class TransformerMethod(WriterMethod):
    """The Transformer of 2017 with later parts, in the small shapes that small data ask for.

    Its defaults are for tens of thousands of short pairs: narrow, and with much dropout. That of
    Vaswani et al. 2017 (arXiv 1706.03762) is `positions=sinusoidal norm=layer norm_first=no
    activation=relu`, but for its optimiser.
    """

    name = "transformer"
    summary = "An encoder-decoder learned from nothing: wants ten thousands of pairs, and minutes."
    options: ClassVar[Mapping[str, str]] = {
        "width": "128",
        "layers": "4",
        "dropout": "0.2",
        "pieces": "",
        "context": "256",
        "tokens": "2048",
        "epochs": "60",
        "rate": "0.015",
        "matrix_rate": "0.003",
        "smoothing": "0.1",
        "agreement": "0",
        "piece_dropout": "0",
        "members": "1",
        "reverse": "no",
        "copying": "",
        "positions": "rotary",
        "norm": "rms",
        "norm_first": "yes",
        "activation": "relu2",
        **REMEMBERING,
        **WRITING,
    }

    def learn(self, lesson: Lesson[Pair]) -> PairWriter:
        import torch

        from homespun.tokenizer import DroppingEncoder, TokenizerConfig, train_tokenizer

        texts = [text for pair in lesson.train for text in (pair.source, pair.targets[0])]
        if lesson.options["pieces"]:
            pieces = read_option(lesson.options, "pieces", int, low=264, high=1 << 20)
        else:  # thousands of characters want ids of their own
            sides = ([p.source for p in lesson.train], [p.targets[0] for p in lesson.train])
            pieces = 8192 if any(map(is_chinese, sides)) else 4096
        tokenizer = train_tokenizer(
            texts, config=TokenizerConfig(vocab_size=pieces, seed=lesson.seed)
        )
        config = _shape(tokenizer.vocab_size, lesson.options)
        record = writing_settings(lesson.options)
        how = teaching(lesson.options)
        recall = recall_of(lesson)
        members = read_option(lesson.options, "members", int, low=1, high=MOST_MEMBERS)
        dropped = read_option(lesson.options, "piece_dropout", float, low=0.0, high=0.9)
        if dropped:
            _check_alone(recall, f"piece_dropout={dropped:g}")
        if how.reverse:
            _check_alone(recall, "reverse=yes")
        tokenizer.save(lesson.folder)
        shape = config.model_dump(mode="json")
        save_writer(lesson.folder, shape, record, recall, members=members)

        def learned(own: Lesson[Pair]) -> PairWriter:
            generator = torch.Generator().manual_seed(derive_seed(own.seed, "weights"))
            writer = PairWriter(config.build(generator).eval(), tokenizer, record, recall)
            dropping = None
            if dropped:
                seed = derive_seed(own.seed, "pieces")
                dropping = DroppingEncoder(tokenizer, dropped, seed=seed)

            def plan(source: PairBatches | TurnBatches) -> TrainConfig:
                return _train_config(source, own)

            teach(writer, own, how, plan=plan, dropping=dropping)
            return writer

        first, *others = learn_members(lesson, members, learned)
        writer = first.together(others)
        finish(writer, lesson, how)
        return writer


_POSITIONS = ("rotary", "sinusoidal", "learned", "relative")
_WARMUP, _POST_NORM_WARMUP = 0.03, 0.1
"""Of the steps; norms behind the parts want small steps at first (Xiong et al. 2020, arXiv
2002.04745, section 3)."""


def _check_alone(recall: Recall | None, setting: str) -> None:
    """Raises ConfigError where what a memory recalls is read too: no pieces are left out of that,
    and nobody writes it back."""
    if recall is not None and recall.most:
        raise ConfigError(
            f"{setting.partition('=')[0]} does not go with near pairs that are read along",
            got=f"{setting} and memory={recall.most}",
            remedy="leave one of them out; known= goes with both",
        )


def _is_norm_first(options: Mapping[str, str]) -> bool:
    return read_choice(options, "norm_first", ("yes", "no")) == "yes"


def _copies(options: Mapping[str, str]) -> bool:
    """As the user wants; else where there is a memory to copy from."""
    if options["copying"]:
        return read_choice(options, "copying", ("yes", "no")) == "yes"
    return num_recalled(options) > 0


def _shape(vocab_size: int, options: Mapping[str, str]) -> EncoderDecoderConfig:
    from homespun.models import EncoderDecoderConfig

    width = read_option(options, "width", int, low=8, high=8192)
    layers = read_option(options, "layers", int, low=1, high=64)
    num_heads = max(1, width // 32)
    positions = read_choice(options, "positions", _POSITIONS)
    norm = read_choice(options, "norm", ("rms", "layer"))
    fields: dict[str, Any] = {
        "vocab_size": vocab_size,
        "num_layers": layers,
        "num_writer_layers": layers,
        "width": width,
        "num_heads": num_heads,
        "head_width": width // num_heads,
        "mlp_width": 4 * width,
        "context": read_option(options, "context", int, low=8, high=1 << 16),
        "positions": positions,
        "norm": norm,
        "norm_first": _is_norm_first(options),
        "norm_eps": 1e-6 if norm == "rms" else 1e-5,
        "activation": read_choice(options, "activation", ("relu2", "relu", "gelu")),
        "bias": norm == "layer",
        # Words must not be drowned by positions that are added to them.
        "scaled": "embedding" if positions in ("sinusoidal", "learned") else "none",
        "copying": _copies(options),
        "dropout": read_option(options, "dropout", float, low=0.0, high=0.9),
    }
    return parse_config(EncoderDecoderConfig, fields, where="the settings")


def _train_config(source: Any, lesson: Lesson[Pair]) -> TrainConfig:
    from homespun.training import EmaConfig, OptimizerConfig, ScheduleConfig, TrainConfig

    epochs = read_option(lesson.options, "epochs", float, low=0.01, high=100_000)
    warmup = _WARMUP if _is_norm_first(lesson.options) else _POST_NORM_WARMUP
    return TrainConfig(
        num_steps=max(1, math.ceil(epochs * source.batches_per_epoch)),
        seconds=lesson.seconds,
        optimizer=OptimizerConfig(
            kind="muon",
            learning_rate=read_option(lesson.options, "rate", float, low=1e-7, high=1.0),
            matrix_learning_rate=read_option(
                lesson.options, "matrix_rate", float, low=1e-7, high=1.0
            ),
            beta2=0.98,
            weight_decay=0.1,
        ),
        schedule=ScheduleConfig(kind="wsd", warmup=warmup, decay=0.6),
        ema=EmaConfig(start=0.5, half_life=0.01),
        compute_dtype=best_dtype_name(training_device()),
        seed=derive_seed(lesson.seed, "loop"),
        eval_share=0.1,
        eval_cost=0.1,
    )
