"""How likely each token of a prompt was: as a full pass for each says, however it was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from inference_fakes import TOKENIZER, FakeDecoder, real_decoder
from torch import Tensor

from homespun.core import CheckpointError, Completion, RequestError, SamplingSettings, TokenLogprob
from homespun.inference import Engine, Request, reference_prompt_logprobs
from homespun.inference.sampling import log_probabilities
from homespun.inference.search.prompt import PromptScores, told

LONG = [TOKENIZER.end_of_text_id, *"spinning 你好 a yarn of wool 羊毛".encode()]
WISH = SamplingSettings(max_tokens=3, temperature=0.0, logprobs=2, prompt_logprobs=True)


def agree(found: Sequence[TokenLogprob] | None, wanted: Sequence[TokenLogprob]) -> bool:
    assert found is not None
    assert [one.token_id for one in found] == [one.token_id for one in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=2e-4)
        assert [value for _, value in one.top] == pytest.approx(
            [value for _, value in other.top], abs=2e-4
        )
    return True


@pytest.mark.parametrize("kernels", ["torch", "native"])
@pytest.mark.parametrize("chunk", [3, 16, 256])
def test_a_prompt_is_scored_as_the_slow_version_scores_it(kernels: str, chunk: int) -> None:
    model = real_decoder(bigram_rows=500, smear=True)
    engine = Engine(model, TOKENIZER, kernels=kernels, prefill_chunk=chunk)  # type: ignore[arg-type]
    slow = reference_prompt_logprobs(model, TOKENIZER, LONG, 2)
    plain = engine.generate(LONG, replace(WISH, prompt_logprobs=False))
    assert plain.prompt_logprobs is None
    for _ in range(2):  # the second time, too, when all of it is remembered
        done = engine.generate(LONG, WISH)
        assert len(done.prompt_logprobs or ()) == len(LONG) - 1
        assert agree(done.prompt_logprobs, slow)
        assert done.num_cached_tokens == 0
        assert (done.text, done.token_ids) == (plain.text, plain.token_ids)
    assert engine.stats.num_running == 0
    assert engine.stats.num_free_blocks == engine.stats.num_blocks


def test_many_prompts_and_answers_each_have_their_own() -> None:
    model = FakeDecoder(TOKENIZER.vocab_size)
    # The cache is too small for all rows together: some are sent back on the way.
    engine = Engine(model, TOKENIZER, kv_tokens=64, prefill_chunk=7)
    prompts = [LONG, LONG[:7], LONG[5:14], LONG[:1], LONG[2:15], LONG]
    wish = replace(WISH, num_answers=2, temperature=1.0, top_p=1.0, max_tokens=30)
    numbers = [engine.add_request(Request(prompt, wish)) for prompt in prompts]
    done: dict[tuple[int, int], Completion] = {}
    first: dict[tuple[int, int], tuple[TokenLogprob, ...]] = {}
    while engine.has_work:
        for output in engine.step():
            assert output.error is None
            first.setdefault((output.request_id, output.index), output.prompt_logprobs)
            if output.completion is not None:
                done[output.request_id, output.index] = output.completion
    assert engine.stats.num_preempted > 0
    for number, prompt in zip(numbers, prompts, strict=True):
        slow = reference_prompt_logprobs(model, TOKENIZER, prompt, 2)
        for index in range(2):
            assert agree(done[number, index].prompt_logprobs, slow)
            assert first[number, index] == done[number, index].prompt_logprobs
    assert done[numbers[0], 0].token_ids != done[numbers[0], 1].token_ids


@pytest.mark.parametrize("change", [{}, {"num_answers": 3}])
def test_prompts_that_are_scored_do_not_push_out_what_others_share(
    change: dict[str, int],
) -> None:
    engine = Engine(FakeDecoder(TOKENIZER.vocab_size), TOKENIZER, kv_tokens=96)
    plain = replace(WISH, prompt_logprobs=False)
    assert engine.generate(LONG, plain).num_cached_tokens == 0
    for start in range(12):
        engine.generate([start, *LONG[1:20]], replace(WISH, **change))
    assert engine.generate(LONG, plain).num_cached_tokens == 32


class BadInside(FakeDecoder):
    """Its scores are no numbers after one token, and sound after all others."""

    def forward(self, ids_BT: Tensor, **more: object) -> Tensor:
        hidden_BTD = super().forward(ids_BT, **more)  # type: ignore[arg-type]
        return torch.where((ids_BT == ord("!"))[..., None], float("nan"), hidden_BTD)


def test_scores_that_are_no_numbers_are_an_error_and_harm_nobody_else() -> None:
    engine = Engine(BadInside(TOKENIZER.vocab_size), TOKENIZER, prefill_chunk=4)
    bad = engine.add_request(Request([*b"ab!cdefgh"], replace(WISH, num_answers=2)))
    good = engine.add_request(Request([*b"abcdefgh"], WISH))
    errors, ended = {}, set()
    while engine.has_work:
        for output in engine.step():
            if output.error is not None:
                errors[output.request_id] = output.error
            if output.completion is not None:
                ended.add(output.request_id)
    assert set(errors) == {bad}
    assert isinstance(errors[bad], CheckpointError)
    assert ended == {good}
    assert engine.stats.num_free_blocks == engine.stats.num_blocks


def test_equal_scores_come_by_their_ids_as_one_at_a_time() -> None:
    generator = torch.Generator().manual_seed(5)
    scores_NV = torch.randint(0, 4, (40, 30), generator=generator).float()
    tokens = torch.randint(0, 30, (40,), generator=generator).tolist()
    for num_top in (0, 1, 3, 30):
        slow = [
            log_probabilities(row_V, token, num_top)
            for row_V, token in zip(scores_NV, tokens, strict=True)
        ]
        assert told(scores_NV, tokens, num_top) == slow


def test_parts_that_are_read_twice_count_once() -> None:
    scores_NV = torch.randn(9, 12, generator=torch.Generator().manual_seed(6))
    ids = [3, 1, 4, 1, 5, 9, 2, 6, 5]
    whole, parts = PromptScores(ids, 2), PromptScores(ids, 2)
    whole.note(0, scores_NV)
    for start, end in [(0, 5), (0, 3), (3, 5), (4, 9)]:
        parts.note(start, scores_NV[start:end])
    assert parts.found == whole.found
    assert len(parts.found) == 8


def test_they_go_with_logprobs() -> None:
    engine = Engine(FakeDecoder(TOKENIZER.vocab_size), TOKENIZER)
    with pytest.raises(RequestError, match="prompt_logprobs go with logprobs"):
        engine.generate(LONG, replace(WISH, logprobs=None))
    with pytest.raises(RequestError, match="logprobs are for sampled and greedy answers"):
        engine.generate(LONG, replace(WISH, beams=2))
