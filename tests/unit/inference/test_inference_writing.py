"""Texts written from texts: as one by one without a cache, many at once as alone."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from homespun.core import CheckpointError, RequestError, SamplingSettings
from homespun.inference import write_texts
from homespun.inference.search import Beam, BeamSearch, reading
from homespun.inference.search.reading import told_back, turned_back
from homespun.inference.search.writing import Weights, coverage_penalty
from homespun.models import EncoderDecoder, EncoderDecoderConfig

START, END, VOCABULARY = 1, 2, 29
SOURCES = [[5, 6, 7, END], [9, END], [3, 4, 5, 6, 7, 8, 9, END]]


def translator(positions: str = "sinusoidal", seed: int = 0) -> EncoderDecoder:
    model = EncoderDecoderConfig(
        vocab_size=VOCABULARY,
        num_layers=2,
        num_writer_layers=2,
        width=24,
        num_heads=2,
        head_width=12,
        mlp_width=32,
        context=24,
        positions=positions,  # type: ignore[arg-type]
        num_buckets=8,
    ).build(torch.Generator().manual_seed(seed))
    noise = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=noise)
    return model.eval()


def write(
    model: EncoderDecoder,
    sources: Sequence[Sequence[int]],
    weights: Weights | None = None,
    **wish: object,
) -> list[list[Beam]]:
    settings = SamplingSettings(**{"max_tokens": 12, **wish})  # type: ignore[arg-type]
    return write_texts(model, sources, settings, start_id=START, end_id=END, weights=weights)


def searched_anew(
    model: EncoderDecoder, source: Sequence[int], settings: SamplingSettings
) -> BeamSearch:
    """The same beams, each read from its beginning at every step."""
    search = BeamSearch(
        settings, most=settings.max_tokens, end_ids=frozenset([END]), is_stopped=lambda ids: False
    )
    with torch.inference_mode():
        while search.live:
            log_probs = []
            for beam in search.live:
                hidden = model(torch.tensor([source]), None, torch.tensor([[START, *beam.ids]]))
                log_probs.append(model.head(hidden)[0, -1].log_softmax(-1))
            search.advance(log_probs)
    return search


def read_anew(
    model: EncoderDecoder, source: Sequence[int], settings: SamplingSettings
) -> list[Beam]:
    return searched_anew(model, source, settings).best(settings.num_answers)


@pytest.mark.parametrize("positions", ["sinusoidal", "relative", "rotary"])
@pytest.mark.parametrize(
    "wish",
    [
        {"beams": 4, "num_answers": 3},
        {"beams": 4, "length_penalty": 0.0},
        {"beams": 6, "beam_groups": 3, "diversity_penalty": 1.0, "num_answers": 6},
    ],
)
def test_beams_of_many_texts_are_those_of_each_read_anew(
    positions: str, wish: dict[str, object]
) -> None:
    model = translator(positions)
    settings = SamplingSettings(**{"max_tokens": 12, **wish})  # type: ignore[arg-type]
    for source, found in zip(SOURCES, write(model, SOURCES, **wish), strict=True):
        slow = read_anew(model, source, settings)
        assert [beam.ids for beam in found] == [beam.ids for beam in slow]
        for one, other in zip(found, slow, strict=True):
            assert one.total == pytest.approx(other.total, rel=1e-4, abs=1e-4)


def test_one_beam_takes_the_likeliest_token_each_time() -> None:
    model = translator()
    for source, found in zip(SOURCES, write(model, SOURCES), strict=True):
        ids: list[int] = []
        with torch.inference_mode():
            while len(ids) < 12:
                hidden = model(torch.tensor([source]), None, torch.tensor([[START, *ids]]))
                token = int(model.head(hidden)[0, -1].argmax())
                if token == END:
                    break
                ids.append(token)
        assert found[0].ids == tuple(ids)
        assert found[0].finish_reason == ("length" if len(ids) == 12 else "stop")


def test_attention_is_what_the_last_layer_gathers_by() -> None:
    model = translator()
    caught: list[tuple[torch.Tensor, torch.Tensor]] = []
    cross = model.writer.blocks[-1].cross
    assert isinstance(cross, torch.nn.Module)
    hook = cross.register_forward_hook(lambda _, given, out: caught.append((given[0], out)))
    is_token_BS = torch.tensor([[True] * 4, [True, True, False, False]])
    read = model.read(torch.tensor([SOURCES[0], [9, END, 0, 0]]), is_token_BS)
    looked_BTS = model.looked_at(torch.tensor([[START, 3, 4], [START, 5, 6]]), read)
    hook.remove()
    (x_BTD, out_BTD), kept = caught[0], read.layers[-1]
    weights_BHTS = cross.weights(x_BTD, kept, read.bias_BTS)
    gathered_BHTK = weights_BHTS @ kept.values_BHSK
    expected_BTD = cross.out(gathered_BHTK.transpose(1, 2).flatten(2))
    torch.testing.assert_close(out_BTD, expected_BTD)
    torch.testing.assert_close(looked_BTS, weights_BHTS.mean(1))
    torch.testing.assert_close(looked_BTS.sum(2), torch.ones(2, 3))
    assert bool((looked_BTS[1, :, 2:] == 0).all())


def test_the_coverage_penalty_is_that_of_its_paper() -> None:
    looked_TS = torch.tensor([[0.9, 0.1, 0.0], [0.6, 0.2, 0.2]])
    expected = math.log(1.0) + math.log(0.3) + math.log(0.2)
    assert coverage_penalty(looked_TS) == pytest.approx(expected)
    assert coverage_penalty(torch.full((3, 3), 0.5)) == 0.0
    assert math.isfinite(coverage_penalty(torch.zeros(1, 2)))


def check_ranked(
    weights: Weights, extra: Callable[[EncoderDecoder, Sequence[int], Beam], float]
) -> None:
    """Texts that have ended come in the order of their scores and `extra`, which decides some."""
    changed = 0
    for seed in range(4):
        model = translator(seed=seed)
        wish: dict[str, Any] = {"beams": 4, "num_answers": 3}
        settings = SamplingSettings(max_tokens=12, **wish)
        found = write(model, SOURCES, weights=weights, **wish)
        for source, beams in zip(SOURCES, found, strict=True):
            search = searched_anew(model, source, settings)
            with torch.inference_mode():
                scores = {b: b.score(1.0) + extra(model, source, b) for b in search.ended}
            ended = {b.ids: b for b in search.ended}.values()
            ranked = sorted(ended, key=scores.__getitem__, reverse=True)
            assert [b.ids for b in beams] == [b.ids for b in ranked[:3]]
            changed += beams[0].ids != search.best(1)[0].ids
    assert changed  # else it decided nothing


def test_texts_that_leave_something_out_count_less() -> None:
    def penalty(model: EncoderDecoder, source: Sequence[int], beam: Beam) -> float:
        read = model.read(torch.tensor([source]))
        looked_TS = model.looked_at(torch.tensor([[START, *beam.ids]]), read)[0]
        return 2.0 * coverage_penalty(looked_TS)

    check_ranked(Weights(coverage=2.0), penalty)


def test_texts_that_give_back_what_was_read_count_more() -> None:
    def told(model: EncoderDecoder, source: Sequence[int], beam: Beam) -> float:
        total = 0.0  # token by token, each read from its beginning
        for at, token in enumerate(source):
            back = torch.tensor([[START, *beam.ids, END]])
            before = torch.tensor([[START, *source[:at]]])
            scores_V = model.head(model(back, None, before))[0, -1].log_softmax(-1)
            total += float(scores_V[token])
        return 3.0 * total / len(source)

    check_ranked(Weights(back=3.0), told)


def test_long_texts_are_cut_where_they_are_turned_round() -> None:
    short, long = ([5, 6], [7]), (list(range(3, 26)), list(range(4, 27)))
    found = turned_back([short, long], context=24, start_id=START)
    assert found[0] == ([START, 7], [5, 6])
    assert found[1] == ([START, *range(4, 26)], list(range(3, 26)))
    model = translator()
    told = told_back(model, [*long[0], END], [long[1], []], start_id=START, end_id=END)
    assert len(told) == 2
    assert all(value < 0 for value in told)
    assert told_back(model, [5, END], [], start_id=START, end_id=END) == []


def test_what_is_given_back_is_the_same_few_at_once_and_no_number_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = translator()
    written = [[7, 8], [9], [], [3, 4, 5, 6, 7, 8]]
    marks = {"start_id": START, "end_id": END}
    together = told_back(model, SOURCES[0], written, **marks)
    monkeypatch.setattr(reading, "_MOST_SCORES", 2 * len(SOURCES[0]) * VOCABULARY)
    assert told_back(model, SOURCES[0], written, **marks) == pytest.approx(together, rel=1e-5)
    monkeypatch.setattr(reading, "_MOST_SCORES", 1)
    assert told_back(model, SOURCES[0], written, **marks) == pytest.approx(together, rel=1e-5)
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError):
        told_back(model, SOURCES[0], written, **marks)


def test_what_may_never_be_written_is_not() -> None:
    model = translator()
    settings = SamplingSettings(max_tokens=12, beams=3)
    free = write_texts(model, SOURCES, settings, start_id=START, end_id=END)
    banned = free[0][0].ids[0]
    bound = write_texts(model, SOURCES, settings, start_id=START, end_id=END, never=[banned])
    assert all(banned not in beam.ids for found in bound for beam in found)


def test_nothing_to_read_and_too_many_answers_are_refused() -> None:
    model = translator()
    assert write(model, []) == []
    with pytest.raises(RequestError, match="nothing to read"):
        write(model, [[3], []])
    with pytest.raises(RequestError, match="no more answers than beams"):
        write(model, [[3]], num_answers=2)
    with pytest.raises(RequestError, match="24 tokens"):
        write(model, [[3] * 25])
