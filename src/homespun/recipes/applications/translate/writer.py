"""An encoder-decoder that writes one text from another: what it keeps, how it learns and writes,
whatever it began with."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import DataError, SamplingSettings, derive_seed, parse_config
from homespun.core.files import read_json, write_json
from homespun.corpus import in_script
from homespun.recipes.applications.contract import Lesson, Method
from homespun.recipes.applications.neural import (
    CHOSEN_BY,
    ONLY_WATCHED,
    WEIGHTS_FILE,
    fit_with,
    in_batches,
    load_model,
    looks_at,
    read_choice,
    read_option,
)
from homespun.recipes.applications.translate.back import best_back
from homespun.recipes.applications.translate.known import KnownPairs, Manner, best_trust
from homespun.recipes.applications.translate.members import (
    MOST_MEMBERS,
    member_folders,
    put_together,
)
from homespun.recipes.applications.translate.reading import (
    Habits,
    SourceReader,
    kept_recall,
)
from homespun.recipes.applications.translate.recall import Recall, num_known
from homespun.recipes.applications.translate.task import Pair

if TYPE_CHECKING:
    from homespun.core import Tokenizer
    from homespun.inference.search import Beam, BeamSearch
    from homespun.inference.search.rewriting import RewritingEngine
    from homespun.inference.search.writing import Ranking
    from homespun.models import Rewriter, Trust
    from homespun.tokenizer import DroppingEncoder
    from homespun.training import PairBatches, TrainConfig, TurnBatches

WRITER_FILE = "transformer.json"
_TOLD_LATER = ("times", "known", "back")
"""What is found out when weights are learned, see `finish`."""
WRITING: Mapping[str, str] = {
    "beams": "5",
    "length_penalty": "1.0",
    "coverage": "0",
    "script": "",
}
"""Settings of how it reads and writes, and what is usual."""
_AT_ONCE = 64
_TURNS = 8
"""Ways in which all pairs are cut where merges are left out; later readings are of these again."""
_ODD = 1000
_MOST_WRITTEN, _TIMES = 256, 5.0
"""Held-out pairs that are written to choose between weights, and how many times as long that takes
as the loss of all."""


class PairWriter:
    """Reads and writes, by beam search.

    Args:
        model: reads and writes.
        tokenizer: of both sides.
        record: see `Habits`.
        recall: its memory; None where it has none.

    Attributes:
        model, recall: these. habits: those of the record.
    """

    def __init__(
        self,
        model: Rewriter,
        tokenizer: Tokenizer,
        record: Mapping[str, Any],
        recall: Recall | None = None,
    ) -> None:
        self.model = model
        self.habits = Habits.of(record, tokenizer)
        self._tokenizer = tokenizer
        self.recall = recall
        self._source = SourceReader(tokenizer, self.habits, context=model.context, recall=recall)

    @property
    def start_id(self) -> int:
        return self.habits.start_id

    @property
    def end_id(self) -> int:
        return self.habits.end_id

    def together(self, others: Sequence[PairWriter]) -> PairWriter:
        """One that writes with the models of all of them, and else as this one."""
        if not others:
            return self
        whole = copy.copy(self)
        whole.model = put_together([self.model, *(other.model for other in others)])
        return whole

    def taught(self, pairs: Sequence[Pair], *, seed: int) -> list[tuple[list[int], list[int]]]:
        """`pairs` as they are learned from: with a memory, which is of these pairs, see
        `Recall.taught`."""
        if self.recall is None or not self.recall.most:
            return self._ids(pairs, None)
        return self._ids(pairs, self.recall.taught(seed))

    def dropped(
        self, pairs: Sequence[Pair], encoder: DroppingEncoder, *, turn: int
    ) -> list[tuple[list[int], list[int]]]:
        """`pairs` as `plain` gives them, but with other tokens in each turn."""
        most = self.model.context - 1
        # Pairs come in one script: see `WriterMethod.preprocess`.
        texts = [self.habits.prefix + pair.source for pair in pairs]
        read = encoder.encode_batch(texts, number=2 * turn)
        written = encoder.encode_batch([pair.targets[0] for pair in pairs], number=2 * turn + 1)
        return [
            (one.tolist()[:most], two.tolist()[:most])
            for one, two in zip(read, written, strict=True)
        ]

    def pairs(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """Ids of both sides, cut to the context, as they are answered."""
        return self._ids(pairs, None)

    def plain(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """`pairs` without what the memory recalls."""
        return self._ids(pairs, [()] * len(pairs))

    def turned(
        self, pairs: Sequence[tuple[list[int], list[int]]]
    ) -> list[tuple[list[int], list[int]]]:
        """Pairs of ids the other way round, marked as that."""
        from homespun.inference.search.reading import turned_back

        return turned_back(pairs, context=self.model.context, start_id=self.start_id)

    def known(self, num: int, trust: Trust) -> KnownPairs:
        """What is known of the `num` pairs of the memory that are most like a text."""
        assert self.recall is not None
        manner = Manner(self.plain, self._source.text_of, self.start_id, self.end_id)
        return KnownPairs(self.model, self.recall, manner, num=num, trust=trust)

    def know(self, known: KnownPairs) -> None:
        """From now on trust it, as far as it says."""
        self.model.knows = known if known.trust.share else None

    def answer(self, examples: Sequence[Pair]) -> list[str]:
        """The best text for each."""
        from homespun.inference.search.writing import ranked

        found = [""] * len(examples)
        for number, source, search in self.searched(examples):
            best = ranked(self.model, search, source, 1, self.ranking)[0]
            found[number] = self.text_of(best)
        return found

    def searched(self, examples: Sequence[Pair]) -> Iterator[tuple[int, list[int], BeamSearch]]:
        """Number, what is read and the search that is over, of each; in no order."""
        from homespun.inference.search.writing import longest_written, search_texts

        texts = [example.source for example in examples]
        sources = [[*ids, self.end_id] for ids in self._source.cut(texts)]
        context = self.model.context
        settings = SamplingSettings(
            beams=self.habits.beams,
            length_penalty=self.habits.length_penalty,
            max_tokens=context - 1,
            temperature=0.0,
        )
        for numbers in in_batches(sources, len, tokens=_AT_ONCE * 24):
            read = [sources[number] for number in numbers]
            searches = search_texts(
                self.model,
                read,
                settings,
                start_id=self.start_id,
                end_id=self.end_id,
                never=self._never,
                most=[longest_written(len(one), context, self.habits.times) for one in read],
            )
            yield from zip(numbers, read, searches, strict=True)

    def text_of(self, beam: Beam) -> str:
        """What was written, without blanks at its ends."""
        return self._tokenizer.decode(list(beam.ids)).strip()

    @property
    def ranking(self) -> Ranking:
        """By what it chooses among texts that it has written."""
        from homespun.inference.search.writing import Ranking, Weights

        weights = Weights(self.habits.coverage, self.habits.back)
        return Ranking(self.start_id, self.end_id, weights)

    def engine(self, *, max_rows: int | None = None) -> RewritingEngine:
        """What answers requests that come and go, with the texts that `answer` gives.

        Args:
            max_rows: texts that are written together; None for the engine's own choice.
        """
        from homespun.inference.search.rewriting import Marks, RewritingEngine

        marks = Marks(self.start_id, self.end_id, self._never)
        more = {} if max_rows is None else {"max_rows": max_rows}
        return RewritingEngine(
            self.model.eval(),
            self._tokenizer,
            marks,
            weights=self.ranking.weights,
            times=self.habits.times,
            **more,
        )

    @property
    def notes(self) -> list[str]:
        script = self.habits.script
        if not script:
            return []
        return [f"All Chinese, that of right texts too, was turned into {script} characters first."]

    @property
    def most(self) -> str:
        from homespun.inference.search.writing import MORE, TIMES

        most, times = self.model.context - 1, max(TIMES, self.habits.times)
        return (
            f"{most} tokens that are read or written of a text (written at most {times:g} for each "
            f"one read, and {MORE} more)"
        )

    def are_cut(self, examples: Sequence[Pair]) -> list[bool]:
        """Where right texts are known, also whether the first is too long to be learned whole, or
        to be written."""
        from homespun.inference.search.writing import longest_written

        context = self.model.context
        texts = [pair.source for pair in examples]
        own = self._source.num_own(texts)
        read = self._source.cut(texts)
        written = self._tokenizer.encode_batch([(*pair.targets, "")[0] for pair in examples])
        return [
            num >= context or len(ids) > longest_written(len(one) + 1, context, self.habits.times)
            for num, one, ids in zip(own, read, written, strict=True)
        ]

    def make_room(self, pairs: Sequence[tuple[list[int], list[int]]]) -> None:
        """From now on write as long texts as `pairs` have: all of them but one in a thousand, so
        that a few odd ones do not let every text without an end fill the context.

        Args:
            pairs: ids of both sides, as `taught` gives them.
        """
        from homespun.inference.search.writing import MORE, TIMES

        needed = sorted((len(ids) - MORE) / (len(read) + 1) for read, ids in pairs)
        enough = needed[len(needed) - 1 - len(needed) // _ODD] if needed else 0.0
        times = math.ceil(10 * enough) / 10
        self.habits = self.habits._replace(times=times if times > TIMES else 0.0)

    def _ids(
        self, pairs: Sequence[Pair], recalled: Sequence[Sequence[str]] | None
    ) -> list[tuple[list[int], list[int]]]:
        most = self.model.context - 1
        read = self._source.cut([pair.source for pair in pairs], recalled)
        written = self._tokenizer.encode_batch([pair.targets[0] for pair in pairs])
        return [(one, two.tolist()[:most]) for one, two in zip(read, written, strict=True)]

    @cached_property
    def _never(self) -> list[int]:
        """Marks, and rows of the table that no token has."""
        known = self._tokenizer.vocab_size
        return [
            number
            for number in range(self.model.num_words)
            if number != self.end_id
            and (number >= known or not self._tokenizer.token_bytes(number))
        ]


class WriterMethod(Method[Pair, str]):
    """A method whose models write: what was learned is loaded alike, whatever it began with."""

    takes_time = True
    held_out = CHOSEN_BY
    held_out_few = ONLY_WATCHED

    def preprocess(self, examples: Sequence[Pair], options: Mapping[str, str]) -> list[Pair]:
        """Pairs with all Chinese in the script that the user set, on both sides: what a text in the
        other script would be judged by is the same text. Raises ConfigError where there is no such
        script."""
        script = options["script"]
        if not script:
            return list(examples)
        sources = in_script([pair.source for pair in examples], script)
        targets = (tuple(in_script(pair.targets, script)) for pair in examples)
        return list(itertools.starmap(Pair, zip(sources, targets, strict=True)))

    def load(self, folder: Path) -> PairWriter:
        return load_writer(folder)


def writing_settings(options: Mapping[str, str]) -> dict[str, Any]:
    """What the user set of `WRITING`. Raises ConfigError where one is out of range."""
    return {
        "beams": read_option(options, "beams", int, low=1, high=64),
        "length_penalty": read_option(options, "length_penalty", float, low=0.0, high=10.0),
        "coverage": read_option(options, "coverage", float, low=0.0, high=10.0),
        **({"script": options["script"]} if options["script"] else {}),
    }


def save_writer(
    folder: Path,
    shape: Mapping[str, Any],
    record: Mapping[str, Any],
    recall: Recall | None = None,
    *,
    members: int = 1,
) -> None:
    """Write what `load_writer` reads, but for the tokenizer, the weights and the pairs of a memory.
    What learning that is done has told since stays: a call that is repeated and killed must not
    lose it.

    Args:
        shape: `EncoderDecoderConfig` as JSON.
        record: see `Habits`.
        recall: the memory; None where there is none.
        members: models of that shape that write together, see `member_folders`.
    """
    more: dict[str, Any] = {} if recall is None else {"memory": recall.record}
    if members > 1:
        more["members"] = members
    is_learned = (member_folders(folder, members)[-1] / WEIGHTS_FILE).is_file()
    before = read_writer(folder) if is_learned else {}
    since = {name: before[name] for name in _TOLD_LATER if name in before}
    write_json(folder / WRITER_FILE, {"model": dict(shape), **record, **more, **since})


def load_writer(folder: Path) -> PairWriter:
    """What was learned in `folder`. Raises DataError, ConfigError or CheckpointError where it is
    damaged."""
    from homespun.models import EncoderDecoderConfig, Trust
    from homespun.tokenizer import open_tokenizer

    path = folder / WRITER_FILE
    record = read_writer(folder)
    config = parse_config(EncoderDecoderConfig, record["model"], where=str(path))
    members: list[Rewriter] = []
    for place in member_folders(folder, record.get("members", 1)):
        model = config.empty()
        load_model(model, place)
        members.append(model)
    writer = PairWriter(
        put_together(members), open_tokenizer(folder), record, kept_recall(folder, record)
    )
    known = record.get("known")
    if known is not None:
        try:
            num, trust = int(known["pairs"]), Trust(**known["trust"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is damaged", remedy="learn the task again") from error
        if writer.recall is None:
            raise DataError(f"{path} tells of no pairs to know", remedy="learn the task again")
        writer.know(writer.known(num, trust))
    return writer


def read_writer(folder: Path) -> dict[str, Any]:
    """What `save_writer` wrote. Raises DataError where it is damaged."""
    path = folder / WRITER_FILE
    record = read_json(path)
    needed = {"model", "beams", "length_penalty"}
    is_whole = isinstance(record, dict) and needed <= record.keys()
    is_whole = is_whole and isinstance(record["model"], dict) and "context" in record["model"]
    if not is_whole or record.get("members", 1) not in range(1, MOST_MEMBERS + 1):
        raise DataError(f"{path} is damaged", remedy="learn the task again")
    found: dict[str, Any] = record
    return found


class Teaching(NamedTuple):
    """Attributes:
    tokens: of a batch.
    smoothing, agreement: of what is aimed at, see `Seq2SeqObjective`.
    known: pairs of the memory that are known beside a text once all is learned.
    reverse: whether the pairs are learned the other way round as well, and what is written is
        ranked by how well it gives back what was read.
    """

    tokens: int
    smoothing: float
    agreement: float
    known: int
    reverse: bool = False


def teaching(options: Mapping[str, str]) -> Teaching:
    """What the user set of how pairs are learned. Raises ConfigError where one is out of range."""
    return Teaching(
        tokens=read_option(options, "tokens", int, low=64, high=1 << 20),
        smoothing=read_option(options, "smoothing", float, low=0.0, high=0.9),
        agreement=read_option(options, "agreement", float, low=0.0, high=0.95),
        known=num_known(options),
        reverse="reverse" in options and read_choice(options, "reverse", ("yes", "no")) == "yes",
    )


def teach(
    writer: PairWriter,
    lesson: Lesson[Pair],
    how: Teaching,
    *,
    plan: Callable[[PairBatches | TurnBatches], TrainConfig],
    dropping: DroppingEncoder | None = None,
) -> None:
    """Learn the pairs through the one loop, with the mean loss a token over `lesson.dev`; `finish`
    comes behind it.

    Args:
        plan: what the loop is told, of the batches.
        dropping: cuts the pairs into other tokens each time they are read; None for the usual ones.
    """
    from homespun.training import PairBatches, Seq2SeqObjective, TurnBatches, held_out_loss

    marks = {
        "tokens": how.tokens,
        "start_id": writer.start_id,
        "end_id": writer.end_id,
        "context": writer.model.context,
    }
    pairs = writer.taught(lesson.train, seed=derive_seed(lesson.seed, "memory"))
    writer.make_room(pairs)
    order = derive_seed(lesson.seed, "order")

    def batches_of(forth: list[tuple[list[int], list[int]]], seed: int) -> PairBatches:
        more = writer.turned(forth) if how.reverse else []
        return PairBatches([*forth, *more], seed=seed, **marks)

    source: PairBatches | TurnBatches
    if dropping is None:
        source = batches_of(pairs, order)
    else:
        turns = [writer.dropped(lesson.train, dropping, turn=at) for at in range(_TURNS)]
        source = TurnBatches([batches_of(one, order + at) for at, one in enumerate(turns)])
    held_out = PairBatches(writer.pairs(lesson.dev), seed=0, **marks)

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        batches = map(held_out.batch, range(held_out.batches_per_epoch))
        return held_out_loss(model, Seq2SeqObjective(), batches)

    objective = Seq2SeqObjective(how.smoothing, how.agreement)
    looks = looks_at(writer, lesson, evaluate, most=_MOST_WRITTEN, times=_TIMES)
    fit_with(writer.model, objective, source, lesson, plan(source), looks)


def finish(writer: PairWriter, lesson: Lesson[Pair], how: Teaching) -> None:
    """Keep what a writer that has learned found out by itself: how long its texts get, how far it
    trusts what is known, and how much it counts that a text gives back what was read."""
    if writer.habits.times:
        _tell(lesson.folder, times=writer.habits.times)
    if how.known:
        _learn_trust(writer, lesson, how.known)
    if how.reverse:
        back = best_back(writer, lesson)
        writer.habits = writer.habits._replace(back=back)
        _tell(lesson.folder, back=back)


def _learn_trust(writer: PairWriter, lesson: Lesson[Pair], num: int) -> None:
    """Choose by held-out pairs how far known ones are trusted, and keep it."""
    from homespun.models import Trust

    known = writer.known(num, Trust(share=0.0, reach=1.0, temperature=1.0))
    # Its states stay for what is written next: what is trusted does not change them.
    known.trust = best_trust(writer.model, known, writer.pairs(lesson.dev)) or known.trust
    writer.know(known)
    _tell(lesson.folder, known={"pairs": num, "trust": known.trust._asdict()})


def _tell(folder: Path, **more: Any) -> None:
    """Add something to what `save_writer` wrote."""
    write_json(folder / WRITER_FILE, {**read_writer(folder), **more})
