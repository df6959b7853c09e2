"""Files of rows that Chinese Excel wrote: GB18030, and UTF-16 with its mark."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from homespun.cli.main import main
from homespun.core import DataError, Silent
from homespun.recipes.applications import Asked, learn_application
from homespun.recipes.applications.rows import encoding_note, read_rows

GOOD, BAD = ("很好，喜欢", "不错，满意", "漂亮，值得"), ("太差，退货", "难看，失望", "破了，后悔")
THINGS = ("书", "手机", "房间", "早餐", "屏幕", "衣服", "鞋子", "茶", "灯", "椅子")
ROWS = [(f"这个{t}{w}。", c) for c, ws in (("好", GOOD), ("坏", BAD)) for w in ws for t in THINGS]
TABLE = "文本,类别\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)


class Said(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, text: str) -> None:
        self.sentences.append(text)


def test_a_table_in_gb18030_is_learned_as_one_in_utf8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, said = {}, {}
    for codec in ("utf-8", "gb18030"):
        data = tmp_path / codec / "评论.csv"
        data.parent.mkdir()
        data.write_text(TABLE, codec)
        progress = Said()
        asked = Asked("classify", data, tmp_path / f"{codec}-out", test=data, judge_baselines=False)
        told[codec] = learn_application(asked, progress=progress)["measures"]
        said[codec] = [text for text in progress.sentences if "is read as" in text]
    assert told["utf-8"] == told["gb18030"]
    path = tmp_path / "gb18030" / "评论.csv"
    assert said == {"utf-8": [], "gb18030": [f"{path} is not UTF-8: it is read as GB18030"]}
    # What was learned answers such a file too, and says so beside the answers, which are UTF-8.
    folder, answers = tmp_path / "gb18030-out", tmp_path / "answers.jsonl"
    words = ["apply", "classify", str(folder), str(path), "--out", str(answers)]
    assert main(words) == 0
    assert capsys.readouterr().err.count("is read as GB18030") == 1
    lines = [json.loads(line) for line in answers.read_text("utf-8").splitlines()]
    assert [line["asked"] for line in lines] == [text for text, _ in ROWS]


@pytest.mark.parametrize("codec", ["gb18030", "utf-16"])
def test_every_format_of_text_is_read_so(tmp_path: Path, codec: str) -> None:
    texts = [text for text, _ in ROWS]
    wanted = [{"text": text} for text in texts]
    written = {
        "a.tsv": "text\n" + "\n".join(texts),
        "a.txt": "\r\n".join(texts),
        "a.jsonl": "\n".join(json.dumps(row, ensure_ascii=False) for row in wanted),
        "a.json": json.dumps(wanted, ensure_ascii=False),
    }
    for name, text in written.items():
        (tmp_path / name).write_bytes(text.encode(codec))
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(text.encode(codec)))
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            assert read_rows(path) == wanted
            assert encoding_note(path) == f"{path} is not UTF-8: it is read as {codec.upper()}"


def test_a_long_table_that_begins_in_english_is_told_by_what_is_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "plain words,x\n" * 100_000 + TABLE, "gb18030")
    assert read_rows(path)[-1] == {"text": ROWS[-1][0], "label": ROWS[-1][1]}


def test_bytes_that_are_not_surely_so_are_refused(tmp_path: Path) -> None:
    """With the line that converts them, from what they most likely are."""
    path = tmp_path / "评 论.csv"
    whole = TABLE.encode("gb18030")
    at = len(whole) * 3 // 4
    japanese = "text,label\n" + "とても良い本です。品質が悪い、返品しました。,x\n" * 3
    korean = "text,label\n화면이 선명하다,x\n방이 더럽다,y\n"
    damaged = {
        "lost half": (whole[:-2] + b"\n", "GB18030"),
        "odd byte": (whole[:at] + b"\xff" + whole[at:], "GB18030"),
        "too short": ("text,label\n好,x\n".encode("gb18030"), "GB18030"),
        "japanese": (japanese.encode("euc_jp"), "(GB18030|BIG5-HKSCS|CP950)"),
        "korean": (korean.encode("euc_kr"), "GB18030"),
        "damaged utf-8": (TABLE.encode()[:-2] + b"\n", "GB18030"),
        "big5": ("文本,類別\n這本書很好看，我們喜歡,好\n".encode("big5"), "(BIG5-HKSCS|CP950)"),
        "western": ("text,label\ncafé crème,x\n".encode("cp1252"), "CP1252"),
    }
    for name, (data, likely) in damaged.items():
        path.write_bytes(data)
        wanted = rf"is not UTF-8 text; .*: iconv -f {likely} -t UTF-8 '.*/评 论\.csv' > new\.csv$"
        with pytest.raises(DataError, match=wanted):
            pytest.fail(f"{name} was read: {read_rows(path)[-1]}")
        assert encoding_note(path) is None
    packed = tmp_path / "a.tsv.gz"
    packed.write_bytes(gzip.compress(damaged["western"][0]))
    with pytest.raises(DataError, match=r"gunzip -c .*a\.tsv\.gz \| iconv -f CP1252 .* > new\.tsv"):
        read_rows(packed)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What was looked at to tell its encoding would be lost."""
    pipe = tmp_path / "a.csv"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(TABLE, "utf-8"))
    writer.start()
    assert len(read_rows(pipe)) == len(ROWS)
    writer.join()
    assert encoding_note(pipe) is None
