"""nanoGPT (github.com/karpathy/nanoGPT): `model.GPT`, its `configure_optimizers`, its cosine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from homespun.recipes.bench.peers.model import (
    PeerAsk,
    PeerModel,
    count_flops,
    ignored_as,
    remember_rates,
    scale_rates,
)
from homespun.recipes.bench.peers.shape import Shape

LEARNING_RATE = 1e-3  # config/train_shakespeare_char.py
_FLOOR = 0.1  # min_lr there, as a share


def build(ask: PeerAsk) -> PeerModel:
    import torch

    code: Any = import_module("model")
    shape = ask.shape
    torch.manual_seed(1337)
    module = code.GPT(
        code.GPTConfig(
            block_size=shape.context,
            vocab_size=shape.vocab_size,
            n_layer=shape.num_layers,
            n_head=shape.num_heads,
            n_embd=shape.width,
            dropout=0.0,
            bias=False,
        )
    )
    optimizer = module.configure_optimizers(
        0.1, ask.rates.get("lr", LEARNING_RATE), (0.9, 0.99), "cpu"
    )
    remember_rates(optimizer)
    run: Any = torch.compile(module) if ask.compile else module

    def schedule(progress: float, step: int) -> None:
        decayed = _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))
        scale_rates(optimizer, decayed * min(1.0, (step + 1) / 100))

    return PeerModel(
        module=module,
        loss=lambda ids_BT, targets_BT: run(ids_BT, ignored_as(-1, targets_BT))[1],
        logits=lambda ids_BT: module(ids_BT, ids_BT)[0],
        optimizer=optimizer,
        schedule=schedule,
        clip_norm=1.0,
        autocast=ask.dtype == "bfloat16",
        flops_per_token=count_flops(module, module.lm_head, shape),
    )


def trained(names: Mapping[str, Any]) -> tuple[PeerModel, dict[str, Any]]:
    """The model that its train.py ended with, to be judged only, and what it was trained on.

    Args:
        names: the script's global names when it ended.
    """
    module = names["raw_model"]
    module.eval()
    said = module.config
    shape = Shape(said.n_layer, said.n_embd, said.n_head, said.vocab_size, said.block_size)
    model = PeerModel(
        module=module,
        loss=lambda ids_BT, targets_BT: module(ids_BT, targets_BT)[1],
        logits=lambda ids_BT: module(ids_BT, ids_BT)[0],
        optimizer=None,
        schedule=lambda progress, step: None,
        clip_norm=None,
        autocast=False,
        flops_per_token=count_flops(module, module.lm_head, shape),
    )
    facts = {
        "steps": names["iter_num"],
        "tokens_per_step": names["tokens_per_iter"],
        "context": said.block_size,
    }
    return model, facts
