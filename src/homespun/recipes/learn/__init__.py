"""The stages that learn, both by the one training loop.

pretrain   by the run's plan, with its n-gram table where the plan says so
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
    ensure_pretrained,
    help_pretraining,
    pretrain_config,
    validation_curve,
)

__all__ = [
    "MAX_CHAT_EPOCHS",
    "MIN_CHAT_STEPS",
    "check_chat_budget",
    "ensure_chat",
    "ensure_pretrained",
    "help_pretraining",
    "help_with_chat",
    "pretrain_config",
    "validation_curve",
]
