"""Encodings are told apart, binaries are not taken for text, and long files decode as streams."""

from __future__ import annotations

import io
import random

import pytest

from homespun.corpus.sources.formats.encodings import (
    SAMPLE_BYTES,
    UNKNOWN,
    UTF8,
    chinese_score,
    declared_encoding,
    decode_stream,
    detect_encoding,
    read_sample,
    sure_encoding,
)

SIMPLIFIED = (
    "天下大势，分久必合，合久必分。我们今天说一说这本书里的几个人物，他们都很有意思。"
    "学而时习之，不亦说乎？有朋自远方来，不亦乐乎？春天来了，山上的花都开了，孩子们很高兴。"
)
TRADITIONAL = (
    "天下大勢，分久必合，合久必分。我們今天說一說這本書裡的幾個人物，他們都很有意思。"
    "學而時習之，不亦說乎？有朋自遠方來，不亦樂乎？春天來了，山上的花都開了，孩子們很高興。"
)
FRENCH = "Là où le cœur a ses raisons, l’été dernier, nous étions allés à la plage, très agréable."
GERMAN = "Über die Brücke gehen schöne Mädchen, während es draußen regnet; das ist für alle gut."


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (SIMPLIFIED, "utf-8", "utf-8"),
        (SIMPLIFIED, "utf-8-sig", "utf-8"),
        (SIMPLIFIED, "utf-16", "utf-16"),
        (SIMPLIFIED, "utf-16-le", "utf-16"),
        (SIMPLIFIED, "utf-16-be", "utf-16"),
        (SIMPLIFIED, "gb18030", "gb18030"),
        (SIMPLIFIED, "gbk", "gb18030"),
        (TRADITIONAL, "gb18030", "gb18030"),
        (TRADITIONAL, "big5", "big5"),
        (FRENCH, "cp1252", "cp1252"),
        (GERMAN, "latin-1", "cp1252"),
        ("plain English\n", "ascii", "utf-8"),
        ("plain English\n", "utf-16-le", "utf-16"),
        ("plain English\n", "utf-16-be", "utf-16"),
        ("plain English\n", "utf-32", "utf-32"),
    ],
)
def test_each_encoding_is_recognised_and_gives_the_text_back(
    text: str, codec: str, name: str
) -> None:
    data = text.encode(codec)
    encoding = detect_encoding(data)
    assert encoding is not None
    assert encoding.name == name
    assert "".join(decode_stream(io.BytesIO(data), encoding)) == text


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [(SIMPLIFIED, "gb18030", "gb18030"), (TRADITIONAL, "big5", "big5")],
)
def test_eight_chinese_characters_are_enough_to_tell_the_encodings_apart(
    text: str, codec: str, name: str
) -> None:
    choose = random.Random(0)
    for _ in range(60):
        start = choose.randrange(len(text) - 8)
        encoding = detect_encoding(text[start : start + 8].encode(codec))
        assert encoding is not None
        assert encoding.name == name, text[start : start + 8]


@pytest.mark.parametrize("text", ["你好，世界", "中国", "第一章", "我爱你"])
def test_the_shortest_everyday_phrases_are_recognised(text: str) -> None:
    encoding = detect_encoding(text.encode("gb18030"))
    assert encoding is not None
    assert encoding.name == "gb18030"


@pytest.mark.parametrize(
    "text",
    [
        f"第一章\n{'─' * 60}\n今天天气很好。\n",
        f"┌{'─' * 30}┐\n│ 目录 │\n└{'─' * 30}┘\n",
        "★★★★★ 强烈推荐\n☆☆☆☆☆\n",
        "①打开设置②点击网络③选择重启 → 完成",
        "【■■■□□□】公告 ※注意※",
    ],
)
def test_rules_boxes_and_stars_do_not_hide_that_a_text_is_chinese(text: str) -> None:
    encoding = detect_encoding(text.encode("gb18030"))
    assert encoding is not None
    assert encoding.name == "gb18030"


def test_a_wrong_reading_of_chinese_scores_far_below_the_right_one() -> None:
    right = chinese_score(SIMPLIFIED)
    wrong = chinese_score(SIMPLIFIED.encode("gb18030").decode("big5", "replace"))
    assert right > 1.5
    assert wrong < right - 1.5


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n" + b"abc" * 50,
        b"%PDF-1.7 and readable words follow",
        b"PK\x03\x04 and so on",
        bytes(range(256)) * 20,
        b"some words \0 and a NUL in a text of one byte a character",
        random.Random(1).randbytes(5000),
    ],
)
def test_binary_content_is_not_text(data: bytes) -> None:
    assert detect_encoding(data) is None


def test_good_characters_count_wherever_they_stand_as_bad_ones_do() -> None:
    english = "Plain words, and more of them. " * 7000
    data = (english + "It’s a café. " * 4).encode() + b"\xe9 and \xe8. "
    assert detect_encoding(data) == UTF8


@pytest.mark.parametrize("text", [SIMPLIFIED, GERMAN, "Plain English words. " * 9])
@pytest.mark.parametrize("end", [b"\0" * 4000, b"\x1a", b"\0\nOne more line.\n"])
def test_a_few_nuls_do_not_make_a_text_binary(text: str, end: bytes) -> None:
    assert detect_encoding((text * 3).encode() + end) == UTF8


@pytest.mark.parametrize("word", ["RIFF", "BZhang", "GIF89a", "PAR1", "OggS"])
def test_a_text_may_begin_with_the_word_that_marks_a_binary(word: str) -> None:
    assert detect_encoding(f"{word} 是一个词。It is a word.".encode()) == UTF8
    assert detect_encoding(word.encode() + random.Random(2).randbytes(5000)) is None


def test_utf8_with_a_few_bad_bytes_is_still_utf8() -> None:
    data = SIMPLIFIED.encode()[:100] + b"\xff\xfe" + SIMPLIFIED.encode()
    assert detect_encoding(data) == UTF8
    assert "".join(decode_stream(io.BytesIO(data), UTF8)).count("\ufffd") <= 4


def test_a_sample_may_end_inside_a_character() -> None:
    data = ("字" * SAMPLE_BYTES).encode()[:SAMPLE_BYTES]
    assert detect_encoding(data) == UTF8


def test_a_sample_is_taken_from_where_the_text_stops_being_ascii() -> None:
    english = b"A preface in English.\n" * (SAMPLE_BYTES // 20)
    data = english + SIMPLIFIED.encode("gb18030") * 20
    encoding = detect_encoding(read_sample(io.BytesIO(data)))
    assert encoding is not None
    assert encoding.name == "gb18030"


def test_every_kind_of_newline_becomes_a_line_feed_even_across_blocks() -> None:
    data = (b"a" * 65535) + b"\r\nb\rc\n"
    assert "".join(decode_stream(io.BytesIO(data), UTF8))[65535:] == "\nb\nc\n"


RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива."
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
KOREAN = "나는 오늘 아침에 일찍 일어나서 공원에 갔습니다. 날씨가 아주 좋았습니다."


@pytest.mark.parametrize(
    ("text", "codec"),
    [(RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (JAPANESE, "shift-jis"), (KOREAN, "euc-kr")],
)
def test_text_in_another_encoding_is_not_taken_for_western(text: str, codec: str) -> None:
    assert detect_encoding(text.encode(codec)) == UNKNOWN
    assert detect_encoding((text * 30).encode(codec)) == UNKNOWN


POLISH = "Zażółć gęślą jaźń; łódź i wąż są tu."


@pytest.mark.parametrize(
    ("text", "codec", "said"),
    [
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "KOI8-R"),
        (POLISH, "iso8859-2", "ISO-8859-2"),
        (JAPANESE, "shift-jis", "Shift_JIS"),
        (JAPANESE[:8], "euc-jp", "euc-jp"),
        (KOREAN, "euc-kr", "EUC-KR"),
        (SIMPLIFIED, "gb18030", "gb2312"),
        (SIMPLIFIED, "gb18030", "iso-8859-1"),  # as many pages say that know nothing of it
        (SIMPLIFIED, "gb18030", "windows-1251"),
        (SIMPLIFIED, "gb18030", "Shift_JIS"),
        (SIMPLIFIED, "utf-8", "gb2312"),
        (FRENCH, "cp1252", "iso-8859-1"),
        (FRENCH, "cp1252", "big5"),
        (GERMAN, "cp1252", "no-such-thing"),
        (GERMAN, "cp1252", "rot13"),
    ],
)
@pytest.mark.parametrize("meta", ['<meta charset="{}">', "<META content='text/html; charset={}'>"])
def test_a_page_is_read_as_it_says_where_that_can_be(
    text: str, codec: str, said: str, meta: str
) -> None:
    data = meta.format(said).encode() + text.encode(codec)
    found = detect_encoding(data)
    assert found is not None
    encoding = declared_encoding(data, found)
    assert data.decode(encoding.codec) == meta.format(said) + text


@pytest.mark.parametrize("num_english", [60_000, 300_000])
def test_pages_of_english_before_chinese_do_not_hide_it(num_english: int) -> None:
    data = b"plain\n" * num_english + SIMPLIFIED.encode("gb18030")
    found = detect_encoding(read_sample(io.BytesIO(data)))
    assert found is not None
    assert found.name == "gb18030"


@pytest.mark.parametrize(
    ("data", "codec"),
    [
        (SIMPLIFIED.encode("gb18030"), "gb18030"),
        (TRADITIONAL.encode("gb18030"), "gb18030"),
        (SIMPLIFIED.encode("utf-16"), "utf-16"),
        (SIMPLIFIED.encode(), UTF8.codec),
        (SIMPLIFIED[:10].encode("gb18030"), UTF8.codec),
        (SIMPLIFIED.encode("gb18030") + b"\xff", UTF8.codec),
        (SIMPLIFIED.encode("utf-16-le"), UTF8.codec),
        (SIMPLIFIED.encode("utf-16")[:-1], UTF8.codec),
        (TRADITIONAL.encode("big5"), UTF8.codec),
        (FRENCH.encode("cp1252"), UTF8.codec),
    ],
)
def test_only_what_is_sure_is_decoded_strictly(data: bytes, codec: str) -> None:
    assert sure_encoding(io.BytesIO(data)).codec == codec
