"""A run that watches itself. Reading order:

spikes    which steps are not taken, and when the run goes back
findings  what is off, in words
trends    checks of the numbers that steps and evaluations give anyway
probes    looks inside the model: dead units, attention scores, how far a step moves weights
repeats   text that is read twice or stands in validation too
monitor   which check is made when
"""

from homespun.training.health.findings import CLOCKED, Finding
from homespun.training.health.monitor import Along, HealthConfig, Monitor, Seen, Watch
from homespun.training.health.spikes import SpikeConfig, of_kind, rewind_interval, why_skip
from homespun.training.health.trends import Expected, Memory

__all__ = [
    "CLOCKED",
    "Along",
    "Expected",
    "Finding",
    "HealthConfig",
    "Memory",
    "Monitor",
    "Seen",
    "SpikeConfig",
    "Watch",
    "of_kind",
    "rewind_interval",
    "why_skip",
]
