"""The commonest class, whatever the text says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from homespun.core import DataError
from homespun.core.files import read_json, write_json
from homespun.recipes.applications.classify.task import Labels, Text, all_labels
from homespun.recipes.applications.contract import NOT_NEEDED, Lesson, Method

_FILE = "majority.json"


class Majority(Method[Text, Labels]):
    """Of several labels a text, those that more than half of the texts have."""

    name = "majority"
    summary = "The commonest class: what no method may be worse than."
    held_out = NOT_NEEDED

    def learn(self, lesson: Lesson[Text]) -> Majority:
        all_labels([*lesson.train, *lesson.dev])
        counts = Counter(label for example in lesson.train for label in example.labels)
        is_multi = any(example.is_multi for example in lesson.train)
        half = len(lesson.train) / 2
        labels = [label for label, count in counts.items() if count > half]
        if not is_multi:
            labels = [min(counts, key=lambda label: (-counts[label], label))]
        record = {"labels": sorted(labels), "is_multi": is_multi}
        write_json(lesson.folder / _FILE, record)
        return self.load(lesson.folder)

    def load(self, folder: Path) -> Majority:
        data = read_json(folder / _FILE)
        if not isinstance(data, dict) or not isinstance(data.get("labels"), list):
            raise DataError(f"{folder / _FILE} has no labels", remedy="learn the task again")
        loaded = Majority()
        loaded._labels = tuple(map(str, data["labels"]))
        loaded._is_multi = bool(data.get("is_multi"))
        return loaded

    def answer(self, examples: Sequence[Text]) -> list[Labels]:
        return [Labels(self._labels, None, self._is_multi) for _ in examples]

    _labels: tuple[str, ...] = ()
    _is_multi = False
