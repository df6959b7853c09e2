"""Joining the processes that torchrun started, and leaving them with one sentence on failure."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch

from homespun.core import ConfigError
from homespun.core.machine import num_cores
from homespun.core.processes import FIRST_TO_FAIL, Place, process_place
from homespun.training.distributed.world import OtherProcessFailed, World

STEP_TIMEOUT = timedelta(minutes=10)
"""A process waits so long for the others inside a step, before it gives up."""


@contextmanager
def joined_world(place: Place | None = None, *, store: Any = None) -> Iterator[World]:
    """The world of this process for the length of the block: gloo on processors, NCCL on GPUs.

    A process without torchrun is a world of its own, without process group.

    Args:
        place: of this process; by default what torchrun says.
        store: where the processes meet; by default torchrun's.

    Raises:
        ConfigError: more processes on a machine than it has GPUs.
        OtherProcessFailed: something went wrong in the block here, but elsewhere first.
    """
    place = place or process_place()
    if place.size == 1:
        yield World(place, device=choose_device(place))
        return
    import torch.distributed as dist
    from torch.distributed import distributed_c10d as c10d
    from torch.distributed.rendezvous import rendezvous

    device = choose_device(place)
    if store is None:
        store, _, _ = next(iter(rendezvous("env://", timeout=STEP_TIMEOUT)))
    world = World(place, device=device, store=c10d.PrefixStore("homespun", store))
    threads = torch.get_num_threads()
    if device.type == "cuda":
        torch.cuda.set_device(device)  # never run on a GPU
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=c10d.PrefixStore("group", store),
        rank=place.rank,
        world_size=place.size,
        timeout=STEP_TIMEOUT,
    )
    try:
        # torchrun says one thread unless told otherwise. While the leader works alone the others
        # sleep, so all cores are its own; to train, see `sharing_cores`.
        torch.set_num_threads(num_cores())
        yield world
    except OtherProcessFailed:
        raise
    except BaseException as error:
        # Where a neighbour died its connection breaks, which is told as an error here as well.
        if not world.is_first_to_fail():
            raise OtherProcessFailed(_code(error)) from error
        error.add_note(f"{FIRST_TO_FAIL} {place.rank} of {place.size}")
        raise
    finally:
        torch.set_num_threads(threads)
        gc.collect()  # sharded tensors hold the group
        dist.destroy_process_group()


def choose_device(place: Place) -> torch.device:
    """The GPU whose number is the process's on its machine, or the processor where there is none.

    Raises:
        ConfigError: there are GPUs, but fewer than processes.
    """
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_gpus == 0:
        return torch.device("cpu")
    if place.local_size > num_gpus:
        raise ConfigError(
            f"this machine has {num_gpus} GPUs for its processes",
            got=place.local_size,
            remedy=f"start torchrun with --nproc-per-node={num_gpus}",
        )
    return torch.device("cuda", place.local_rank)


@contextmanager
def sharing_cores(world: World) -> Iterator[None]:
    """Use this process's share of the cores while the block runs; alone, what is set."""
    threads = torch.get_num_threads()
    if world.size > 1:
        torch.set_num_threads(threads_per_process(world.place))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def threads_per_process(place: Place) -> int:
    """The cores of this machine, shared evenly among its processes."""
    return max(1, num_cores() // place.local_size)


def _code(error: BaseException) -> int:
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 130 if isinstance(error, KeyboardInterrupt) else 1
