"""Texts as vectors: what a decoder's last states say of a whole text.

N texts, B texts of a pass, T tokens of the longest of them, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from homespun.inference.runners import CachedDecoder, network_states

MOST_TOGETHER = 1024
"""Tokens of a pass, unless one text alone has more: products are no faster with more of them, and
whoever writes beside it waits for a pass."""


@torch.inference_mode()
def mean_states(
    model: CachedDecoder,
    prompts: Sequence[Sequence[int]],
    *,
    device: torch.device | str = "cpu",
    most: int = MOST_TOGETHER,
) -> Tensor:
    """Of each text the mean of the network's last states, (N, D), in float32 on the processor.

    Texts of about the same length are read together, filled up with their own last token: no state
    depends on tokens behind it, and one that makes no numbers stays in its own row.

    Args:
        model: in evaluation mode.
        prompts: ids of each text, one at least, none longer than the model's context.
        device: where the model is.
        most: tokens of a pass, filling included; one text is read however long it is.
    """
    rows: list[Tensor] = [torch.empty(0)] * len(prompts)
    for numbers in _passes([len(ids) for ids in prompts], most):
        lengths = [len(prompts[n]) for n in numbers]
        longest = max(lengths)
        filled = [[*prompts[n], *[prompts[n][-1]] * (longest - len(prompts[n]))] for n in numbers]
        hidden_BTX = model(torch.tensor(filled, device=device))
        states_BTD = network_states(model, hidden_BTX).float()
        for n, states_TD, length in zip(numbers, states_BTD, lengths, strict=True):
            rows[n] = states_TD[:length].mean(0).cpu()
    return torch.stack(rows) if rows else torch.empty(0, 0)


@torch.inference_mode()
def mean_states_obvious(
    model: CachedDecoder, prompts: Sequence[Sequence[int]], *, device: torch.device | str = "cpu"
) -> Tensor:
    """The slow version of `mean_states`: text by text."""
    rows = []
    for ids in prompts:
        states_1TD = network_states(model, model(torch.tensor([list(ids)], device=device)))
        rows.append(states_1TD[0].float().mean(0).cpu())
    return torch.stack(rows) if rows else torch.empty(0, 0)


def _passes(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Numbers of the texts that are read together, the shortest first."""
    together: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda n: lengths[n]):
        if together and lengths[number] * (len(together) + 1) > most:
            yield together
            together = []
        together.append(number)
    if together:
        yield together
