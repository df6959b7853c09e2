"""How fast this machine trains decoders of several sizes, measured before a plan is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homespun.core import Progress
from homespun.scaling import TOKENS_PER_PARAMETER, Speed

if TYPE_CHECKING:
    from homespun.models import DecoderConfig

# A first guess at training speed, to decide which sizes are worth timing: what eager training of
# small decoders reaches on two cores. Wrong guesses cost a few seconds, not the result.
GUESSED_FLOPS = 120e9


def sizes_worth_timing(seconds: float, *, vocab_size: int, context: int) -> list[str]:
    """Three neighbouring named sizes around the one that `seconds` would suit."""
    from homespun.models import count_parameters, decoder_size, decoder_sizes, train_flops_per_token

    names = decoder_sizes()

    def distance(name: str) -> float:
        config = decoder_size(name, vocab_size=vocab_size, context=context)
        tokens = GUESSED_FLOPS * seconds / train_flops_per_token(config)
        ratio = tokens / count_parameters(config) / TOKENS_PER_PARAMETER
        return max(ratio, 1 / ratio)

    best = min(range(len(names)), key=lambda index: distance(names[index]))
    first = max(0, min(best - 1, len(names) - 3))
    return names[first : first + 3]


def measure_speeds(
    names: Sequence[str],
    *,
    vocab_size: int,
    context: int,
    rows: int,
    seconds: float,
    progress: Progress,
) -> list[Speed]:
    """Time whole training steps of each named size for about `seconds` each."""
    from homespun.models import count_parameters, decoder_size

    task = progress.task("measuring this machine", len(names), "sizes")
    speeds = []
    for name in names:
        config = decoder_size(name, vocab_size=vocab_size, context=context)
        rate = _tokens_per_second(config, rows=rows, seconds=seconds)
        speeds.append(Speed(name, count_parameters(config), round(rate, 1)))
        task.advance(note=f"{name}: {rate:,.0f} tokens/s")
    task.finish()
    return speeds


def best_threads(speed: Speed, *, vocab_size: int, context: int, rows: int, seconds: float) -> int:
    """All threads, or one where that trains `speed.size` faster: another program holds a core."""
    import torch

    from homespun.models import decoder_size

    every = torch.get_num_threads()
    config = decoder_size(speed.size, vocab_size=vocab_size, context=context)
    torch.set_num_threads(1)
    try:
        alone = _tokens_per_second(config, rows=rows, seconds=seconds)
    finally:
        torch.set_num_threads(every)
    return 1 if alone > 1.05 * speed.tokens_per_second else every


def _tokens_per_second(config: DecoderConfig, *, rows: int, seconds: float) -> float:
    import torch

    from homespun.models import best_compute_dtype
    from homespun.recipes.kernels import best_kernels, load_by_name
    from homespun.training.machine import training_tokens_per_second

    model = config.build(torch.Generator().manual_seed(0))
    model.set_compute_dtype(best_compute_dtype("cpu"))
    return training_tokens_per_second(
        model,
        batch=rows,
        context=config.context,
        vocab_size=config.vocab_size,
        seconds=seconds,
        kernels=load_by_name(best_kernels().name),
    )
