"""An encoder-decoder that learns to write one text from another, from nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.classic.units import is_chinese
from homespun.core import derive_seed, parse_config
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural import read_choice, read_option
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import (
    WRITING,
    PairWriter,
    load_writer,
    save_writer,
    teach,
    writing_settings,
)
from homespun.recipes.measure import best_dtype_name

if TYPE_CHECKING:
    from homespun.models import EncoderDecoderConfig
    from homespun.training import PairBatches, TrainConfig


class TransformerMethod(Method[Pair, str]):
    """The Transformer of 2017 with norms first, in the small shapes that small data ask for.

    Its defaults are for tens of thousands of short pairs: narrow, and with much dropout.
    """

    name = "transformer"
    takes_time = True
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
        "copying": "no",
        **WRITING,
    }

    def learn(self, lesson: Lesson[Pair]) -> PairWriter:
        import torch

        from homespun.tokenizer import TokenizerConfig, train_tokenizer

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
        tokens = read_option(lesson.options, "tokens", int, low=64, high=1 << 20)
        smoothing = read_option(lesson.options, "smoothing", float, low=0.0, high=0.9)
        tokenizer.save(lesson.folder)
        save_writer(lesson.folder, config.model_dump(mode="json"), record)
        generator = torch.Generator().manual_seed(derive_seed(lesson.seed, "weights"))
        writer = PairWriter(config.build(generator).eval(), tokenizer, record)

        def plan(source: PairBatches) -> TrainConfig:
            return _train_config(source, lesson)

        teach(writer, lesson, tokens=tokens, smoothing=smoothing, plan=plan)
        return writer

    def load(self, folder: Path) -> PairWriter:
        return load_writer(folder)


def _shape(vocab_size: int, options: Mapping[str, str]) -> EncoderDecoderConfig:
    from homespun.models import EncoderDecoderConfig

    width = read_option(options, "width", int, low=8, high=8192)
    layers = read_option(options, "layers", int, low=1, high=64)
    num_heads = max(1, width // 32)
    fields: dict[str, Any] = {
        "vocab_size": vocab_size,
        "num_layers": layers,
        "num_writer_layers": layers,
        "width": width,
        "num_heads": num_heads,
        "head_width": width // num_heads,
        "mlp_width": 4 * width,
        "context": read_option(options, "context", int, low=8, high=1 << 16),
        "positions": "rotary",
        "norm": "rms",
        "norm_first": True,
        "norm_eps": 1e-6,
        "activation": "relu2",
        "bias": False,
        "scaled": "none",
        "copying": read_choice(options, "copying", ("yes", "no")) == "yes",
        "dropout": read_option(options, "dropout", float, low=0.0, high=0.9),
    }
    return parse_config(EncoderDecoderConfig, fields, where="the settings")


def _train_config(source: Any, lesson: Lesson[Pair]) -> TrainConfig:
    from homespun.training import EmaConfig, OptimizerConfig, ScheduleConfig, TrainConfig

    epochs = read_option(lesson.options, "epochs", float, low=0.01, high=100_000)
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
        schedule=ScheduleConfig(kind="wsd", warmup=0.03, decay=0.6),
        ema=EmaConfig(start=0.5, half_life=0.01),
        compute_dtype=best_dtype_name(),
        seed=derive_seed(lesson.seed, "loop"),
        eval_share=0.1,
    )
