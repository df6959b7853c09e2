"""What a writer reads: the one place where a text becomes ids, while it learns, for `apply` and
behind the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.corpus import in_script
from homespun.recipes.applications.translate.recall import Recall

if TYPE_CHECKING:
    from homespun.core import Tokenizer


class Habits(NamedTuple):
    """How a writer reads and writes.

    Attributes:
        beams, length_penalty: of its search.
        coverage: penalty for what was left out.
        start_id, end_id: what writing begins with, and what ends both sides.
        prefix: text that stands before every text that is read.
        script: that Chinese is read in whatever it comes in, see `in_script`; "" for any.
        times: see `longest_written`.
        back: weight of how well a text gives back what was read, see `write_texts`.
    """

    beams: int
    length_penalty: float
    coverage: float
    start_id: int
    end_id: int
    prefix: str
    script: str
    times: float
    back: float = 0.0

    @classmethod
    def of(cls, record: Mapping[str, Any], tokenizer: Tokenizer) -> Habits:
        """Those of a record: `beams`, `length_penalty`, and where there are any `coverage`,
        `start`, `end`, `prefix`, `script`, `times` and `back`."""
        return cls(
            int(record["beams"]),
            float(record["length_penalty"]),
            float(record.get("coverage", 0.0)),
            int(record.get("start", tokenizer.end_of_text_id)),
            int(record.get("end", tokenizer.end_of_turn_id)),
            str(record.get("prefix", "")),
            str(record.get("script", "")),
            float(record.get("times", 0.0)),
            float(record.get("back", 0.0)),
        )


class SourceReader:
    """Texts as ids: the prefix and the text, Chinese in the script that was learned; where there is
    a memory, behind them what it recalls, each after the mark that ends a text, which no text can
    contain. What would not fit whole into the context is not recalled.

    Args:
        tokenizer: of both sides.
        habits: of the writer: its prefix, its script, and the mark that ends a text.
        context: ids that are read at most, the last mark included.
        recall: the memory; None where there is none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        habits: Habits,
        *,
        context: int,
        recall: Recall | None = None,
    ) -> None:
        self._tokenizer, self._context = tokenizer, context
        self._prefix, self._end_id = habits.prefix, habits.end_id
        self._script = habits.script
        self.recall = recall

    def cut(
        self, texts: Sequence[str], recalled: Sequence[Sequence[str]] | None = None
    ) -> list[list[int]]:
        """Ids of each text, cut to what fits; the mark at their end is not among them.

        Args:
            recalled: what stands behind each text; None looks it up.
        """
        most = self._context - 1
        return [ids[:most] for ids in self._read(texts, recalled)]

    def whole(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text with the mark at their end, however long it is."""
        return [[*ids, self._end_id] for ids in self._read(texts, None)]

    def text_of(self, ids: Sequence[int]) -> str:
        """The text that was read as `ids`."""
        end = ids.index(self._end_id) if self._end_id in ids else len(ids)
        return self._tokenizer.decode(ids[:end]).removeprefix(self._prefix)

    def num_own(self, texts: Sequence[str]) -> list[int]:
        """Ids of each text and its prefix, without marks and what is recalled."""
        return [len(ids) for ids in self._own(self._written_alike(texts))]

    def _read(
        self, texts: Sequence[str], recalled: Sequence[Sequence[str]] | None
    ) -> list[list[int]]:
        texts = self._written_alike(texts)
        rows = self._own(texts)
        if self.recall is None or not self.recall.most:
            return rows
        if recalled is None:
            recalled = self.recall.recalled(texts)
        pieces = iter(self._tokenizer.encode_batch([text for some in recalled for text in some]))
        for ids, some in zip(rows, recalled, strict=True):
            for _ in some:
                piece = next(pieces).tolist()
                if len(ids) + 1 + len(piece) < self._context:
                    ids += [self._end_id, *piece]
        return rows

    def _written_alike(self, texts: Sequence[str]) -> Sequence[str]:
        return in_script(texts, self._script) if self._script else texts

    def _own(self, texts: Sequence[str]) -> list[list[int]]:
        rows = self._tokenizer.encode_batch([self._prefix + text for text in texts])
        return [row.tolist() for row in rows]


def kept_recall(folder: Path, record: Mapping[str, Any]) -> Recall | None:
    """The memory in a writer's folder; None where its record tells of none. Raises DataError where
    it is missing or damaged."""
    told = record.get("memory")
    return None if told is None else Recall.load(folder, told)


def read_along(folder: Path, record: Mapping[str, Any]) -> Recall | None:
    """As `kept_recall`, where its targets are read behind a text: of a memory whose tokens alone
    are known, nothing is needed to make ids of texts."""
    told = record.get("memory")
    if isinstance(told, Mapping) and told.get("most") == 0:
        return None
    return kept_recall(folder, record)
