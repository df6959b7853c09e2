"""Paragraphs and documents that nearly repeat earlier ones are found, in bounded memory."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.dedup import DuplicateFilter
from homespun.corpus.near import ShingleMemory, share_seen_slowly, words_of, words_of_slowly

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def sentence(rng: random.Random, length: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(length))


def share_seen(memory: ShingleMemory, text: str) -> float:
    return memory.look([text]).share_of_piece(0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "在2023年我们去了北京,Python语言很好",
            [
                "在",
                "2023",
                "年",
                "我",
                "们",
                "去",
                "了",
                "北",
                "京",
                ",",
                "python",
                "语",
                "言",
                "很",
                "好",
            ],
        ),
        ("用GPT-2的x_1值", ["用", "gpt", "-", "2", "的", "x_1", "值"]),
        ("\U00020000字a\U00030000b", ["\U00020000", "字", "a", "\U00030000", "b"]),
        ("カナとかな2つ", ["カ", "ナ", "と", "か", "な", "2", "つ"]),
        ("“Ｏｋ，”是‘好’。——Ａ", ['"', "ok", ",", '"', "是", "'", "好", "'", ".", "-", "-", "a"]),
        ("It's 3.5, OK?", ["it", "'", "s", "3", ".", "5", ",", "ok", "?"]),
    ],
)
def test_words_are_those_a_reader_sees(text: str, words: list[str]) -> None:
    assert words_of(text) == words
    assert words_of_slowly(text) == words


@given(st.text(st.sampled_from("aZ9_é,。 \n北京のカ\U00020000한ß\u0301"), max_size=40) | st.text())
def test_words_agree_with_the_slow_version(text: str) -> None:
    assert words_of(text) == words_of_slowly(text)


def test_share_agrees_with_the_slow_version() -> None:
    rng = random.Random(0)
    memory = ShingleMemory()
    earlier: list[str] = []
    for _ in range(60):
        text = sentence(rng, 40)
        if earlier:
            cut = rng.randrange(40)
            text = " ".join(rng.choice(earlier).split()[:cut] + text.split()[cut:])
        found = memory.look([text])
        slow = share_seen_slowly(text, earlier)
        assert found.share_of_piece(0) == pytest.approx(slow)
        assert found.share_of_rest([True]) == pytest.approx(slow)
        memory.remember(found)
        earlier.append(text)


def test_pieces_are_compared_with_earlier_pieces_of_the_same_document_too() -> None:
    rng = random.Random(3)
    pieces = [sentence(rng, 30) for _ in range(3)]
    pieces.append(" ".join(pieces[0].split()[:20] + pieces[1].split()[:10]))
    found = ShingleMemory().look(pieces)
    for number, piece in enumerate(pieces):
        earlier = share_seen_slowly(piece, pieces[:number])
        assert found.share_of_piece(number) == pytest.approx(earlier)
    assert found.share_of_rest([True] * 4) == 0.0


def test_what_is_taken_out_does_not_count_for_the_rest() -> None:
    rng = random.Random(4)
    memory = ShingleMemory()
    old, new = sentence(rng, 40), sentence(rng, 40)
    memory.remember(memory.look([old]))
    found = memory.look([old, new])
    assert found.share_of_rest([True, True]) > 0.4
    assert found.share_of_rest([False, True]) == 0.0
    assert found.share_of_rest([True, False]) == 1.0


def test_chinese_characters_count_as_words() -> None:
    memory = ShingleMemory()
    text = "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。"
    memory.remember(memory.look([text]))
    changed = text.replace("周末", "当年")
    assert 0.4 < share_seen(memory, changed) < 1.0
    assert share_seen(memory, changed) == pytest.approx(share_seen_slowly(changed, [text]))


def test_memory_stays_bounded_and_still_finds_copies() -> None:
    rng = random.Random(1)
    memory = ShingleMemory(max_entries=2_000)
    texts = [sentence(rng, 200) for _ in range(100)]
    for text in texts:
        memory.remember(memory.look([text]))
        assert len(memory) <= 2_000
    assert memory.one_in == 16
    copied = [share_seen(memory, text) for text in texts]
    assert all(share in (0.0, 1.0) for share in copied)  # 0 where the sample is too small
    assert sum(copied) > 50
    assert share_seen(memory, sentence(rng, 200)) == 0.0


def fresh(*texts: str, is_code: bool = False) -> DuplicateFilter:
    duplicates = DuplicateFilter(
        min_width=60, enough=lambda text: len(text) > 20, shingles=ShingleMemory()
    )
    for text in texts:
        assert not duplicates.check(text, is_code=is_code).reason
    return duplicates


def test_a_paragraph_with_a_changed_word_is_taken_out_and_one_of_code_is_spared() -> None:
    rng = random.Random(2)
    paragraph, other = sentence(rng, 40), sentence(rng, 40)
    nearly = " ".join([*paragraph.split()[:-1], "changed"])
    verdict = fresh(paragraph).check(f"{nearly}\n\n{other}")
    assert verdict.near == (nearly,)
    assert verdict.removed == ()
    assert verdict.text.strip() == other
    assert fresh(paragraph).check(nearly).reason == "near-repeated-paragraph"
    assert fresh(paragraph).check(f"{nearly}\n\n{other}", is_code=True).near == ()


POEM = "\n\n".join(
    f"{first} {second} rivers flow,\n{third} no {fourth} men go."
    for first, second, third, fourth in zip(
        ["Beneath", "Beyond", "Beside", "Above", "Along", "Behind"],
        ["silver", "winding", "frozen", "sleeping", "ancient", "narrow"],
        ["Where", "Whence", "Whither", "Because", "Although", "Until"],
        ["weary", "hungry", "careful", "lonely", "foolish", "hurried"],
        strict=True,
    )
)

CODE = "\n\n\n".join(
    f"def {name}(values, limit):\n    total = {start}\n    for item in values:\n"
    f"        if item {sign} limit:\n            total {change} item * {factor}\n    return total"
    for name, start, sign, change, factor in [
        ("rising", 0, "<", "+=", 3),
        ("falling", 100, ">", "-=", 5),
        ("equal", 1, "==", "*=", 7),
        ("other", -1, "!=", "//=", 11),
    ]
)


@pytest.mark.parametrize(
    ("text", "old", "new", "is_code"),
    [(POEM, "frozen", "sunlit", False), (CODE, "* 7", "* 9", True)],
    ids=["poem", "code"],
)
def test_an_edited_copy_of_a_document_of_short_paragraphs_or_code_is_dropped(
    text: str, old: str, new: str, is_code: bool
) -> None:
    copy = text.replace(old, new)
    assert copy != text
    assert fresh(text, is_code=is_code).check(copy, is_code=is_code).reason == "near-duplicate"
    half = text[: len(text) // 2] + sentence(random.Random(5), 80)
    assert fresh(text, is_code=is_code).check(half, is_code=is_code).reason == ""


def test_words_without_end_are_compared_and_not_kept() -> None:
    """Of sequences of bases, a line of 30,000 each, 200,000 would take gigabytes."""
    memory = ShingleMemory()
    text = " ".join(letter * 30_000 for letter in "acgtnryswkmb")
    memory.remember(memory.look([text]))
    assert memory.look([text]).share_of_rest([True]) == 1.0
    assert sum(map(len, memory._words)) < 30_000


@pytest.mark.parametrize(
    ("text", "other"),
    [
        (
            "他说：“天下大势，分久必合，合久必分。”我们都笑了，因为这句话，谁都知道！",
            '他说:"天下大势,分久必合,合久必分."我们都笑了,因为这句话,谁都知道!',
        ),
        (
            "“It’s late,” she said – and that’s all; “don’t wait,” he’d said, “it’s cold.”",
            '"It\'s late," she said - and that\'s all; "don\'t wait," he\'d said, "it\'s cold."',
        ),
    ],
)
def test_a_copy_with_other_marks_is_the_same(text: str, other: str) -> None:
    memory = ShingleMemory()
    memory.remember(memory.look([text]))
    assert share_seen(memory, other) == 1.0
