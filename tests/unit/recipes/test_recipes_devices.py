"""Where there is a GPU tasks and families are learned and used on it. None is needed to see that:
a pretended one fails wherever tensors of two devices meet."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretended_gpu import DEVICE, pretended_gpu  # type: ignore[import-not-found]

from homespun.core import SamplingSettings
from homespun.recipes.applications import Also, Asked, learn_application, open_application
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.families.contenders import FAMILIES

WORDS = ("red", "green", "blue", "old", "new", "tall")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A machine that has one."""
    monkeypatch.setattr(
        "homespun.recipes.run.chosen_device",
        lambda name: torch.device("cpu") if name == "cpu" else DEVICE,
    )
    monkeypatch.setattr("homespun.training.machine._round_seconds", one_round)
    with pretended_gpu() as device:
        yield device


def one_round(work: Callable[[], object], **_: object) -> list[float]:
    """What is measured is done there once, as each operation takes long on a pretended one."""
    began = time.perf_counter()
    work()
    return [time.perf_counter() - began]


def test_the_pretended_one_fails_where_a_real_one_would(gpu: torch.device) -> None:
    weight = torch.nn.Linear(3, 2).to(gpu)
    x_N3 = torch.ones(4, 3, device=gpu)
    assert weight(x_N3).sum().backward() is None
    assert weight.weight.grad is not None
    assert weight.weight.grad.device == gpu
    assert x_N3.cpu().tolist() == torch.ones(4, 3).tolist()
    with pytest.raises(RuntimeError, match="two devices"):
        weight(torch.ones(4, 3))
    with pytest.raises(RuntimeError, match="two devices"):
        x_N3 + torch.arange(3)
    with pytest.raises(TypeError, match="cpu"):
        x_N3.numpy()
    with pytest.raises(RuntimeError, match="generator"):
        torch.multinomial(x_N3, 1, generator=torch.Generator())


def word(number: int) -> str:
    return WORDS[number % 6]


ROWS: dict[str, Any] = {
    "classify": lambda n: {"text": f"{word(n)} {word(n // 6)} {n}", "label": "ab"[n % 2]},
    "labels": lambda n: {"text": f"{word(n)} {n}", "label": ["a", "b"][: 1 + n % 2]},
    "tag": lambda n: {"tokens": [word(n), word(n // 6), str(n)], "tags": ["B-X", "I-X", "O"]},
    "pair": lambda n: {"first": f"{word(n)} {n}", "second": word(n // 6), "label": "yn"[n % 2]},
    "scores": lambda n: {"first": f"{word(n)} {n}", "second": word(n // 6), "label": n / 7},
    "translate": lambda n: {"source": f"{word(n)} {n}", "target": f"{n} {word(n)}"},
    "answer": lambda n: {
        "question": f"which is {n}?",
        "passage": f"the {word(n)} one is {n}. it is passage {n}",
        "answer": word(n),
    },
    "write": lambda n: {"text": f"{word(n)} and {word(n // 6)} are {n} of {n % 7}."},
    "embed": lambda n: {"first": f"{word(n)} {n}", "second": f"{word(n // 6)} {n}"},
}
SMALL = {"epochs": "0.2", "width": "32", "layers": "1", "beams": "2"}
LEARNED = [
    ("classify", "classify", "encoder", {}),
    ("classify", "labels", "encoder", {}),
    ("classify", "classify", "cnn", {"width": "16"}),
    ("write", "write", "decoder", {"context": "32", "max_tokens": "8", "width": "32"}),
    ("tag", "tag", "encoder", {}),
    ("tag", "tag", "lstm", {"width": "32"}),
    ("tag", "tag", "lstm", {"width": "32", "cell": "gru", "crf": "no"}),
    ("pair", "pair", "encoder", {}),
    ("pair", "scores", "encoder", {}),
    ("answer", "answer", "encoder", {}),
    ("embed", "embed", "encoder", {}),
    ("translate", "translate", "transformer", {"agreement": "0.2", "coverage": "0.1"} | SMALL),
    ("translate", "translate", "transformer", {"known": "2"} | SMALL),
    (
        "translate",
        "translate",
        "transformer",
        {"memory": "1", "norm": "layer", "positions": "sinusoidal", "beams": "1"} | SMALL,
    ),
    ("translate", "translate", "transformer", {"positions": "relative"} | SMALL),
]


def rows_of(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.jsonl"
    path.write_text("\n".join(json.dumps(ROWS[kind](n)) for n in range(60)))
    return path


@pytest.mark.parametrize(("task", "kind", "method", "options"), LEARNED)
def test_a_task_is_learned_and_used_on_the_gpu(
    gpu: torch.device, tmp_path: Path, task: str, kind: str, method: str, options: dict[str, str]
) -> None:
    out = tmp_path / "out"
    given = {"epochs": "0.2"} | options
    asked = Asked(task, rows_of(kind, tmp_path), out, method=method, options=given)
    told = learn_application(asked._replace(judge_baselines=False))
    assert told["measures"][0]["num"] > 0
    opened = open_application(out).learned
    assert {parameter.device for parameter in opened.model.parameters()} == {gpu}


def test_tasks_learned_together_are_as_well(gpu: torch.device, tmp_path: Path) -> None:
    also = Also("pair", rows_of("pair", tmp_path))
    asked = Asked("classify", rows_of("classify", tmp_path), tmp_path / "out", also=[also])
    learn_application(asked._replace(options={"epochs": "0.2"}, judge_baselines=False))
    for folder in (tmp_path / "out", tmp_path / "out" / "also-1-pair"):
        model = open_application(folder).learned.model
        assert {parameter.device for parameter in model.parameters()} == {gpu}


def test_a_translator_that_is_served_writes_on_it(gpu: torch.device, tmp_path: Path) -> None:
    from homespun.inference.request import Request
    from homespun.recipes.serve.process import EngineWish
    from homespun.recipes.serve.rewriting import rewriter_seat

    asked = Asked("translate", rows_of("translate", tmp_path), tmp_path / "out")
    learn_application(asked._replace(options={"known": "2"} | SMALL, judge_baselines=False))
    for wish, device in ((EngineWish(), gpu), (EngineWish(device="cpu"), torch.device("cpu"))):
        seat = rewriter_seat(tmp_path / "out", wish)
        assert next(seat._model.parameters()).device == device
        engine: Any = seat._engine
        requests = [
            SamplingSettings(beams=2, max_tokens=3, temperature=0.0),
            SamplingSettings(max_tokens=3, temperature=1.0, num_answers=2),
        ]
        numbers = {engine.add_request(Request([5, 6, 7], settings)) for settings in requests}
        numbers.add(engine.add_request(Request([5, 6], requests[0])))
        engine.step()
        engine.cancel(max(numbers))
        done = set()
        while engine.has_work:
            done |= {output.request_id for output in engine.step() if output.is_last}
        assert done == numbers - {max(numbers)}


def test_encoders_of_ones_own_are(gpu: torch.device, texts: Path, tmp_path: Path) -> None:
    from homespun.evaluation.pseudo_likelihood import PseudoLanguageModel
    from homespun.recipes.encoder import EncoderAsk, pretrain_encoder
    from homespun.recipes.questions.encoder import _opened
    from homespun.recipes.search import open_embedder

    shape: Any = {"source": str(texts), "steps": 2, "size": "64x1", "vocab_size": 400}
    pretrain_encoder(EncoderAsk(**shape), tmp_path / "encoder")
    embedder = open_embedder(tmp_path / "encoder")
    assert next(embedder.model.parameters()).device == gpu
    assert embedder.embed(["the river", "his old letter"]).shape == (2, 64)
    model, tokenizer = _opened(tmp_path / "encoder")
    assert next(model.parameters()).device == gpu
    asked = PseudoLanguageModel("e", model, tokenizer)
    assert np.isfinite(asked.score_continuations(["the", ""], [" river", "an old letter"])).all()


def test_encoder_decoders_and_recurrent_models_are(
    gpu: torch.device, texts: Path, tmp_path: Path
) -> None:
    from homespun.recipes.recurrent import RecurrentAsk, learn_recurrent, open_recurrent
    from homespun.recipes.rewriter import RewriterAsk, pretrain_rewriter

    shape: Any = {"source": str(texts), "size": "64x1", "vocab_size": 400}
    pretrain_rewriter(RewriterAsk(**shape, steps=2), tmp_path / "rewriter")
    learn_recurrent(RecurrentAsk(**shape, seconds=0.5), tmp_path / "recurrent")
    opened = open_recurrent(tmp_path / "recurrent")
    assert next(opened.model.parameters()).device == gpu
    assert len(opened.write("The river", num=2, max_tokens=4, top_p=0.9)) == 2
    assert opened.score(["The river."])["tokens"] > 0


TRAINED = [family for family in FAMILIES if family.place[0].endswith("neural")]


@pytest.mark.parametrize("family", TRAINED, ids=[family.name for family in TRAINED])
def test_families_are_measured_on_it(
    gpu: torch.device, monkeypatch: pytest.MonkeyPatch, family: Any
) -> None:
    from homespun.recipes.families import neural

    monkeypatch.setattr(neural, "_SAMPLED", 8)
    seen: list[Any] = []
    plain = neural._size

    def noted(model: Any) -> int:
        seen.append(next(model.parameters()).device)
        return plain(model)

    monkeypatch.setattr(neural, "_size", noted)
    ids = np.random.default_rng(0).integers(1, 40, 1200)
    text = TokenText(ids[:1000], ids[1000:], 40, 200, 0)
    judge = getattr(importlib.import_module(family.place[0]), family.place[1])
    judged = judge(text, seconds=0.3, seed=0, context=16, **family.arguments)
    assert judged.nats > 0
    assert seen == [gpu]


def test_places_are_looked_for_where_the_scores_are(gpu: torch.device) -> None:
    from homespun.models.heads.span import best_span

    scores_T2 = torch.tensor([[0.0, 0.0], [1.0, 3.0], [4.0, 2.0], [0.0, 1.0]])
    assert best_span(scores_T2.to(gpu), 2) == best_span(scores_T2, 2) == (2, 2, 6.0)
