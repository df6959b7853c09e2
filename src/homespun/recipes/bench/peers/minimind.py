"""minimind (github.com/jingyaogong/minimind): `MiniMindForCausalLM`, AdamW and the cosine of
trainer/train_pretrain.py."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

from homespun.recipes.bench.peers.model import (
    PeerAsk,
    PeerModel,
    count_flops,
    remember_rates,
    scale_rates,
)

LEARNING_RATE = 5e-4


def build(ask: PeerAsk) -> PeerModel:
    import torch
    import torch.nn.functional as F
    from torch import Tensor

    code: Any = import_module("model.model_minimind")
    shape = ask.shape
    torch.manual_seed(42)
    module = code.MiniMindForCausalLM(
        code.MiniMindConfig(
            hidden_size=shape.width,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_heads,
            vocab_size=shape.vocab_size,
            max_position_embeddings=shape.context,
        )
    )
    optimizer = torch.optim.AdamW(module.parameters(), lr=ask.rates.get("lr", LEARNING_RATE))
    remember_rates(optimizer)
    run: Any = torch.compile(module) if ask.compile else module

    def loss(ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
        answer = run(ids_BT)
        # What `labels=` computes, with targets that are shifted already.
        logits = answer.logits
        nats = F.cross_entropy(logits.view(-1, logits.size(-1)), targets_BT.reshape(-1))
        total: Tensor = nats + answer.aux_loss
        return total

    def schedule(progress: float, step: int) -> None:
        scale_rates(optimizer, 0.1 + 0.45 * (1 + math.cos(math.pi * progress)))

    return PeerModel(
        module=module,
        loss=loss,
        logits=lambda ids_BT: module(ids_BT).logits,
        optimizer=optimizer,
        schedule=schedule,
        clip_norm=1.0,
        autocast=ask.dtype == "bfloat16",
        flops_per_token=count_flops(module, module.lm_head, shape),
    )
