"""What a decoder promises, whatever its shape."""

import pytest
import torch
from torch import Tensor

from homespun.core import RequestError
from homespun.models import Decoder, DecoderConfig, best_compute_dtype, preset_options

SHAPES = {
    "grouped": {"num_heads": 4, "num_kv_heads": 2},
    "plain, untied": {"num_heads": 2, "num_kv_heads": 2, "tied": False, "qk_norm": False},
    "fast, as it was": {**preset_options("fast", 61), "norm_weights": False, "induction": False},
    "everything, grouped": {
        **preset_options("fast", 61),
        "head_gate": True,
        "smear": True,
        "bigram_rows": 61**2,
    },
}


class ReferenceCache:
    """A key-value cache that concatenates: the slow, obvious one."""

    def __init__(self) -> None:
        self.length = 0
        self.stored: dict[int, tuple[Tensor, Tensor]] = {}
        self.ids_BS = torch.empty(0)

    def append(self, layer: int, k_BHTK: Tensor, v_BHTK: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.stored:
            old_k, old_v = (x[:, :, : self.length] for x in self.stored[layer])
            k_BHTK, v_BHTK = torch.cat((old_k, k_BHTK), 2), torch.cat((old_v, v_BHTK), 2)
        self.stored[layer] = (k_BHTK, v_BHTK)
        return k_BHTK, v_BHTK

    def append_ids(self, ids_BT: Tensor) -> Tensor:
        self.ids_BS = (
            torch.cat((self.ids_BS[:, : self.length], ids_BT), 1) if self.length else ids_BT
        )
        return self.ids_BS

    def hidden_keys(self, *, like: Tensor) -> None:
        return None

    def advance(self, num_tokens: int) -> None:
        self.length += num_tokens


def config(**changes: object) -> DecoderConfig:
    fields: dict[str, object] = {
        "vocab_size": 61,
        "num_layers": 3,
        "width": 32,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_width": 10,
        "mlp_width": 48,
        "context": 64,
    }
    return DecoderConfig.model_validate(fields | changes)


def build(seed: int = 0, **changes: object) -> Decoder:
    """A decoder with no weight at zero or one, so that every part has its say."""
    model = config(**changes).build(torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * (0.3 if parameter.dim() == 1 else 0.15))
    return model


def random_ids(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def model(request: pytest.FixtureRequest) -> Decoder:
    return build(**request.param)


@torch.no_grad()
def test_future_tokens_do_not_change_the_past(model: Decoder) -> None:
    ids_BT = random_ids(2, 20)
    changed_BT = ids_BT.clone()
    changed_BT[:, 12:] = random_ids(2, 8, seed=5)
    before, after = model(ids_BT), model(changed_BT)
    torch.testing.assert_close(before[:, :12], after[:, :12], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("chunks", [[1] * 20, [20], [7, 1, 1, 11], [1, 19], [13, 7]])
def test_a_cache_gives_what_one_forward_pass_gives(model: Decoder, chunks: list[int]) -> None:
    ids_BT = random_ids(3, 20)
    cache = ReferenceCache()
    parts = []
    for part_BT in ids_BT.split(chunks, dim=1):
        parts.append(model(part_BT, cache=cache))
        cache.advance(part_BT.shape[1])
    torch.testing.assert_close(torch.cat(parts, 1), model(ids_BT), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_texts_packed_into_a_row_are_as_if_alone(model: Decoder) -> None:
    lengths = [5, 11, 4]
    texts = [random_ids(1, n, seed=n) for n in lengths]
    segments_BT = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))[None]
    positions_BT = torch.cat([torch.arange(n) for n in lengths])[None]
    packed_BT = torch.cat(texts, 1)
    packed = model(packed_BT, segments_BT=segments_BT, positions_BT=positions_BT)
    without_positions = model(packed_BT, segments_BT=segments_BT)
    for part, other, text in zip(
        packed.split(lengths, 1), without_positions.split(lengths, 1), texts, strict=True
    ):
        alone = model(text)
        assert (part - alone).norm() < 2e-6 * alone.norm()
        assert (other - alone).norm() < 5e-6 * alone.norm()


@torch.no_grad()
def test_a_text_in_a_row_does_not_feel_its_neighbours_at_all(model: Decoder) -> None:
    ids_BT = random_ids(2, 20)
    segments_BT = torch.tensor([[0] * 6 + [1] * 8 + [2] * 6] * 2)
    changed_BT = torch.where(segments_BT == 1, ids_BT, random_ids(2, 20, seed=3))
    before = model(ids_BT, segments_BT=segments_BT)
    after = model(changed_BT, segments_BT=segments_BT)
    assert torch.equal(before[segments_BT == 1], after[segments_BT == 1])
    assert not torch.allclose(before[:, :6], after[:, :6], atol=1e-2)


@torch.no_grad()
def test_one_segment_is_the_same_as_none(model: Decoder) -> None:
    ids_BT = random_ids(2, 15)
    segments_BT = torch.zeros_like(ids_BT)
    without = model(ids_BT)
    assert (model(ids_BT, segments_BT=segments_BT) - without).norm() < 2e-6 * without.norm()


def test_bfloat16_gradients_are_finite_float32_and_near_the_exact_ones(model: Decoder) -> None:
    ids_BT, targets_BT = random_ids(4, 32), random_ids(4, 32, seed=1)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model.set_compute_dtype(dtype)
        hidden_BTD = model(ids_BT)
        assert hidden_BTD.dtype == dtype
        model.zero_grad()
        model.next_token_loss(hidden_BTD, targets_BT).backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    exact, rounded = found
    assert len(exact) == len(list(model.parameters()))
    for want, got in zip(exact, rounded, strict=True):
        assert got.dtype == torch.float32
        assert got.isfinite().all()
        assert (got - want).norm() < 0.2 * want.norm()


def test_all_parameters_get_the_gradient_of_the_obvious_loss(model: Decoder) -> None:
    ids_BT, targets_BT = random_ids(2, 9), random_ids(2, 9, seed=1)
    targets_BT[:, :3] = -100
    loss = model.next_token_loss(model(ids_BT), targets_BT)
    logits_BTV = model.head(model(ids_BT))
    assert logits_BTV.dtype == torch.float32
    want = torch.nn.functional.cross_entropy(
        logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="sum"
    )
    torch.testing.assert_close(loss, want)
    parameters = list(model.parameters())
    for got, exact in zip(
        torch.autograd.grad(loss, parameters), torch.autograd.grad(want, parameters), strict=True
    ):
        torch.testing.assert_close(got, exact, atol=2e-5, rtol=1e-4)


def test_the_same_seed_builds_the_same_model() -> None:
    first, again, other = (
        config().build(torch.Generator().manual_seed(seed)).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    config().build(torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_model_knows_nothing_and_learns_from_every_matrix_soon(tied: bool) -> None:
    model = config(tied=tied).build(torch.Generator().manual_seed(0))
    ids_BT, targets_BT = random_ids(8, 32), random_ids(8, 32, seed=1)
    loss = model.next_token_loss(model(ids_BT), targets_BT) / targets_BT.numel()
    assert loss.item() == pytest.approx(torch.tensor(61.0).log().item(), abs=0.15)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss.backward()
    optimizer.step()
    model.zero_grad()
    model.next_token_loss(model(ids_BT), targets_BT).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_learns_one_batch_by_heart(dtype: torch.dtype) -> None:
    model = config().build(torch.Generator().manual_seed(0))
    model.set_compute_dtype(dtype)
    ids_BT = random_ids(2, 17)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True)
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.next_token_loss(model(ids_BT[:, :-1]), ids_BT[:, 1:]) / 32
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_a_tied_head_is_the_embedding_and_an_untied_one_is_not() -> None:
    tied, untied = build(tied=True), build(tied=False)
    assert "unembedding.weight" not in dict(tied.named_parameters())
    assert tied.head_weight is tied.embedding.weight
    assert untied.unembedding is not None
    assert untied.head_weight is untied.unembedding.weight


def test_every_parameter_has_a_kind() -> None:
    model = build(tied=False)
    kinds = model.parameter_kinds()
    assert list(kinds) == [name for name, _ in model.named_parameters()]
    assert kinds["embedding.weight"] == "embedding"
    assert kinds["unembedding.weight"] == "head"
    in_blocks = {name: kind for name, kind in kinds.items() if name.startswith("blocks.")}
    assert {kind for name, kind in in_blocks.items() if "norm" in name} == {"norm"}
    assert {kind for name, kind in in_blocks.items() if "norm" not in name} == {"matrix"}
    assert kinds["norm.weight"] == "norm"
    assert "head" not in build(tied=True).parameter_kinds().values()


def test_more_tokens_than_the_context_are_refused() -> None:
    model = build(context=16)
    with pytest.raises(RequestError, match=r"context is 16 tokens \(got 17\)"):
        model(random_ids(1, 17))
    cache = ReferenceCache()
    cache.length = 10
    with pytest.raises(RequestError, match=r"got 17"):
        model(random_ids(1, 7), cache=cache)


def test_segments_with_a_cache_are_refused() -> None:
    ids_BT = random_ids(1, 4)
    with pytest.raises(RequestError, match="segments and a cache"):
        build()(ids_BT, segments_BT=ids_BT, cache=ReferenceCache())


def test_compute_dtype_is_never_float16_and_float32_where_nothing_is_known() -> None:
    assert best_compute_dtype("cpu") in (torch.bfloat16, torch.float32)
    assert best_compute_dtype("meta") == torch.float32


def test_a_model_converted_for_inference_still_gives_float32_scores() -> None:
    model = build().to(torch.bfloat16)
    model.set_compute_dtype(torch.bfloat16)
    with torch.no_grad():
        logits_BTV = model.head(model(random_ids(1, 5)))
    assert logits_BTV.dtype == torch.float32
    assert logits_BTV.isfinite().all()


def test_a_model_that_generated_first_can_be_trained() -> None:
    model = config(num_heads=1, num_kv_heads=1).build(torch.Generator().manual_seed(0))
    ids_BT = torch.tensor([[1, 2, 3, 4]])
    with torch.inference_mode():
        model(ids_BT)
    loss = model.next_token_loss(model(ids_BT[:, :-1]), ids_BT[:, 1:])
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())
