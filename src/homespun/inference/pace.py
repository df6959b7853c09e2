"""How much the engine does in one step: as much as nobody notices having waited for."""

from __future__ import annotations

CHUNK_SECONDS = 0.1
"""About how long a chunk of prompts may take: those that write wait for it, and so does whoever
goes away."""
LEAST_CHUNK = 32
BURST_SECONDS = 0.02
"""About how long a burst may take: others wait as long, and a reader does not notice."""
LONGEST_BURST = 32
SHORT_BURST = 4
"""Tokens, where somebody has not seen a first one, or may get a place soon."""
BUSY_SECONDS = 0.05
"""How long a short burst may take on a busy machine: each call costs Python what it costs, and a
call for every token would make it busier."""


class Pace:
    """Learns how long tokens take. Both lengths become shorter at once and longer step by step.

    Args:
        prefill_chunk: most tokens of prompts in a step.

    Attributes:
        chunk: tokens of prompts that may be read in the next step.
    """

    def __init__(self, prefill_chunk: int) -> None:
        self.chunk = self._most = prefill_chunk
        self._step_seconds = BURST_SECONDS / 8  # until it is known

    @property
    def burst(self) -> int:
        """Tokens of every row that may be written in one call; 0 where one takes too long."""
        usual = min(int(BURST_SECONDS / self._step_seconds), LONGEST_BURST)
        return max(usual, min(int(BUSY_SECONDS / self._step_seconds), SHORT_BURST))

    def wrote(self, num_tokens: int, seconds: float) -> None:
        """A burst of so many tokens a row took so long."""
        self._step_seconds = max(seconds / num_tokens, 0.6 * self._step_seconds)

    def read(self, num_tokens: int, seconds: float) -> None:
        """A step that read so many tokens took so long; of a few nothing is learned."""
        if num_tokens >= LEAST_CHUNK:
            fitting = int(CHUNK_SECONDS * num_tokens / max(seconds, 1e-9))
            most = min(self._most, 2 * self.chunk)
            self.chunk = max(min(LEAST_CHUNK, most), min(fitting, most))
