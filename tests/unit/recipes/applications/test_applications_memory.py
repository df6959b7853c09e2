"""Translators that read a translation memory along: what is looked up, what becomes of it as ids,
and that learning, `apply`, the server and a reloaded folder read the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from task_files import Make, pairs  # type: ignore[import-not-found]

from homespun.cli import main
from homespun.core import ConfigError, DataError, SamplingSettings
from homespun.models import Trust
from homespun.recipes.applications import Asked, answered, learn_application, open_application
from homespun.recipes.applications.translate.reading import Habits, SourceReader
from homespun.recipes.applications.translate.recall import Recall
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import PairWriter
from homespun.recipes.serve import EngineWish
from homespun.recipes.serve.rewriting import rewriter_seat, served_rewriter
from homespun.tokenizer import ByteLevelTokenizer, TokenizerConfig, train_tokenizer

KNOWN = [
    ("I see a dog", "ich sehe einen Hund"),
    ("I see a  DOG", "da ist ein Hund"),
    ("there is a dog", "Da ist ein Hund"),
    ("I see a cat", "ich sehe eine Katze"),
    ("he has a red car", "er hat ein rotes Auto"),
    ("nothing at all", "gar nichts"),
]
QUICK = {
    "width": "32", "layers": "1", "epochs": "15", "dropout": "0", "tokens": "512",
    "smoothing": "0", "beams": "2", "pieces": "300", "context": "40",
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> ByteLevelTokenizer:
    texts = [text for pair in KNOWN for text in pair]
    return train_tokenizer(texts, config=TokenizerConfig(vocab_size=300, seed=0))


def reader(
    tokenizer: ByteLevelTokenizer, recall: Recall | None, *, context: int = 64, prefix: str = ""
) -> SourceReader:
    record = {"beams": 1, "length_penalty": 1.0, "prefix": prefix}
    return SourceReader(tokenizer, Habits.of(record, tokenizer), context=context, recall=recall)


def test_targets_of_the_nearest_sources_are_recalled() -> None:
    recall = Recall(KNOWN, most=2, least=0.2)
    told = recall.recalled(["I see a red dog", "he has a dog", "zebra", "I see a cat"])
    assert told[0][0] == "ich sehe einen Hund"
    assert told[1][0] in ("er hat ein rotes Auto", "Da ist ein Hund")
    assert len(told[1]) == 2
    assert told[2] == ()
    assert told[3] == ("ich sehe eine Katze",)  # nothing is missing that another could tell
    assert Recall(KNOWN, most=1, least=0.99).recalled(["I see a red dog"]) == [()]


def test_a_pair_is_never_taught_with_itself_its_source_or_its_target() -> None:
    # The first two share a source, the second and the third a target.
    told = Recall(KNOWN, most=8, least=0.0).taught(0)
    own = ({0, 1}, {0, 1, 2}, {1, 2}, {3}, {4}, {5})
    targets = [target for _, target in KNOWN]
    for found, numbers in zip(told, own, strict=True):
        assert not {targets[number] for number in numbers} & set(found)
    many = [(f"{n} of them and {n % 7}", f"{n} davon und {n % 7}") for n in range(400)]
    recall = Recall(many, most=2, least=0.0)
    told = recall.taught(3)
    assert recall.taught(3) == told != recall.taught(4)
    assert all(target not in found for (_, target), found in zip(many, told, strict=True))
    num_unaided = sum(not found for found in told)
    assert 20 < num_unaided < 65
    assert all(recall.recalled([source for source, _ in many]))


def test_thousands_of_pairs_with_one_target_take_no_memory_with_their_square() -> None:
    """As "Yes." is of talks."""
    import tracemalloc

    recall = Recall([(f"well {n} then", "Ja.") for n in range(2500)], most=1, least=0.0)
    recall.alike(["well"], 1)  # the index is made
    tracemalloc.start()
    told = recall.taught(0)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert told == [()] * 2500
    assert most < 2500 * 2500 * 4


def test_what_is_recalled_stands_behind_the_text_and_its_mark(
    tokenizer: ByteLevelTokenizer,
) -> None:
    def ids(text: str) -> list[int]:
        return [int(number) for number in tokenizer.encode(text)]

    recall, end = Recall(KNOWN, most=2, least=0.2), tokenizer.end_of_turn_id
    text = "I see a red cat"
    first, second = recall.recalled([text])[0]
    with_memory = [*ids("say: " + text), end, *ids(first), end, *ids(second)]
    source = reader(tokenizer, recall, prefix="say: ")
    assert source.cut([text, "zebra"]) == [with_memory, ids("say: zebra")]
    assert source.whole([text, "zebra"]) == [[*with_memory, end], [*ids("say: zebra"), end]]
    assert source.cut([text], [["gar nichts"]]) == [[*ids("say: " + text), end, *ids("gar nichts")]]
    assert source.num_own([text]) == [len(ids("say: " + text))]
    assert reader(tokenizer, None).whole([text]) == [[*ids(text), end]]
    # The mark is none that a text can contain.
    assert end not in ids("<|im_end|>")


def test_what_does_not_fit_is_not_recalled_and_takes_no_room_of_the_text(
    tokenizer: ByteLevelTokenizer,
) -> None:
    recall, text = Recall(KNOWN, most=2, least=0.2), "I see a red cat"
    alone = len(tokenizer.encode(text))
    first, second = (len(tokenizer.encode(target)) for target in recall.recalled([text])[0])
    for context, num in (
        (alone + first + second + 3, alone + first + second + 2),
        (alone + first + second + 2, alone + max(first, 0) + 1),
        (alone + 1, alone),
    ):
        (ids,) = reader(tokenizer, recall, context=context).cut([text])
        assert len(ids) == num < context
    assert len(reader(tokenizer, recall, context=4).cut([text])[0]) == 3
    assert len(reader(tokenizer, recall, context=4).whole([text])[0]) == alone + 1


def test_a_memory_is_kept_and_told_where_it_is_damaged(tmp_path: Path) -> None:
    recall = Recall(KNOWN, most=2, least=0.2)
    recall.save(tmp_path)
    kept = Recall.load(tmp_path, recall.record)
    assert kept.record == recall.record == {"pairs": 6, "most": 2, "least": 0.2}
    assert kept.recalled(["I see a red dog"]) == recall.recalled(["I see a red dog"])
    path = tmp_path / "memory.jsonl"
    whole = path.read_text("utf-8")
    for damaged in (whole[:-9], whole.replace('"target"', '"other"'), "{\n" + whole, whole * 2):
        path.write_text(damaged, "utf-8")
        with pytest.raises(DataError, match=r"memory\.jsonl is damaged"):
            Recall.load(tmp_path, recall.record)
    path.write_text(whole, "utf-8")
    with pytest.raises(DataError, match="is damaged"):
        Recall.load(tmp_path, {"pairs": 6})
    path.unlink()
    with pytest.raises(DataError, match="is missing, in which this model looks up pairs"):
        Recall.load(tmp_path, recall.record)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A translator with a memory, and results.json."""
    folder = tmp_path_factory.mktemp("with-memory")
    data = folder / "p.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in pairs()), encoding="utf-8")
    out = folder / "de"
    options = {**QUICK, "memory": "2"}
    return out, learn_application(
        Asked("translate", data, out, options=options, judge_baselines=False)
    )


def test_a_translator_with_a_memory_learns_applies_and_is_opened_again(
    learned: tuple[Path, dict[str, Any]], make: Make
) -> None:
    out, told = learned
    assert told["measures"][0]["value"] > 60
    record = json.loads((out / "model" / "transformer.json").read_text())
    assert record["memory"] == {"pairs": told["rows"]["train"], "most": 2, "least": 0.2}
    assert record["model"]["copying"] is True
    # Neither held-out rows nor those it is judged on are in it.
    kept = (out / "model" / "memory.jsonl").read_text("utf-8").splitlines()
    assert len(kept) == told["rows"]["train"] < len(pairs())
    judged = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert not {row["asked"] for row in judged} & {json.loads(line)["source"] for line in kept}
    asked = make("q.jsonl", [{"source": row["asked"]} for row in judged])
    again = [row["target"] for row in answered(open_application(out), asked, {})]
    assert again == [row["answer"]["target"] for row in judged]
    assert "are kept as they are in `model/memory.jsonl`" in (out / "README.md").read_text("utf-8")


def test_the_server_reads_what_apply_reads(learned: tuple[Path, dict[str, Any]]) -> None:
    out, _ = learned
    opened = open_application(out)
    writer = opened.learned
    assert isinstance(writer, PairWriter)
    texts = ["two and two and one", "five and four", "zebra"]
    examples = [opened.task.example({"source": text}) for text in texts]
    read = [
        [*ids, writer.end_id]
        for ids, _ in writer.pairs([e._replace(targets=("",)) for e in examples])
    ]
    seat = rewriter_seat(out, EngineWish())
    served = served_rewriter(out, "de", seat)
    assert [ids.tolist() for ids in served.tokenizer.encode_batch(texts)] == read
    assert read[0].count(writer.end_id) > 1 == read[2].count(writer.end_id)
    settings = SamplingSettings(
        max_tokens=10_000, temperature=0.0, top_p=1.0, beams=2, length_penalty=1.0
    )
    numbers = [seat.submit(ids, settings, salt=b"") for ids in read]
    found = {}
    while seat.has_work:
        for output in seat.step():
            if output.completion is not None:
                found[output.request_id] = output.completion.text
    assert [found[number] for number in numbers] == writer.answer(examples)


def test_a_folder_without_its_pairs_is_told(
    learned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(learned[0], tmp_path / "copy"))
    (copy / "model" / "memory.jsonl").unlink()
    with pytest.raises(DataError, match="is missing, in which this model looks up pairs"):
        open_application(copy)
    with pytest.raises(DataError, match="is missing, in which this model looks up pairs"):
        served_rewriter(copy, "de", None)  # type: ignore[arg-type]
    path = copy / "model" / "transformer.json"
    # The process that listens makes ids of texts: pairs whose tokens are known are none of them.
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "memory": {**record["memory"], "most": 0}}))
    served = served_rewriter(copy, "de", None)  # type: ignore[arg-type]
    assert served.tokenizer.encode("one").tolist()
    # What was learned without one, by earlier versions too, says nothing of it.
    record = json.loads(path.read_text())
    del record["memory"]
    path.write_text(json.dumps(record))
    opened = open_application(copy)
    assert opened.learned.answer([opened.task.example({"source": "one and two"})])


def test_settings_that_go_with_no_memory_are_refused(make: Make, tmp_path: Path) -> None:
    data = make("p.jsonl", pairs())

    def learn(**options: str) -> None:
        told = Asked("translate", data, tmp_path / "x", options=options, judge_baselines=False)
        learn_application(told)

    with pytest.raises(ConfigError, match="memory must be a whole number from 0 to 8"):
        learn(memory="yes")
    with pytest.raises(ConfigError, match="near must be a number from 0 to 1"):
        learn(memory="1", near="2")
    with pytest.raises(ConfigError, match="a memory goes with no penalty"):
        learn(memory="1", coverage="0.2")
    assert not (tmp_path / "x").exists()


def test_the_command_takes_a_memory(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Mapping[str, Any]] = pairs()
    make("p.jsonl", rows)
    monkeypatch.chdir(tmp_path)
    quick = {**QUICK, "epochs": "1"}
    settings = [word for name, value in quick.items() for word in ("--set", f"{name}={value}")]
    words = ["finetune", "translate", "p.jsonl", "--out", "o", "--memory", "--no-baselines"]
    assert main([*words, *settings]) == 0
    record = json.loads((tmp_path / "o" / "model" / "transformer.json").read_text())
    assert record["memory"]["most"] == 0
    assert record["known"]["pairs"] == 32
    capsys.readouterr()


def test_known_tokens_are_those_of_the_pairs_most_alike(
    learned: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_application(learned[0])
    writer = opened.learned
    assert isinstance(writer, PairWriter)
    known = writer.known(3, Trust(0.5, 1e6, 1.0))
    ids = [[*read, writer.end_id] for read, _ in writer.pairs([Pair("one and two", ("x",))] * 2)]
    found = known(torch.tensor(ids), None)
    assert writer.recall is not None
    (numbers, _) = writer.recall.alike(["one and two"] * 2, 3)
    told = writer.recall.some(numbers)
    marks = {writer.start_id, writer.end_id}
    with torch.inference_mode():
        at = 0
        for pair in told:
            assert set(pair.source.split()) & {"one", "two"}
            ((read, wrote),) = writer.plain([pair])
            assert not marks & set(wrote)
            source, so_far = [*read, writer.end_id], [writer.start_id, *wrote]
            alone = writer.model.read_alone(torch.tensor([source]))
            keys = writer.model.decode(torch.tensor([so_far]), alone)[0]
            part = slice(at, at + len(so_far))
            torch.testing.assert_close(found.keys_BND[1, part], keys, atol=1e-2, rtol=1e-2)
            assert found.ids_BN[1, part].tolist() == [*wrote, writer.end_id]
            at += len(so_far)
    assert found.ids_BN.shape == (2, at)
    # States that are too many are forgotten, and computed again.
    monkeypatch.setattr("homespun.recipes.applications.translate.known._MOST_NUMBERS", 0)
    again = known(torch.tensor(ids), None)
    torch.testing.assert_close(again.keys_BND, found.keys_BND)
    assert known(torch.tensor(ids[:1]), None).ids_BN.tolist() == found.ids_BN[:1].tolist()


def test_trust_is_chosen_by_held_out_pairs_and_kept(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model that knows hardly anything yet, what pairs like the text say is of help."""
    out = tmp_path / "de"
    options = {**QUICK, "epochs": "6", "known": "8"}
    rows = [
        {"source": row["source"] + " now", "target": row["target"] + " jetzt"} for row in pairs()
    ]
    data = make("p.jsonl", [*pairs(), *rows])
    asked = Asked("translate", data, out, options=options, judge_baselines=False)
    told = learn_application(asked)
    record = json.loads((out / "model" / "transformer.json").read_text())
    assert record["known"]["pairs"] == 8
    assert record["known"]["trust"]["share"] > 0

    def dies(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("homespun.recipes.applications.translate.writer.best_trust", dies)
    with pytest.raises(KeyboardInterrupt):
        learn_application(asked)
    assert json.loads((out / "model" / "transformer.json").read_text()) == record
    judged = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    opened = open_application(out)
    texts = [row["asked"] for row in judged]
    examples = [opened.task.example({"source": text}) for text in texts]
    said = opened.learned.answer(examples)
    assert said == [row["answer"]["target"] for row in judged]
    seat = rewriter_seat(out, EngineWish())
    served = served_rewriter(out, "de", seat)
    settings = SamplingSettings(
        max_tokens=10_000, temperature=0.0, top_p=1.0, beams=2, length_penalty=1.0
    )
    numbers = [
        seat.submit(served.tokenizer.encode(text).tolist(), settings, salt=b"") for text in texts
    ]
    found = {}
    while seat.has_work:
        for output in seat.step():
            if output.completion is not None:
                found[output.request_id] = output.completion.text
    assert [found[number] for number in numbers] == said
    others: list[Any] = [{"pairs": 8}, {"pairs": 8, "trust": {"half": 1}}, []]
    for damaged in others:
        path = out / "model" / "transformer.json"
        path.write_text(json.dumps({**record, "known": damaged}))
        with pytest.raises(DataError, match=r"transformer\.json is damaged"):
            open_application(out)
    assert isinstance(opened.learned, PairWriter)
    opened.learned.model.knows = None
    assert opened.learned.answer(examples) != said
    assert told["measures"][0]["value"] > 0
