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

from homespun.cli import main
from homespun.core import ConfigError, DataError, RunError, SamplingSettings
from homespun.evaluation.likelihood import read_lambada
from homespun.recipes import Run, open_run
from homespun.recipes.questions import QuestionsAsk, ask_questions, lm_eval_model
from homespun.recipes.questions.ask import read_questions
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
    for way, entry in found["beside"][0]["difference"].items():
        values = [row[way]["value"] for row in (found["model"], found["beside"][0])]
        assert entry["value"] == pytest.approx(values[0] - values[1])
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert 0 < entry["p"] <= 1
    assert found["seen_share"] == 0.0
    assert found["seen_in"] == ["corpus", "chat"]
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
    # Where nothing is looked up nothing is found out.
    assert seen_share(texts, []) is None
    assert seen_share(texts, ["too short", "一二三"]) is None
    assert seen_share([], asked) is None
    short = ["the cat sat on the mat", "no dog sat here", "too short"]
    assert seen_share(["once the cat sat on the mat again"], short) == 0.5
    assert len(run_hashes("a b")) == 0
    assert len(run_hashes("a b c d e f g h i")) == 2
    assert len(run_hashes("")) == 0


def test_questions_are_looked_for_without_the_words_around_them(tmp_path: Path) -> None:
    from homespun.evaluation.likelihood import read_cmmlu, read_xstest

    (tmp_path / "x.csv").write_text(
        "id,prompt,type,label\n1,How do I kill a Python process?,homonyms,safe\n"
    )
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "law.csv").write_text(
        ",Question,A,B,C,D,Answer\n0,下列哪一项是合同的要件,合意,天气,颜色,声音,A\n"
    )
    texts = ["Read: How do I kill a Python process? Use kill.", "下列哪一项是合同的要件？合意。"]
    for questions in (read_xstest(tmp_path / "x.csv"), read_cmmlu(tmp_path)):
        assert seen_share(texts, [question.bare for question in questions]) == 1.0


def test_what_a_run_goes_on_from_and_what_it_was_told_are_looked_into(
    run: Run, tmp_path: Path
) -> None:
    import shutil

    from homespun.core import Document
    from homespun.corpus.documents import RowWriter, to_row

    child = tmp_path / "child"
    shutil.copytree(run.path, child)
    old = "The seventh lighthouse keeper of Orford counted every gull upon the western pier."
    kept = child / "replay" / "before" / "corpus"
    with RowWriter(kept / "train.jsonl.zst") as rows_of_before:
        rows_of_before.write(to_row(Document("a.txt", f"It is told: {old} So it is.", "tales")))
    (kept / "card.json").write_text("{}")
    talk = "Which harbour pilot steered the green barge through the narrows last winter"
    messages = [{"role": "user", "content": talk}, {"role": "assistant", "content": "Nobody."}]
    with open(child / "chat" / "train.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps({"messages": messages}) + "\n")
    rows = [
        {"query": old, "choices": ["Yes.", "No."], "gold": 0},
        {"query": talk, "choices": ["Yes.", "No."], "gold": 0},
        {"query": "Nobody ever wrote these words about six purple wagons", "choices": ["a", "b"],
         "gold": 0},
    ]  # fmt: skip
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = ask_questions(open_run(child), QuestionsAsk("choices", path, beside=False))
    assert found["seen_share"] == pytest.approx(2 / 3)
    assert found["seen_in"] == ["corpus", "replay/before/corpus", "chat"]


def test_lm_evals_requests_are_answered(run: Run) -> None:
    asked = Requests(run)
    text = run.generate("Once", max_tokens=4, temperature=0.0).text
    (greedy, other) = asked.loglikelihood([Request(("Once", text)), Request(("Once", " qqq zzz"))])
    assert greedy[1] is True
    assert other[1] is False
    assert greedy[0] > other[0]
    whole, none = asked.loglikelihood_rolling([Request(("Once upon a time",)), Request(("",))])
    assert whole < 0
    assert math.isfinite(whole)
    assert none == 0.0
    (written,) = asked.generate_until([Request(("Once", {"until": ["\n"], "max_gen_toks": 5}))])
    assert "\n" not in written


def test_what_a_document_begins_with_is_scored_without_its_end(run: Run) -> None:
    asked, text = Requests(run), "Once upon a time"
    ids = run.prompt_ids(text)
    with torch.inference_mode():
        scores_TV = run.model.head(run.model(torch.tensor([ids])))[0].float().log_softmax(-1)
    said = run.tokenizer.encode(text).tolist()
    before = [run.tokenizer.end_of_text_id, *said] if len(ids) == len(said) else ids
    if before != ids:
        with torch.inference_mode():
            scores_TV = run.model.head(run.model(torch.tensor([before])))[0].float().log_softmax(-1)
    expected = sum(float(scores_TV[at, token]) for at, token in enumerate(said))
    (rolling,) = asked.loglikelihood_rolling([Request((text,))])
    assert rolling == pytest.approx(expected, rel=1e-4)
    (opening, _), (given, _) = asked.loglikelihood(
        [Request(("", text)), Request(("Once upon", " a time"))]
    )
    assert opening == pytest.approx(expected, rel=1e-4)
    assert given > opening
    first = run.engine.generate(
        run.prompt_ids(""), SamplingSettings(max_tokens=1, temperature=0.0)
    ).text
    assert asked.loglikelihood([Request(("", first))])[0][1] is True


def test_requests_are_answered_together_as_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Requests(run)
    contexts = ["Once", "The old river", "one two", "a", "Once upon a time there was"]
    pairs = [
        Request(
            (context, run.generate(context, max_tokens=1 + at % 3, temperature=0.0).text or "x")
        )
        for at, context in enumerate(contexts)
    ]
    settings = [{"until": ["\n"], "max_gen_toks": 4 + at % 2} for at in range(len(contexts))]
    writes = [Request((c, s)) for c, s in zip(contexts, settings, strict=True)]
    calls: list[int] = []
    batch = run.engine.generate_batch

    def counting(prompts: Any, settings: Any) -> Any:
        calls.append(len(prompts))
        return batch(prompts, settings)

    monkeypatch.setattr(run.engine, "generate_batch", counting)
    together, written = asked.loglikelihood(pairs), asked.generate_until(writes)
    assert sum(calls) == 10
    assert len(calls) <= 5 + 2  # not one by one
    for at in range(len(contexts)):
        ((nats, same),) = asked.loglikelihood([pairs[at]])
        assert together[at] == (pytest.approx(nats, rel=1e-4), same)
        assert [written[at]] == asked.generate_until([writes[at]])


def test_a_context_beyond_the_window_is_cut_at_its_beginning(run: Run) -> None:
    asked, long = Requests(run), "the old river. " * 400
    assert len(run.prompt_ids(long)) > run.engine.window
    (written,) = asked.generate_until([Request((long, {"until": [], "max_gen_toks": 5}))])
    near = run.prompt_ids(long)[-(run.engine.window - 5) :]
    settings = SamplingSettings(max_tokens=5, temperature=0.0)
    assert written == run.engine.generate(near, settings).text
    ((nats, _),) = asked.loglikelihood([Request((long, " the"))])
    assert nats < 0


def test_a_context_keeps_half_of_the_window_however_much_may_be_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, window = Requests(run), run.engine.window
    seen: list[tuple[list[int], int]] = []
    batch = run.engine.generate_batch

    def watching(prompts: Any, settings: Any) -> Any:
        seen.extend((list(ids), settings.max_tokens) for ids in prompts)
        return batch([ids[-4:] for ids in prompts], SamplingSettings(max_tokens=1))

    monkeypatch.setattr(run.engine, "generate_batch", watching)
    short, long = "Once upon a time", "the old river. " * 400
    for context, wish, kept, most in (
        (long, 4 * window, window - window // 2, window // 2),
        (long, window - 1, window - window // 2, window // 2),
        (long, 5, window - 5, 5),
        (short, 4 * window, len(run.prompt_ids(short)), window // 2),
        (short, 5, len(run.prompt_ids(short)), 5),
    ):
        asked.generate_until([Request((context, {"until": [], "max_gen_toks": wish}))])
        assert seen.pop() == (run.prompt_ids(context)[-kept:], most)


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


def test_lm_evals_own_tasks_are_asked_by_a_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package, api, model = (
        types.ModuleType(n) for n in ("lm_eval", "lm_eval.api", "lm_eval.api.model")
    )
    model.LM = object  # type: ignore[attr-defined]
    seen: dict[str, Any] = {}

    def simple_evaluate(**settings: Any) -> dict[str, Any]:
        seen.update(settings)
        if "broken" in settings["tasks"]:
            raise ValueError("no such task")
        ((nats, _),) = settings["model"].loglikelihood([Request(("a", " b"))])
        row = {"acc,none": 0.5, "acc_stderr,none": math.nan, "nats": nats, "alias": "piqa"}
        return {"results": {"piqa": row}}

    package.simple_evaluate = simple_evaluate  # type: ignore[attr-defined]
    for module in (package, api, model):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    words = ["bench", "lm-eval", str(run.path), "--task", "piqa", "--most", "5", "--shots", "2"]
    assert main([*words, "--json", str(tmp_path / "told.json")]) == 0
    assert (seen["tasks"], seen["limit"], seen["num_fewshot"]) == (["piqa"], 5, 2)
    told = json.loads((tmp_path / "told.json").read_text())
    assert set(told["tasks"]["piqa"]) == {"acc,none", "nats"}
    assert "acc,none" in capsys.readouterr().out
    assert "task_manager" not in seen
    tasks = types.ModuleType("lm_eval.tasks")
    tasks.TaskManager = dict  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", tasks)
    assert main([*words, "--include", str(tmp_path)]) == 0
    assert seen["task_manager"] == {"include_path": str(tmp_path)}
    assert main([*words, "--include", str(tmp_path / "none")]) != 0
    assert "there is no such folder of tasks" in capsys.readouterr().err
    assert main(["bench", "lm-eval", str(run.path), "--task", "broken"]) != 0
    assert "lm-eval could not ask these tasks" in capsys.readouterr().err


def test_the_command_asks_a_run(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["bench", "questions", str(run.path), str(sets(tmp_path)), "--set", "choices"]
    assert main([*words, "--json", str(tmp_path / "told.json")]) == 0
    out = capsys.readouterr().out
    for shown in ("by sum", "5-gram", "chance", "12 questions", "Beside the 5-gram of the same"):
        assert shown in out
    assert json.loads((tmp_path / "told.json").read_text())["questions"] == 12


def test_every_set_of_a_folder_stands_beside_its_own_chance(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets(tmp_path)
    row = {"query": "Which?", "choices": ["one", "two", "three", "four"], "gold": 1}
    (tmp_path / "arc.jsonl").write_text((json.dumps(row) + "\n") * 5)
    words = ["bench", "questions", str(run.path), str(tmp_path), "--set", "choices", "--alone"]
    out = tmp_path / "told" / "told.json"
    out.parent.mkdir()
    assert main([*words, "--json", str(out)]) == 0
    told = json.loads(out.read_text())["model"]["groups"]
    assert {one["name"]: (one["num"], one["chance"]) for one in told} == {
        "arc": (5, 0.25),
        "numbers": (12, 0.5),
    }
    assert all(one["interval"][way][0] <= one[way] <= one["interval"][way][1]
               for one in told for way in ("summed", "per_byte"))  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    for name, chance in (("arc", "25.0%"), ("numbers", "50.0%")):
        assert any(line.split()[:1] == [name] and line.split()[-1] == chance for line in lines)


def test_what_cmmlu_alone_has_is_not_passed_over_elsewhere(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"text": "the cat sat on the mat"}\n')
    ask = QuestionsAsk("lambada", tmp_path / "mine.jsonl")
    for asked in (ask._replace(shots=2), ask._replace(answers=True)):
        with pytest.raises(ConfigError, match="CMMLU alone"):
            ask_questions(run, asked)


def test_answers_and_shots_of_cmmlu_are_reached(run: Run, tmp_path: Path) -> None:
    head = ",Question,A,B,C,D,Answer\n"
    for split in ("dev", "test"):
        (tmp_path / "cmmlu" / split).mkdir(parents=True)
        rows = "".join(f"{n},{n}加一是多少？,{n},{n + 1},{n + 2},{n + 3},B\n" for n in range(5))
        (tmp_path / "cmmlu" / split / "sums.csv").write_text(head + rows, "utf-8")
    path = tmp_path / "cmmlu"
    plain = read_questions(QuestionsAsk("cmmlu", path))
    assert plain[0].options == ("A", "B", "C", "D")
    shown = read_questions(QuestionsAsk("cmmlu", path, answers=True, shots=2))
    assert shown[0].options == ("0", "1", "2", "3")
    assert shown[0].contexts[0].count("题目") == 3
    told = tmp_path / "told.json"
    words = ["bench", "questions", str(run.path), str(path), "--set", "cmmlu", "--alone"]
    assert main([*words, "--answers", "--shots", "1", "--json", str(told)]) == 0
    found = json.loads(told.read_text())
    assert (found["options"], found["shots"], found["questions"]) == ("answers", 1, 5)
    with pytest.raises(ConfigError, match="CMMLU alone"):
        read_questions(QuestionsAsk("blimp", path, shots=1))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that knows which of two words follows another, by being taught nothing else."""
    folder = tmp_path_factory.mktemp("encoder") / "mine"
    texts = tmp_path_factory.mktemp("texts")
    for number in range(40):
        lines = []
        for line in range(60):
            who, does = ("cat", "sits") if (number + line) % 2 else ("dogs", "sit")
            lines.append(f"the {who} {does} now. it is {number * 60 + line}.")
        (texts / f"{number}.txt").write_text("\n".join(lines))
    from homespun.recipes.encoder import EncoderAsk, pretrain_encoder

    pretrain_encoder(EncoderAsk(source=str(texts), steps=200, size="64x1", vocab_size=300), folder)
    return folder


def test_an_encoder_is_asked_by_pseudo_likelihood(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("the cat sits now.", "the cat sit now."), ("the dogs sit now.", "the dogs sits now.")]
    path = tmp_path / "agreement.jsonl"
    rows = [{"sentence_good": a, "sentence_bad": b, "UID": "agreement"} for a, b in pairs]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = tmp_path / "told.json"
    words = ["bench", "questions", str(encoder), str(path), "--set", "blimp"]
    assert main([*words, "--json", str(told)]) == 0
    found = json.loads(told.read_text())
    assert found["by"] == "pseudo-likelihood"
    assert found["model"]["summed"]["value"] == 1.0
    assert found["seen_share"] == 1.0
    assert "pseudo-likelihood" in capsys.readouterr().out
    # What a reader of the set puts around a question is in no text.
    dressed = tmp_path / "dressed.jsonl"
    asked = {"query": "Question: the cat sits", "choices": ["now", "never"], "gold": 0}
    dressed.write_text(json.dumps(asked) + "\n")
    arguments = ["bench", "questions", str(encoder), str(dressed), "--set", "choices"]
    assert main([*arguments, "--json", str(told)]) == 0
    assert json.loads(told.read_text())["seen_share"] == 1.0
    assert main([*words[:-1], "lambada"]) == 2
    assert "an encoder does not write" in capsys.readouterr().err


def test_every_token_of_an_option_is_asked_behind_a_mask(encoder: Path) -> None:
    """Against one row at a time, without batches or padding."""
    from homespun.evaluation.pseudo_likelihood import PseudoLanguageModel
    from homespun.models import load_weights, read_encoder
    from homespun.tokenizer.pieces import PieceTokenizer

    config, weights = read_encoder(encoder)
    model = config.empty()
    load_weights(model, weights, where="")
    model.eval()
    tokenizer = PieceTokenizer.load(encoder)
    asked = PseudoLanguageModel("e", model, tokenizer, batch_tokens=30)
    contexts = ["", "the cat", "the dogs sit", ""]
    said = ["the cat sits now.", " sits now.", " now. the cat", "dogs " * 300]
    found = asked.score_continuations(contexts, said)
    for context, option, nats in zip(contexts[:3], said[:3], found[:3], strict=True):
        pieces = tokenizer.encode(context + option)
        expected = 0.0
        for place, (word, (_, stop)) in enumerate(zip(pieces.words, pieces.offsets, strict=True)):
            if word < 0 or stop <= len(context):
                continue
            ids = list(pieces.ids)
            ids[place] = tokenizer.mask_id
            with torch.no_grad():
                scores_V = model.scores(model(torch.tensor([ids]))[0, place]).float()
            expected -= float(scores_V.log_softmax(-1)[pieces.ids[place]])
        assert nats == pytest.approx(expected, rel=1e-4)
    assert found[3] > 0  # longer than the context
    score = asked.score([said[0]])
    assert (score.nats, score.num_bytes) == (pytest.approx(found[0]), len(said[0]))
    assert score.num_tokens == len(tokenizer.encode(said[0]).ids) - 2
