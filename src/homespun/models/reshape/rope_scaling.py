"""Rotary positions for a longer context than the model was trained with.

Component pair i of a head of width K turns by `position · f_i`, with f_i = base^(-2i/K). Beyond the
trained length the slow pairs reach angles that the model has never met. Four remedies:

base      a larger base makes all but the fastest pairs slower: "NTK-aware" (bloc97 2023), ABF
          (Xiong et al. 2023, arXiv 2309.16039). The model stays a plain one, with another
          `rope_base`; `larger_base` gives it.
linear    every frequency divided by the factor: position interpolation (Chen et al. 2023, arXiv
          2306.15595).
yarn      pairs that turn often within the old context keep their frequency, those that turn less
          than once are divided by the factor, a ramp lies between, and scores are sharpened (Peng
          et al. 2023, arXiv 2309.00071, sections 3.2 to 3.4).

llama3    pairs whose wavelength is short beside the old context keep their frequency, long ones are
          divided by the factor, between two bounds they are blended (Llama 3.1; in `transformers`
          "llama3").

The numbers are those of `transformers`, so that an exported model computes the same.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from homespun.core import Config, ConfigError


class RopeScaling(Config):
    """How frequencies follow from the base's.

    Attributes:
        kind: "linear", "yarn" or "llama3".
        factor: new context divided by the one trained with.
        original_context: that one.
        beta_fast, beta_slow: turns within the original context above which "yarn" leaves a pair
            alone, and below which it divides by the factor; 32 and 1 are the paper's for Llama.
        attention_factor: of "yarn", instead of the paper's; None for that.
        high_factor, low_factor: turns within the original context from which "llama3" leaves a
            pair alone, and up to which it divides by the factor; 4 and 1 are Llama 3.1's.
    """

    kind: Literal["linear", "yarn", "llama3"]
    factor: float = Field(gt=1.0)
    original_context: int = Field(ge=2)
    beta_fast: float = Field(default=32.0, gt=0.0)
    beta_slow: float = Field(default=1.0, gt=0.0)
    attention_factor: float | None = Field(default=None, gt=0.0)
    high_factor: float = Field(default=4.0, gt=0.0)
    low_factor: float = Field(default=1.0, gt=0.0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.high_factor <= self.low_factor:
            raise ConfigError(
                "high_factor must be above low_factor",
                got=f"{self.high_factor} and {self.low_factor}",
                remedy="4 and 1 are usual",
            )
        return self

    @property
    def magnitude(self) -> float:
        """Factor on cosines and sines: YaRN's sqrt(1/t) = 0.1 ln(factor) + 1, equation 22."""
        if self.kind != "yarn":
            return 1.0
        return self.attention_factor or 0.1 * math.log(self.factor) + 1.0

    def frequencies(self, frequency: Tensor, base: float) -> Tensor:
        """Scaled frequencies, [K/2] in float32, of the base's, fastest first."""
        slow = frequency / self.factor
        if self.kind == "linear":
            return slow
        if self.kind == "llama3":
            turns = self.original_context * frequency / (2 * math.pi)
            ramp = (turns - self.low_factor) / (self.high_factor - self.low_factor)
            ramp = ramp.clamp(0, 1)
            return slow * (1 - ramp) + frequency * ramp
        half = frequency.shape[0]
        first = max(0, math.floor(self._pair_that_turns(self.beta_fast, base, half)))
        last = min(2 * half - 1, math.ceil(self._pair_that_turns(self.beta_slow, base, half)))
        pair = torch.arange(half, dtype=torch.float32, device=frequency.device)
        ramp = ((pair - first) / (max(last - first, 0.001))).clamp(0, 1)
        return slow * ramp + frequency * (1 - ramp)

    def _pair_that_turns(self, times: float, base: float, half: int) -> float:
        """The (fractional) pair that turns so many times within the original context."""
        return half * math.log(self.original_context / (times * 2 * math.pi)) / math.log(base)


def larger_base(base: float, head_width: int, factor: float) -> float:
    """The base whose slowest pair is slower by `factor` than that of `base`: bloc97's
    base · factor^(K/(K-2))."""
    return float(base * factor ** (head_width / (head_width - 2)))


def frequencies_obvious(scaling: RopeScaling, base: float, head_width: int) -> list[float]:
    """The slow version: pair by pair, in double precision, as the papers write it."""
    found = []
    for pair in range(head_width // 2):
        frequency = base ** (-2 * pair / head_width)
        if scaling.kind == "linear":
            found.append(frequency / scaling.factor)
            continue
        if scaling.kind == "llama3":
            wavelength = 2 * math.pi / frequency
            if wavelength < scaling.original_context / scaling.high_factor:
                found.append(frequency)
            elif wavelength > scaling.original_context / scaling.low_factor:
                found.append(frequency / scaling.factor)
            else:
                turns = scaling.original_context / wavelength
                span = scaling.high_factor - scaling.low_factor
                kept = (turns - scaling.low_factor) / span
                found.append((1 - kept) * frequency / scaling.factor + kept * frequency)
            continue
        borders = []
        for turns in (scaling.beta_fast, scaling.beta_slow):
            # turns = context · base^(-2p/K) / 2π, solved for p.
            wavelength = scaling.original_context / turns
            borders.append(head_width / 2 * math.log(wavelength / (2 * math.pi), base))
        first, last = max(0, math.floor(borders[0])), min(head_width - 1, math.ceil(borders[1]))
        if pair <= first:
            kept = 1.0
        elif pair >= last:
            kept = 0.0
        else:
            kept = 1.0 - (pair - first) / (last - first)
        found.append(kept * frequency + (1 - kept) * frequency / scaling.factor)
    return found
