"""Which runner computes: the compiled step where it can, else torch."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeGuard

import torch

from homespun.core import ConfigError
from homespun.inference.native import NativeRunner, NotCompiledError, WeightKind
from homespun.inference.runners import CachedDecoder, Runner, TorchRunner
from homespun.models import Decoder

Kernels = Literal["auto", "native", "torch"]
ONE_THREAD_BELOW = 8_000_000
"""Parameters. A token of a small model is a chain of tiny products: torch takes longer to hand each
to a second thread than that saves."""


class RunnerChoice(NamedTuple):
    """What decides which runner computes; see `Engine`."""

    kernels: Kernels
    weights: WeightKind
    device: torch.device
    compute_dtype: torch.dtype
    num_threads: int | None
    num_words: int
    end_ids: tuple[int, ...]


def open_runner(model: CachedDecoder, num_blocks: int, choice: RunnerChoice) -> Runner:
    """The runner for `model`.

    Raises:
        ConfigError: the compiled step is wanted, or weights only it can keep, and cannot be had; or
            the tokenizer has tokens that the model does not know.
    """
    if isinstance(model, Decoder) and choice.num_words > len(model.head_weight):
        raise ConfigError(  # compiled code would read beyond its tables
            f"the tokenizer has {choice.num_words} tokens",
            got=f"a model that knows {len(model.head_weight)}",
            remedy="take the tokenizer that the model was trained with",
        )
    is_wanted = choice.kernels == "native" or choice.weights != "float32"
    if choice.kernels == "torch" and choice.weights != "float32":
        raise ConfigError(
            "torch computes with the model's own weights",
            got=choice.weights,
            remedy="take kernels = native, or weights = float32",
        )
    if choice.kernels != "torch" and is_suitable(model, choice):
        try:
            return NativeRunner(
                model,
                num_blocks,
                weights=choice.weights,
                num_threads=choice.num_threads,
                num_words=choice.num_words,
                end_ids=choice.end_ids,
            )
        except NotCompiledError as error:
            if is_wanted:
                raise
            return TorchRunner(model, num_blocks, choice.device, notice=f"slower answers: {error}")
        except ConfigError as error:
            if is_wanted:
                raise
            why = str(error).removesuffix(f"; {error.remedy}")
            notice = f"slower answers: {why}"
            return TorchRunner(model, num_blocks, choice.device, notice=notice)
    elif is_wanted:
        raise ConfigError(
            "the compiled step is for our decoders in float32 on the processor",
            got=f"{type(model).__name__}, {choice.compute_dtype}, {choice.device}",
            remedy="take kernels = torch",
        )
    return TorchRunner(model, num_blocks, choice.device)


def check_sizes(**sizes: int | None) -> None:
    """Raises ConfigError where a size is below 1: an engine without room would never answer."""
    for name, size in sizes.items():
        if size is not None and size < 1:
            raise ConfigError(
                f"{name} of an engine must be 1 or more",
                got=size,
                remedy="leave it out for the usual one",
            )


def torch_threads(model: CachedDecoder, wanted: int | None, runner: Runner) -> int | None:
    """Threads of torch while `runner` computes: as wanted, one for small models that torch computes
    where nothing is, None for its own number."""
    if wanted is not None or runner.num_threads or not isinstance(model, torch.nn.Module):
        return wanted
    is_small = sum(parameter.numel() for parameter in model.parameters()) < ONE_THREAD_BELOW
    return 1 if is_small else None


def is_suitable(model: CachedDecoder, choice: RunnerChoice) -> TypeGuard[Decoder]:
    return (
        isinstance(model, Decoder)
        and choice.device.type == "cpu"
        and choice.compute_dtype == torch.float32
        and all(p.dtype == torch.float32 for p in model.parameters())
    )
