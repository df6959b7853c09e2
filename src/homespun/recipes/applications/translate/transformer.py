"""An encoder-decoder that learns to write one text from another, from nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from homespun.classic.units import is_chinese
from homespun.core import DataError, SamplingSettings, derive_seed, parse_config
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural import (
    fit_with,
    in_batches,
    load_model,
    read_choice,
    read_option,
)
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.measure import best_dtype_name

if TYPE_CHECKING:
    from homespun.models import EncoderDecoder, EncoderDecoderConfig
    from homespun.tokenizer import ByteLevelTokenizer
    from homespun.training import TrainConfig

_FILE = "transformer.json"
_AT_ONCE = 64


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
        "beams": "5",
        "length_penalty": "1.0",
        "coverage": "0",
    }

    def learn(self, lesson: Lesson[Pair]) -> LearnedTransformer:
        from homespun.tokenizer import TokenizerConfig, train_tokenizer
        from homespun.training import PairBatches, Seq2SeqObjective

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
        beams = read_option(lesson.options, "beams", int, low=1, high=64)
        penalty = read_option(lesson.options, "length_penalty", float, low=0.0, high=10.0)
        coverage = read_option(lesson.options, "coverage", float, low=0.0, high=10.0)
        tokenizer.save(lesson.folder)
        record = {
            "model": config.model_dump(mode="json"),
            "beams": beams,
            "length_penalty": penalty,
            "coverage": coverage,
        }
        write_json(lesson.folder / _FILE, record)
        learned = LearnedTransformer.new(config, tokenizer, record, seed=lesson.seed)
        batch_tokens = read_option(lesson.options, "tokens", int, low=64, high=1 << 20)
        marks = {
            "tokens": batch_tokens,
            "start_id": tokenizer.end_of_text_id,
            "end_id": tokenizer.end_of_turn_id,
            "context": config.context,
        }
        source = PairBatches(
            learned.pairs(lesson.train), seed=derive_seed(lesson.seed, "order"), **marks
        )
        held_out = PairBatches(learned.pairs(lesson.dev), seed=0, **marks)
        smoothing = read_option(lesson.options, "smoothing", float, low=0.0, high=0.9)

        def evaluate(model: Any, step: int) -> Mapping[str, Any]:
            total, num = 0.0, 0
            for index in range(held_out.batches_per_epoch):
                output = Seq2SeqObjective().loss(model, held_out.batch(index))
                total += float(output.loss_sum)
                num += output.num_targets
            return {"loss": total / max(1, num), "split": "validation"}

        fit_with(
            learned.model,
            Seq2SeqObjective(smoothing),
            source,
            lesson,
            _train_config(source, lesson),
            evaluate=evaluate,
        )
        return learned

    def load(self, folder: Path) -> LearnedTransformer:
        from homespun.models import EncoderDecoderConfig
        from homespun.tokenizer import load_tokenizer

        path = folder / _FILE
        record = read_json(path)
        if (
            not isinstance(record, dict)
            or not {"model", "beams", "length_penalty"} <= record.keys()
        ):
            raise DataError(f"{path} is damaged", remedy="learn the task again")
        config = parse_config(EncoderDecoderConfig, record["model"], where=str(path))
        learned = LearnedTransformer.new(config, load_tokenizer(folder), record, seed=0)
        load_model(learned.model, folder)
        return learned


class LearnedTransformer:
    """Writes by beam search.

    Args:
        model: reads and writes.
        tokenizer: of both sides.
        record: `beams`, `length_penalty`, and the `coverage` penalty where there is one.
    """

    def __init__(
        self, model: EncoderDecoder, tokenizer: ByteLevelTokenizer, record: Mapping[str, Any]
    ) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._beams, self._penalty = int(record["beams"]), float(record["length_penalty"])
        self._coverage = float(record.get("coverage", 0.0))

    @classmethod
    def new(
        cls,
        config: EncoderDecoderConfig,
        tokenizer: ByteLevelTokenizer,
        record: Mapping[str, Any],
        *,
        seed: int,
    ) -> LearnedTransformer:
        import torch

        generator = torch.Generator().manual_seed(derive_seed(seed, "weights"))
        return cls(config.build(generator).eval(), tokenizer, record)

    def pairs(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of both sides, cut to the context."""
        most = self.model.context - 1
        read = self._tokenizer.encode_batch([pair.source for pair in pairs])
        written = self._tokenizer.encode_batch([pair.targets[0] for pair in pairs])
        return [
            (one.tolist()[:most], two.tolist()[:most])
            for one, two in zip(read, written, strict=True)
        ]

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        from homespun.inference.search.writing import write_texts

        most = self.model.context - 1
        end = self._tokenizer.end_of_turn_id
        read = self._tokenizer.encode_batch([example.source for example in examples])
        sources = [[*ids.tolist()[:most], end] for ids in read]
        never = [n for n in range(self._tokenizer.vocab_size) if n != end and self._is_mark(n)]
        found = [""] * len(examples)
        for numbers in in_batches(sources, len, tokens=_AT_ONCE * 24):
            longest = max(len(sources[number]) for number in numbers)
            settings = SamplingSettings(
                beams=self._beams,
                length_penalty=self._penalty,
                max_tokens=min(most, 2 * longest + 10),
                temperature=0.0,
            )
            written = write_texts(
                self.model,
                [sources[number] for number in numbers],
                settings,
                start_id=self._tokenizer.end_of_text_id,
                end_id=end,
                never=never,
                coverage=self._coverage,
            )
            for number, beams in zip(numbers, written, strict=True):
                found[number] = self._tokenizer.decode(list(beams[0].ids)).strip()
        return found

    def _is_mark(self, token_id: int) -> bool:
        return not self._tokenizer.token_bytes(token_id)


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
