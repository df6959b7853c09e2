"""Batches that grow during a run: few rows and short contexts at first, more and longer later.

Early steps learn what short contexts and noisy gradients teach as well, for less time each (batch
and sequence ramps of the modded-nanogpt speedrun, records 13 and 46).

Shape letters: B rows of a batch, T tokens of a row (the context).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from homespun.core import Config, ConfigError, TextBlocks
from homespun.training.data import Batch, RowOrder, TokenArray, TokenBatches


class RampPhase(Config):
    """Attributes:
    share: of the steps of the run.
    rows, context: of a batch.
    """

    share: float = Field(gt=0.0, le=1.0)
    rows: int = Field(gt=0)
    context: int = Field(gt=0)


class RampConfig(Config):
    """Attributes:
    phases: first to last; the shares add up to 1.
    rate: "sqrt" multiplies the learning rate by the root of the batch's tokens as a share of the
        largest batch's, "constant" leaves it.
    """

    phases: tuple[RampPhase, ...] = Field(min_length=1)
    rate: Literal["sqrt", "constant"] = "constant"

    @model_validator(mode="after")
    def _shares_fit(self) -> RampConfig:
        total = math.fsum(phase.share for phase in self.phases)
        if abs(total - 1.0) > 1e-6:
            raise ConfigError(
                "the shares of the phases must add up to 1",
                got=f"{total:g}",
                remedy="change the last one",
            )
        return self

    @property
    def context(self) -> int:
        """The longest of all."""
        return max(phase.context for phase in self.phases)

    @property
    def rows(self) -> int:
        """Of the longest context, that hold the tokens of the largest batch."""
        largest = max(phase.rows * phase.context for phase in self.phases)
        return math.ceil(largest / self.context)

    @property
    def batch_tokens(self) -> float:
        """Tokens of a batch, on average over a run."""
        return math.fsum(phase.share * phase.rows * phase.context for phase in self.phases)

    def tokens_in(self, num_batches: int) -> int:
        """Tokens of a run of `num_batches`."""
        ends = self._ends(num_batches)
        return sum(
            (end - first) * phase.rows * phase.context
            for phase, (first, end) in zip(self.phases, itertools.pairwise(ends), strict=True)
        )

    def build(
        self,
        tokens: TokenArray,
        *,
        num_batches: int,
        seed: int,
        blocks: TextBlocks | None = None,
    ) -> RampedBatches:
        """Batches for a run of about `num_batches` in all; the last phase goes on beyond them."""
        ends = self._ends(num_batches)
        phases = [
            Phase(first, phase.rows, phase.context)
            for phase, first in zip(self.phases, ends, strict=False)
        ]
        sqrt_rate = self.rate == "sqrt"
        return RampedBatches(tokens, phases, seed=seed, sqrt_rate=sqrt_rate, blocks=blocks)

    def _ends(self, num_batches: int) -> list[int]:
        """Where the phases of so many batches begin, and where the last one ends."""
        ends = [0]
        share = 0.0
        for phase in self.phases:
            share += phase.share
            ends.append(round(min(1.0, share) * num_batches))
        return ends


class Phase(NamedTuple):
    """Attributes:
    first: number of its first batch.
    rows, context: of each of its batches.
    """

    first: int
    rows: int
    context: int


class RampedBatches:
    """Batches whose rows and context depend on their number. A batch is a function of (seed, its
    number) alone, whatever was read before.

    Windows of the longest context are cut and shuffled as `TokenBatches` does; a shorter row is a
    part of a window, and the parts of one are dealt in order. So within an epoch no token is dealt
    twice, and none is left out but the remainder shorter than a window and, where the context
    changes in mid-window, the rest of that one window.

    Args:
        tokens: ids, as for `TokenBatches`.
        phases: in order; the first begins at batch 0, the last never ends.
        seed: of the order and the cuts.
        sqrt_rate: whether `rate_factor` follows the size of the batch.
        blocks: of the tokens, as for `TokenBatches`.

    Raises:
        ConfigError: a context does not divide the longest, or phases do not begin in order.
        DataError: fewer tokens than one row needs.
    """

    def __init__(
        self,
        tokens: TokenArray,
        phases: list[Phase],
        *,
        seed: int,
        sqrt_rate: bool = False,
        blocks: TextBlocks | None = None,
    ) -> None:
        longest = max(phase.context for phase in phases)
        for phase in phases:
            if longest % phase.context:
                raise ConfigError(
                    f"the contexts of a ramp must divide the longest, {longest}",
                    got=phase.context,
                    remedy="choose halves, quarters and so on of it",
                )
        firsts = [phase.first for phase in phases]
        if firsts[0] != 0 or firsts != sorted(firsts):
            raise ConfigError(
                "the phases of a ramp must begin at batch 0 and follow one another",
                got=firsts,
                remedy="put them in order",
            )
        self._phases, self._seed, self._sqrt_rate = phases, seed, sqrt_rate
        self._window, self._blocks = longest, blocks
        self._tokens = tokens
        self._batches = TokenBatches(tokens, context=longest, rows=1, seed=seed, blocks=blocks)
        self._order = RowOrder(self._batches.rows_per_epoch, 1, seed)
        # Where each phase begins, in tokens dealt; at a whole row of its own.
        self._dealt = [0]
        for phase, after in itertools.pairwise(phases):
            end = self._dealt[-1] + (after.first - phase.first) * phase.rows * phase.context
            self._dealt.append(-(-end // after.context) * after.context)

    @property
    def rows_per_epoch(self) -> int:
        """Windows of the longest context."""
        return self._batches.rows_per_epoch

    @property
    def shortest_context(self) -> int:
        return min(phase.context for phase in self._phases)

    @property
    def fewest_rows(self) -> int:
        """Of a batch: more processes than these cannot share all of them."""
        return min(phase.rows for phase in self._phases)

    def epochs(self, num_batches: int) -> float:
        """How often the data has been seen after that many batches."""
        return self._place(num_batches) / (self._batches.rows_per_epoch * self._window)

    def tokens_of(self, index: int) -> int:
        """Tokens of batch `index`."""
        phase = self._phases[self._phase(index)]
        return phase.rows * phase.context

    def rate_factor(self, index: int) -> float:
        """What the learning rate of batch `index` is to be multiplied by, at most 1."""
        if not self._sqrt_rate:
            return 1.0
        largest = max(phase.rows * phase.context for phase in self._phases)
        return math.sqrt(self.tokens_of(index) / largest)

    def batch(self, index: int) -> Batch:
        """Batch `index`: ids and targets [B, T] of its phase."""
        phase = self._phases[self._phase(index)]
        place = self._place(index)
        starts = []
        for dealt in range(place, place + phase.rows * phase.context, phase.context):
            window, inside = divmod(dealt, self._window)
            ((epoch, row),) = self._order.rows(window)
            starts.append(self._batches.start(epoch, row) + inside)
        return self._batches.read(starts, phase.context)

    def describe(self) -> dict[str, Any]:
        return {
            "kind": "ramp",
            "tokens": len(self._tokens),
            "phases": [list(phase) for phase in self._phases],
            "sqrt_rate": self._sqrt_rate,
            "seed": self._seed,
            **({"blocks": self._blocks.num_blocks} if self._blocks else {}),
        }

    def _phase(self, index: int) -> int:
        return max(n for n, phase in enumerate(self._phases) if phase.first <= index)

    def _place(self, index: int) -> int:
        """Tokens dealt before batch `index`, those left out included."""
        number = self._phase(index)
        phase = self._phases[number]
        return self._dealt[number] + (index - phase.first) * phase.rows * phase.context
