"""The engine writes what the slow version writes, alone, in a batch and after other requests."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_fakes import TOKENIZER, WINDOW, FakeDecoder, real_decoder

from homespun.core import (
    CheckpointError,
    Completion,
    ConfigError,
    Generator,
    RequestError,
    SamplingSettings,
)
from homespun.inference import Engine, reference_generate
from homespun.models import preset_options

MODEL = FakeDecoder(TOKENIZER.vocab_size)
PROMPT = [TOKENIZER.end_of_text_id, *b"spin"]
FREE = SamplingSettings(max_tokens=20, temperature=1.0, top_p=1.0)


def engine() -> Engine:
    return Engine(MODEL, TOKENIZER)


def same(one: Completion, other: Completion) -> bool:
    plain = {"seconds": 0.0, "num_cached_tokens": 0}
    return replace(one, **plain) == replace(other, **plain)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, TOKENIZER.vocab_size - 1), min_size=1, max_size=WINDOW - 1),
    st.builds(
        SamplingSettings,
        max_tokens=st.integers(1, 60),
        temperature=st.sampled_from([0.0, 0.7, 1.5]),
        top_k=st.sampled_from([0, 3]),
        top_p=st.sampled_from([0.8, 1.0]),
        repetition_penalty=st.sampled_from([1.0, 1.5]),
        seed=st.integers(0, 99),
        stop=st.sampled_from([(), ("e",), ("a", "th")]),
    ),
)
def test_the_engine_agrees_with_the_slow_version(ids: list[int], wish: SamplingSettings) -> None:
    slow = reference_generate(MODEL, TOKENIZER, ids, wish, window=WINDOW)
    assert same(engine().generate(ids, wish), slow)


OPTIONS: dict[str, dict[str, object]] = {
    "grouped": {"num_kv_heads": 2},
    "softcap": {"softcap": 3.0},
    "residual scalars": {"residual_scalars": True},
    "value embeddings": {"value_embeddings": True},
    "bigrams": {"bigram_rows": 500},
    "smear": {"smear": True, "embedding_norm": True},
    "head gate": {"head_gate": True},
    "dropout": {"dropout": 0.5},
    "fast": preset_options("fast", TOKENIZER.vocab_size) | {"induction": False},  # ends too soon
}


@pytest.mark.parametrize("changes", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_real_decoder_agrees_with_the_slow_version(changes: dict[str, object]) -> None:
    model = real_decoder(**changes)
    served = Engine(model, TOKENIZER)
    prompts = [PROMPT, [*PROMPT, *b"ning"], PROMPT[:3], PROMPT]
    batch = served.generate_batch(prompts, FREE)
    for row, prompt in enumerate(prompts):
        wish = replace(FREE, seed=row)
        slow = reference_generate(model, TOKENIZER, prompt, wish, window=WINDOW)
        assert same(batch[row], slow)
        assert same(served.generate(prompt, wish), slow)
    assert sum(len(completion.token_ids) for completion in batch) > 12


def test_rows_that_end_at_different_times_keep_their_own_previous_tokens() -> None:
    model = real_decoder(bigram_rows=500, smear=True)
    wish = replace(FREE, stop=("e", "a", "\ufffd"))
    batch = Engine(model, TOKENIZER).generate_batch([PROMPT] * 6, wish)
    assert len({len(completion.token_ids) for completion in batch}) > 1
    for row, completion in enumerate(batch):
        slow = reference_generate(model, TOKENIZER, PROMPT, replace(wish, seed=row), window=WINDOW)
        assert same(completion, slow)


def test_it_is_a_generator() -> None:
    assert isinstance(engine(), Generator)


def test_a_stream_is_the_completion_in_pieces() -> None:
    whole = engine().generate(PROMPT, FREE)
    stream = engine().stream(PROMPT, FREE)
    pieces = list(stream)
    assert len(pieces) > 1
    assert "".join(pieces) == whole.text
    assert same(stream.completion, whole)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_a_seed_gives_the_same_text_alone_and_in_a_batch(
    temperature: float, penalty: float
) -> None:
    wish = replace(FREE, temperature=temperature, repetition_penalty=penalty, seed=7)
    prompts = [PROMPT, PROMPT, PROMPT[:2], [*PROMPT, *b"ning a long yarn of wool"], [5]]
    batch = engine().generate_batch(prompts, wish)
    assert len({completion.finish_reason for completion in batch} | {"length"}) <= 2
    for row, (prompt, completion) in enumerate(zip(prompts, batch, strict=True)):
        alone = engine().generate(prompt, replace(wish, seed=7 + row))
        assert same(completion, alone), row


def test_rows_of_a_batch_end_at_different_times() -> None:
    wish = replace(FREE, max_tokens=30, stop=("e", "a", "\ufffd"))
    batch = engine().generate_batch([PROMPT] * 12, wish)
    assert len({len(completion.token_ids) for completion in batch}) > 3
    for row, completion in enumerate(batch):
        assert same(completion, engine().generate(PROMPT, replace(wish, seed=row)))


def test_behind_the_highest_seed_a_batch_begins_anew() -> None:
    served = engine()
    wish = replace(FREE, seed=2**63 - 1)
    batch = served.generate_batch([PROMPT] * 3, wish)
    for completion, seed in zip(batch, (2**63 - 1, 0, 1), strict=True):
        assert same(completion, engine().generate(PROMPT, replace(FREE, seed=seed)))
    assert not served.has_work


def test_no_prompts_no_completions() -> None:
    assert engine().generate_batch([], FREE) == []


def test_a_common_beginning_is_read_once() -> None:
    served = engine()
    prompt = [*PROMPT, *b"ning a long yarn"]
    served.generate(prompt, FREE)
    longer = [*prompt, *b" of wool"]
    before = MODEL.num_tokens_read
    again = served.generate(longer, replace(FREE, max_tokens=1))
    assert MODEL.num_tokens_read - before == len(longer) - 16
    assert again.num_cached_tokens == 16
    assert again.text == engine().generate(longer, replace(FREE, max_tokens=1)).text


def test_what_was_asked_before_does_not_change_an_answer() -> None:
    served = engine()
    prompts = [PROMPT, PROMPT[:3], [*PROMPT, 9, 9], PROMPT, [1, 2, 3]]
    for prompt in prompts:
        assert same(served.generate(prompt, FREE), engine().generate(prompt, FREE))


def test_two_streams_at_once_do_not_disturb_each_other() -> None:
    served = engine()
    other = [TOKENIZER.end_of_text_id, *b"weave"]
    one, two = served.stream(PROMPT, FREE), served.stream(other, FREE)
    texts = ["", ""]
    for _ in range(FREE.max_tokens):
        texts[0] += next(one, "")
        texts[1] += next(two, "")
    assert texts[0] == engine().generate(PROMPT, FREE).text
    assert texts[1] == engine().generate(other, FREE).text


def test_a_stream_that_is_closed_is_cancelled_and_leaves_the_engine_sound() -> None:
    served = engine()
    stream = served.stream(PROMPT, FREE)
    first = next(stream)
    stream.close()
    assert stream.completion.finish_reason == "cancelled"
    assert stream.completion.text.startswith(first)
    assert same(served.generate(PROMPT, FREE), engine().generate(PROMPT, FREE))


def test_a_stream_closed_before_it_began_is_cancelled_too() -> None:
    stream = engine().stream(PROMPT, FREE)
    stream.close()
    assert stream.completion.finish_reason == "cancelled"
    assert list(stream) == []


def test_an_unfinished_stream_has_no_completion_yet() -> None:
    with pytest.raises(RequestError, match="not ended"):
        _ = engine().stream(PROMPT, FREE).completion


def test_a_full_window_ends_the_answer() -> None:
    ids = [65] * (WINDOW - 3)
    completion = engine().generate(ids, replace(FREE, temperature=0.0, max_tokens=999))
    assert completion.finish_reason == "length"
    assert len(completion.token_ids) == 3


@pytest.mark.parametrize("num", [WINDOW, WINDOW + 30])
def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(num: int) -> None:
    with pytest.raises(RequestError, match=rf"{num} tokens.*{WINDOW} tokens"):
        engine().generate([65] * num, FREE)


@pytest.mark.parametrize(
    "size", ["window", "num_threads", "kv_tokens", "max_rows", "prefill_chunk"]
)
def test_an_engine_without_room_is_refused(size: str) -> None:
    for number in (0, -1):
        with pytest.raises(ConfigError, match=f"{size} of an engine"):
            Engine(MODEL, TOKENIZER, **{size: number})
    done = Engine(MODEL, TOKENIZER, **{size: 2}).generate([5], replace(FREE, max_tokens=1))
    assert len(done.token_ids) <= 1


def test_wrong_prompts_and_settings_are_refused_before_the_first_piece() -> None:
    for wrong in ([], [-1], [TOKENIZER.vocab_size]):
        with pytest.raises(RequestError):
            engine().stream(wrong, FREE)
    with pytest.raises(RequestError):
        engine().stream(PROMPT, replace(FREE, max_tokens=0))
    with pytest.raises(RequestError):
        engine().generate_batch([PROMPT, []], FREE)


def test_special_tokens_end_an_answer_and_are_not_part_of_it() -> None:
    ends = 0
    for completion in engine().generate_batch([PROMPT] * 40, replace(FREE, max_tokens=40)):
        ends += completion.finish_reason == "stop"
        assert all(TOKENIZER.token_bytes(token) for token in completion.token_ids)
    assert ends


def test_a_model_that_has_diverged_is_named_as_the_reason() -> None:
    broken = FakeDecoder(TOKENIZER.vocab_size)
    broken.head_DV[:] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        Engine(broken, TOKENIZER).generate(PROMPT, FREE)


def test_a_prompt_of_one_token_and_one_read_before_are_checked_too() -> None:
    broken = FakeDecoder(TOKENIZER.vocab_size)
    spun = Engine(broken, TOKENIZER)
    spun.generate(PROMPT, FREE)
    broken.head_DV[:] = float("nan")
    for prompt in (PROMPT, PROMPT[:1]):
        with pytest.raises(CheckpointError, match="not finite"):
            spun.generate(prompt, FREE)
    with pytest.raises(CheckpointError, match="not finite"):
        spun.generate_batch([PROMPT[:1], PROMPT], FREE)


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 9e-5])
def test_a_temperature_next_to_zero_is_greedy(temperature: float) -> None:
    greedy = engine().generate(PROMPT, replace(FREE, temperature=0.0))
    nearly = engine().generate(PROMPT, replace(FREE, temperature=temperature))
    assert same(greedy, nearly)


def test_threads_and_inference_mode_are_left_as_they_were() -> None:
    before = torch.get_num_threads()
    stream = Engine(MODEL, TOKENIZER, num_threads=before + 1).stream(PROMPT, FREE)
    next(stream)
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()
    stream.close()
