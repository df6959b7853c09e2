"""Models that go on learning. Each recipe makes a new run beside the one it begins with.

new_text   `continue`: new text, with replay of the old and a check of what was forgotten
average    `average`: the mean of checkpoints or runs, measured against each
context    `extend context`: rows longer than the model was trained with
size       `extend grow`: more layers and width, the same function
vocabulary `extend vocabulary`: more tokens on top of those there are
engine     what the last three share
lineage    parent.json: where a run comes from, and what it takes over
compare    the same held-out text before and after, with intervals
further    plan and training of a run that has a parent; helping: of those who train along
"""

from homespun.recipes.extend.average import average_run
from homespun.recipes.extend.context import extend_context
from homespun.recipes.extend.new_text import continue_run
from homespun.recipes.extend.size import grow_run
from homespun.recipes.extend.vocabulary import extend_vocabulary

__all__ = ["average_run", "continue_run", "extend_context", "extend_vocabulary", "grow_run"]
