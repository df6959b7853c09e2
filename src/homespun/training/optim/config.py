"""What an optimiser is asked. Every option left at its default changes nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from homespun.core import Config
from homespun.models import ParameterKind
from homespun.training.optim.orthogonal import Method


class KindConfig(Config):
    """What differs for one kind of parameter.

    Attributes:
        rate: factor on the learning rate; 0 freezes.
        beta1, beta2: AdamW's for this kind; None for the common ones.
        weight_decay: for this kind; None for the common one on matrices and none elsewhere.
    """

    rate: float = Field(default=1.0, ge=0.0)
    beta1: float | None = Field(default=None, ge=0.0, lt=1.0)
    beta2: float | None = Field(default=None, ge=0.0, lt=1.0)
    weight_decay: float | None = Field(default=None, ge=0.0)


class KindsConfig(Config):
    """One `KindConfig` for each kind of parameter, see `parameter_kinds`."""

    matrix: KindConfig = KindConfig()
    embedding: KindConfig = KindConfig()
    head: KindConfig = KindConfig()
    value_table: KindConfig = KindConfig()
    bigram_table: KindConfig = KindConfig()
    scalar: KindConfig = KindConfig()
    norm: KindConfig = KindConfig()

    def of(self, kind: ParameterKind) -> KindConfig:
        found: KindConfig = getattr(self, kind)
        return found


class OptimizerConfig(Config):
    """Attributes:
    kind: "adamw"; "muon" for Muon on block matrices and AdamW on the rest; "sgd".
    learning_rate: peak rate; the schedule multiplies it.
    matrix_learning_rate: peak rate of Muon's matrices, if it is to differ.
    kinds: what differs for each kind of parameter: factors on the rates above, betas, decay.
    beta1, beta2, eps: AdamW's. `beta2_for` gives a beta2 that suits small batches.
    momentum: Muon's and SGD's.
    nesterov: whether those look ahead.
    momentum_start, momentum_warmup: the momentum rises linearly from the one to `momentum` over
        this share of the run (0.85 over the first tenth in the modded-nanogpt speedrun).
    weight_decay: decoupled, on matrices alone unless `kinds` says otherwise.
    weight_decay_power: the decay of a step is peak rate · weight_decay · scale ** power, where
        `scale` is the schedule's: 0 for a decay that stays, 1 for the usual one, 2 for one that
        itself follows the schedule.
    cautious: decay only what the update moves towards zero anyway (arXiv 2510.12402).
    update_scale: "match_rms_adamw" gives Muon's updates AdamW's size (arXiv 2502.16982), so that
        one rate serves both; "sqrt_ratio" multiplies them by sqrt(max(1, rows / columns)).
    variance: NorMuon's normalisation of the orthogonal update (arXiv 2510.05491) by a running
        mean square of its "rows", or of the rows of tall and the columns of wide matrices
        ("longer_side"); "none" leaves it.
    variance_beta2: decay of that running mean.
    orthogonal: how updates are made orthogonal: "quintic", "polar_express", "halley" (fastest in
        float32), or "auto" for what suits device and dtype; see `orthogonalise`.
    """

    kind: Literal["adamw", "muon", "sgd"] = "adamw"
    learning_rate: float = Field(default=3e-3, gt=0.0)
    matrix_learning_rate: float | None = Field(default=None, gt=0.0)
    kinds: KindsConfig = KindsConfig()
    beta1: float = Field(default=0.9, ge=0.0, lt=1.0)
    beta2: float = Field(default=0.99, ge=0.0, lt=1.0)
    eps: float = Field(default=1e-8, gt=0.0)
    momentum: float = Field(default=0.95, ge=0.0, lt=1.0)
    nesterov: bool = True
    momentum_start: float | None = Field(default=None, ge=0.0, lt=1.0)
    momentum_warmup: float = Field(default=0.0, ge=0.0, le=1.0)
    weight_decay: float = Field(default=0.1, ge=0.0)
    weight_decay_power: float = Field(default=1.0, ge=0.0)
    cautious: bool = False
    update_scale: Literal["match_rms_adamw", "sqrt_ratio"] = "match_rms_adamw"
    variance: Literal["none", "rows", "longer_side"] = "none"
    variance_beta2: float = Field(default=0.95, ge=0.0, lt=1.0)
    orthogonal: Method = "quintic"

    def momentum_at(self, progress: float) -> float:
        """The momentum when `progress` of the run, from 0 to 1, is done."""
        if self.momentum_start is None or progress >= self.momentum_warmup:
            return self.momentum
        done = progress / self.momentum_warmup
        return self.momentum_start + (self.momentum - self.momentum_start) * done
