"""What an engine tells of itself."""

from __future__ import annotations

from typing import NamedTuple


class EngineStats(NamedTuple):
    """What the engine is doing and has done. Times are the caller's affair.

    Attributes:
        num_running, num_waiting: rows in the cache, and jobs that wait for a place.
        num_blocks, num_free_blocks: of the cache.
        num_prompt_tokens, num_cached_tokens: of the prompts admitted, and found in the cache.
        num_tokens: chosen.
        num_preempted: jobs that had to give their place back for a while.
        num_guessed, num_right: tokens guessed ahead, and those that came true.
    """

    num_running: int
    num_waiting: int
    num_blocks: int
    num_free_blocks: int
    num_prompt_tokens: int
    num_cached_tokens: int
    num_tokens: int
    num_preempted: int
    num_guessed: int
    num_right: int
