"""The stages that learn, both by the one training loop.

pretrain   by the run's plan, with its n-gram table where the plan says so
targets    what a plan's objective wants told; behind: what such models write
chat       the fine-tune on conversations
"""

from homespun.recipes.learn.chat import (
    MAX_CHAT_EPOCHS,
    MIN_CHAT_STEPS,
    check_chat_budget,
    ensure_chat,
    help_with_chat,
)
from homespun.recipes.learn.pretrain import (
    PATIENCE,
    ensure_pretrained,
    help_pretraining,
    pretrain_config,
    validation_curve,
)
from homespun.recipes.learn.targets import check_objective, settle_objective

__all__ = [
    "MAX_CHAT_EPOCHS",
    "MIN_CHAT_STEPS",
    "PATIENCE",
    "check_chat_budget",
    "check_objective",
    "ensure_chat",
    "ensure_pretrained",
    "help_pretraining",
    "help_with_chat",
    "pretrain_config",
    "settle_objective",
    "validation_curve",
]
