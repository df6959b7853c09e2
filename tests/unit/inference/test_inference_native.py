"""The compiled step gives the decoder's scores, whatever the parts, the batch and the threads."""

from __future__ import annotations

import pytest
import torch
from inference_fakes import TOKENIZER, real_decoder
from torch import Tensor

from homespun.core import ConfigError, SamplingSettings
from homespun.inference import Engine, reference_generate
from homespun.inference.native import NativeRunner, packed, unpacked
from homespun.inference.native.pack import WEIGHT_KINDS, WeightKind
from homespun.inference.runners import BurstRow, Work
from homespun.inference.sampling import Ask, Filters, choose
from homespun.models import Decoder, preset_options


def have_compiler() -> bool:
    from homespun.inference.native import load_library

    try:
        load_library()
    except ConfigError:
        return False
    return True


pytestmark = pytest.mark.skipif(not have_compiler(), reason="there is no C compiler")

PARTS: dict[str, dict[str, object]] = {
    "portable": {},
    "grouped": {"num_kv_heads": 2},
    "untied, without norms of heads": {"tied": False, "qk_norm": False, "norm_weights": False},
    "squared ReLU": {"activation": "relu2", "mlp_width": 50},
    "softcap": {"softcap": 3.0, "qk_scale": 1.44},
    "residual scalars": {"residual_scalars": True},
    "value embeddings": {"value_embeddings": True},
    "bigrams": {"bigram_rows": 500},
    "every bigram": {"bigram_rows": (TOKENIZER.vocab_size + 5) ** 2},
    "smear": {"smear": True, "embedding_norm": True},
    "head gate": {"head_gate": True},
    "wide heads": {"head_width": 40, "num_heads": 3, "num_kv_heads": 1},
    "many heads a key": {"head_width": 16, "num_heads": 8, "num_kv_heads": 1},
    "fast": preset_options("fast", TOKENIZER.vocab_size) | {"smear": True},
}
IDS = [(i * 37 + 11) % 250 for i in range(40)]
BLOCKS = [3, 1, 4]


def scores(model: Decoder, ids: list[int]) -> Tensor:
    with torch.inference_mode():
        return model.head(model(torch.tensor([ids])))[0]


def whole(runner: NativeRunner, ids: list[int], blocks: list[int]) -> Tensor:
    return runner.run([Work(ids, 0, blocks, len(ids), [])]).scores_RV


@pytest.mark.parametrize("changes", PARTS.values(), ids=PARTS.keys())
def test_the_scores_are_those_of_the_decoder(changes: dict[str, object]) -> None:
    model = real_decoder(**changes)
    runner = NativeRunner(model, 6, num_threads=2)
    expected = scores(model, IDS)
    torch.testing.assert_close(whole(runner, IDS, BLOCKS), expected, atol=2e-4, rtol=2e-4)


def test_a_model_with_a_part_it_does_not_know_is_left_to_torch() -> None:
    model = real_decoder()
    model.blocks[1].mlp.another = torch.nn.Parameter(torch.zeros(3))  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="another"):
        NativeRunner(model, 6)
    wish = SamplingSettings(max_tokens=5)
    plain = Engine(real_decoder(), TOKENIZER).generate(IDS, wish)
    assert Engine(model, TOKENIZER).generate(IDS, wish).token_ids == plain.token_ids
    with pytest.raises(ConfigError):
        Engine(model, TOKENIZER, kernels="native")


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "layer", "qk_norm": False},
        {"positions": "learned"},
        {"activation": "gelu"},
        {"attention_bias": True},
        {"sliding_window": 8},
    ],
)
def test_families_it_does_not_know_are_answered_by_torch(changes: dict[str, object]) -> None:
    model = real_decoder(**changes)
    with pytest.raises(ConfigError, match="all parts"):
        NativeRunner(model, 6)
    wish = SamplingSettings(max_tokens=5)
    slow = reference_generate(model, TOKENIZER, IDS, wish, window=48)
    assert Engine(model, TOKENIZER).generate(IDS, wish).token_ids == slow.token_ids
    batch = Engine(model, TOKENIZER).generate_batch([IDS, IDS[:9]], wish)
    assert batch[0].token_ids == slow.token_ids


@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_a_row_has_the_same_bits_in_any_batch_chunk_and_number_of_threads(
    weights: WeightKind,
) -> None:
    model = real_decoder(**PARTS["fast"], num_kv_heads=2)
    one, two = (NativeRunner(model, 12, weights=weights, num_threads=n) for n in (1, 2))
    expected = whole(one, IDS, BLOCKS)
    assert torch.equal(whole(two, IDS, BLOCKS), expected)
    for chunk in (1, 2, 3, 7, 13):
        blocks, found = [7, 0, 9], []
        for start in range(0, len(IDS), chunk):
            ids = IDS[start : start + chunk]
            other = [5, *range(start + 1)][:20]
            works = [
                Work(other, 0, [2, 6], 0, []),
                Work(ids, start, blocks, len(ids), IDS[:start]),
                Work(other[:1], 0, [8], 1, []),
            ]
            found.append(two.run(works).scores_RV[: len(ids)])
        assert torch.equal(torch.cat(found), expected)


@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_packed_weights_are_those_of_their_slow_version(weights: WeightKind) -> None:
    generator = torch.Generator().manual_seed(1)
    model = real_decoder(width=64, mlp_width=96)
    rounded = real_decoder(width=64, mlp_width=96)
    with torch.no_grad():
        for parameter in rounded.parameters():
            if parameter.ndim == 2 and parameter is not rounded.embedding.weight:
                parameter.copy_(unpacked(parameter, weights))
    # Tied: the table is looked up as it is, and rounded as the head.
    kind: WeightKind = "int8" if weights == "int4" else weights
    head = unpacked(model.head_weight, kind)
    with torch.inference_mode():
        hidden = rounded(torch.tensor([IDS]))[0]
    expected = hidden @ head.T
    found = whole(NativeRunner(model, 6, weights=weights, num_threads=1), IDS, BLOCKS)
    # Inputs are rounded too, to 7 or 8 bits, where weights are whole numbers.
    tolerance = 1e-3 if weights in ("float32", "bfloat16") else 0.08
    error = (found - expected).square().mean().sqrt() / expected.std()
    assert error < tolerance
    weight = torch.randn(50, 70, generator=generator)
    near = {"float32": 0.0, "bfloat16": 3e-3, "int8": 0.01, "int4": 0.12}[weights]
    assert (unpacked(weight, weights) - weight).square().mean().sqrt() <= near
    bits = {"float32": 32, "bfloat16": 16, "int8": 8.5, "int4": 4.5}[weights]
    assert packed(torch.zeros(64, 64), weights).num_bytes == 64 * 64 * bits / 8


def test_groups_of_zeros_stay_zeros() -> None:
    for weights in WEIGHT_KINDS:
        assert torch.equal(unpacked(torch.zeros(4, 40), weights), torch.zeros(4, 40))


@pytest.mark.parametrize(
    "wish",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "top_p": 1.0},
        {"temperature": 0.7, "top_k": 5, "top_p": 1.0},
        {"temperature": 1.3, "top_p": 0.8},
        {"temperature": 1.0, "top_p": 0.95, "min_p": 0.05, "top_k": 40},
    ],
)
def test_a_burst_chooses_what_is_chosen_one_by_one(wish: dict[str, float]) -> None:
    model = real_decoder(**PARTS["fast"])
    ends = [token for token in range(TOKENIZER.vocab_size) if token % 9 == 0]
    runner = NativeRunner(model, 12, num_threads=2, num_words=TOKENIZER.vocab_size, end_ids=ends)
    rows, expected = [], []
    for number in range(4):
        ids, blocks = IDS[: 3 + 5 * number], [3 * number, 3 * number + 1, 3 * number + 2]
        settings = SamplingSettings(seed=number, **wish)  # type: ignore[arg-type]
        filters = Filters.of(settings)
        runner.run([Work(ids[:-1], 0, blocks, 0, [])])
        rows.append(
            BurstRow(ids[-1], ids[-2], len(ids) - 1, blocks, Ask(filters, number, 2), 9 + number)
        )
        said = list(ids)
        for place in range(2, 2 + min(10, 9 + number)):
            last = scores(model, said)[-1:, : TOKENIZER.vocab_size]
            said += choose(last, [Ask(filters, number, place)])
            if said[-1] in ends:
                break
        expected.append(said[len(ids) :])
    assert runner.burst(rows, 10) == expected
    assert len({len(tokens) for tokens in expected}) > 1
