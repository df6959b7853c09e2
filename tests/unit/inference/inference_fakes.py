"""A tokenizer and a decoder small enough to see through, for the tests of this room.

B rows, T new tokens, S tokens in all, D width, H heads, K head width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from homespun.core import ChatTokens, Message
from homespun.models import Decoder, DecoderConfig

WINDOW = 48


class FakeTokenizer:
    """Every byte is a token; so are some byte strings that begin or end inside a character."""

    merges = (b"th", b" the", "你".encode(), "好".encode()[:2], b"\xbd\xe4", b"\xe4\xbd", b"END")
    specials = ("<end_of_text>", "<end_of_turn>", "<user>", "<assistant>", "<system>")

    def __init__(self) -> None:
        self._tokens = [bytes([value]) for value in range(256)] + list(self.merges)
        self._first_special = len(self._tokens)
        self.vocab_size = self._first_special + len(self.specials)
        self.end_of_text_id = self._first_special
        self.end_of_turn_id = self._first_special + 1
        self.start_ids = (self.end_of_text_id,)

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.token_bytes(token) for token in ids).decode("utf-8", "replace")

    def token_bytes(self, token_id: int) -> bytes:
        return self._tokens[token_id] if token_id < self._first_special else b""

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        ids: list[int] = []
        for message in messages:
            ids += [self._marker(message.role), *self.encode(message.content).tolist()]
            ids.append(self.end_of_turn_id)
        if add_generation_prompt:
            ids.append(self._marker("assistant"))
        return ChatTokens(tuple(ids), (False,) * len(ids))

    def _marker(self, role: str) -> int:
        return self._first_special + self.specials.index(f"<{role}>")


class FakeDecoder(nn.Module):
    """Two layers of causal attention over learned positions, random weights.

    The head has outputs beyond the vocabulary, as a padded one does, and they are the largest.

    Attributes:
        num_tokens_read: tokens that went through, to see what a cache saves.
    """

    def __init__(self, vocab_size: int, *, context: int = WINDOW, seed: int = 1) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.context = context
        self.num_tokens_read = 0
        width = 16
        self.embedding_VD = torch.randn(vocab_size, width, generator=generator)
        self.positions_SD = torch.randn(context, width, generator=generator)
        self.layers = [torch.randn(3, width, width, generator=generator) for _ in range(2)]
        self.head_DV = torch.randn(width, vocab_size, generator=generator)

    def set_compute_dtype(self, dtype: torch.dtype) -> None:
        assert dtype == torch.float32

    def forward(
        self, ids_BT: Tensor, *, positions_BT: Tensor | None = None, cache: Any = None
    ) -> Tensor:
        self.num_tokens_read += ids_BT.numel()
        past = 0 if cache is None else cache.length
        num = ids_BT.shape[1]
        where = slice(past, past + num) if positions_BT is None else positions_BT
        x_BTD = self.embedding_VD[ids_BT] + self.positions_SD[where]
        bias_BTS = torch.full((num, past + num), float("-inf")).triu(past + 1)[None]
        if cache is not None and (hidden_BTS := cache.hidden_keys(like=x_BTD)) is not None:
            bias_BTS = hidden_BTS
        for layer, weights in enumerate(self.layers):
            q_BHTK, k_BHTK, v_BHTK = (
                (x_BTD @ weight).unflatten(-1, (2, 8)).transpose(1, 2) for weight in weights
            )
            if cache is not None:
                k_BHTK, v_BHTK = cache.append(layer, k_BHTK, v_BHTK)
            scores = q_BHTK @ k_BHTK.transpose(2, 3) / 16 + bias_BTS[:, None]
            x_BTD = x_BTD + (scores.softmax(-1) @ v_BHTK).transpose(1, 2).flatten(2) / 4
        return x_BTD / x_BTD.std(-1, keepdim=True)

    def head(self, hidden_BTD: Tensor) -> Tensor:
        logits_BTV = hidden_BTD @ self.head_DV
        padding = logits_BTV.amax(-1, keepdim=True) + 1
        return torch.cat((logits_BTV, padding), -1)


class SayingO(FakeDecoder):
    """Greedy, it says "o" for ever: answers of a known length."""

    def head(self, hidden_BTD: Tensor) -> Tensor:
        logits_BTV = torch.zeros_like(super().head(hidden_BTD))
        logits_BTV[..., ord("o")] = 1
        return logits_BTV


TOKENIZER = FakeTokenizer()


def real_decoder(**changes: object) -> Decoder:
    """A random decoder whose layers all count."""
    generator = torch.Generator().manual_seed(3)
    fields: dict[str, object] = {
        "vocab_size": TOKENIZER.vocab_size + 5,
        "num_layers": 2,
        "width": 32,
        "num_heads": 4,
        "num_kv_heads": 4,
        "head_width": 8,
        "mlp_width": 48,
        "context": WINDOW,
    }
    model = DecoderConfig.model_validate(fields | changes).build(generator)
    with torch.no_grad():
        for parameter in model.parameters():  # fresh blocks are the identity
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model
