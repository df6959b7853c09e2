"""Words and names are drawn as they are written."""

from __future__ import annotations

import numpy as np

from homespun.reports.families import draw_families
from homespun.reports.words import draw_words


def test_words_with_dollars_are_no_formulas() -> None:
    words = ["$x_$", "$$", "$5 and $6", "猫"]
    drawn = draw_words(words, np.arange(8.0).reshape(4, 2))
    assert [word for word in words if f">{word}<" not in drawn] == []


def test_a_text_whose_name_has_dollars_is_named() -> None:
    row = {"name": "gru", "year": "2014", "val_bpb": 2.0, "note": ""}
    found = {"families": [row], "seconds": 60.0, "data": {"name": "a$_$b"}}
    assert ">a$_$b<" in draw_families(found)


def test_letters_that_the_font_lacks_are_drawn_without_a_warning() -> None:
    row = {"name": "gru", "year": "2014", "val_bpb": 2.0, "note": ""}
    found = {"families": [row], "seconds": 60.0, "data": {"name": "我的文本"}}
    assert ">我的文本<" in draw_families(found)  # and a warning would be an error here
