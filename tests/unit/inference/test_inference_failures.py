"""Answers that cannot be finished end with an error, which reaches whoever reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inference_fakes import TOKENIZER, WINDOW, FakeDecoder, SayingO

from homespun.core import CheckpointError, Constraint, Message, RequestError, SamplingSettings
from homespun.inference import ChatSession, Engine, Request, reference_generate
from homespun.inference.request import check_settings, plain_settings
from homespun.inference.sampling import compile_constraint

MODEL = FakeDecoder(TOKENIZER.vocab_size)
PROMPT = [5, 6, 7, 8]
STUCK = SamplingSettings(
    max_tokens=20,
    temperature=0.0,
    constraint=Constraint(kind="regex", text="a{3}b"),
    banned_tokens=(ord("b"),),
)


def engine(model: FakeDecoder = MODEL, **wish: Any) -> Engine:
    return Engine(model, TOKENIZER, **wish)


class FailingLater(SayingO):
    """Its scores are no numbers any more after so many tokens."""

    def head(self, hidden_BTD: Any) -> Any:
        logits_BTV = super().head(hidden_BTD)
        return logits_BTV * float("nan") if self.num_tokens_read > 12 else logits_BTV


def test_a_constraint_that_fails_in_the_middle_is_an_error_and_no_end() -> None:
    served = engine()
    with pytest.raises(RequestError, match="cannot be kept to the end"):
        served.generate(PROMPT, STUCK)
    with pytest.raises(RequestError, match="cannot be kept to the end"):
        reference_generate(MODEL, TOKENIZER, PROMPT, STUCK, window=WINDOW)
    number = served.add_request(Request(PROMPT, STUCK))
    outputs = []
    while served.has_work:
        outputs += served.step()
    assert "".join(output.text for output in outputs) == "aaa"
    assert [output.error is not None for output in outputs] == [False] * 3 + [True]
    assert all(output.completion is None for output in outputs)
    assert not served.cancel(number)
    assert served.stats.num_free_blocks == served.stats.num_blocks


def test_an_answer_that_is_cut_before_its_constraint_fails_is_cut() -> None:
    done = engine().generate(PROMPT, replace(STUCK, max_tokens=3))
    assert (done.text, done.finish_reason) == ("aaa", "length")
    slow = reference_generate(MODEL, TOKENIZER, PROMPT, replace(STUCK, max_tokens=3), window=WINDOW)
    assert (slow.text, slow.finish_reason) == ("aaa", "length")


def test_nothing_more_may_come_is_right_where_the_text_is_complete() -> None:
    ends = tuple(t for t in range(TOKENIZER.vocab_size) if not TOKENIZER.token_bytes(t))
    wish = replace(
        STUCK, constraint=Constraint(kind="regex", text="a{3}b?"), banned_tokens=(ord("b"), *ends)
    )
    done = engine().generate(PROMPT, wish)
    assert (done.text, done.finish_reason) == ("aaa", "stop")


def test_what_the_library_gives_up_is_neither_complete_nor_right() -> None:
    state = compile_constraint(Constraint(kind="regex", text="a{3}b"), TOKENIZER, frozenset({263}))
    assert state.failure(is_stuck=False) is None
    assert state.failure(is_stuck=True) is not None
    state.take(ord("z"))
    assert not state.is_complete
    failure = state.failure(is_stuck=False)
    assert failure is not None
    assert "\n" not in str(failure)


def test_contrastive_search_keeps_to_what_may_come() -> None:
    wish = SamplingSettings(
        max_tokens=20,
        top_k=6,
        contrastive_alpha=0.9,
        constraint=Constraint(kind="regex", text="(ab|cd){4}"),
    )
    done = engine().generate(PROMPT, wish)
    assert len(done.text) == 8
    assert set(done.text[::2]) <= {"a", "c"}
    with pytest.raises(RequestError, match="cannot be kept"):
        engine().generate(PROMPT, replace(wish, banned_tokens=tuple(b"bd")))


def test_forced_tokens_and_a_constraint_contradict_each_other() -> None:
    with pytest.raises(RequestError, match="forced_tokens and a constraint"):
        check_settings(replace(STUCK, forced_tokens=(5,)))


@pytest.mark.parametrize(
    ("wish", "numbers"),
    [({"beams": 6}, r"6 rows.* 4 "), ({"contrastive_alpha": 0.5, "top_k": 5}, r"5 rows.* 4 ")],
)
def test_more_rows_than_there_are_is_refused_with_both_numbers(
    wish: dict[str, Any], numbers: str
) -> None:
    with pytest.raises(RequestError, match=numbers):
        engine(max_rows=4).add_request(Request(PROMPT, SamplingSettings(**wish)))
    fits = SamplingSettings(
        ignore_end=True,
        max_tokens=3,
        **{key: 4 if value > 1 else value for key, value in wish.items()},
    )
    assert engine(max_rows=4).generate(PROMPT, fits).finish_reason == "length"


@pytest.mark.parametrize("wish", [{"num_answers": 7}, {"num_answers": 2, "best_of": 7}])
def test_several_answers_need_no_rows_at_once(wish: dict[str, Any]) -> None:
    settings = SamplingSettings(max_tokens=5, **wish)
    narrow = engine(max_rows=2).complete(PROMPT, settings)
    wide = engine(max_rows=8).complete(PROMPT, settings)
    assert [done.token_ids for done in narrow] == [done.token_ids for done in wide]


def test_a_stream_refuses_a_constraint_at_once() -> None:
    served = engine()
    bad = replace(STUCK, constraint=Constraint(kind="regex", text="(a"))
    with pytest.raises(RequestError, match="cannot be used as a constraint"):
        served.stream(PROMPT, bad)
    assert not served.has_work


def test_an_error_in_the_middle_reaches_the_reader_and_closes_the_request() -> None:
    served = engine(FailingLater(TOKENIZER.vocab_size))
    stream = served.stream(PROMPT, SamplingSettings(max_tokens=30, temperature=0.0))
    pieces: list[str] = []
    with pytest.raises(CheckpointError, match="not finite"):
        pieces.extend(stream)
    said = stream.completion
    assert said.finish_reason == "error"
    assert said.text == "".join(pieces) == "o" * len(said.token_ids) != ""
    stream.close()
    assert stream.completion is said
    assert not served.has_work
    assert served.stats.num_free_blocks == served.stats.num_blocks
    with pytest.raises(StopIteration):
        next(stream)


def test_whatever_goes_wrong_in_a_step_closes_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    served = engine()
    stream = served.stream(PROMPT, SamplingSettings(max_tokens=30, ignore_end=True))
    next(stream)

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(served._runner, "run", fail)
    with pytest.raises(MemoryError):
        next(stream)
    assert stream.completion.finish_reason == "error"
    assert not served.has_work
    assert served.stats.num_free_blocks == served.stats.num_blocks


def test_a_stream_that_is_cancelled_from_elsewhere_ends() -> None:
    served = engine()
    stream = served.stream(PROMPT, SamplingSettings(max_tokens=30, ignore_end=True))
    first = next(stream)
    assert served.cancel(0)
    assert list(stream) == []
    assert stream.completion.finish_reason == "cancelled"
    assert stream.completion.text == first


def test_a_turn_that_fails_is_told_and_not_remembered() -> None:
    model = FailingLater(TOKENIZER.vocab_size, context=WINDOW)
    session = ChatSession(engine(model), TOKENIZER, context=WINDOW)
    pieces = session.ask("hi", SamplingSettings(max_tokens=30, temperature=0.0))
    with pytest.raises(CheckpointError, match="not finite"):
        list(pieces)
    assert session.messages == []
    assert session.last is not None
    assert session.last.finish_reason == "error"
    model.num_tokens_read = -1000
    assert "".join(session.ask("hi", SamplingSettings(max_tokens=3, temperature=0.0))) == "ooo"
    assert session.messages[0] == Message("user", "hi")


def test_numbers_of_numpy_are_numbers() -> None:
    plain = SamplingSettings(
        max_tokens=6,
        seed=2**63 - 1,
        top_k=9,
        temperature=0.5,
        stop_tokens=(3,),
        logit_bias=((4, 2.0),),
    )
    theirs: dict[str, Any] = {
        "max_tokens": np.int16(6),
        "seed": np.int64(2**63 - 1),
        "top_k": np.uint8(9),
        "temperature": np.float32(0.5),
        "stop_tokens": (np.int32(3),),
        "logit_bias": ((np.int64(4), np.float64(2.0)),),
    }
    settings = replace(plain, **theirs)
    assert plain_settings(settings) == plain
    assert type(plain_settings(settings).seed) is int
    assert plain_settings(plain) is plain
    for found in (settings, replace(settings, num_answers=np.int8(3))):
        answers = engine().complete(PROMPT, found)
        expected = engine().complete(PROMPT, replace(plain, num_answers=int(found.num_answers)))
        assert [a.token_ids for a in answers] == [a.token_ids for a in expected]
    batch = [
        done.token_ids
        for done in engine().generate_batch([PROMPT, PROMPT], replace(settings, seed=np.int64(7)))
    ]
    same = [
        done.token_ids for done in engine().generate_batch([PROMPT, PROMPT], replace(plain, seed=7))
    ]
    assert batch == same
    with pytest.raises(RequestError, match="seed"):
        check_settings(replace(plain, seed=np.float64(3.0)))  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="seed"):
        check_settings(replace(plain, seed=np.uint64(2**63)))  # type: ignore[arg-type]
