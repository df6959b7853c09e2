"""Words of Chinese: learned from treebanks, and parted for taggers that know words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from task_files import Make  # type: ignore[import-not-found]

from homespun.cli.main import main
from homespun.core import ConfigError, DataError, Tagged
from homespun.recipes.applications import Asked, answered, learn_application, open_application
from homespun.recipes.applications.rows import read_rows
from homespun.recipes.applications.tag import Segment
from homespun.recipes.tagging import LearnedTagger

SENTENCES = [
    [(who, "PRON"), (verb, "VERB"), (f"{what}{kind}", "NOUN"), ("。", "PUNCT")]
    for who in ("我们", "他", "老师")
    for verb in ("看见", "喜欢", "买")
    for what in ("白", "红", "旧")
    for kind in ("书本", "花")
]


def conllu(path: Path) -> Path:
    lines: list[str] = []
    for sentence in SENTENCES:
        lines.append("# text = " + "".join(word for word, _ in sentence))
        for number, (word, tag) in enumerate(sentence, 1):
            lines.append(f"{number}\t{word}\t_\t{tag}\tX\t_\t_\t_\t_\tSpaceAfter=No")
        lines.append("")
    path.write_text("\n".join(lines), "utf-8")
    return path


def learned(task: str, file: Path, out: Path) -> Path:
    learn_application(Asked(task, file, out, method="crf", judge_baselines=False))
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A treebank, and what was learned from it: its words, and its parts of speech."""
    path = tmp_path_factory.mktemp("parting")
    file = conllu(path / "bank.conllu")
    for task in ("segment", "tag"):
        learned(task, file, path / task)
    return path


def test_words_are_learned_from_a_treebank(folder: Path) -> None:
    opened = open_application(folder / "segment")
    (found,) = LearnedTagger(opened).tagged(["老师喜欢红花。"])
    assert [word for word, _ in found] == ["老师", "喜欢", "红花", "。"]
    # Its own files are answered too, by the text they are of.
    first = next(answered(opened, folder / "bank.conllu", {}))
    assert "".join(first["words"]) == "我们看见白书本。"


def test_a_treebank_that_is_answered_gives_no_word_away(folder: Path, tmp_path: Path) -> None:
    """Words that nobody could know are not found by the spaces of a text that has none."""
    words = ["我们看", "见白", "书", "Ann", "Lee", "本。"]
    lines = [f"{n}\t{word}\t_\tX\tX\t_\t_\t_\t_\t_" for n, word in enumerate(words, 1)]
    (tmp_path / "odd.conllu").write_text("\n".join([*lines, "", ""]), "utf-8")
    opened = open_application(folder / "segment")
    (found,) = answered(opened, tmp_path / "odd.conllu", {})
    assert found["asked"] == "我们看见白书Ann Lee本。"
    assert found["words"][:3] == ["我们", "看见", "白书"]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ("BEBES", ["我们", "看见", "。"]),
        ("BMMES", ["我们看见", "。"]),
        ("OOOOO", ["我", "们", "看", "见", "。"]),  # tags that tell of no words
    ],
)
def test_tags_of_characters_that_are_their_places_tell_words(
    tags: str, words: list[str], tmp_path: Path
) -> None:
    pairs = zip("我们看见。", tags, strict=True)
    (tmp_path / "c.bmes").write_text("".join(f"{c} {t}\n" for c, t in pairs), "utf-8")
    (row,) = read_rows(tmp_path / "c.bmes")
    assert Segment().completed(row)["words"] == words


def test_columns_that_say_text_or_words_are_taken_as_they_are() -> None:
    said: Any = {"tokens": ["a", "b"], "sentence": "ab"}
    assert Segment().completed(said) is said
    given = Segment().completed({"tokens": ["x"], "words": ["我们"]})
    assert given["words"] == ["我们"]


def test_spaces_within_words_part_them() -> None:
    with_spaces = Segment().example({"text": "第 3 本书", "words": ["第 3", "本", "书"]})
    assert Segment().right(with_spaces) == {"words": ["第", "3", "本", "书"]}


def test_a_tagger_of_words_has_chinese_parted_by_a_segmenter(folder: Path) -> None:
    text = "老师喜欢红花。"
    plain, parting = (
        LearnedTagger(open_application(folder / "tag", segmenter=segmenter))
        for segmenter in (None, folder / "segment")
    )
    (found,) = parting.tagged([text])
    assert [word for word, _ in found] == ["老师", "喜欢", "红花", "。"]
    assert [tag for _, tag in found] == ["PRON", "VERB", "NOUN", "PUNCT"]
    assert parting.unparted == 0
    # Without one the characters are taken for words, and that is told.
    (found,) = plain.tagged([text])
    assert [word for word, _ in found] == list(text)
    assert plain.unparted == 1
    plain.tagged(["I see.", "老师 喜欢 红花 。"])
    assert plain.unparted == 1


def test_what_has_no_use_for_a_segmenter_is_told(folder: Path, make: Make, tmp_path: Path) -> None:
    segmenter = folder / "segment"
    with pytest.raises(ConfigError, match="reads characters"):
        open_application(segmenter, segmenter=segmenter)
    with pytest.raises(ConfigError, match="another task"):
        open_application(folder / "tag", segmenter=folder / "tag")
    with pytest.raises(DataError, match="no learned task"):
        open_application(folder / "tag", segmenter=tmp_path)
    rows: Any = [{"text": f"{w} {n}", "label": w} for n in range(20) for w in ("good", "bad")]
    out = tmp_path / "classes"
    learn_application(Asked("classify", make("c.jsonl", rows), out, judge_baselines=False))
    with pytest.raises(ConfigError, match="tags no words"):
        open_application(out, segmenter=segmenter)


def test_commands_part_words_and_say_where_none_were_parted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "texts.txt", tmp_path / "out.jsonl"
    file.write_text("老师喜欢红花。\nA book\n", "utf-8")
    asked = ["apply", "tag", str(folder / "tag"), str(file)]
    by = ["--segmenter", str(folder / "segment")]
    for more in ([], ["--json"], ["--out", str(out)]):
        assert main([*asked, *more]) == 0
        told = capsys.readouterr()
        assert "1 rows of Chinese were parted into characters" in " ".join(told.err.split())
        assert ('"unparted": true' in told.out) == ("--json" in more)
    assert main([*asked, *by]) == 0
    told = capsys.readouterr()
    assert "老师/PRON 喜欢/VERB 红花/NOUN 。/PUNCT" in told.out
    assert "characters" not in told.err
    # Answers that were begun otherwise are not gone on with.
    assert main([*asked, *by, "--out", str(out)]) != 0
    assert "begun otherwise: segmenter" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "in").mkdir()
    for number in range(20):
        text = f"老师喜欢红花{number}。他买白书本{number}。\n" * 3
        (tmp_path / "in" / f"{number}.txt").write_text(text, "utf-8")
    runs = ["--runs", str(tmp_path / "runs")]
    assert main(["corpus", "build", str(tmp_path / "in"), "--name", "zh", *runs]) == 0
    capsys.readouterr()
    assert main(["corpus", "tag", "zh", str(folder / "tag"), *runs]) == 0
    assert "sentences of Chinese were parted" in " ".join(capsys.readouterr().err.split())
    assert main(["corpus", "tag", "zh", str(folder / "tag"), *by, *runs]) == 0
    told = capsys.readouterr()
    assert "老师" in told.out
    assert "were parted" not in told.err


def test_names_of_chinese_words_have_no_spaces(tmp_path: Path) -> None:
    lines = []
    for place in ("北京", "上海"):
        for end in ("大学", "医院"):
            for verb in ("去", "看见", "喜欢"):
                words = [("我们", "O"), (verb, "O"), (place, "B-ORG"), (end, "I-ORG"), ("。", "O")]
                lines += [f"{word} {tag}" for word, tag in words] + [""]
    (tmp_path / "n.conll").write_text("\n".join(lines), "utf-8")
    tagger = LearnedTagger(open_application(learned("tag", tmp_path / "n.conll", tmp_path / "o")))
    assert tagger.tagged(["我们 去 北京 大学 。"]) == [[Tagged("北京大学", "ORG")]]
