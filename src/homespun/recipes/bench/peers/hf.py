"""A plain loop over `transformers.LlamaForCausalLM` with PyTorch's fused AdamW."""

from __future__ import annotations

from typing import Any

from homespun.recipes.bench.peers.model import (
    PeerAsk,
    PeerModel,
    count_flops,
    remember_rates,
    scale_rates,
)


def build(ask: PeerAsk) -> PeerModel:
    import torch
    import transformers

    shape = ask.shape
    torch.manual_seed(42)
    # 8/3 of the width in multiples of 32, the share Llama has.
    mlp_width = round(shape.width * 8 / 3 / 32) * 32
    module: Any = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=shape.vocab_size,
            hidden_size=shape.width,
            intermediate_size=mlp_width,
            num_hidden_layers=shape.num_layers,
            num_attention_heads=shape.num_heads,
            num_key_value_heads=shape.num_heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=True,
            use_cache=False,
        )
    )
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=ask.rates.get("lr", 1e-3), fused=True)
    remember_rates(optimizer)
    run: Any = torch.compile(module) if ask.compile else module
    return PeerModel(
        module=module,
        # Its labels are the inputs, shifted inside.
        loss=lambda ids_BT, targets_BT: run(input_ids=ids_BT, labels=ids_BT).loss,
        logits=lambda ids_BT: module(input_ids=ids_BT).logits,
        optimizer=optimizer,
        schedule=lambda progress, step: scale_rates(optimizer, 1.0 - progress),
        clip_norm=1.0,
        autocast=ask.dtype == "bfloat16",
        flops_per_token=count_flops(module, module.lm_head, shape),
    )
