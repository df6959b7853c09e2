"""The engine over a decoder that stands beside an n-gram table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from inference_fakes import WINDOW, FakeTokenizer

from homespun.classic import KneserNey
from homespun.core import SamplingSettings
from homespun.inference import Engine
from homespun.inference.native import NativeRunner
from homespun.inference.reference import reference_contrastive, reference_generate
from homespun.inference.runners.work import BLOCK_TOKENS, Work
from homespun.models import Decoder, DecoderConfig, NgramPrior, OrderTable, preset_options

TOKENIZER = FakeTokenizer()
FREE = SamplingSettings(max_tokens=16, temperature=1.0, top_k=0, top_p=1.0, seed=5)
LINES = [b"the morning came and the river rose", b"then the other morning there was no river"]
TABLE = KneserNey(
    order=4, vocab_size=TOKENIZER.vocab_size, end_of_text_id=TOKENIZER.end_of_text_id
).fit([np.frombuffer(line, dtype=np.uint8) for line in LINES])


def decoder(*, copies: bool = False, **changes: object) -> Decoder:
    fields: dict[str, object] = {
        "vocab_size": TOKENIZER.vocab_size,
        "num_layers": 2,
        "width": 32,
        "num_heads": 4,
        "num_kv_heads": 4,
        "head_width": 8,
        "mlp_width": 48,
        "context": WINDOW,
        "ngram_prior": True,
    }
    generator = torch.Generator().manual_seed(3)
    model = DecoderConfig.model_validate(fields | changes).build(generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # fresh blocks are the identity
            if "prior" in name or parameter.ndim > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    orders = [OrderTable.of(*arrays) for arrays in TABLE.tables()]
    prior = NgramPrior(TOKENIZER.vocab_size, orders)
    model.attach_prior(prior.with_copies(torch.arange(13).float()) if copies else prior)
    return model


PLAIN: dict[str, object] = {}
FAST = preset_options("fast", TOKENIZER.vocab_size)
PROMPTS = [
    [TOKENIZER.end_of_text_id, *text] for text in (b"the mor", b"the morning c", b"th", b"z")
]


@pytest.mark.parametrize("kernels", ["torch", "auto"])
@pytest.mark.parametrize("copies", [False, True], ids=["counts", "copies"])
@pytest.mark.parametrize("changes", [PLAIN, FAST], ids=["plain", "fast"])
def test_one_and_several_rows_agree_with_the_slow_version(
    changes: dict[str, object], copies: bool, kernels: str
) -> None:
    model = decoder(copies=copies, **changes)
    served = Engine(model, TOKENIZER, kernels=kernels)
    batch = served.generate_batch(PROMPTS, FREE)
    for row, prompt in enumerate(PROMPTS):
        wish = replace(FREE, seed=FREE.seed + row)
        slow = reference_generate(model, TOKENIZER, prompt, wish, window=WINDOW)
        assert len(slow.token_ids) > 1
        assert batch[row].token_ids == slow.token_ids
        assert served.generate(prompt, wish).token_ids == slow.token_ids


def test_many_rows_beside_a_table_are_written_by_several_threads() -> None:
    model = decoder(copies=True, **FAST)
    wish = replace(FREE, max_tokens=8)
    prompts = [PROMPTS[at % 4] for at in range(40)]
    found = [
        [one.token_ids for one in served.generate_batch(prompts, wish)]
        for served in (
            Engine(model, TOKENIZER, kernels="auto", num_threads=threads) for threads in (1, 2, 3)
        )
    ]
    assert found[0] == found[1] == found[2]
    alone = Engine(model, TOKENIZER, kernels="auto", num_threads=1)
    for at in (0, 17, 39):
        seeded = replace(wish, seed=wish.seed + at)
        assert alone.generate(prompts[at], seeded).token_ids == found[0][at]


def test_a_conversation_that_goes_on_is_read_with_all_it_said_before() -> None:
    model = decoder()
    served = Engine(model, TOKENIZER)
    ids = PROMPTS[0]
    for turn in range(3):
        wish = replace(FREE, max_tokens=4, temperature=0.0, seed=turn)
        slow = reference_generate(model, TOKENIZER, ids, wish, window=WINDOW)
        told = served.generate(ids, wish)
        assert told.token_ids == slow.token_ids
        ids = [*ids, *told.token_ids, *b" the"]


@pytest.mark.parametrize("kernels", ["torch", "auto"])
def test_what_stood_far_back_in_the_context_is_copied(kernels: str) -> None:
    model = decoder(copies=True, tied=False, head_std=0.0)
    with torch.no_grad():
        model.head_weight.zero_()
        for parameter in model.prior_strength.parameters():
            parameter.zero_()
        model.prior_strength.base.fill_(1.0)
    strange = b"qxzjkvwy"  # in no line that was counted
    filler = b"and the river rose"
    prompt = [TOKENIZER.end_of_text_id, *strange, *filler, *strange[:3]]
    assert len(prompt) + 5 <= WINDOW
    wish = replace(FREE, temperature=0.0, max_tokens=5)
    served = Engine(model, TOKENIZER, kernels=kernels, prefill_chunk=16)
    assert bytes(served.generate(prompt, wish).token_ids) == strange[3:]


def test_long_runs_and_many_followers_have_the_scores_of_the_slow_version() -> None:
    """Runs of more than the longest that counts, and places with more followers than are kept."""
    model = decoder(copies=True, context=128)
    ids = [
        TOKENIZER.end_of_text_id,
        *(b"the morning and river" * 2),
        *b"ae ai ao au ay az ar an ap a",
    ]
    assert len(ids) < model.context
    runner = NativeRunner(model, 8)
    blocks = list(range(-(-len(ids) // BLOCK_TOKENS)))
    told = runner.run([Work(ids, 0, blocks, len(ids), [])]).scores_RV
    with torch.inference_mode():
        slow = model.head(model(torch.tensor([ids])))[0]
    torch.testing.assert_close(told, slow, rtol=1e-5, atol=2e-5)


def test_the_table_is_what_is_said_by_a_network_that_says_nothing() -> None:
    model = decoder(tied=False, head_std=0.0)
    with torch.no_grad():
        model.head_weight.zero_()
        for parameter in model.prior_strength.parameters():
            parameter.zero_()
        model.prior_strength.base.fill_(1.0)
    wish = replace(FREE, temperature=0.0, max_tokens=8)
    history, said = list(b"the morning c"), []
    for _ in range(wish.max_tokens):
        said.append(int(TABLE.next_probabilities([*history, *said]).argmax()))
    told = Engine(model, TOKENIZER).generate([TOKENIZER.end_of_text_id, *history], wish)
    assert list(told.token_ids) == said


@pytest.mark.parametrize("kernels", ["torch", "auto"])
def test_contrastive_search_compares_hidden_states_and_not_the_table(kernels: str) -> None:
    model = decoder()
    wish = SamplingSettings(contrastive_alpha=0.6, top_k=5, max_tokens=10)
    slow = reference_contrastive(model, TOKENIZER, PROMPTS[1], wish, window=WINDOW)
    assert len(slow) > 1
    told = Engine(model, TOKENIZER, kernels=kernels).generate(PROMPTS[1], wish)
    assert list(told.token_ids) == slow
