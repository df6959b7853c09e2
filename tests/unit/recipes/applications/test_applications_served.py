"""What tasks left behind the server: encoders, and how their folders say that vectors are made;
translators; classifiers; and what they refuse."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from task_files import GOOD, THINGS, Make, pairs, reviews  # type: ignore[import-not-found]

from homespun.core import ConfigError, DataError, Message, RequestError, SamplingSettings
from homespun.recipes.applications import Asked, learn_application, open_application
from homespun.recipes.applications.classify.task import Labels
from homespun.recipes.search import open_embedder
from homespun.recipes.serve import (
    EngineWish,
    VectorSeat,
    makes_vectors,
    moderating,
    moderator_of,
    rewrites,
    serves_task,
)
from homespun.recipes.serve.rewriting import rewriter_seat, served_rewriter
from homespun.recipes.serve.vectors import served_encoder
from homespun.serving import Moderation

TEXTS = ["a fine film", "a dull and ugly book of cold soup", "a", "warm " * 90]


@pytest.fixture
def encoder(tiny_bert: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bert, tmp_path / "encoder"))


_MODES = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
}


def say_pooling(folder: Path, *modes: str, parts: tuple[str, ...] = ()) -> None:
    """Files as Sentence-Transformers writes them."""
    kinds = ("Transformer", "Pooling", *parts)
    modules = [
        {"idx": at, "path": f"{at}_{kind}", "type": f"sentence_transformers.models.{kind}"}
        for at, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    told = {_MODES[mode]: True for mode in modes}
    told["pooling_mode_max_tokens"] = "max" in modes
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(told))


def by_transformers(folder: Path, texts: list[str], *, first: bool, longest: int) -> Any:
    """Mean or first vectors of length 1, text by text."""
    transformers = pytest.importorskip("transformers")
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokenizer = open_embedder(folder).tokenizer
    found = []
    for text in texts:
        ids = tokenizer.encode(text, most=longest).ids
        with torch.inference_mode():
            hidden = model(torch.tensor([ids])).last_hidden_state[0]
        vector = hidden[0] if first else hidden.mean(0)
        found.append((vector / vector.norm()).numpy())
    return np.stack(found)


@pytest.mark.parametrize("mode", ["mean", "cls"])
def test_vectors_are_made_as_the_folder_says(encoder: Path, mode: str) -> None:
    say_pooling(encoder, mode, parts=("Normalize",))
    (encoder / "sentence_bert_config.json").write_text('{"max_seq_length": 40}')
    embedder = open_embedder(encoder)
    assert embedder.longest == 40
    wanted = by_transformers(encoder, TEXTS, first=mode == "cls", longest=40)
    assert embedder.embed(TEXTS) == pytest.approx(wanted, abs=1e-5)
    assert embedder.read(TEXTS)[1] == 1


def test_vectors_that_are_made_otherwise_are_refused(encoder: Path) -> None:
    for modes, parts, told in (
        (("max",), (), "another way"),
        (("mean", "cls"), (), "another way"),
        ((), (), "another way"),
        (("mean",), ("Dense",), "do not have"),
    ):
        say_pooling(encoder, *modes, parts=parts)
        with pytest.raises(ConfigError, match=told):
            open_embedder(encoder)
    (encoder / "modules.json").unlink()
    shape = json.loads((encoder / "config.json").read_text())
    shape["architectures"] = ["BertForSequenceClassification"]
    (encoder / "config.json").write_text(json.dumps(shape))
    with pytest.raises(ConfigError, match="makes no vectors"):
        open_embedder(encoder)


def test_a_seat_embeds_ids_and_writes_nothing(encoder: Path) -> None:
    embedder = open_embedder(encoder)
    seat = VectorSeat(embedder)
    served = served_encoder(encoder, "words", seat)
    assert (served.can_write, served.can_chat) == (False, False)
    ids = [served.tokenizer.encode(text).tolist() for text in TEXTS[:3]]
    assert np.array(seat.embed(ids)) == pytest.approx(embedder.embed(TEXTS[:3]), abs=1e-6)
    start, *_, end = ids[0]
    assert served.control_names[start] == "[CLS]"
    assert served.control_names[end] == "[SEP]"
    assert served.tokenizer.decode(ids[0]) == "a fine film"
    text = b"".join(map(served.tokenizer.token_bytes, ids[0]))
    assert text == b"afinefilm"
    with pytest.raises(RequestError, match=f"has {seat.window + 1} tokens"):
        seat.embed([[start] * (seat.window + 1)])
    with pytest.raises(RequestError, match="writes nothing"):
        seat.submit(ids[0], SamplingSettings(), salt=b"")


def test_what_was_learned_is_served_as_it_was_taught(
    encoder: Path, make: Make, tmp_path: Path
) -> None:
    say_pooling(encoder, "cls")
    rows: list[Mapping[str, Any]] = [
        {"first": f"{word} {thing}", "second": f"a {thing} so {word}"}
        for word in GOOD
        for thing in THINGS
    ]
    out = tmp_path / "near"
    data = make("e.jsonl", rows)
    learn_application(Asked("embed", data, out, base=encoder, options={"epochs": "1"}))
    assert makes_vectors(out)
    learned = open_embedder(out)
    assert learned.model.pooling == "first"
    served = served_encoder(out, "near", VectorSeat(learned))
    ids = [served.tokenizer.encode("a fine film").tolist()]
    again = VectorSeat(learned).embed(ids)
    assert np.array(again) == pytest.approx(learned.embed(["a fine film"]), abs=1e-6)
    data = make("c.jsonl", reviews())
    learn_application(Asked("classify", data, tmp_path / "classes", method="linear"))
    with pytest.raises(ConfigError, match="another task"):
        open_embedder(tmp_path / "classes")


def test_a_classifier_moderates(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    learn_application(Asked("classify", make("reviews.jsonl", reviews()), folder))
    labels = [row["label"] for row in json.loads((folder / "results.json").read_text())["classes"]]
    bad = sorted(labels)[0]
    moderate = moderator_of(folder, [bad])
    found = [moderate(text) for text in ("a fine film", "a dull film", "")]
    assert set(found[0].scores) == set(labels)
    assert {one.flagged[bad] for one in found[:2]} == {True, False}
    for one in found[:2]:
        assert one.flagged[bad] == (max(one.scores, key=lambda name: one.scores[name]) == bad)
    assert found[2].flagged == {}
    with pytest.raises(ConfigError, match="--flag"):
        moderator_of(folder, [])
    with pytest.raises(ConfigError, match="no class 'rude'"):
        moderator_of(folder, ["rude"])
    for damaged in ("{}", '{"classes": [1]}', "[]"):
        (folder / "results.json").write_text(damaged)
        with pytest.raises(DataError, match="does not say which classes there are; learn"):
            moderator_of(folder, [bad])


class FirstWords:
    """Finds a text bad where one of its first fifty words is, and reads no more of it."""

    most = "50 words of a text"

    def __init__(self) -> None:
        self.read: list[str] = []

    def are_cut(self, examples: Sequence[str]) -> list[bool]:
        return [len(text.split()) > 50 for text in examples]

    def answer(self, examples: Sequence[str]) -> list[Labels]:
        self.read += examples
        assert not any(self.are_cut(examples))
        return [
            Labels(("bad",), (0.9,)) if "bad" in text.split() else Labels(("good",), (0.6,))
            for text in examples
        ]


@pytest.fixture
def first_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FirstWords:
    learned = FirstWords()
    task = SimpleNamespace(example=lambda row: row["text"])
    opened = SimpleNamespace(task=task, learned=learned)
    monkeypatch.setattr(moderating, "open_application", lambda folder, task: opened)
    (tmp_path / "results.json").write_text('{"classes": [{"label": "good"}, {"label": "bad"}]}')
    return learned


@pytest.mark.parametrize("at", [0, 49, 50, 200, 399])
def test_a_long_text_is_judged_to_its_end(at: int, first_words: FirstWords, tmp_path: Path) -> None:
    moderate = moderator_of(tmp_path, ["bad"])
    words = ["fine"] * 400
    assert moderate(" ".join(words)) == Moderation({"good": 0.6, "bad": 0.0}, {"bad": False})
    words[at] = "bad"
    found = moderate(" ".join(words))
    assert found.flagged == {"bad": True}
    assert found.scores["bad"] == 0.9
    assert {word for text in first_words.read for word in text.split()} == {"fine", "bad"}


def test_a_text_of_more_than_can_be_judged_is_refused_and_not_let_through(
    first_words: FirstWords, tmp_path: Path
) -> None:
    moderate = moderator_of(tmp_path, ["bad"])
    with pytest.raises(RequestError, match="longer than what is judged at once; send it as sev"):
        moderate("fine " * 5000)
    assert first_words.read == []
    assert moderate("fine" * 5000).flagged == {"bad": False}  # a word, however long
    assert moderate(" \n ") == Moderation({}, {})


def test_letters_and_accents_apart_are_judged_as_in_a_file(make: Make, tmp_path: Path) -> None:
    rows: list[Mapping[str, Any]] = [
        {"text": f"{word} {thing}", "label": label}
        for label, words in (("good", ("schön", "süß")), ("bad", ("schon", "sus")))
        for word in words
        for thing in THINGS
    ]
    learn_application(Asked("classify", make("r.jsonl", rows), tmp_path / "judge"))
    moderate = moderator_of(tmp_path / "judge", ["bad"])
    apart = unicodedata.normalize("NFD", "schön soup")
    assert apart != "schön soup"
    assert moderate(apart) == moderate("schön soup")


def test_a_translator_reads_and_writes_as_it_does_for_apply(make: Make, tmp_path: Path) -> None:
    options = {
        "width": "32", "layers": "1", "epochs": "2", "dropout": "0", "tokens": "512",
        "smoothing": "0", "beams": "2", "pieces": "300", "context": "32", "coverage": "0.3",
    }  # fmt: skip
    out = tmp_path / "de"
    learn_application(
        Asked("translate", make("p.jsonl", pairs()), out, options=options, judge_baselines=False)
    )
    assert rewrites(out)
    assert serves_task(out)
    assert not makes_vectors(out)
    seat = rewriter_seat(out, EngineWish(max_rows=2, weights="int8"))
    assert "float32" in seat.notice
    served = served_rewriter(out, "de", seat)
    assert served.rewrites is not None
    assert (served.rewrites.beams, served.rewrites.length_penalty) == (2, 1.0)
    assert served.can_chat
    assert served.engine.window == 32
    texts = ["two and two and one", " five and four ", "one"]
    said = [Message("user", "something else"), Message("user", texts[1])]
    sources = [ids.tolist() for ids in served.tokenizer.encode_batch(texts)]
    assert list(served.tokenizer.encode_chat(said).ids) == sources[1]
    assert served.tokenizer.decode(sources[1]) == "five and four"
    settings = SamplingSettings(
        max_tokens=10_000, temperature=0.0, top_p=1.0, beams=2, length_penalty=1.0
    )
    numbers = [seat.submit(ids, settings, salt=b"") for ids in sources]
    found = {}
    while seat.has_work:
        for output in seat.step():
            if output.completion is not None:
                found[output.request_id] = output.completion.text
    opened = open_application(out)
    wanted = opened.learned.answer([opened.task.example({"source": text}) for text in texts])
    assert [found[number] for number in numbers] == wanted
    with pytest.raises(RequestError, match="makes no vectors"):
        seat.embed(sources)


def test_tasks_that_no_address_asks_for_say_what_to_do(make: Make, tmp_path: Path) -> None:
    learn_application(
        Asked("classify", make("c.jsonl", reviews()), tmp_path / "c", method="linear")
    )
    with pytest.raises(ConfigError, match="--moderator"):
        serves_task(tmp_path / "c")
    rows: list[Mapping[str, Any]] = [
        {"text": f"Much was said of {n}. Plan {n} is good.", "summary": f"Plan {n} is good"}
        for n in range(30)
    ]
    learn_application(Asked("summarise", make("s.jsonl", rows), tmp_path / "s"))
    with pytest.raises(ConfigError, match="--method transformer"):
        serves_task(tmp_path / "s")
    assert not rewrites(tmp_path / "s")
    assert not serves_task(tmp_path)
