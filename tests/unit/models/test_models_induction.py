"""Heads that copy from the start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from homespun.models import Decoder, DecoderConfig, Preset, decoder_shape, decoder_size
from homespun.models import attention as module

LENGTH, BACK = 200, 80


def weights_of_first_heads(model: Decoder, ids_BT: Tensor, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the first head of each layer looks at, (T, S) each."""
    seen = []
    plain = module.attend

    def watched(q_BHTK: Tensor, k_BGSK: Tensor, *rest: Any) -> Tensor:
        scores_TS = q_BHTK[0, 0] @ k_BGSK[0, 0].T / q_BHTK.shape[-1] ** 0.5
        hidden_TS = torch.ones_like(scores_TS, dtype=torch.bool).triu(1)
        seen.append(scores_TS.masked_fill(hidden_TS, float("-inf")).softmax(-1))
        return plain(q_BHTK, k_BGSK, *rest)

    monkeypatch.setattr(module, "attend", watched)
    with torch.inference_mode():
        model(ids_BT)
    return seen


@pytest.mark.parametrize("width", [64, 96, 128, 256])
def test_the_first_looks_back_by_one_and_the_second_at_what_followed_before(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    config = decoder_shape(width=width, num_layers=3, vocab_size=2048)
    assert config.induction
    ids_BT = torch.randint(0, 2048, (1, LENGTH), generator=generator)
    ids_BT[0, -60:] = ids_BT[0, -60 - BACK : -BACK].clone()
    t = torch.arange(LENGTH - 58, LENGTH)
    before, match, other = weights_of_first_heads(config.build(generator), ids_BT, monkeypatch)
    assert float(before[t, t - 1].mean()) > 0.9
    # The token after the one that is the same as this.
    # In a head as wide as the model, tokens and their predecessors have no room beside each other.
    assert float(match[t, t - BACK + 1].mean()) > (0.5 if width > 64 else 0.3)
    assert float(match[t, t - BACK].mean()) < 0.02
    assert float(other[t, t - BACK + 1].mean()) < 0.02


def test_they_are_initial_weights_and_nothing_else() -> None:
    plain, begun = (
        decoder_size("0.2m", changes={"induction": induction}).build(
            torch.Generator().manual_seed(1)
        )
        for induction in (False, True)
    )
    other = {
        name
        for (name, a), b in zip(plain.named_parameters(), begun.parameters(), strict=True)
        if not torch.equal(a, b)
    }
    parts = ("query", "key", "value", "out", "query_norm", "key_norm")
    assert other == {"embedding.weight"} | {
        f"blocks.{layer}.attention.{part}.weight" for layer in (0, 1) for part in parts
    }


@pytest.mark.parametrize(
    "changes", [{"num_layers": 1}, {"norm_weights": False}, {"qk_norm": False}, {"norm": "layer"}]
)
def test_models_without_the_parts_for_it_begin_as_others(changes: dict[str, Any]) -> None:
    plain, begun = (
        decoder_size("0.2m", changes=changes | {"induction": induction}).build(
            torch.Generator().manual_seed(1)
        )
        for induction in (False, True)
    )
    for a, b in zip(plain.parameters(), begun.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("preset", ["portable", "fast"])
def test_it_is_a_part_of_both_presets(preset: Preset) -> None:
    config = decoder_size("0.2m", preset=preset)
    assert config.induction
    assert config.can_have_induction
    assert not DecoderConfig.model_fields["induction"].default
