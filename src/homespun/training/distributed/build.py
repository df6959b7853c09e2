"""One model, spread over the processes as asked."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from homespun.core import Config, ConfigError
from homespun.training.distributed.blocks import (
    checkpoint_blocks,
    compile_blocks,
    repeated_blocks,
)
from homespun.training.distributed.replicas import Replicas
from homespun.training.distributed.whole import Spread, Whole
from homespun.training.distributed.world import World

Strategy = Literal["ddp", "fsdp"]
_CXX = {"darwin": "clang++", "win32": "cl"}
"""What PyTorch compiles with where CXX says nothing; elsewhere g++."""


class ParallelConfig(Config):
    """None of this is part of what a stage is held to: a stage may go on with another strategy on
    another number of processes.

    Attributes:
        strategy: "ddp", every process holds the whole model; "fsdp", each holds its share of the
            weights, gradients and optimiser state (FSDP2). Of no account for a single process.
        checkpoint_activations: keep only what enters each block, and compute the rest again on the
            way back: a third more arithmetic for a small part of the memory.
        compile: pass each block through torch.compile. Not with the project's own compiled kernels,
            at which it stops in every block: a minute's start and nothing gained (LOG.md).
        accumulate: parts that a process cuts its rows of a batch into, whose gradients are added
            up: as many times less memory for activations, the same step.
    """

    strategy: Strategy = "ddp"
    checkpoint_activations: bool = False
    compile: bool = False
    accumulate: int = Field(default=1, ge=1)


def check_compile(config: ParallelConfig | None, *, kernels: str, device: str) -> None:
    """Raises ConfigError where layers are to be passed through torch.compile and cannot be.

    Args:
        config: how the model is spread; None for the usual way.
        kernels: that train, as in `TrainConfig`.
        device: the type of what trains.
    """
    if config is None or not config.compile or device != "cpu":
        return
    if kernels != "torch":
        raise ConfigError(
            "torch.compile does not go with the compiled kernels that train here",
            got=f"kernels={kernels}, compile",
            remedy="leave +compile out of the strategy: they gain what it would",
        )
    compiler = os.environ.get("CXX") or _CXX.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise ConfigError(
            "torch.compile needs a C++ compiler",
            got=f"no {compiler}",
            remedy="install one, name it in CXX, or leave +compile out of the strategy",
        )


def spread(
    model: nn.Module,
    world: World | None = None,
    config: ParallelConfig | None = None,
    *,
    compute_dtype: torch.dtype = torch.float32,
) -> Spread:
    """Put `model` on the device of `world` and spread it over its processes, in place.

    Args:
        model: fp32 parameters, the same on every process (the leader's count).
        world: the processes; None for this one alone, whose model stays on its device.
        config: how.
        compute_dtype: of activations; sharded block weights travel in it.
    """
    config = config or ParallelConfig()
    world = world or World(device=next(model.parameters()).device)
    model.to(world.device)
    blocks = repeated_blocks(model)
    if config.checkpoint_activations:
        checkpoint_blocks(blocks)
    if config.compile:
        compile_blocks(blocks)
    if world.size == 1:
        return Whole(model, world)
    if config.strategy == "ddp":
        return Replicas(model, world)
    from homespun.training.distributed.shards import Shards

    gather_dtype = None if compute_dtype == torch.float32 else compute_dtype
    return Shards(model, world, gather_dtype=gather_dtype)
