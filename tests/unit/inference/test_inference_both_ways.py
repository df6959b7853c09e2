"""An engine for models that read their prompt both ways, held against the slow way to ask them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from inference_fakes import TOKENIZER, real_decoder

from homespun.core import CheckpointError, Constraint, RequestError, SamplingSettings
from homespun.inference import Output, Request
from homespun.inference.search.both_ways import BothWaysEngine
from homespun.inference.search.prefixed import write_behind
from homespun.models import Decoder

PROMPT = [5, 6, 7, 8, 9]
SETTINGS = SamplingSettings(max_tokens=12, temperature=0.9, seed=3)


@pytest.fixture(scope="module")
def model() -> Decoder:
    return real_decoder().eval()


def engine(model: Decoder, num_behind: int = 0, **wish: Any) -> BothWaysEngine:
    return BothWaysEngine(model, TOKENIZER, num_behind=num_behind, **wish)


def run(served: BothWaysEngine) -> dict[int, list[Output]]:
    found: dict[int, list[Output]] = {}
    while served.has_work:
        for output in served.step():
            found.setdefault(output.request_id, []).append(output)
    return found


@pytest.mark.parametrize("num_behind", [0, 1])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"temperature": 0.0},
        {"top_k": 5, "repetition_penalty": 1.3},
        {"stop_tokens": (65,), "logit_bias": ((65, 5.0),)},
        {"constraint": Constraint(kind="regex", text="[a-c]{5}")},
        {"ignore_end": True, "max_tokens": 100},
    ],
)
def test_answers_are_those_of_the_slow_way(
    model: Decoder, num_behind: int, changed: dict[str, Any]
) -> None:
    settings = replace(SETTINGS, **changed)
    served = engine(model, num_behind)
    number = served.add_request(Request(PROMPT, settings))
    (outputs,) = run(served).values()
    slow = write_behind(model, TOKENIZER, PROMPT, settings, prefix=len(PROMPT) - num_behind)
    done = outputs[-1].completion
    assert done is not None
    assert outputs[-1].is_last
    assert (done.text, done.token_ids, done.finish_reason) == (
        slow.text,
        slow.token_ids,
        slow.finish_reason,
    )
    assert "".join(output.text for output in outputs) == done.text
    assert sum((output.token_ids for output in outputs), ()) == done.token_ids
    assert not served.cancel(number)


def test_requests_go_on_beside_each_other(model: Decoder) -> None:
    served = engine(model, max_rows=2)
    prompts = [PROMPT, [5], [65, 66, 67], [9, 9]]
    numbers = [served.add_request(Request(ids, SETTINGS)) for ids in prompts]
    served.step()
    assert served.admitted() == numbers[:2]
    assert (served.stats.num_running, served.stats.num_waiting) == (2, 2)
    found = run(served)
    for number, ids in zip(numbers, prompts, strict=True):
        slow = write_behind(model, TOKENIZER, ids, SETTINGS, prefix=len(ids))
        done = found[number][-1].completion
        assert done is not None
        assert done.token_ids == slow.token_ids
    assert served.stats.num_running == 0


def test_several_answers_have_seeds_of_their_own(model: Decoder) -> None:
    served = engine(model)
    served.add_request(Request(PROMPT, replace(SETTINGS, num_answers=3, logprobs=2)))
    (outputs,) = run(served).values()
    done = {output.index: output.completion for output in outputs if output.completion}
    assert sorted(done) == [0, 1, 2]
    assert [output.is_last for output in outputs].count(True) == 1
    for index, each in done.items():
        settings = replace(SETTINGS, seed=SETTINGS.seed + index)
        slow = write_behind(model, TOKENIZER, PROMPT, settings, prefix=len(PROMPT))
        assert each.token_ids == slow.token_ids
        assert each.logprobs is not None
        assert [item.token_id for item in each.logprobs] == list(each.token_ids)
        assert all(len(item.top) == 2 for item in each.logprobs)


def test_a_cancelled_request_is_gone(model: Decoder) -> None:
    served = engine(model)
    first, second = (served.add_request(Request(PROMPT, SETTINGS)) for _ in range(2))
    served.step()
    assert served.cancel(first)
    assert not served.cancel(first)
    assert set(run(served)) == {second}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"beams": 2}, "beams is not for a model"),
        ({"best_of": 3}, "best_of"),
        ({"prompt_logprobs": True}, "prompt_logprobs"),
        ({"temperature": -1.0}, "temperature"),
        ({"constraint": Constraint(kind="regex", text="(")}, "regex"),
    ],
)
def test_what_cannot_be_is_refused(model: Decoder, changed: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError, match=told):
        engine(model).check(PROMPT, replace(SETTINGS, **changed))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"beams": 2}, "beams is not for a model"),
        ({"num_answers": 2}, "num_answers"),
        ({"logprobs": 0}, "logprobs"),
        ({"temperature": -1.0}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ("",)}, "stop string"),
        ({"stop": "ab"}, "several strings"),
        ({"banned_tokens": (1_000_000,)}, "banned_tokens"),
        ({"constraint": Constraint(kind="regex", text="(")}, "regex"),
    ],
)
def test_the_slow_way_refuses_what_cannot_be(
    model: Decoder, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        write_behind(model, TOKENIZER, PROMPT, replace(SETTINGS, **changed), prefix=5)


@pytest.mark.parametrize(
    ("prompt", "prefix", "told"),
    [
        ([], 0, "no tokens"),
        ([5], 0, "before the blank"),
        ([5] * 48, 48, "window holds 48"),
        ([5, 1_000_000], 2, "token ids run"),
    ],
)
def test_the_slow_way_refuses_prompts_that_do_not_fit(
    model: Decoder, prompt: list[int], prefix: int, told: str
) -> None:
    with pytest.raises(RequestError, match=told):
        write_behind(model, TOKENIZER, prompt, SETTINGS, prefix=prefix)


def test_prompts_that_do_not_fit_are_refused(model: Decoder) -> None:
    with pytest.raises(RequestError, match="window holds 48"):
        engine(model).check([5] * 48, SETTINGS)
    with pytest.raises(RequestError, match="before the blank"):
        engine(model, 1).check([5], SETTINGS)


def test_scores_that_are_no_numbers_and_constraints_that_cannot_be_kept_are_errors(
    model: Decoder,
) -> None:
    served = engine(model)
    ends = tuple(t for t in range(TOKENIZER.vocab_size) if not TOKENIZER.token_bytes(t))
    constraint = Constraint(kind="regex", text="a{3}b")
    stuck = replace(SETTINGS, constraint=constraint, banned_tokens=(ord("b"), *ends))
    served.add_request(Request(PROMPT, replace(stuck, num_answers=2)))
    (outputs,) = run(served).values()
    assert isinstance(outputs[-1].error, RequestError)
    assert outputs[-1].is_last
    assert not served.has_work

    class Broken(torch.nn.Module):
        context = 48

        def forward(self, ids_BT: Any, **_: Any) -> Any:
            return torch.full((1, ids_BT.shape[1], 16), float("nan"))

        def head(self, hidden_BTD: Any) -> Any:
            return hidden_BTD[..., :1].expand(-1, -1, TOKENIZER.vocab_size)

    broken = BothWaysEngine(Broken(), TOKENIZER, num_behind=0)
    broken.add_request(Request(PROMPT, SETTINGS))
    (output,) = broken.step()
    assert isinstance(output.error, CheckpointError)
    for temperature in (0.0, 0.9):
        wish = replace(SETTINGS, temperature=temperature)
        with pytest.raises(CheckpointError, match="not finite"):
            write_behind(Broken(), TOKENIZER, PROMPT, wish, prefix=5)
