"""Layers that look back only so far: the compiled step writes what the slow version writes."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from inference_fakes import TOKENIZER, real_decoder
from torch import Tensor

from homespun.core import ConfigError, SamplingSettings
from homespun.inference import Engine, reference_generate
from homespun.inference.native import NativeRunner, load_library
from homespun.inference.native.pack import WEIGHT_KINDS, WeightKind
from homespun.inference.runners import Work
from homespun.models import Decoder, preset_options


def have_compiler() -> bool:
    try:
        load_library()
    except ConfigError:
        return False
    return True


pytestmark = pytest.mark.skipif(not have_compiler(), reason="there is no C compiler")

CONTEXT = 112
IDS = [(i * 37 + 11) % 250 for i in range(90)]
BLOCKS = [5, 0, 7, 2, 6, 1]
WINDOWS = (1, 5, 16, 17, 40, 89, 90, 91, 200)


def sliding(window: int, first_layer: int = 0, **changes: object) -> Decoder:
    return real_decoder(
        context=CONTEXT, sliding_window=window, first_sliding_layer=first_layer, **changes
    )


def whole(runner: NativeRunner, ids: list[int], blocks: list[int]) -> Tensor:
    return runner.run([Work(ids, 0, blocks, len(ids), [])]).scores_RV


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"first_layer": 1, "num_kv_heads": 2},
        {"num_heads": 8, "head_width": 16, "num_kv_heads": 1},  # more queries than one tile
    ],
)
def test_the_scores_are_those_of_the_decoder(window: int, changes: dict[str, int]) -> None:
    model = sliding(window, **changes)
    with torch.inference_mode():
        expected = model.head(model(torch.tensor([IDS])))[0]
    found = whole(NativeRunner(model, 8, num_threads=2), IDS, BLOCKS)
    torch.testing.assert_close(found, expected, atol=3e-4, rtol=3e-4)


def test_the_window_is_what_it_is_said_to_be() -> None:
    """A last token's scores change with the first token it sees, and not with the one before."""
    window = 21
    model = sliding(window, num_layers=1)
    runner = NativeRunner(model, 8, num_threads=1)
    expected = whole(runner, IDS, BLOCKS)[-1]

    def changed(at: int) -> Tensor:
        ids = list(IDS)
        ids[at] = 251
        return whole(runner, ids, BLOCKS)[-1]

    assert torch.equal(changed(len(IDS) - window - 1), expected)
    assert not torch.equal(changed(len(IDS) - window), expected)


@pytest.mark.parametrize("window", [3, 16, 37])
@pytest.mark.parametrize("weights", WEIGHT_KINDS)
def test_a_row_has_the_same_bits_in_any_batch_chunk_and_number_of_threads(
    weights: WeightKind, window: int
) -> None:
    options = preset_options("fast", TOKENIZER.vocab_size)
    model = sliding(window, 1, **(options | {"smear": True}), num_kv_heads=2)
    one, two = (NativeRunner(model, 16, weights=weights, num_threads=n) for n in (1, 2))
    expected = whole(one, IDS, BLOCKS)
    assert torch.equal(whole(two, IDS, BLOCKS), expected)
    for chunk in (1, 2, 5, 13, 32):
        blocks, found = [7, 0, 9, 4, 12, 1], []
        for start in range(0, len(IDS), chunk):
            ids = IDS[start : start + chunk]
            works = [
                Work([5, *range(start + 1)][:20], 0, [2, 6], 0, []),
                Work(ids, start, blocks, len(ids), IDS[:start]),
                Work([9], 0, [8], 1, []),
            ]
            found.append(two.run(works).scores_RV[: len(ids)])
        assert torch.equal(torch.cat(found), expected)


LENGTHS = (3, 23, 24, 25, 47, 70)


def wish_of(temperature: float) -> SamplingSettings:
    return SamplingSettings(max_tokens=30, temperature=temperature, top_p=1.0, ignore_end=True)


@cache  # as it is the same whatever the chunks of the fast one
def slow_answers(window: int, first_layer: int, temperature: float) -> tuple[list[int], ...]:
    model, wish = sliding(window, first_layer, num_kv_heads=2), wish_of(temperature)
    answers = (
        reference_generate(
            model, TOKENIZER, IDS[:length], replace(wish, seed=row), window=CONTEXT
        ).token_ids
        for row, length in enumerate(LENGTHS)
    )
    return tuple(answers)


@pytest.mark.parametrize("chunk", [5, 256])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(("window", "first_layer"), [(8, 0), (24, 1), (47, 0), (200, 0)])
def test_answers_are_those_of_the_slow_engine(
    window: int, first_layer: int, temperature: float, chunk: int
) -> None:
    """Prompts shorter than the window, as long and longer; alone, together, and remembered."""
    model = sliding(window, first_layer, num_kv_heads=2)
    wish = wish_of(temperature)
    prompts = [IDS[:length] for length in LENGTHS]
    expected = list(slow_answers(window, first_layer, temperature))
    engine = Engine(model, TOKENIZER, kernels="native", prefill_chunk=chunk, num_threads=2)
    assert engine.notice == ""
    for again in range(2):
        batch = engine.generate_batch(prompts, wish)
        assert [done.token_ids for done in batch] == expected
        if again:
            assert batch[-1].num_cached_tokens > window % 200
    alone = [engine.generate(p, replace(wish, seed=row)) for row, p in enumerate(prompts)]
    assert [done.token_ids for done in alone] == expected


def test_rows_that_are_sent_back_come_again() -> None:
    """The cache is too small for all together, so that some begin anew on the way."""
    model = sliding(20)
    wish = SamplingSettings(max_tokens=60, temperature=0.0, ignore_end=True)
    prompts = [IDS[at : at + 30] for at in range(6)]
    engine = Engine(model, TOKENIZER, kernels="native", kv_tokens=208, prefill_chunk=16)
    found = engine.generate_batch(prompts, wish)
    assert engine.stats.num_preempted > 0
    for prompt, done in zip(prompts, found, strict=True):
        slow = reference_generate(model, TOKENIZER, prompt, wish, window=CONTEXT)
        assert done.token_ids == slow.token_ids
