"""Questions asked of a run: numbers beside chance, what was read before, and lm-eval's requests."""

from __future__ import annotations

import json
import math
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from homespun.core import ConfigError, DataError, RunError, SamplingSettings
from homespun.evaluation.likelihood import read_lambada
from homespun.recipes import Run, open_run
from homespun.recipes.questions import QuestionsAsk, ask_questions, lm_eval_model
from homespun.recipes.questions.lm_eval import Requests
from homespun.recipes.questions.seen import run_hashes, seen_share

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

from bad_input_stage import make_run


class Request(NamedTuple):
    args: tuple[Any, ...]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return open_run(make_run(tmp_path_factory.mktemp("asked")))


def sets(folder: Path) -> Path:
    rows = [
        {"query": f"Question: what is {n}?", "choices": ["a number", "zzz qqq xxx"], "gold": n % 2}
        for n in range(12)
    ]
    path = folder / "numbers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_run_is_asked_beside_chance_and_its_own_counts(run: Run, tmp_path: Path) -> None:
    found = ask_questions(run, QuestionsAsk("choices", sets(tmp_path)))
    assert found["questions"] == 12
    assert found["chance"] == 0.5
    assert [entry["name"] for entry in found["beside"]] == ["5-gram"]
    for row in (found["model"], *found["beside"]):
        for way in ("summed", "per_byte"):
            assert row[way]["low"] <= row[way]["value"] <= row[way]["high"]
    assert found["seen_share"] == 0.0
    few = ask_questions(run, QuestionsAsk("choices", sets(tmp_path), most=5, beside=False))
    assert (few["questions"], few["beside"]) == (5, [])


def test_last_words_are_written_and_found_likely(run: Run, tmp_path: Path) -> None:
    engine, tokenizer = run.engine, run.tokenizer
    rows = []
    for number in range(8):
        context = f"This is passage {number} of the river, and it ends with the"
        ids = [*tokenizer.start_ids, *tokenizer.encode(context).tolist()]
        likely = engine.generate(ids, SamplingSettings(max_tokens=1, temperature=0.0))
        word = likely.text.strip() or "x" if number % 2 else " zebra"
        rows.append({"context": context, "continuation": word})
    rows.append({"context": "the end and the end of it: the " * 60, "continuation": "end"})
    path = tmp_path / "lambada.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = ask_questions(run, QuestionsAsk("lambada", path))
    assert found["questions"] == 9
    mine = found["model"]
    assert mine["accuracy"]["low"] <= mine["accuracy"]["value"] <= mine["accuracy"]["high"]
    assert mine["perplexity"] > 1
    assert found["beside"][0]["perplexity"] > 1
    assert found["chance"] == pytest.approx(2 / 8 / 9)
    read = read_lambada(path)
    right = []
    for passage in read:
        ids, word = run.prompt_ids(passage.context), tokenizer.encode(passage.word).tolist()
        for token in word:
            with torch.inference_mode():
                scores_V = run.model.head(run.model(torch.tensor([ids[-engine.window :]])))[0, -1]
            if int(scores_V[: tokenizer.vocab_size].argmax()) != token:
                break
            ids.append(token)
        else:
            right.append(passage)
    assert mine["accuracy"]["value"] == pytest.approx(len(right) / 9)


def test_wrong_sets_are_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'blimp'"):
        ask_questions(run, QuestionsAsk("blmip", tmp_path))
    with pytest.raises(DataError):
        ask_questions(run, QuestionsAsk("choices", tmp_path / "none.jsonl"))


def test_what_stands_in_the_training_text_is_found() -> None:
    texts = ["one two three four five six seven eight nine ten eleven", "今天天气很好我们去公园"]
    asked = [
        "two three four five six seven eight nine ten",
        "今天天气很好我们去公园",
        "two three four never seen before in this order",
        "eight words that nobody has written down here",
    ]
    assert seen_share(texts, asked) == 0.5
    assert seen_share(texts, []) == 0.0
    short = ["the cat sat on the mat", "no dog sat here", "too short"]
    assert seen_share(["once the cat sat on the mat again"], short) == 0.5
    assert len(run_hashes("a b")) == 0
    assert len(run_hashes("a b c d e f g h i")) == 2
    assert len(run_hashes("")) == 0


def test_lm_evals_requests_are_answered(run: Run) -> None:
    asked = Requests(run)
    text = run.generate("Once", max_tokens=4, temperature=0.0).text
    (greedy, other) = asked.loglikelihood([Request(("Once", text)), Request(("Once", " qqq zzz"))])
    assert greedy[1] is True
    assert other[1] is False
    assert greedy[0] > other[0]
    (whole,) = asked.loglikelihood_rolling([Request(("Once upon a time",))])
    assert whole < 0
    assert math.isfinite(whole)
    (written,) = asked.generate_until([Request(("Once", {"until": ["\n"], "max_gen_toks": 5}))])
    assert "\n" not in written


def test_a_context_beyond_the_window_is_cut_at_its_beginning(run: Run) -> None:
    asked, long = Requests(run), "the old river. " * 400
    assert len(run.prompt_ids(long)) > run.engine.window
    (written,) = asked.generate_until([Request((long, {"until": [], "max_gen_toks": 5}))])
    near = run.prompt_ids(long)[-(run.engine.window - 5) :]
    settings = SamplingSettings(max_tokens=5, temperature=0.0)
    assert written == run.engine.generate(near, settings).text
    ((nats, _),) = asked.loglikelihood([Request((long, " the"))])
    assert nats < 0


def test_the_adapter_is_lm_evals_own_kind_of_model(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(RunError, match="pip install lm-eval"):
        lm_eval_model(run)

    class LM:
        def __init__(self) -> None:
            self.is_begun = True

    package, api, model = (
        types.ModuleType(n) for n in ("lm_eval", "lm_eval.api", "lm_eval.api.model")
    )
    model.LM = LM  # type: ignore[attr-defined]
    for module in (package, api, model):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    made = lm_eval_model(run)
    assert isinstance(made, LM)
    assert made.is_begun
    assert made.loglikelihood([Request(("a", " b"))])[0][0] < 0
