"""nanochat (github.com/karpathy/nanochat): `GPT`, `MuonAdamW`, the schedules of base_train.py.

Rates: `matrix` is Muon's; `scale` multiplies those of embeddings, head and scalars. Where neither
is given, all are scaled by the root of the batch as its script does. Weight decay (`decay`) is 0,
the default of its `setup_optimizer`: the script's own scaling of it assumes billions of tokens.
"""

from __future__ import annotations

import math
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from homespun.recipes.bench.peers.model import (
    PeerAsk,
    PeerModel,
    count_flops,
    ignored_as,
    scale_rates,
)

# Defaults of scripts/base_train.py.
MATRIX_RATE = 0.02
_REST = {"embedding_lr": 0.3, "unembedding_lr": 0.008, "scalar_lr": 0.5}
_REFERENCE_BATCH = 2**19
_WARMUP_STEPS = 40
_WARMDOWN, _FINAL = 0.65, 0.05


def build(ask: PeerAsk) -> PeerModel:
    import torch

    os.environ["NANOCHAT_DTYPE"] = ask.dtype  # read when it is imported
    if find_spec("filelock") is None:  # asked for at import, used for downloads alone
        stub: Any = ModuleType("filelock")
        stub.FileLock = None
        sys.modules["filelock"] = stub
    code: Any = import_module("nanochat.gpt")
    shape = ask.shape
    config = code.GPTConfig(
        sequence_len=shape.context,
        vocab_size=shape.vocab_size,
        n_layer=shape.num_layers,
        n_head=shape.num_heads,
        n_kv_head=shape.num_heads,
        n_embd=shape.width,
        window_pattern="L",  # as in its runs/runcpu.sh
    )
    torch.manual_seed(42)
    with torch.device("meta"):
        module = code.GPT(config)
    module.to_empty(device="cpu")
    module.init_weights()
    batch = (ask.rows * shape.context / _REFERENCE_BATCH) ** 0.5
    scale = ask.rates.get("scale", 1.0 if "matrix" in ask.rates else batch)
    matrix = ask.rates.get("matrix", MATRIX_RATE * (1.0 if "scale" in ask.rates else batch))
    decay = ask.rates.get("decay", 0.0)
    optimizer = module.setup_optimizer(
        matrix_lr=matrix,
        weight_decay=decay,
        **{name: rate * scale for name, rate in _REST.items()},
    )
    run: Any = torch.compile(module, dynamic=False) if ask.compile else module

    def schedule(progress: float, step: int) -> None:
        left = min(1.0, (1.0 - progress) / _WARMDOWN)
        warm = min(1.0, (step + 1) / _WARMUP_STEPS)
        scale_rates(optimizer, warm * (left + (1 - left) * _FINAL))
        momentum = 0.97 * left + 0.90 * (1 - left)
        if step < 400:
            momentum = 0.85 + (0.97 - 0.85) * step / 400
        for group in optimizer.param_groups:
            if group["kind"] == "muon":
                group["momentum"] = momentum
                group["weight_decay"] = decay * 0.5 * (1 + math.cos(math.pi * progress))

    return PeerModel(
        module=module,
        loss=lambda ids_BT, targets_BT: run(ids_BT, ignored_as(-1, targets_BT)),
        logits=lambda ids_BT: module(ids_BT),
        optimizer=optimizer,
        schedule=schedule,
        clip_norm=None,
        autocast=False,  # its layers cast by themselves
        flops_per_token=count_flops(module, module.lm_head, shape),
    )
