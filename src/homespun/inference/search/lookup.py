"""Guesses ahead: what followed the last few tokens where they occurred before.

Prompt lookup (Saxena 2023): where an answer copies from its prompt or repeats itself, several
tokens are read in one step, and those that were guessed right are kept. What is chosen does not
change.
"""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_MATCH = 3
_SEARCHED = 2048
"""Tokens that are searched, the last ones."""


def guess(ids: Sequence[int], most: int) -> list[int]:
    """Up to `most` ids that followed the last occurrence of the longest run, of 3 tokens or else 2,
    that ends `ids`. Empty where there is none."""
    ids = list(ids[-_SEARCHED:])
    for length in range(LONGEST_MATCH, 1, -1):
        last = ids[-length:]
        for start in range(len(ids) - length - 1, -1, -1):
            if ids[start] == last[0] and ids[start : start + length] == last:
                return ids[start + length : start + length + most]
    return []


class AcceptanceMeter:
    """Counts how many guesses come true, and turns guessing off where too few do.

    A guess costs about as much to read as a token in a batch does, so guessing pays where a step
    yields clearly more than one token. After each trial of `TRIAL` steps with fewer than `LEAST`
    right guesses a step, guessing rests, twice as long each time.
    """

    TRIAL = 8
    LEAST = 0.3

    def __init__(self) -> None:
        self.num_guessed = 0
        self.num_right = 0
        self._steps = 0
        self._right = 0
        self._rest = 0
        self._next_rest = 32

    @property
    def is_on(self) -> bool:
        return self._rest == 0

    def pause(self) -> None:
        """A step without a guess has passed."""
        self._rest = max(0, self._rest - 1)

    def count(self, num_guessed: int, num_right: int) -> None:
        """A step with a guess has passed."""
        self.num_guessed += num_guessed
        self.num_right += num_right
        self._steps += 1
        self._right += num_right
        if self._steps < self.TRIAL:
            return
        if self._right < self.LEAST * self._steps:
            self._rest, self._next_rest = self._next_rest, 2 * self._next_rest
        else:
            self._next_rest = 32
        self._steps = self._right = 0
