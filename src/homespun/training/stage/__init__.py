"""The pieces of a stage under way, which `training.loop` puts together. Reading order:

state        State: everything the loop itself remembers, as it stands in state.json
trainee      Trainee: what changes and must survive: weights and optimiser state
steps        Steps: makes one optimiser step, and its row
parts        what a start that was short of memory leaves for the next
evaluations  Evaluations: when one is due, and its rows; held_out_loss
watching     Watching: what is off, told once and written as rows
best         Best: the weights of the lowest held-out loss, and which are kept; Judge
saves        Saves: when a checkpoint is due, writing it, taking it over
"""

from homespun.training.stage.best import Best, Judge
from homespun.training.stage.evaluations import Evaluate, Evaluations, held_out_loss
from homespun.training.stage.parts import asked_parts
from homespun.training.stage.saves import Saves
from homespun.training.stage.state import State, finite
from homespun.training.stage.steps import Steps
from homespun.training.stage.trainee import Trainee
from homespun.training.stage.watching import Watching, let_pass, rewound, stopped_early

__all__ = [
    "Best",
    "Evaluate",
    "Evaluations",
    "Judge",
    "Saves",
    "State",
    "Steps",
    "Trainee",
    "Watching",
    "asked_parts",
    "finite",
    "held_out_loss",
    "let_pass",
    "rewound",
    "stopped_early",
]
