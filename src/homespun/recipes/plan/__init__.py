"""The plan of a run: which shape, how long, how fast; measured once, then kept in plan.json.

record   what plan.json says
checks   what a plan may be asked for, and whether one that is there was made for it
changes  what is set by hand in place of its own settings
reread   dropout and weight decay, by how often the text is read
make     measure, choose, foretell, write
"""

from homespun.recipes.plan.changes import read_changes, settle_changes
from homespun.recipes.plan.checks import (
    NO_OPTIONS,
    PlanOptions,
    check_not_begun,
    check_plan,
    check_preset,
    check_settings,
    read_settings,
)
from homespun.recipes.plan.make import (
    CHAT_MARGIN,
    CONTEXT,
    DEFAULT_PRESET,
    DEFAULT_SECONDS,
    fitting_context,
    make_run_plan,
)
from homespun.recipes.plan.record import (
    TARGETS,
    OtherPreset,
    PlanPrediction,
    RunPlan,
    Target,
    reach_text,
    read_plan,
    regularised_text,
)
from homespun.recipes.plan.reread import Read, choose_regularisation

__all__ = [
    "CHAT_MARGIN",
    "CONTEXT",
    "DEFAULT_PRESET",
    "DEFAULT_SECONDS",
    "NO_OPTIONS",
    "TARGETS",
    "OtherPreset",
    "PlanOptions",
    "PlanPrediction",
    "Read",
    "RunPlan",
    "Target",
    "check_not_begun",
    "check_plan",
    "check_preset",
    "check_settings",
    "choose_regularisation",
    "fitting_context",
    "make_run_plan",
    "reach_text",
    "read_changes",
    "read_plan",
    "read_settings",
    "regularised_text",
    "settle_changes",
]
