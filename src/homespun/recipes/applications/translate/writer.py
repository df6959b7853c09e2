"""An encoder-decoder that writes one text from another: what it keeps, how it learns and writes,
whatever it began with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import DataError, SamplingSettings, derive_seed, parse_config
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural import (
    CHOSEN_BY,
    ONLY_WATCHED,
    fit_with,
    in_batches,
    load_model,
    looks_at,
    read_option,
)
from homespun.recipes.applications.translate.task import Pair

if TYPE_CHECKING:
    from homespun.core import Tokenizer
    from homespun.inference.search.rewriting import RewritingEngine
    from homespun.models import EncoderDecoder
    from homespun.training import PairBatches, TrainConfig

WRITER_FILE = "transformer.json"
WRITING: Mapping[str, str] = {"beams": "5", "length_penalty": "1.0", "coverage": "0"}
"""Settings of how it writes, and what is usual."""
_AT_ONCE = 64
_MOST_WRITTEN, _TIMES = 256, 5.0
"""Held-out pairs that are written to choose between weights, and how many times as long that takes
as the loss of all."""


class Habits(NamedTuple):
    """How a writer reads and writes.

    Attributes:
        beams, length_penalty: of its search.
        coverage: penalty for what was left out.
        start_id, end_id: what writing begins with, and what ends both sides.
        prefix: text that stands before every text that is read.
    """

    beams: int
    length_penalty: float
    coverage: float
    start_id: int
    end_id: int
    prefix: str

    @classmethod
    def of(cls, record: Mapping[str, Any], tokenizer: Tokenizer) -> Habits:
        """Those of a record: `beams`, `length_penalty`, and where there are any `coverage`,
        `start`, `end` and `prefix`."""
        return cls(
            int(record["beams"]),
            float(record["length_penalty"]),
            float(record.get("coverage", 0.0)),
            int(record.get("start", tokenizer.end_of_text_id)),
            int(record.get("end", tokenizer.end_of_turn_id)),
            str(record.get("prefix", "")),
        )


class PairWriter:
    """Reads and writes, by beam search.

    Args:
        model: reads and writes.
        tokenizer: of both sides.
        record: see `Habits`.
    """

    def __init__(
        self, model: EncoderDecoder, tokenizer: Tokenizer, record: Mapping[str, Any]
    ) -> None:
        self.model = model
        self.habits = Habits.of(record, tokenizer)
        self._tokenizer = tokenizer

    @property
    def start_id(self) -> int:
        return self.habits.start_id

    @property
    def end_id(self) -> int:
        return self.habits.end_id

    def pairs(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of both sides, cut to the context."""
        most = self.model.context - 1
        written = self._tokenizer.encode_batch([pair.targets[0] for pair in pairs])
        return [
            (one, two.tolist()[:most]) for one, two in zip(self._read(pairs), written, strict=True)
        ]

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        """The best text for each."""
        from homespun.inference.search.writing import longest_written, write_texts

        sources = [[*ids, self.end_id] for ids in self._read(examples)]
        found = [""] * len(examples)
        context = self.model.context
        settings = SamplingSettings(
            beams=self.habits.beams,
            length_penalty=self.habits.length_penalty,
            max_tokens=context - 1,
            temperature=0.0,
        )
        for numbers in in_batches(sources, len, tokens=_AT_ONCE * 24):
            read = [sources[number] for number in numbers]
            written = write_texts(
                self.model,
                read,
                settings,
                start_id=self.start_id,
                end_id=self.end_id,
                never=self._never,
                coverage=self.habits.coverage,
                most=[longest_written(len(source), context) for source in read],
            )
            for number, beams in zip(numbers, written, strict=True):
                found[number] = self._tokenizer.decode(list(beams[0].ids)).strip()
        return found

    def engine(self, *, max_rows: int | None = None) -> RewritingEngine:
        """What answers requests that come and go, with the texts that `answer` gives.

        Args:
            max_rows: texts that are written together; None for the engine's own choice.
        """
        from homespun.inference.search.rewriting import Marks, RewritingEngine

        marks = Marks(self.start_id, self.end_id, self._never)
        more = {} if max_rows is None else {"max_rows": max_rows}
        return RewritingEngine(
            self.model.eval(), self._tokenizer, marks, coverage=self.habits.coverage, **more
        )

    @property
    def most(self) -> str:
        return f"{self.model.context - 1} tokens that are read or written of a text"

    def are_cut(self, examples: Sequence[Pair]) -> list[bool]:
        """Where right texts are known, also whether the first is too long to be learned whole."""
        most = self.model.context - 1
        read = self._tokenizer.encode_batch([self.habits.prefix + pair.source for pair in examples])
        written = self._tokenizer.encode_batch([(*pair.targets, "")[0] for pair in examples])
        return [max(len(a), len(b)) > most for a, b in zip(read, written, strict=True)]

    def _read(self, pairs: Sequence[Pair]) -> list[list[int]]:
        most = self.model.context - 1
        rows = self._tokenizer.encode_batch([self.habits.prefix + pair.source for pair in pairs])
        return [row.tolist()[:most] for row in rows]

    @cached_property
    def _never(self) -> list[int]:
        """Marks, and rows of the table that no token has."""
        known = self._tokenizer.vocab_size
        return [
            number
            for number in range(len(self.model.head_weight))
            if number != self.end_id
            and (number >= known or not self._tokenizer.token_bytes(number))
        ]


class WriterMethod(Method[Pair, str]):
    """A method whose models write: what was learned is loaded alike, whatever it began with."""

    takes_time = True
    held_out = CHOSEN_BY
    held_out_few = ONLY_WATCHED

    def load(self, folder: Path) -> PairWriter:
        return load_writer(folder)


def writing_settings(options: Mapping[str, str]) -> dict[str, Any]:
    """What the user set of `WRITING`. Raises ConfigError where one is out of range."""
    return {
        "beams": read_option(options, "beams", int, low=1, high=64),
        "length_penalty": read_option(options, "length_penalty", float, low=0.0, high=10.0),
        "coverage": read_option(options, "coverage", float, low=0.0, high=10.0),
    }


def save_writer(folder: Path, shape: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write what `load_writer` reads, but for the tokenizer and the weights.

    Args:
        shape: `EncoderDecoderConfig` as JSON.
        record: see `Habits`.
    """
    write_json(folder / WRITER_FILE, {"model": dict(shape), **record})


def load_writer(folder: Path) -> PairWriter:
    """What was learned in `folder`. Raises DataError, ConfigError or CheckpointError where it is
    damaged."""
    from homespun.models import EncoderDecoderConfig
    from homespun.tokenizer import open_tokenizer

    path = folder / WRITER_FILE
    record = read_writer(folder)
    config = parse_config(EncoderDecoderConfig, record["model"], where=str(path))
    model = config.empty()
    load_model(model, folder)
    return PairWriter(model, open_tokenizer(folder), record)


def read_writer(folder: Path) -> dict[str, Any]:
    """What `save_writer` wrote. Raises DataError where it is damaged."""
    path = folder / WRITER_FILE
    record = read_json(path)
    if not isinstance(record, dict) or not {"model", "beams", "length_penalty"} <= record.keys():
        raise DataError(f"{path} is damaged", remedy="learn the task again")
    return record


class Teaching(NamedTuple):
    """Attributes:
    tokens: of a batch.
    smoothing: of what is aimed at.
    """

    tokens: int
    smoothing: float


def teaching(options: Mapping[str, str]) -> Teaching:
    """What the user set of how pairs are learned. Raises ConfigError where one is out of range."""
    return Teaching(
        tokens=read_option(options, "tokens", int, low=64, high=1 << 20),
        smoothing=read_option(options, "smoothing", float, low=0.0, high=0.9),
    )


def teach(
    writer: PairWriter,
    lesson: Lesson[Pair],
    how: Teaching,
    *,
    plan: Callable[[PairBatches], TrainConfig],
) -> None:
    """Learn the pairs through the one loop, with the mean loss a token over `lesson.dev`.

    Args:
        plan: what the loop is told, of the batches.
    """
    from homespun.training import PairBatches, Seq2SeqObjective, held_out_loss

    marks = {
        "tokens": how.tokens,
        "start_id": writer.start_id,
        "end_id": writer.end_id,
        "context": writer.model.context,
    }
    source = PairBatches(
        writer.pairs(lesson.train), seed=derive_seed(lesson.seed, "order"), **marks
    )
    held_out = PairBatches(writer.pairs(lesson.dev), seed=0, **marks)

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        batches = map(held_out.batch, range(held_out.batches_per_epoch))
        return held_out_loss(model, Seq2SeqObjective(), batches)

    objective = Seq2SeqObjective(how.smoothing)
    looks = looks_at(writer, lesson, evaluate, most=_MOST_WRITTEN, times=_TIMES)
    fit_with(writer.model, objective, source, lesson, plan(source), looks)
