"""Many requests at once, coming and going: each gets what the slow version writes, and nothing of
the cache is lost."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from inference_fakes import TOKENIZER, WINDOW, FakeDecoder, real_decoder

from homespun.core import CheckpointError, Completion, RequestError, SamplingSettings
from homespun.inference import CachedDecoder, Engine, Output, Request, reference_generate
from homespun.models import preset_options

PROMPT = [TOKENIZER.end_of_text_id, *b"spinning a long yarn"]
FREE = SamplingSettings(max_tokens=20, temperature=1.0, top_p=1.0)


def engine(model: CachedDecoder | None = None, **wish: object) -> Engine:
    return Engine(model or FakeDecoder(TOKENIZER.vocab_size), TOKENIZER, **wish)  # type: ignore


def finish(served: Engine) -> dict[int, list[Output]]:
    """All outputs by request, to the end."""
    found: dict[int, list[Output]] = {}
    steps = 0
    while served.has_work:
        for output in served.step():
            found.setdefault(output.request_id, []).append(output)
        steps += 1
        assert steps < 10_000
    return found


def completion(outputs: list[Output], index: int = 0) -> Completion:
    (done,) = [out.completion for out in outputs if out.index == index and out.completion]
    return done


def assert_nothing_is_held(served: Engine) -> None:
    stats = served.stats
    assert stats.num_free_blocks == stats.num_blocks
    assert stats.num_running == stats.num_waiting == 0


def some_settings(rng: random.Random) -> SamplingSettings:
    return SamplingSettings(
        max_tokens=rng.randint(1, 14),
        temperature=rng.choice([0.0, 0.0, 0.8, 1.2]),
        top_k=rng.choice([0, 0, 5]),
        top_p=rng.choice([1.0, 0.9]),
        min_p=rng.choice([0.0, 0.05]),
        typical_p=rng.choice([1.0, 1.0, 0.7]),
        repetition_penalty=rng.choice([1.0, 1.3]),
        frequency_penalty=rng.choice([0.0, 0.0, 0.5]),
        min_tokens=rng.choice([0, 3]),
        logit_bias=rng.choice([(), (), ((5, 30.0), (6, 30.0))]),
        seed=rng.randrange(1000),
        stop=rng.choice([(), (), ("e",), ("a", "th")]),
        lookup_tokens=rng.choice([0, 0, 4]),
    )


def agree_on_mixed_requests(
    model: CachedDecoder, num: int, seed: int, kernels: str = "auto"
) -> tuple[int, Engine]:
    """Requests that arrive, share beginnings and are cancelled at random, in a cache too small for
    all of them. Returns how many were answered in full."""
    rng = random.Random(seed)
    served = engine(model, kv_tokens=7 * 16, max_rows=7, prefill_chunk=11, kernels=kernels)
    bases = [[rng.randrange(250) for _ in range(34)] for _ in range(4)]
    asked: dict[int, Request] = {}
    outputs: dict[int, list[Output]] = {}
    cancelled: set[int] = set()
    while len(asked) < num or served.has_work:
        if len(asked) < num and rng.random() < 0.5:
            base = rng.choice(bases)[: rng.randint(1, 34)]
            ids = [*base, *(rng.randrange(250) for _ in range(rng.randint(0, 4)))]
            request = Request(ids, some_settings(rng), rng.choice([b"", b"", b"key"]))
            asked[served.add_request(request)] = request
        for output in served.step():
            assert output.request_id not in cancelled
            outputs.setdefault(output.request_id, []).append(output)
        if asked and rng.random() < 0.04:
            number = rng.choice(list(asked)[-8:])
            if served.cancel(number):
                cancelled.add(number)
    assert_nothing_is_held(served)
    answered = 0
    for number, request in asked.items():
        slow = reference_generate(
            model, TOKENIZER, request.prompt_ids, request.settings, window=WINDOW
        )
        heard = outputs.get(number, [])
        if number in cancelled:
            assert slow.text.startswith("".join(out.text for out in heard))
            continue
        done = completion(heard)
        assert (done.text, done.token_ids, done.finish_reason) == (
            slow.text,
            slow.token_ids,
            slow.finish_reason,
        )
        assert "".join(out.text for out in heard) == slow.text
        assert sum((out.token_ids for out in heard), ()) == slow.token_ids
        assert [out.is_last for out in heard] == [False] * (len(heard) - 1) + [True]
        answered += 1
    return answered, served


def test_sixty_mixed_requests_get_what_the_slow_version_writes() -> None:
    answered, served = agree_on_mixed_requests(FakeDecoder(TOKENIZER.vocab_size), 60, seed=1)
    assert answered > 40
    stats = served.stats
    assert stats.num_preempted > 0
    assert stats.num_cached_tokens > 100
    assert stats.num_right > 5


def test_sixty_mixed_requests_get_it_from_the_compiled_step_too() -> None:
    changes = preset_options("fast", TOKENIZER.vocab_size)
    answered, served = agree_on_mixed_requests(real_decoder(**changes), 120, seed=1)
    assert answered > 60
    assert served.stats.num_preempted > 0


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["portable", "fast"])
@pytest.mark.parametrize("kernels", ["auto", "torch"])
def test_five_hundred_mixed_requests_get_what_the_slow_version_writes(
    preset: str, kernels: str
) -> None:
    changes = preset_options(preset, TOKENIZER.vocab_size) | {"smear": preset == "fast"}
    model = real_decoder(**changes)
    answered, _ = agree_on_mixed_requests(model, 500, seed=2, kernels=kernels)
    assert answered > 300


def test_a_long_prompt_does_not_hold_up_those_that_write() -> None:
    served = engine(prefill_chunk=4)
    first = served.add_request(Request(PROMPT[:2], FREE))
    served.step()
    served.add_request(Request(PROMPT, FREE))
    for _ in range(4):
        assert [output.request_id for output in served.step()] == [first]


def test_it_tells_once_of_each_request_when_it_got_a_place() -> None:
    served = engine(max_rows=1)
    first, second = (served.add_request(Request(PROMPT, replace(FREE, seed=n))) for n in (1, 2))
    assert served.admitted() == []
    told = []
    while served.has_work:
        served.step()
        told += served.admitted()
    assert told == [first, second]
    served.generate(PROMPT, FREE)
    assert len(served.admitted()) <= 1  # nothing is kept of what nobody asked about


def test_cancelling_at_any_moment_gives_all_blocks_back() -> None:
    for steps in range(8):
        served = engine(prefill_chunk=5)
        kept = served.add_request(Request(PROMPT, FREE))
        number = served.add_request(Request(PROMPT[3:], replace(FREE, num_answers=3)))
        beams = replace(FREE, beams=3)
        searching = served.add_request(Request(PROMPT[1:], beams))
        for _ in range(steps):
            served.step()
        assert served.cancel(number) != served.cancel(number)
        served.cancel(searching)
        found = finish(served)
        assert set(found) <= {kept}
        assert completion(found[kept]).token_ids == engine().generate(PROMPT, FREE).token_ids
        assert_nothing_is_held(served)


def test_requests_share_what_they_have_in_common_unless_their_salts_differ() -> None:
    served = engine()
    for salt, cached in ((b"", 0), (b"", 16), (b"key", 0), (b"key", 16), (b"other", 0)):
        number = served.add_request(Request(PROMPT, FREE, salt))
        assert completion(finish(served)[number]).num_cached_tokens == cached


def test_several_answers_read_their_prompt_once_and_are_those_of_their_seeds() -> None:
    model = FakeDecoder(TOKENIZER.vocab_size)
    served = engine(model)
    answers = served.complete(PROMPT, replace(FREE, num_answers=3, seed=5))
    assert [done.num_cached_tokens for done in answers] == [0, 16, 16]
    alone = [engine().generate(PROMPT, replace(FREE, seed=5 + i)).text for i in range(3)]
    assert [done.text for done in answers] == alone
    assert len(set(alone)) > 1


def test_the_best_of_several_is_the_likeliest_a_token() -> None:
    wish = replace(FREE, num_answers=2, best_of=5, logprobs=0, ignore_end=True)
    served = engine()
    best = served.complete(PROMPT, wish)
    every = served.complete(PROMPT, replace(wish, num_answers=5, best_of=0))
    means = {
        done.token_ids: sum(item.logprob for item in done.logprobs or ()) / len(done.token_ids)
        for done in every
    }
    ranked = sorted(means, key=lambda ids: -means[ids])
    assert [done.token_ids for done in best] == ranked[:2]


def test_logprobs_are_those_of_the_model() -> None:
    model = FakeDecoder(TOKENIZER.vocab_size)
    wish = replace(FREE, temperature=0.0, logprobs=3, repetition_penalty=1.3, max_tokens=5)
    done = engine(model).generate(PROMPT, wish)
    assert done.logprobs is not None
    assert [item.token_id for item in done.logprobs] == list(done.token_ids)
    for place, item in enumerate(done.logprobs):
        ids = torch.tensor([[*PROMPT, *done.token_ids[:place]]])
        log_p_V = model.head(model(ids))[0, -1, : TOKENIZER.vocab_size].log_softmax(-1)
        assert item.logprob == pytest.approx(float(log_p_V[item.token_id]), abs=1e-4)
        assert [token for token, _ in item.top] == log_p_V.topk(3).indices.tolist()
        assert len(item.top) == 3


def test_forced_banned_and_biased_tokens() -> None:
    served = engine()
    wish = replace(FREE, forced_tokens=tuple(b"ab"), logit_bias=((ord("q"), 100.0),))
    done = served.generate(PROMPT, replace(wish, max_tokens=6))
    assert done.token_ids == tuple(b"abqqqq")
    banned = replace(wish, banned_tokens=(ord("q"),), max_tokens=6)
    assert ord("q") not in served.generate(PROMPT, banned).token_ids


def test_ends_are_ignored_or_put_off_where_that_is_asked() -> None:
    served = engine()
    special = TOKENIZER.end_of_text_id
    eager = replace(FREE, logit_bias=((special, 100.0),))
    assert served.generate(PROMPT, eager).token_ids == ()
    assert len(served.generate(PROMPT, replace(eager, min_tokens=3)).token_ids) == 3
    assert len(served.generate(PROMPT, replace(eager, ignore_end=True)).token_ids) == 20
    assert served.generate(PROMPT, replace(FREE, forced_tokens=(5, 6), stop_tokens=(6,))).text


def test_guesses_change_nothing_and_save_steps_where_text_repeats() -> None:
    model = FakeDecoder(TOKENIZER.vocab_size)
    again = replace(FREE, temperature=0.0, logit_bias=tuple((t, 50.0) for t in b"ab"))
    prompt = list(b"abababababab")
    plain = engine(model)
    slow = plain.generate(prompt, again)
    guessing = engine(model)
    fast = guessing.generate(prompt, replace(again, lookup_tokens=5))
    assert (fast.text, fast.token_ids) == (slow.text, slow.token_ids)
    assert guessing.stats.num_right > 5
    assert guessing.stats.num_tokens == plain.stats.num_tokens


def test_a_job_that_cannot_fit_is_refused_with_both_numbers() -> None:
    served = engine(kv_tokens=32)
    with pytest.raises(RequestError, match=r"40 tokens.*32 tokens"):
        served.add_request(Request([5] * 40, FREE))
    with pytest.raises(RequestError, match=r"21 tokens.*16 tokens"):
        served.add_request(Request(PROMPT, replace(FREE, beams=2)))
    assert_nothing_is_held(served)


def test_an_answer_ends_where_the_cache_does() -> None:
    done = engine(kv_tokens=32).generate(PROMPT, replace(FREE, max_tokens=30, ignore_end=True))
    assert done.finish_reason == "length"
    assert len(PROMPT) + len(done.token_ids) == 32


@pytest.mark.parametrize(
    "more",
    [{}, {"beams": 2}, {"contrastive_alpha": 0.6, "top_k": 4}],
    ids=["plain", "beams", "contrast"],
)
def test_a_diverged_model_ends_its_requests_with_an_error_and_the_engine_lives(
    more: dict[str, Any],
) -> None:
    model = FakeDecoder(TOKENIZER.vocab_size)
    served = engine(model)
    good = model.head_DV.clone()
    model.head_DV[:] = float("nan")
    number = served.add_request(Request(PROMPT, replace(FREE, **more)))
    (output,) = finish(served)[number]
    assert isinstance(output.error, CheckpointError)
    assert output.is_last
    assert_nothing_is_held(served)
    model.head_DV[:] = good
    assert served.generate(PROMPT, FREE).text == engine().generate(PROMPT, FREE).text


def test_a_stream_whose_request_is_cancelled_elsewhere_just_ends() -> None:
    served = engine()
    stream = served.stream(PROMPT, FREE)
    next(stream)
    served.cancel(0)
    assert list(stream) == []


@pytest.mark.parametrize("wish", [{"num_answers": 3}, {"num_answers": 2, "best_of": 4}])
@pytest.mark.parametrize("kernels", ["auto", "torch"])
def test_answers_that_end_in_the_same_step_are_all_handed_out(
    wish: dict[str, int], kernels: str
) -> None:
    served = engine(kernels=kernels)
    settings = replace(FREE, max_tokens=3, ignore_end=True, logprobs=1, **wish)
    other = served.add_request(Request(PROMPT[:3], replace(FREE, max_tokens=9, ignore_end=True)))
    number = served.add_request(Request(PROMPT, settings))
    outputs = finish(served)
    done = [output for output in outputs[number] if output.completion is not None]
    assert sorted(output.index for output in done) == list(range(wish["num_answers"]))
    assert [output.is_last for output in outputs[number]].count(True) == 1
    assert outputs[number][-1].is_last
    assert completion(outputs[other]).finish_reason == "length"
    assert_nothing_is_held(served)
