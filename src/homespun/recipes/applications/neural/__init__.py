"""What methods share that learn by gradients.

bases     encoders to begin with
method    EncoderLearning: a head on one of them, learned alone; together: several at once
fitting   a stage of the one training loop; choosing: which step's weights it keeps
scoring   what a model says of examples
options   settings that users give by name
"""

from homespun.recipes.applications.neural.bases import (
    Base,
    base_of,
    fresh_base,
    fresh_reader,
    load_base,
    open_base,
    save_base,
)
from homespun.recipes.applications.neural.choosing import (
    CHOSEN_BY,
    LEAST,
    ONLY_WATCHED,
    join_kept,
    looks_at,
    read_kept,
    spaced,
)
from homespun.recipes.applications.neural.fitting import (
    STAGE,
    WEIGHTS_FILE,
    FitSettings,
    chosen_settings,
    drop_states,
    fit_with,
    load_model,
    save_weights,
    train_config,
)
from homespun.recipes.applications.neural.method import Begun, EncoderLearning, fit, with_examples
from homespun.recipes.applications.neural.options import read_choice, read_option
from homespun.recipes.applications.neural.scoring import in_batches, likely_classes, scored
from homespun.recipes.applications.neural.together import COMMON, common_shape, learn_together

__all__ = [
    "CHOSEN_BY",
    "COMMON",
    "LEAST",
    "ONLY_WATCHED",
    "STAGE",
    "WEIGHTS_FILE",
    "Base",
    "Begun",
    "EncoderLearning",
    "FitSettings",
    "base_of",
    "chosen_settings",
    "common_shape",
    "drop_states",
    "fit",
    "fit_with",
    "fresh_base",
    "fresh_reader",
    "in_batches",
    "join_kept",
    "learn_together",
    "likely_classes",
    "load_base",
    "load_model",
    "looks_at",
    "open_base",
    "read_choice",
    "read_kept",
    "read_option",
    "save_base",
    "save_weights",
    "scored",
    "spaced",
    "train_config",
    "with_examples",
]
