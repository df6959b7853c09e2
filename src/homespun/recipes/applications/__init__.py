"""Applications: a task is learned from a user's own file, judged, and applied to further files.

contract    Application, Method, Lesson, Learned: what every task and method is
registry    the tasks by name: classify, pair, tag, segment, embed, translate, and so on
rows        files of every usual format as rows; tables: cells between commas or tabs; nested:
            questions within passages
splitting   which part of them is judged on; dividing: whom rows are of, and what cards say of it
reading     their rows as examples: to learn from, held out, to judge on
learning    learn a task, or several at once; judging: judge, hold against baselines
applying    answer the rows of a file; cutting: which of them are longer than what is read
results     results.json; card: the model card; record: what a folder says of itself
neural      encoders to begin with, and a stage of the training loop for heads on them

`learn_application(Asked(...))` and `open_application(folder)` are the two doors. Names load when
they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.recipes.applications.applying import (
        Counts,
        Opened,
        answer_file,
        answered,
        open_application,
        segment_by,
    )
    from homespun.recipes.applications.learning import Also, Asked, learn_application
    from homespun.recipes.applications.registry import application_names, find_application

__all__ = [
    "Also",
    "Asked",
    "Counts",
    "Opened",
    "answer_file",
    "answered",
    "application_names",
    "find_application",
    "learn_application",
    "open_application",
    "segment_by",
]

_HOMES = {
    "applying": ("Counts", "Opened", "answer_file", "answered", "open_application", "segment_by"),
    "learning": ("Also", "Asked", "learn_application"),
    "registry": ("application_names", "find_application"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
