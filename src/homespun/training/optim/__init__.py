"""How weights change: optimisers and the learning rate over a run.

build      OptimizerConfig, `build_optimizer`: who updates which parameter
adamw      AdamW, for everything or for what Muon leaves
muon       Muon, for the matrices inside blocks
schedule   the learning rate as a function of progress

Each optimiser stands beside a slow, plain version of itself.
"""

from homespun.training.optim.adamw import AdamW
from homespun.training.optim.build import (
    Optimizer,
    OptimizerConfig,
    beta2_for,
    build_optimizer,
    parameter_roles,
)
from homespun.training.optim.muon import Muon
from homespun.training.optim.schedule import ScheduleConfig

__all__ = [
    "AdamW",
    "Muon",
    "Optimizer",
    "OptimizerConfig",
    "ScheduleConfig",
    "beta2_for",
    "build_optimizer",
    "parameter_roles",
]
