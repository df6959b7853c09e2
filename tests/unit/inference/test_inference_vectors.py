"""Texts as vectors: together as one by one."""

from __future__ import annotations

import pytest
import torch
from inference_fakes import TOKENIZER, FakeDecoder, real_decoder

from homespun.inference import mean_states, mean_states_obvious
from homespun.models import preset_options

TEXTS = [
    [TOKENIZER.end_of_text_id, *text.encode()]
    for text in ("a yarn of wool", "羊毛", "", "spinning 你好 in the long evenings", "a", "wool")
]
PARTS: dict[str, dict[str, object]] = {
    "portable": {},
    "gpt2": {"norm": "layer", "qk_norm": False, "positions": "learned", "activation": "gelu_tanh"},
    "sliding": {"sliding_window": 5},
    "fast": preset_options("fast", TOKENIZER.vocab_size) | {"smear": True},
}


@pytest.mark.parametrize("most", [1, 30, 1024])
@pytest.mark.parametrize("changes", PARTS.values(), ids=PARTS.keys())
def test_texts_read_together_have_the_vectors_they_have_alone(
    changes: dict[str, object], most: int
) -> None:
    model = real_decoder(**changes).eval()
    found_ND = mean_states(model, TEXTS, most=most)
    wanted_ND = mean_states_obvious(model, TEXTS)
    torch.testing.assert_close(found_ND, wanted_ND, atol=1e-5, rtol=1e-5)
    assert len({tuple(row) for row in found_ND.tolist()}) == len(TEXTS)


def test_passes_hold_no_more_than_they_may() -> None:
    model = FakeDecoder(TOKENIZER.vocab_size)
    shapes: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape)))
    texts = [[1] * length for length in (3, 40, 3, 3, 9, 3, 30)]
    mean_states(model, texts, most=20)
    assert shapes == [(4, 3), (1, 9), (1, 30), (1, 40)]
    shapes.clear()
    mean_states(model, texts, most=10_000)
    assert shapes == [(7, 40)]


def test_a_text_without_numbers_spoils_no_other() -> None:
    model = real_decoder(tied=False).eval()
    with torch.no_grad():
        model.embedding.weight[[0, 77]] = float("nan")
    found_ND = mean_states(model, [*TEXTS, [5, 77, 5]])
    assert found_ND[:-1].isfinite().all()
    assert not found_ND[-1].isfinite().any()
    torch.testing.assert_close(
        found_ND[:-1], mean_states_obvious(model, TEXTS), atol=1e-5, rtol=1e-5
    )


def test_no_texts_have_no_vectors() -> None:
    assert len(mean_states(real_decoder(), [])) == 0
