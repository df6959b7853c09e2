"""`homespun pretrain --objective prefix|blank`, and what such a run can be used for."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "serving"))

from serving_fakes import running

from homespun.cli import main
from homespun.core import ConfigError, RunDirectory, RunError, SamplingSettings
from homespun.core.files import read_jsonl
from homespun.inference.reference import reference_generate
from homespun.inference.search.prefixed import write_behind
from homespun.recipes import open_run
from homespun.recipes.learn.targets import blank_marks
from homespun.recipes.plan import read_plan
from homespun.recipes.serve import EngineWish, open_desk, served_model
from homespun.recipes.serve.behind import both_ways_seat
from homespun.recipes.stages import (
    build_corpus_stage,
    chat_stage,
    evaluate_stage,
    plan_stage,
    pretrain_stage,
    train_tokenizer_stage,
)
from homespun.recipes.weights import load_model

PROMPT = "Once there was a fox who"


@pytest.fixture(scope="module")
def planned(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is ready to be pretrained."""
    run = tmp_path_factory.mktemp("planned") / "runs" / "tales"
    build_corpus_stage(run, str(texts))
    train_tokenizer_stage(run, vocab_size=400)
    plan_stage(run, steps=40, size="32x2", preset="portable")
    return run


@pytest.fixture(scope="module")
def both(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run pretrained with each of the objectives; only to be read."""
    runs = {name: tmp_path_factory.mktemp(name) / "tales" for name in ("prefix", "blank")}
    for objective, run in runs.items():
        shutil.copytree(planned, run)
        words = ["pretrain", "tales", "--runs", str(run.parent), "--objective", objective]
        assert main(words) == 0
    return runs


@pytest.fixture(params=["prefix", "blank"])
def learned(request: pytest.FixtureRequest, both: dict[str, Path]) -> Path:
    return both[request.param]


def greedy(run: Path, ids: list[int], prefix: int, most: int) -> list[int]:
    """The slow version: everything anew for each token, with the mask of the prefix."""
    opened = open_run(run)
    model = load_model(opened.directory, "pretrain", both_ways=True)
    found = list(ids)
    with torch.inference_mode():
        while len(found) - len(ids) < most and len(found) < model.context:
            hidden = model(torch.tensor([found]), prefix_B=torch.tensor([prefix]))
            token = int(model.head(hidden)[0, -1, : opened.tokenizer.vocab_size].argmax())
            if not opened.tokenizer.token_bytes(token):
                break
            found.append(token)
    return found[len(ids) :]


def test_it_learns_and_generates_with_the_same_mask(learned: Path) -> None:
    rows = read_jsonl(learned / "pretrain" / "metrics.jsonl")
    losses = [float(row["loss"]) for row in rows if row["kind"] == "eval"]
    assert losses[-1] < losses[0] - 0.5
    run = open_run(learned)
    settings = {"temperature": 0.0, "max_tokens": 12}
    if run.objective == "prefix":
        ids = run.prompt_ids(PROMPT)
        want = greedy(learned, ids, len(ids), 12)
        done = run.generate(PROMPT, **settings)
        assert list(done.token_ids) == want
        assert done.text == run.tokenizer.decode(want)
    else:
        first, second, *_ = blank_marks(run.tokenizer)
        ids = [*run.prompt_ids("The fox "), first]
        ids += [*map(int, run.tokenizer.encode(" home and ")), second]
        ids += map(int, run.tokenizer.encode("."))
        kept = len(ids)
        ids.append(first)
        one = greedy(learned, ids, kept, 12)
        two = greedy(learned, [*ids, *one, second], kept, 12)
        done = run.generate("The fox [BLANK] home and [BLANK].", **settings)
        texts = [run.tokenizer.decode(part) for part in (one, two)]
        assert done.text == f"The fox {texts[0]} home and {texts[1]}."
        assert list(done.token_ids) == [*one, *two]


def test_the_mask_matters(learned: Path) -> None:
    """A plain decoder of the same weights reads another thing: decoding so would be wrong."""
    run = open_run(learned)
    model = load_model(run.directory, "pretrain", both_ways=True)
    ids = run.prompt_ids(PROMPT)
    ids_BT = torch.tensor([ids])
    with torch.inference_mode():
        both = model(ids_BT, prefix_B=torch.tensor([len(ids)]))
        plain = model(ids_BT)
    # What a later token looks back at; how far that changes the next one is the text's affair.
    assert (both - plain)[0, :-1].abs().max() > 0.1
    # One token of prefix is a plain decoder, and so is what the reader then makes of it.
    settings = SamplingSettings(temperature=0.0, max_tokens=8)
    mine = write_behind(model, run.tokenizer, ids, settings, prefix=1)
    other = reference_generate(model, run.tokenizer, ids, settings, window=model.context)
    assert mine.token_ids == other.token_ids


def test_the_command_shows_it_and_others_refuse(
    learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs", str(learned.parent)]
    assert main(["generate", "tales", "--prompt", PROMPT, "--max-tokens", "5", *runs]) == 0
    captured = capsys.readouterr()
    assert PROMPT in captured.out
    assert "both ways" not in captured.err
    # What it cannot be asked for is told, and not passed over.
    asked = ["generate", "tales", "--prompt", PROMPT, "--max-tokens", "5", "--weights", "int8"]
    assert main([*asked, *runs]) == 0
    captured = capsys.readouterr()
    assert PROMPT in captured.out
    assert "computed by torch in float32 on the processor" in captured.err
    for words in (
        ["generate", "tales", "--prompt", PROMPT, "--beams", "3", *runs],
        ["export", "hf", "tales", str(tmp_path / "out"), *runs],
        ["pretrain", "tales", "--objective", "causal", *runs],
    ):
        assert main(words) != 0
        told = capsys.readouterr().err
        assert "both ways" in told or "--objective" in told
        assert "Traceback" not in told
    for stage in (evaluate_stage, chat_stage):
        with pytest.raises(RunError, match=r"--objective (prefix|blank) and reads what stands"):
            stage(learned)
    assert not (learned / "chat").exists()  # it is told before conversations are made
    with pytest.raises(RunError, match="homespun generate"):
        next(open_run(learned).stream(PROMPT))


def test_a_new_plan_of_such_a_model_foretells_nothing(planned: Path, tmp_path: Path) -> None:
    causal = read_plan(RunDirectory(planned))
    assert None not in (causal.memory_bytes, causal.needed_bytes, causal.prediction)
    run = Path(shutil.copytree(planned, tmp_path / "tales"))
    (run / "plan.json").unlink()
    pretrain_stage(run, steps=2, size="32x1", objective="prefix")
    plan = read_plan(RunDirectory(run))
    assert plan.objective == "prefix"
    told = (plan.prediction, plan.other, plan.expected_seconds, plan.memory_bytes)
    assert (*told, plan.needed_bytes) == (None,) * 5
    assert plan.disk_bytes is not None


@pytest.mark.parametrize("objective", ["prefix", "blank"])
def test_spin_says_why_it_cannot_chat_with_such_a_model(
    texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], objective: str
) -> None:
    words = ["spin", str(texts), "--runs", str(tmp_path), "--objective", objective]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert f"got: --objective {objective}" in told or f"--objective {objective}" in told
    assert "chatting goes from left to right" in told
    assert "homespun pretrain --objective" in told
    assert list(tmp_path.iterdir()) == [], "nothing was begun"
    assert main([*words[:-1], "prefixx"]) == 2
    assert "there is no objective of that name" in capsys.readouterr().err


def test_an_objective_that_is_none_is_refused(planned: Path, tmp_path: Path) -> None:
    fast = tmp_path / "fast"
    shutil.copytree(planned, fast)
    (fast / "plan.json").unlink()
    plan_stage(fast, steps=3, size="32x1", preset="fast")
    with pytest.raises(RunError, match="planned as fast"):
        pretrain_stage(fast, objective="blank")
    with pytest.raises(ConfigError, match="did you mean 'prefix'"):
        pretrain_stage(planned, objective="prefixx")
    with pytest.raises(ConfigError, match="use --portable"):
        pretrain_stage(planned, objective="blank", preset="fast")


def test_it_is_served(learned: Path) -> None:
    """`homespun serve` continues and fills as `homespun generate` does."""
    run = open_run(learned)
    fills = run.objective == "blank"
    seat = both_ways_seat(run, EngineWish())
    model = served_model(run, "tales", seat)
    asked = {"prompt": "The fox ", "temperature": 0, "max_tokens": 8}
    with running(model) as server, server.client() as client:
        (told,) = client.get("/v1/models").json()["data"]
        assert told["can_fill"] == fills
        answer = client.post("/v1/completions", json=asked).json()["choices"][0]["text"]
        done = run.generate("The fox ", temperature=0.0, max_tokens=8)
        assert answer == (done.text.removeprefix("The fox ") if fills else done.text)
        between = client.post("/v1/completions", json=asked | {"suffix": " home."})
        if fills:
            done = run.generate("The fox [BLANK] home.", temperature=0.0, max_tokens=8)
            found = between.json()["choices"][0]["text"]
            assert f"The fox {found} home." == done.text
        else:
            assert between.status_code == 400
        for path, body in (
            ("/v1/completions", asked | {"echo": True, "logprobs": 0, "max_tokens": 1}),
            ("/v1/completions", asked | {"best_of": 2}),
            ("/v1/embeddings", {"input": "fox"}),
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": "fox"}]}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 400, answer.text


def test_it_is_computed_on_the_threads_that_are_asked_for(learned: Path) -> None:
    wanted = torch.get_num_threads() + 2
    seat = both_ways_seat(open_run(learned), EngineWish(num_threads=wanted))
    assert torch.get_num_threads() == wanted
    assert seat.notice == ""  # nothing is otherwise than it was asked for


def test_the_process_that_computes_opens_them(both: dict[str, Path]) -> None:
    with open_desk(list(both.items()), EngineWish(weights="int8")) as (models, desk):
        for model, objective in zip(models, both, strict=True):
            assert "both ways" in model.engine.notice
            assert open_run(both[objective]).objective == objective
            assert (model.blank_mark is not None) == (objective == "blank")
        with running(*models, desk=desk) as server, server.client() as client:
            for name in both:
                asked = {"model": name, "prompt": "Once", "max_tokens": 3, "ignore_eos": True}
                answer = client.post("/v1/completions", json=asked | {"n": 2}).json()
                assert answer["usage"]["completion_tokens"] == 6
