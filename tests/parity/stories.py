"""The 260k-parameter Llama of karpathy/tinyllamas as a Hugging Face folder, for the tests."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from homespun.tokenizer.imported.sentencepiece import Piece, piece_document

GREEDY = """Once upon a time, there was a little girl named Lily. She loved to play outside in the \
park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, \
"I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she said, "I'm sorry, mom. I didn't know what to do." Her mom \
said, "Don't worry, Lily. We can help you.
"""
"""What the authors' own program says at temperature 0 (stories260K.md beside the weights)."""


def write_folder(source: Path, out: Path) -> None:
    """`source` holds stories260K.bin and tok512.bin of llama2.c (its export.py, version 0)."""
    data = (source / "stories260K.bin").read_bytes()
    width, units, layers, heads, kv_heads, vocab, context = struct.unpack("7i", data[:28])
    numbers = np.frombuffer(data, dtype="<f4", offset=28)
    at = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal at
        size = int(np.prod(shape))
        found = torch.from_numpy(numbers[at : at + size].copy()).view(shape)
        at += size
        return found

    keys = kv_heads * (width // heads)
    embedding = take(vocab, width)
    stacked = {
        "input_layernorm": take(layers, width),
        "self_attn.q_proj": take(layers, width, width),
        "self_attn.k_proj": take(layers, keys, width),
        "self_attn.v_proj": take(layers, keys, width),
        "self_attn.o_proj": take(layers, width, width),
        "post_attention_layernorm": take(layers, width),
        "mlp.gate_proj": take(layers, units, width),
        "mlp.down_proj": take(layers, width, units),
        "mlp.up_proj": take(layers, units, width),
    }
    tensors = {"model.embed_tokens.weight": embedding, "model.norm.weight": take(width)}
    for name, tensor in stacked.items():
        for layer in range(layers):
            rows = tensor[layer]
            if name.endswith(("q_proj", "k_proj")):  # neighbours are turned, not halves
                half = width // heads // 2
                rows = rows.view(-1, half, 2, width).transpose(1, 2).reshape(-1, width)
            tensors[f"model.layers.{layer}.{name}.weight"] = rows.contiguous()
    out.mkdir(parents=True)
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    fields = {
        "model_type": "llama",
        "vocab_size": vocab,
        "hidden_size": width,
        "intermediate_size": units,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (out / "config.json").write_text(json.dumps(fields))
    document = piece_document(_pieces(source / "tok512.bin", vocab), "bpe")
    (out / "tokenizer.json").write_text(json.dumps(document))
    (out / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    )


def _pieces(path: Path, vocab: int) -> list[Piece]:
    data, at = path.read_bytes(), 4
    pieces = []
    for number in range(vocab):
        score, length = struct.unpack_from("<fi", data, at)
        text = data[at + 8 : at + 8 + length].decode()
        at += 8 + length
        kind = {0: 2, 1: 3, 2: 3}.get(number, 6 if number < 259 else 1)
        if kind in (2, 3):
            text = ("<unk>", "<s>", "</s>")[number]
        pieces.append(Piece(text.replace(" ", "\u2581"), score, kind))
    return pieces
