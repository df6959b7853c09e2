"""Normal form of texts that are made to take long."""

from __future__ import annotations

import random
import time
import unicodedata

import pytest

from homespun.core.text import nfc
from homespun.corpus.clean import clean_text, clean_text_slowly

# Of several classes, some of which decompose into others, and one that is no part of their order.
MARKS = "\u0301\u0316\u0323\u0344\u05b0\u0f73\u0f71\u0f74\u1dce\u3099\u034f\u0488\u09bc\U0001d165"


@pytest.mark.parametrize("seed", range(20))
def test_long_runs_of_marks_become_what_python_makes_of_them(seed: int) -> None:
    draw = random.Random(seed)
    pieces = []
    for _ in range(4):
        pieces.append(draw.choice(["a", "\u00e9", "\u1ebf", "か", "\u0915", "", "x\ud800"]))
        num = draw.choice([1, 511, 512, 513, 700, 1500])
        pieces.append("".join(draw.choices(MARKS, k=num)))
    text = "".join(pieces)
    expected = unicodedata.normalize("NFC", text)
    assert nfc(text) == expected
    assert nfc("plain text, " * 40 + text) == "plain text, " * 40 + expected


def test_a_run_without_end_takes_no_time_with_its_square() -> None:
    num = 200_000
    begun = time.process_time()
    found = nfc("a" + "\u0301\u0316" * num)
    assert time.process_time() - begun < 10
    assert found == "\u00e1" + "\u0316" * num + "\u0301" * (num - 1)


def test_a_document_of_marks_is_cleaned_in_time_that_grows_with_it() -> None:
    text = "o\u0323\u0308" + "\u0308\u0323" * 700 + " \n"
    assert clean_text(text) == clean_text_slowly(text)
    begun = time.process_time()
    clean_text("o" + "\u0308\u0323" * 200_000)
    assert time.process_time() - begun < 10
