"""Tasks learned from a file of one's own, each `finetune TASK` and `apply TASK`.

learn    finetune classify, pair, tag, segment, embed, translate, summarise, write, answer
apply    the same names: answer the rows of a file or of standard input
score    how good answers are, whoever gave them: a file beside a file of right ones
search   passages by words and meaning, questions over a folder; texts as vectors
"""

from __future__ import annotations

from homespun.cli.commands.tasks.apply import build_group
from homespun.cli.commands.tasks.learn import add_tasks
from homespun.cli.commands.tasks.score import score
from homespun.cli.commands.tasks.search import embed, search

__all__ = ["add_tasks", "build_group", "embed", "score", "search"]
