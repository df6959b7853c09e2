"""The page says everything, loads nothing, and no text of the run gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from reports_fixture import RUN_FILES, change, make_run

from homespun.core import DataError, RunError
from homespun.reports import write_report

SECTIONS = ["verdict", "asked", "data", "tokenizer", "model", "curves"]
SECTIONS += ["baselines", "overfitting", "samples", "chat", "time", "next"]
VOID = {"meta", "link", "input", "br", "rect", "path", "use"}


class Page(HTMLParser):
    """Tags with their attributes, the text by section, and whether every tag is closed."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.sections: dict[str, str] = {}
        self._section = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section":
            self._section = dict(attrs)["id"] or ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        if self._section:
            self.sections[self._section] = self.sections.get(self._section, "") + data


def page_of(run: Path) -> tuple[str, Page]:
    source = write_report(run).read_text("utf-8")
    return source, Page(source)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return page_of(make_run(tmp_path_factory.mktemp("runs"), "en"))


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return page_of(make_run(tmp_path_factory.mktemp("runs"), "zh"))


def test_every_section_is_there_and_every_tag_closed(english: tuple[str, Page]) -> None:
    _, page = english
    assert list(page.sections) == SECTIONS
    assert page.open == []
    assert not any("missing" in (attrs.get("class") or "") for _, attrs in page.tags)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("verdict", "Clearly better than the 5-gram; its samples are mostly sound."),
        ("verdict", "1.33 million"),
        ("asked", "'/home/me/library docs'"),
        ("asked", "--seed 7"),
        ("asked", "An Ordinary Processor"),
        ("data", "Of 9.95 MB read, 8.12 MB were kept (82%)"),
        ("data", "a paragraph that stands in three documents or more"),
        ("data", "not text in any known encoding"),
        ("tokenizer", "3.71 bytes"),
        ("tokenizer", "NotImplementedError"),
        ("model", "4.6 for each"),
        ("curves", "Validation is lowest at step 825"),
        ("baselines", "25% fewer"),
        ("baselines", "between 1.171 and 1.238"),
        ("baselines", "300 kB of 410 kB"),
        ("baselines", "; on all of the held-out text"),
        ("overfitting", "Overfits little: unseen text costs 5% more bits"),
        ("overfitting", "5.4% of what training text costs"),
        ("samples", "    >>> import json\n    >>> json.dumps([1, 2, 3])"),
        ("samples", "74 characters"),
        ("chat", "Answers better than looking up (ROUGE-L 0.41 against 0.35)."),
        ("verdict", "ROUGE-L in chat (looking up: 0.35)"),
        ("verdict", "bits per byte (1.17 to 1.24)"),
        ("data", "pieces of one book can lie in more than one part"),
        ("chat", "no answer"),
        ("chat", "The interval takes questions as independent."),
        ("time", "6 min 31 s"),
        ("time", "1.31 GB"),
        ("next", "--minutes 30"),
    ],
)
def test_a_section_says(english: tuple[str, Page], section: str, words: str) -> None:
    assert words in english[1].sections[section]


def test_all_that_could_not_be_read_is_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    rows = [{"path": f"{n}.txt", "why": "not text"} for n in range(200)]
    change(
        run / "corpus/card.json", "unreadable", to=[*rows, {"path": "…", "why": "and 1,034 more"}]
    )
    change(run / "corpus/card.json", "num_unreadable", to=1234)
    text = page_of(run)[1].sections["data"]
    assert "1,234 files or lines could not be read" in text
    assert "and 1,214 more" in text


def test_the_gap_has_its_interval_where_there_is_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    assert "what training text costs)." in page_of(run)[1].sections["overfitting"]
    change(run / "eval.json", "gap", "interval", to=[0.013, 0.112])
    text = page_of(run)[1].sections["overfitting"]
    assert "what training text costs), with 95% confidence between 0.013 and 0.112." in text


def test_training_text_that_was_not_scored_is_no_bar_of_zero(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    told = "Whether it overfits cannot be told: no training text was scored."
    for keys, value in (
        (("train",), {"bits_per_byte": 0.0, "bytes": 0, "interval": None}),
        (("gap", "share"), None),
        (("verdict", "sections", "overfitting"), told),
    ):
        change(run / "eval.json", *keys, to=value)
    text = page_of(run)[1].sections["overfitting"]
    assert told in text
    assert "text it has never seen" in text
    for words in ("0.000", "it was trained on", "The gap is"):
        assert words not in text


def test_chinese_text_is_whole_and_marked_as_chinese(chinese: tuple[str, Page]) -> None:
    _, page = chinese
    assert "比五元模型好得多" in page.sections["verdict"]
    assert "\n\n　　黛玉冷笑道：“你也不用哄我。" in page.sections["samples"]
    assert "/home/me/红楼梦" in page.sections["asked"]
    samples = [attrs for _, attrs in page.tags if attrs.get("class") == "sample"]
    assert samples
    assert all(attrs["lang"] == "zh" for attrs in samples)


def test_nothing_is_loaded_from_anywhere(english: tuple[str, Page]) -> None:
    source, page = english
    for tag, attrs in page.tags:
        assert tag not in {
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "foreignobject",
        }
        assert not any(name.startswith("on") or name == "style" for name in attrs), (tag, attrs)
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, name, value)
    assert "@import" not in source
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)\)", source))


def test_the_policy_allows_the_one_style_and_nothing_else(english: tuple[str, Page]) -> None:
    source, page = english
    policy = next(
        attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs and attrs["content"]
    )
    styles = re.findall(r"<style>(.*?)</style>", source, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    assert len(styles) == 1
    assert "<style" not in source.replace("<style>", "", 1)
    assert policy.startswith("default-src 'none'; ")
    assert f"style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_it_is_small_and_has_no_nan(english: tuple[str, Page], chinese: tuple[str, Page]) -> None:
    for source, page in (english, chinese):
        assert len(source.encode()) < 1_000_000
        assert not re.search(r"\b(nan|inf|None|Undefined)\b", " ".join(page.sections.values()))
        assert not re.search(r"=\"[^\"]*\bnan\b", source)


def test_ids_are_unique_and_every_link_inside_the_page_arrives(english: tuple[str, Page]) -> None:
    source, page = english
    ids = [attrs["id"] for _, attrs in page.tags if attrs.get("id")]
    assert len(ids) == len(set(ids))
    wanted = [attrs["href"] for _, attrs in page.tags if (attrs.get("href") or "").startswith("#")]
    wanted += re.findall(r"url\((#[^)]*)\)", source)
    assert {link[1:] for link in wanted if link} <= set(ids)


def test_it_can_be_read_aloud(english: tuple[str, Page]) -> None:
    _, page = english
    tags = dict(page.tags[:3])
    assert tags["html"]["lang"] == "en"
    assert sum(tag == "h1" for tag, _ in page.tags) == 1
    for tag, attrs in page.tags:
        if tag == "svg":
            assert attrs.get("aria-hidden") == "true" or attrs.get("aria-label")
        if tag == "th":
            assert attrs.get("scope") in ("row", "col")
        if tag == "section":
            assert attrs.get("aria-labelledby")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    first = write_report(one).read_bytes()
    assert write_report(two).read_bytes() == first
    assert write_report(one).read_bytes() == first


HOSTILE = (
    "</p></div></svg></style><script>alert(1)</script><img src=x onerror=alert(1)>'\"&`{{ 7*7 }}"
)


def test_text_of_the_run_stays_text(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    evaluation = run / "eval.json"
    places: list[tuple[str | int, ...]] = [
        ("samples", 0, "prompt"),
        ("samples", 0, "text"),
        ("memorised", "longest_copied_text"),
        ("verdict", "summary"),
        ("verdict", "points", 0, "text"),
        ("verdict", "next", 0),
        *(("chat", "examples", 1, key) for key in ("question", "answer", "reference", "nearest")),
    ]
    for place in places:
        change(evaluation, *place, to=HOSTILE)
    change(evaluation, "chat", "by_category", HOSTILE, to={HOSTILE: 0.5})
    change(run / "run.json", "asked", "source", to=HOSTILE)
    change(run / "run.json", "versions", HOSTILE, to=HOSTILE)
    change(run / "corpus/card.json", "sources", HOSTILE, to={"documents": 1, "bytes": 9_000_000})
    change(run / "corpus/card.json", "languages", HOSTILE, to={"documents": 1, "bytes": 5})
    change(run / "tokenizer_stats.json", "longest_tokens", 0, "text", to=HOSTILE)
    change(run / "plan.json", "reason", to=HOSTILE)
    change(run / "timings.json", "stages", HOSTILE, to=[1, 2])
    change(run / "baselines.json", "models", 0, "name", to=HOSTILE)
    source, page = page_of(run)
    assert page.open == []
    assert list(page.sections) == SECTIONS
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "<script" not in source
    assert "49" not in page.sections["verdict"]
    assert page.sections["samples"].count(HOSTILE) == 3
    assert html.escape(HOSTILE, quote=False)[:20] in source


def test_strange_characters_cannot_break_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    change(run / "eval.json", "samples", 0, "text", to="a\x00b\x1bc\ud800d\u202ee\r\nf\ufeff")
    _, page = page_of(run)
    assert "a␀b␛c\ufffdd[U+202E]e" in page.sections["samples"]


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    change(run / "eval.json", "samples", 0, "text", to="长" * 400_000)
    change(run / "eval.json", "chat", "examples", 0, "answer", to="x" * 400_000)
    source, page = page_of(run)
    assert len(source.encode()) < 1_000_000
    assert "398,500 more characters" in page.sections["samples"]


@pytest.mark.parametrize("missing", RUN_FILES)
def test_a_page_without_one_of_the_files(tmp_path: Path, missing: str) -> None:
    run = make_run(tmp_path, curves="metrics" in missing)
    (run / missing).unlink()
    source, page = page_of(run)
    assert list(page.sections) == SECTIONS
    assert page.open == []
    assert not re.search(r"\b(nan|None|Undefined)\b", " ".join(page.sections.values()))
    assert len(source) > 10_000


def test_a_run_that_has_only_begun_says_what_to_do(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    for name in RUN_FILES:
        (run / name).unlink(missing_ok=True)
    _, page = page_of(run)
    assert list(page.sections) == SECTIONS
    assert "only just begun" in page.sections["verdict"]
    for section in ("data", "tokenizer", "model", "curves", "baselines", "samples", "chat", "time"):
        assert re.search(r"\b(yet|not been)\b", page.sections[section]), section
    assert "homespun pretrain en-run" in page.sections["curves"]


def test_an_imported_model_is_asked_for_nothing_that_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    for name in RUN_FILES:
        if name not in ("plan.json", "pretrain/done.json"):
            (run / name).unlink(missing_ok=True)
    (run / "import.json").write_text("{}")
    asked = {"command": "import", "model": "hub:a/b", "context": None, "source": None}
    change(run / "run.json", "asked", to=asked)
    change(run / "plan.json", "expected_tokens", to=0)
    change(run / "plan.json", "expected_epochs", to=0.0)
    change(run / "pretrain/done.json", "result", to={"imported": "hub:a/b"})
    _, page = page_of(run)
    text = " ".join(page.sections.values())
    assert re.findall(r"homespun (?!import hub:a/b)\S+ \S+", text) == []
    for words in (
        "The model came from elsewhere",
        "No text came with the model.",
        "The tokenizer came with the model.",
        "the weights came with the model",
    ):
        assert words in text
    for words in ("planned", "No model has been trained", "Tokens a step"):
        assert words not in text


def test_a_mean_of_weights_is_not_told_to_be_trained(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    asked = {"command": "average", "parent": "a", "source": "t", "parts": ["a", "b"]}
    change(run / "run.json", "asked", to=asked)
    curves = page_of(run)[1].sections["curves"]
    assert "the weights are the mean of others" in curves
    assert "homespun pretrain" not in curves


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("eval.json", ("validation",)),
        ("eval.json", ("train",)),
        ("eval.json", ("gap",)),
        ("eval.json", ("chat",)),
        ("eval.json", ("verdict",)),
        ("eval.json", ("diversity",)),
        ("eval.json", ("memorised",)),
        ("eval.json", ("samples",)),
        ("eval.json", ("model",)),
        ("plan.json", ("model",)),
        ("plan.json", ("speeds",)),
        ("timings.json", ("stages",)),
        ("corpus/card.json", ("read",)),
        ("corpus/card.json", ("splits",)),
        ("corpus/card.json", ("dropped",)),
        ("tokenizer_stats.json", ("languages",)),
        ("shards/index.json", ("splits",)),
        ("baselines.json", ("models",)),
        ("pretrain/done.json", ("result",)),
    ],
)
def test_a_value_that_is_null_leaves_a_page(tmp_path: Path, name: str, keys: tuple[str]) -> None:
    run = make_run(tmp_path, curves=False)
    change(run / name, *keys, to=None)
    _, page = page_of(run)
    assert list(page.sections) == SECTIONS
    assert not re.search(r"\b(nan|None|Undefined)\b", " ".join(page.sections.values()))


def test_no_run_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run"):
        write_report(tmp_path)
    run = make_run(tmp_path, curves=False)
    (run / "eval.json").write_text("{")
    with pytest.raises(DataError, match=r"eval\.json"):
        write_report(run)


def test_a_row_cut_off_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with open(run / "pretrain/metrics.jsonl", "a") as file:
        file.write('{"kind": "tra')
    assert list(page_of(run)[1].sections) == SECTIONS


def test_the_page_leads_with_the_sentences_of_the_verdict_and_adds_none(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    for section in ("baselines", "overfitting", "chat"):
        change(run / "eval.json", "verdict", "sections", section, to=f"Judged: {section}.")
    _, page = page_of(run)
    for section in ("baselines", "overfitting", "chat"):
        assert f"Judged: {section}." in page.sections[section]
        lead = page.sections[section].split("Bits per byte on")[0].split("ROUGE-L of")[0]
        assert not re.search(r"\b(worse|no sign|does better|fewer)\b", lead)


def test_what_was_scored_on_all_of_the_text_says_so_beside_a_part(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    bars = page_of(run)[1].sections["baselines"].split("With 95%")[0]
    assert "Kneser–Ney smoothed1.608" in bars
    assert "on all of the held-out text1.986" in bars
    change(run / "eval.json", "validation", "against", to={})
    section = page_of(run)[1].sections["baselines"]
    assert "1.986" not in section
    assert "not known for just this text: xz, unigram, 5-gram" in section
    (run / "eval.json").unlink()
    assert "1.986" in page_of(run)[1].sections["baselines"]


def test_one_step_is_told_in_words_and_not_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    row = {"kind": "train", "step": 1, "loss": 1.0, "lr": 0.001}
    (run / "sft/metrics.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    _, page = page_of(run)
    assert "nats per token, one step. There are too few points" in page.sections["curves"]
    assert "0.950" not in page.sections["curves"]


@pytest.mark.parametrize("kind", ["train", "eval", "sample", "health"])
def test_a_run_under_way_says_what_it_has_read_whatever_came_last(
    tmp_path: Path, kind: str
) -> None:
    run = make_run(tmp_path, curves=False)
    (run / "pretrain/done.json").unlink()
    row = {"kind": "train", "step": 5, "loss": 1.0, "tokens": 1_234_000, "epoch": 0.7, "lr": 0.1}
    last = row if kind == "train" else {"kind": kind, "step": 5}
    lines = "".join(json.dumps(one) + "\n" for one in (row | {"step": 4}, row, last))
    (run / "pretrain/metrics.jsonl").write_text(lines, encoding="utf-8")
    text = page_of(run)[1].sections["model"]
    assert "which have read 1.23 million tokens" in text
    assert "the whole text 0.7 times" in text


def test_a_few_questions_are_no_headline_and_none_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    change(run / "eval.json", "chat", "num_questions", to=12)
    assert "ROUGE-L" not in page_of(run)[1].sections["verdict"]
    change(run / "eval.json", "chat", "num_questions", to=0)
    change(run / "eval.json", "verdict", "sections", to={})
    assert "No question was asked" in page_of(run)[1].sections["chat"]


def test_a_baseline_says_how_much_it_has_read(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    (run / "eval.json").unlink()
    detail = {"all_training_text": False, "training_bytes": 12_000_000}
    change(run / "baselines.json", "models", 0, "detail", to=detail)
    assert "has read 12 MB of the training text first" in page_of(run)[1].sections["baselines"]


def test_what_was_dropped_is_counted_in_documents_and_paragraphs(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    both = {"documents": 1, "paragraphs": 2_040, "bytes": 5, "explanation": ""}
    change(run / "corpus/card.json", "dropped", "too_short", to=both)
    assert "1 document, 2,040 paragraphs" in page_of(run)[1].sections["data"]


def test_a_token_of_spaces_can_be_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path, curves=False)
    change(run / "tokenizer_stats.json", "longest_tokens", 0, "text", to="   ")
    assert "␣␣␣" in page_of(run)[1].sections["tokenizer"]
