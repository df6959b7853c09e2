"""`torchrun --nproc-per-node=K -m homespun …`: the leader speaks, the others are quiet."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

# What several processes do together; of everything else, `finetune classify` and its kin included,
# the leader does all.
SHARED = (
    ("spin",),
    ("plan",),
    ("pretrain",),
    ("finetune", "chat"),
    ("continue",),
    ("extend",),
)
PATIENCE_SECONDS = 30.0
"""So long a process that leaves without a word lets another say why."""


def joins_in(arguments: Sequence[str]) -> bool:
    """Whether this process has a part in the command. One that follows another prints nothing but
    an error, should it be the first to have one.

    Raises:
        ConfigError: the environment names no place among several processes.
    """
    if is_leader():
        return True
    if not any(tuple(arguments[: len(words)]) == words for words in SHARED):
        return False
    sys.stdout.flush()
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    return True


def is_told_elsewhere(error: BaseException) -> bool:
    """Whether the leader says the same: everything that fails alike on all processes, before they
    have met."""
    from homespun.core.processes import FIRST_TO_FAIL

    notes = getattr(error, "__notes__", [])
    return not is_leader() and not any(note.startswith(FIRST_TO_FAIL) for note in notes)


def let_another_tell() -> None:
    """Wait until torchrun ends this process, which it does once the one that tells has left.

    Whoever leaves first has all others ended at once: also the one that was about to say why.
    """
    from homespun.core.processes import process_place

    if process_place().size > 1:
        time.sleep(PATIENCE_SECONDS)


def is_leader() -> bool:
    """Whether this process is alone or the first of several."""
    from homespun.core.processes import process_place

    return process_place().is_leader
