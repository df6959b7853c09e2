"""An engine that writes texts from texts: as `write_texts` by beams, each drawn answer as it is
alone, whoever comes and goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from test_inference_writing import END, SOURCES, START, VOCABULARY, translator

from homespun.core import ChatTokens, Completion, Message, RequestError, SamplingSettings
from homespun.inference import Output, Request
from homespun.inference.search.rewriting import Marks, RewritingEngine, _Trimmed
from homespun.inference.search.writing import Weights, longest_written, write_texts
from homespun.models.encoder_decoder import Remembered

CONTEXT = 24


class Letters:
    """A letter a token, with blanks among them; 0 … 2 are marks."""

    vocab_size = VOCABULARY
    end_of_text_id = end_of_turn_id = END
    start_ids: tuple[int, ...] = ()
    _letters = " abcdefghijklmnopqr\nstuvwx"

    def encode(self, text: str) -> NDArray[np.uint32]:
        return np.array([3 + self._letters.index(letter) for letter in text], np.uint32)

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode()

    def token_bytes(self, token_id: int) -> bytes:
        return self._letters[token_id - 3].encode() if token_id >= 3 else b""

    def encode_chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = False
    ) -> ChatTokens:
        raise NotImplementedError


def engine(seed: int = 0, **wish: Any) -> RewritingEngine:
    marks = Marks(START, END, [0, START])
    return RewritingEngine(translator(seed=seed), Letters(), marks, **wish)


def asked(**wish: Any) -> SamplingSettings:
    return SamplingSettings(**{"max_tokens": 12, "top_p": 1.0, "temperature": 1.0, **wish})


def outputs(own: RewritingEngine) -> Iterator[Output]:
    for _ in range(500):
        if not own.has_work:
            return
        yield from own.step()
    raise AssertionError("it does not end")


def answers(own: RewritingEngine) -> dict[int, list[Completion]]:
    """All answers of all requests, checked against what came of them."""
    found: dict[int, dict[int, Completion]] = {}
    texts: dict[tuple[int, int], str] = {}
    ids: dict[tuple[int, int], tuple[int, ...]] = {}
    over: set[int] = set()
    for output in outputs(own):
        assert output.request_id not in over
        assert output.error is None
        key = output.request_id, output.index
        texts[key] = texts.get(key, "") + output.text
        ids[key] = ids.get(key, ()) + output.token_ids
        if output.completion is not None:
            found.setdefault(output.request_id, {})[output.index] = output.completion
            assert output.completion.text == texts[key]
            assert output.completion.token_ids == ids[key]
        if output.is_last:
            over.add(output.request_id)
    assert over == set(found)
    return {number: [each[at] for at in sorted(each)] for number, each in found.items()}


def alone(settings: SamplingSettings, source: list[int], **wish: Any) -> list[Completion]:
    own = engine(**wish)
    number = own.add_request(Request(source, settings))
    return answers(own)[number]


@pytest.mark.parametrize(("coverage", "back"), [(0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (1.0, 1.0)])
@pytest.mark.parametrize("wish", [{"beams": 4, "num_answers": 3}, {"beams": 3}])
def test_beams_are_those_of_texts_written_together(
    coverage: float, back: float, wish: dict[str, int]
) -> None:
    settings = asked(temperature=0.0, **wish)
    own = engine(weights=Weights(coverage, back))
    numbers = [own.add_request(Request(source, settings)) for source in SOURCES]
    found = answers(own)
    written = write_texts(
        translator(),
        SOURCES,
        settings,
        start_id=START,
        end_id=END,
        never=[0, START],
        weights=Weights(coverage, back),
        most=[longest_written(len(source), CONTEXT) for source in SOURCES],
    )
    for number, beams in zip(numbers, written, strict=True):
        assert [done.token_ids for done in found[number]] == [beam.ids for beam in beams]
        assert [done.finish_reason for done in found[number]] == [b.finish_reason for b in beams]
        texts = [Letters().decode(beam.ids).strip() for beam in beams]
        assert [done.text for done in found[number]] == texts
    assert found[numbers[0]][0].num_prompt_tokens == len(SOURCES[0])


@pytest.mark.parametrize("wish", [{"temperature": 0.0}, {"beams": 1}])
def test_the_likeliest_tokens_are_those_of_one_beam(wish: dict[str, Any]) -> None:
    own = engine()
    numbers = [own.add_request(Request(source, asked(**wish))) for source in SOURCES]
    found = answers(own)
    beams = write_texts(
        translator(), SOURCES, asked(beams=1), start_id=START, end_id=END, never=[0, START]
    )
    for number, (beam,) in zip(numbers, beams, strict=True):
        assert found[number][0].token_ids == beam.ids


def test_who_comes_and_goes_changes_nobody_elses_answer() -> None:
    """Several groups, several answers to some, and one that nobody waits for."""
    wishes = [
        asked(seed=1, num_answers=2),
        asked(beams=3, temperature=0.0),
        asked(seed=3, temperature=0.7, top_k=5),
        asked(seed=4, num_answers=3, top_p=0.8),
        asked(temperature=0.0),
    ]
    expected = [alone(wish, SOURCES[at % 3]) for at, wish in enumerate(wishes)]
    own = engine()
    numbers = [own.add_request(Request(SOURCES[at], wishes[at])) for at in range(2)]
    gone = own.add_request(Request(SOURCES[2], asked(seed=9, num_answers=2)))
    early = own.step()
    assert own.admitted() == [*numbers, gone]
    numbers.append(own.add_request(Request(SOURCES[2], wishes[2])))
    early += own.step()
    assert own.admitted() == [numbers[2]]
    assert own.cancel(gone)
    assert not own.cancel(gone)
    numbers += [own.add_request(Request(SOURCES[at % 3], wishes[at])) for at in (3, 4)]
    waiting = own.add_request(Request(SOURCES[0], wishes[0]))
    assert own.cancel(waiting)
    found: dict[tuple[int, int], Completion] = {}
    for output in [*early, *outputs(own)]:
        assert output.request_id != waiting
        if output.completion is not None and output.request_id != gone:
            found[output.request_id, output.index] = output.completion
    for number, told in zip(numbers, expected, strict=True):
        mine = [found[number, index] for index in range(len(told))]
        assert [done.token_ids for done in mine] == [done.token_ids for done in told]
    assert len({done.token_ids for done in expected[3]}) > 1
    assert own.stats.num_running == own.stats.num_waiting == 0


def test_answers_have_seeds_of_their_own() -> None:
    both = alone(asked(seed=5, num_answers=2), SOURCES[0])
    for at, done in enumerate(both):
        (one,) = alone(asked(seed=5 + at), SOURCES[0])
        assert one.token_ids == done.token_ids


@pytest.mark.parametrize("beams", [0, 3])
def test_a_stop_ends_the_text_before_it(beams: int) -> None:
    source = SOURCES[2]
    free = alone(asked(temperature=0.0, beams=beams), source)[0].text
    stop = free[3:5]
    found = alone(asked(temperature=0.0, beams=beams, stop=(stop,)), source)[0]
    assert stop not in found.text
    assert found.finish_reason == "stop"
    if not beams:
        assert found.text == free[: free.index(stop)].strip()


def test_no_answer_is_longer_than_its_source_has_room_for() -> None:
    assert longest_written(3, 256) == 16
    assert longest_written(200, 256) == 255
    for wish in ({"beams": 2}, {"temperature": 1.5, "seed": 2}):
        for source in SOURCES:
            (done,) = alone(asked(max_tokens=10_000, **wish), source)
            assert len(done.token_ids) <= longest_written(len(source), CONTEXT)
            if len(done.token_ids) == longest_written(len(source), CONTEXT):
                assert done.finish_reason == "length"
    assert len(alone(asked(max_tokens=2, temperature=0.0), SOURCES[0])[0].token_ids) <= 2


def test_log_probabilities_are_those_of_the_model() -> None:
    (done,) = alone(asked(temperature=0.0, logprobs=2), SOURCES[0])
    assert done.logprobs is not None
    assert len(done.logprobs) == len(done.token_ids) > 0
    model = translator()
    with torch.inference_mode():
        written = torch.tensor([[START, *done.token_ids[:-1]]])
        hidden = model(torch.tensor([SOURCES[0]]), None, written)
        scores_TV = model.head(hidden)[0]
        scores_TV[:, [0, START]] = float("-inf")
        right = scores_TV.log_softmax(-1).gather(1, torch.tensor(done.token_ids)[:, None])[:, 0]
    told = torch.tensor([one.logprob for one in done.logprobs])
    torch.testing.assert_close(told, right, rtol=1e-4, atol=1e-4)
    assert all(one.top[0] == (one.token_id, one.logprob) for one in done.logprobs)


def test_there_are_only_so_many_answers_at_once() -> None:
    own = engine(max_rows=4)
    for _ in range(7):
        own.add_request(Request(SOURCES[0], asked(beams=2, temperature=0.0)))
    own.step()
    assert (own.stats.num_running, own.stats.num_waiting, own.stats.num_free_blocks) == (4, 3, 0)
    assert len(answers(own)) == 7
    one = engine(max_rows=2)
    one.add_request(Request(SOURCES[0], asked(num_answers=3)))
    assert len(answers(one)[0]) == 3  # more than there is room for go alone


def test_numbers_that_are_none_end_one_request_and_not_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = translator()
    own = RewritingEngine(model, Letters(), Marks(START, END, [0, START]))
    read = model.read

    def poisoned(ids_BS: torch.Tensor, is_token_BS: torch.Tensor | None = None) -> Remembered:
        found = read(ids_BS, is_token_BS)
        found.layers[0].values_BHSK[0] = float("nan")
        return found

    monkeypatch.setattr(model, "read", poisoned)
    sick = own.add_request(Request([5, 6, END], asked()))
    sound = own.add_request(Request([9, END], asked(seed=1)))
    found = list(outputs(own))
    (error,) = [output for output in found if output.request_id == sick]
    assert "not finite" in str(error.error)
    assert error.is_last
    assert [o for o in found if o.request_id == sound][-1].completion is not None


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"min_tokens": 3}, "min_tokens"),
        ({"logit_bias": ((5, 1.0),)}, "logit_bias"),
        ({"repetition_penalty": 1.2}, "repetition_penalty"),
        ({"best_of": 2}, "best_of"),
        ({"ignore_end": True}, "ignore_end"),
        ({"logprobs": 1, "prompt_logprobs": True}, "prompt_logprobs"),
        ({"temperature": -1.0}, "temperature"),
        ({"beams": 2, "num_answers": 3}, "beams"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(wish: dict[str, Any], named: str) -> None:
    with pytest.raises(RequestError, match=named):
        engine().add_request(Request(SOURCES[0], asked(**wish)))


def test_what_cannot_be_read_is_refused() -> None:
    own = engine()
    for source, told in (
        ([], "nothing to read"),
        ([5] * 25, "25 tokens, and the model reads 24"),
        ([5, VOCABULARY], "from 0 to 28"),
    ):
        with pytest.raises(RequestError, match=told):
            own.add_request(Request(source, asked()))
    assert not own.has_work


def test_any_settings_are_answered_or_refused_and_the_engine_lives() -> None:
    """Requests of all kinds come, and some go, between any two steps."""
    draw = np.random.default_rng(0)
    own = engine(max_rows=6)
    begun: set[int] = set()
    over: set[int] = set()
    refused = 0
    for _ in range(60):
        wish = {
            "temperature": float(draw.choice([0.0, 0.3, 1.0, 2.0])),
            "top_p": float(draw.choice([1e-9, 0.5, 1.0])),
            "top_k": int(draw.choice([0, 1, 7])),
            "min_p": float(draw.choice([0.0, 0.2])),
            "typical_p": float(draw.choice([0.4, 1.0])),
            "beams": int(draw.choice([0, 0, 1, 3])),
            "num_answers": int(draw.choice([1, 2, 4])),
            "max_tokens": int(draw.choice([1, 3, 10_000])),
            "seed": int(draw.integers(0, 2**62)),
            "logprobs": [None, None, 0, 3][int(draw.integers(0, 4))],
            "stop": [(), ("a", "bc"), (" ",)][int(draw.integers(0, 3))],
        }
        source = [*draw.integers(3, VOCABULARY, int(draw.integers(0, 23))).tolist(), END]
        try:
            begun.add(own.add_request(Request(source, asked(**wish))))
        except RequestError:
            refused += 1
        if draw.random() < 0.2:
            gone = int(draw.choice(sorted(begun or {0})))
            own.cancel(gone)
            over.add(gone)
        for output in own.step():
            assert output.error is None
            if output.is_last:
                over.add(output.request_id)
    over |= {output.request_id for output in outputs(own) if output.is_last}
    assert over >= begun
    assert len(begun) > 20
    assert refused > 5
    assert not own.has_work


def test_blanks_at_the_ends_are_left_out_as_the_text_comes() -> None:
    trimmed = _Trimmed()
    assert [trimmed.push(piece) for piece in (" ", "\n a", " b ", "", " c", "\n", " ")] == [
        "",
        "a",
        " b",
        "",
        "  c",
        "",
        "",
    ]
