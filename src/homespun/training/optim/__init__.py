"""How weights change: optimisers and the learning rate over a run.

config      OptimizerConfig: which optimiser, and what differs for each kind of parameter
build       `build_optimizer`: who updates which parameter
kinds       what each parameter is
adamw       AdamW, for everything or for what Muon leaves
muon        Muon, for the matrices inside blocks
orthogonal  what Muon makes of their gradients
sgd         momentum alone, to compare with
decay       what they share: who is updated alike, and how weights decay
schedule    the learning rate as a function of progress
reference   all optimisers again, slow and plain, for the tests
"""

from homespun.training.optim.adamw import AdamW, AdamWSettings
from homespun.training.optim.build import Optimizer, beta2_for, build_optimizer
from homespun.training.optim.config import KindConfig, KindsConfig, OptimizerConfig
from homespun.training.optim.kinds import parameter_kinds
from homespun.training.optim.muon import Muon
from homespun.training.optim.schedule import ScheduleConfig
from homespun.training.optim.sgd import SGD, SGDSettings

__all__ = [
    "SGD",
    "AdamW",
    "AdamWSettings",
    "KindConfig",
    "KindsConfig",
    "Muon",
    "Optimizer",
    "OptimizerConfig",
    "SGDSettings",
    "ScheduleConfig",
    "beta2_for",
    "build_optimizer",
    "parameter_kinds",
]
