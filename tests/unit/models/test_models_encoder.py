"""Encoders: who sees whom, padding, masked words, and pooled vectors."""

from typing import Any

import pytest
import torch
from torch import Tensor

from homespun.core import ConfigError, RequestError, parse_config
from homespun.models import Encoder, EncoderConfig, mean_pooled
from homespun.models.attention import attend_all, attend_obvious

SHAPES = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"norm_first": True, "norm": "rms", "positions": "rotary", "activation": "relu2"},
        {"num_types": 0, "bias": False},
    ],
)


def encoder(**changes: Any) -> Encoder:
    shape = {
        "vocab_size": 23,
        "num_layers": 2,
        "width": 16,
        "num_heads": 2,
        "mlp_width": 24,
        "context": 12,
    }
    config = parse_config(EncoderConfig, {**shape, **changes}, where="model.json")
    model = config.build(torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=noise)
    return model.eval()


def some_ids(rows: int = 2, tokens: int = 9) -> Tensor:
    return torch.randint(23, (rows, tokens), generator=torch.Generator().manual_seed(0))


@SHAPES
def test_every_token_sees_every_other(changes: dict[str, Any]) -> None:
    model, ids_BT = encoder(**changes), some_ids()
    for place in (0, 8):
        other_BT = ids_BT.clone()
        other_BT[0, place] = (other_BT[0, place] + 1) % 23
        differs_BT = (model(ids_BT) != model(other_BT)).any(-1)
        assert differs_BT[0].all()
        assert not differs_BT[1].any()


@SHAPES
def test_padding_changes_nothing(changes: dict[str, Any]) -> None:
    model, ids_BT = encoder(**changes), some_ids()
    alone_BTD = model(ids_BT[:1, :6])
    is_token_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    is_token_BT[0, 6:] = False
    filled_BTD = model(ids_BT, is_token_BT=is_token_BT)
    torch.testing.assert_close(filled_BTD[:1, :6], alone_BTD, atol=1e-5, rtol=1e-5)
    is_token_BT[0] = False
    assert model(ids_BT, is_token_BT=is_token_BT).isfinite().all()


def test_attention_to_all_is_the_obvious_one() -> None:
    draw = torch.Generator().manual_seed(3)
    q = torch.randn(2, 4, 5, 8, generator=draw)
    k, v = (torch.randn(2, 2, 7, 8, generator=draw) for _ in range(2))
    bias_BTS = torch.zeros(2, 5, 7)
    torch.testing.assert_close(attend_all(q, k, v), attend_obvious(q, k, v, bias_BTS))
    bias_BTS[1, :, 5:] = float("-inf")
    torch.testing.assert_close(attend_all(q, k, v, bias_BTS), attend_obvious(q, k, v, bias_BTS))


@SHAPES
def test_masked_words_are_told_with_gradients_for_every_parameter(changes: dict[str, Any]) -> None:
    model, ids_BT = encoder(**changes).train(), some_ids()
    targets_BT = torch.full_like(ids_BT, -100)
    targets_BT[0, 2], targets_BT[1, 5] = 3, 7
    hidden_BTD = model(ids_BT)
    loss = model.masked_loss(hidden_BTD, targets_BT)
    scores_NV = model.scores(hidden_BTD)[targets_BT != -100]
    want = torch.nn.functional.cross_entropy(scores_NV, torch.tensor([3, 7]), reduction="sum")
    torch.testing.assert_close(loss, want)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    kinds = model.parameter_kinds()
    assert list(kinds) == [name for name, _ in model.named_parameters()]
    assert kinds["blocks.0.attention.query.weight"] == "matrix"
    assert kinds["head.bias"] == "scalar"


def test_a_text_has_one_vector_whatever_it_is_filled_up_with() -> None:
    hidden_BTD = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    is_token_BT = torch.tensor([[True, True, False, False], [True] * 4])
    pooled_BD = mean_pooled(hidden_BTD, is_token_BT)
    mean_D = hidden_BTD[0, :2].mean(0)
    torch.testing.assert_close(pooled_BD[0], mean_D / mean_D.norm())
    torch.testing.assert_close(pooled_BD.norm(dim=1), torch.ones(2))
    assert mean_pooled(hidden_BTD, is_token_BT & False).isfinite().all()


@pytest.mark.parametrize(
    "wrong", [{"width": 15}, {"num_layers": 0}, {"dropout": 1.0}, {"num_types": -1}]
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        encoder(**wrong)


def test_a_text_longer_than_the_context_is_refused() -> None:
    with pytest.raises(RequestError, match="12 tokens"):
        encoder()(some_ids(tokens=13))
