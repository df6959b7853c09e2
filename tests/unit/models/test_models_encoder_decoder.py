"""Encoder-decoders: who sees whom, padding, step by step as at once, loss and smoothing."""

from typing import Any

import pytest
import torch
from torch import Tensor

from homespun.core import ConfigError, RequestError, parse_config
from homespun.models import EncoderDecoder, EncoderDecoderConfig, KeyValueCache
from homespun.models.encoder_decoder.positions import RelativePositions, SinusoidalPositions

VOCABULARY = 23
SHAPES = pytest.mark.parametrize(
    "changes",
    [
        {},
        {"positions": "learned", "shared": False, "tied": False, "scaled": "none"},
        {"positions": "rotary", "norm_first": True, "norm": "rms", "activation": "relu2"},
        {
            "positions": "relative",
            "num_buckets": 8,
            "norm_first": True,
            "norm": "rms",
            "bias": False,
            "activation": "geglu",
            "scaled": "head",
        },
    ],
)


def translator(**changes: Any) -> EncoderDecoder:
    shape = {
        "vocab_size": VOCABULARY,
        "num_layers": 2,
        "num_writer_layers": 2,
        "width": 16,
        "num_heads": 2,
        "head_width": 8,
        "mlp_width": 24,
        "context": 12,
    }
    config = parse_config(EncoderDecoderConfig, {**shape, **changes}, where="model.json")
    model = config.build(torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=noise)
    return model.eval()


def some_ids(rows: int = 2, tokens: int = 9, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (rows, tokens), generator=draw)


class Kept:
    """A cache that grows: the obvious one."""

    def __init__(self) -> None:
        self.length = 0
        self._kept: dict[int, tuple[Tensor, Tensor]] = {}

    def append(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self._kept:
            before = self._kept[layer]
            k_BGTK, v_BGTK = torch.cat([before[0], k_BGTK], 2), torch.cat([before[1], v_BGTK], 2)
        self._kept[layer] = k_BGTK, v_BGTK
        return k_BGTK, v_BGTK


@SHAPES
def test_all_that_was_read_is_seen_and_nothing_that_is_yet_to_be_written(
    changes: dict[str, Any],
) -> None:
    model, read_BS, written_BT = translator(**changes), some_ids(), some_ids(seed=3)
    plain_BTD = model(read_BS, None, written_BT)
    for place in (0, 8):
        other_BS = read_BS.clone()
        other_BS[0, place] = (other_BS[0, place] + 1) % VOCABULARY
        differs_BT = (model(other_BS, None, written_BT) != plain_BTD).any(-1)
        assert differs_BT[0].all()
        assert not differs_BT[1].any()
    later_BT = written_BT.clone()
    later_BT[:, 5] = (later_BT[:, 5] + 1) % VOCABULARY
    later_BTD = model(read_BS, None, later_BT)
    torch.testing.assert_close(later_BTD[:, :5], plain_BTD[:, :5], atol=1e-6, rtol=1e-6)
    assert (later_BTD[:, 5:] != plain_BTD[:, 5:]).any(-1).all()


@SHAPES
def test_padding_changes_nothing(changes: dict[str, Any]) -> None:
    model, read_BS, written_BT = translator(**changes), some_ids(), some_ids(seed=3)
    is_token_BS = torch.ones_like(read_BS, dtype=torch.bool)
    is_token_BS[0, 6:] = False
    filled_BTD = model(read_BS, is_token_BS, written_BT)
    alone_BTD = model(read_BS[:1, :6], None, written_BT[:1])
    torch.testing.assert_close(filled_BTD[:1], alone_BTD, atol=1e-5, rtol=1e-5)


@SHAPES
def test_writing_token_by_token_is_writing_at_once(changes: dict[str, Any]) -> None:
    model, read_BS, written_BT = translator(**changes), some_ids(), some_ids(seed=3)
    read = model.remember(model.encode(read_BS))
    whole_BTD = model.decode(written_BT, read)
    cache = Kept()
    kept: KeyValueCache = cache  # type: ignore[assignment]
    steps = []
    for part_BT in (written_BT[:, :3], *written_BT[:, 3:].split(1, dim=1)):
        steps.append(model.decode(part_BT, read, kept))
        cache.length += part_BT.shape[1]
    torch.testing.assert_close(torch.cat(steps, 1), whole_BTD, atol=1e-5, rtol=1e-5)
    turned = read.rows(torch.tensor([1, 0]))
    torch.testing.assert_close(model.decode(written_BT.flip(0), turned), whole_BTD.flip(0))


@SHAPES
def test_the_loss_is_that_of_the_scores_with_gradients_for_every_parameter(
    changes: dict[str, Any],
) -> None:
    model, read_BS, written_BT = translator(**changes), some_ids(), some_ids(seed=3)
    targets_BT = some_ids(seed=4)
    targets_BT[1, 6:] = -100
    hidden_BTD = model.train()(read_BS, None, written_BT)
    scores_NV = model.head(hidden_BTD).flatten(0, 1)
    flat_N = targets_BT.flatten()
    want = torch.nn.functional.cross_entropy(scores_NV, flat_N, reduction="sum")
    loss = model.next_token_loss(hidden_BTD, targets_BT)
    torch.testing.assert_close(loss, want)
    smooth = torch.nn.functional.cross_entropy(
        scores_NV, flat_N, reduction="sum", label_smoothing=0.1
    )
    smoothed = model.next_token_loss(hidden_BTD, targets_BT, smoothing=0.1)
    torch.testing.assert_close(smoothed, want)  # its value is that of the text
    parameters = list(model.parameters())
    for got, wanted in zip(
        torch.autograd.grad(smoothed, parameters, retain_graph=True),
        torch.autograd.grad(smooth, parameters, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3)
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert list(model.parameter_kinds()) == [name for name, _ in model.named_parameters()]


def test_agreement_aims_at_what_the_other_half_says() -> None:
    """The gradient is that of nats of (1 - a) [(1 - s) target + s uniform] + a other half."""
    model = translator().train()
    read_BS, written_BT, targets_BT = some_ids(), some_ids(seed=3), some_ids(seed=4)
    targets_BT[1, 6:] = -100
    hidden_BTD = model(read_BS, None, written_BT)
    scores_BTV = model.head(hidden_BTD)
    own_BTV = scores_BTV.log_softmax(-1)
    half = len(own_BTV) // 2
    assert half * 2 == len(own_BTV)
    other_BTV = own_BTV.detach().exp().roll(half, 0)
    right_BTV = torch.nn.functional.one_hot(targets_BT.clamp_min(0), own_BTV.shape[-1])
    parameters = list(model.parameters())
    for smoothing in (0.0, 0.1):
        aim_BTV = (1 - smoothing) * right_BTV + smoothing / own_BTV.shape[-1]
        aim_BTV = 0.3 * aim_BTV + 0.7 * other_BTV
        want = -((aim_BTV * own_BTV).sum(-1) * (targets_BT >= 0)).sum()
        loss = model.next_token_loss(hidden_BTD, targets_BT, smoothing=smoothing, agreement=0.7)
        torch.testing.assert_close(loss, model.next_token_loss(hidden_BTD, targets_BT))
        for got, wanted in zip(
            torch.autograd.grad(loss, parameters, retain_graph=True),
            torch.autograd.grad(want, parameters, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-3)


def test_dropout_leaves_out_and_is_off_when_judged() -> None:
    model, read_BS, written_BT = translator(dropout=0.5), some_ids(), some_ids(seed=3)
    torch.manual_seed(0)
    model.train()
    assert not torch.equal(model(read_BS, None, written_BT), model(read_BS, None, written_BT))
    model.eval()
    assert torch.equal(model(read_BS, None, written_BT), model(read_BS, None, written_BT))


def test_waves_are_those_of_the_paper() -> None:
    waves_TD = SinusoidalPositions(50, 8)(3, 5)
    for row, place in zip(waves_TD, (3, 4), strict=True):
        for column in range(4):
            angle = torch.tensor(place * 10_000.0 ** (-column / 3), dtype=torch.float64)
            assert float(row[column]) == pytest.approx(float(angle.sin()), abs=1e-6)
            assert float(row[4 + column]) == pytest.approx(float(angle.cos()), abs=1e-6)


def test_near_distances_have_buckets_of_their_own_and_far_ones_share() -> None:
    both = RelativePositions(2, 8, 16, both_ways=True)
    assert both.bucket(torch.arange(-3, 4)).tolist() == [3 - 1, 2, 1, 0, 5, 6, 6]
    assert both.bucket(torch.tensor([-1000, 1000])).tolist() == [3, 7]
    back = RelativePositions(2, 8, 16, both_ways=False)
    assert back.bucket(torch.tensor([5, 0, -1, -2, -3, -4, -1000])).tolist() == [
        0,
        0,
        1,
        2,
        3,
        4,
        7,
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"dropout": 1.0},
        {"width": 15},
        {"positions": "rotary", "head_width": 7},
        {"positions": "relative", "num_buckets": 6},
        {"positions": "relative", "num_buckets": 32, "farthest": 16},
    ],
)
def test_shapes_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        translator(**wrong)


def test_texts_longer_than_the_context_are_refused() -> None:
    with pytest.raises(RequestError, match="12 tokens"):
        translator().encode(some_ids(tokens=13))
    model = translator()
    read = model.remember(model.encode(some_ids()))
    with pytest.raises(RequestError, match="12 tokens"):
        model.decode(some_ids(tokens=13), read)
