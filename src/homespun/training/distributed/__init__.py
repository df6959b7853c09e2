"""Several processes that train one model, each with its share of the work. Reading order:

world      World: this process among the others, and the few words they exchange
launch     joined_world: joining those that torchrun started
build      `spread` and ParallelConfig: one model, spread as asked, which changes no result
whole      Spread, what a step must do about it; Whole, a process alone
replicas   every process holds the model; gradients are summed in buckets
shards     every process holds its rows of every tensor (FSDP2)
owners     optimisers on shards: AdamW by rows, Muon by matrices that have an owner
layout     where the rows are, and who owns which matrix
tensors    whole tensors gathered and written one at a time
blocks     activation checkpointing and compilation, layer by layer
estimate   what so many GPUs would need, on paper
agreement  whether several processes train as one does, measured

The loop is `training.loop`, the same for one process and many; a checkpoint does not show how many
wrote it.
"""

from homespun.training.distributed.build import ParallelConfig, Strategy, check_compile, spread
from homespun.training.distributed.launch import joined_world, sharing_cores
from homespun.training.distributed.replicas import check_enough
from homespun.training.distributed.whole import Spread, Whole
from homespun.training.distributed.world import OtherProcessFailed, World

__all__ = [
    "OtherProcessFailed",
    "ParallelConfig",
    "Spread",
    "Strategy",
    "Whole",
    "World",
    "check_compile",
    "check_enough",
    "joined_world",
    "sharing_cores",
    "spread",
]
