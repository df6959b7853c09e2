"""Which preset a plan takes where nobody asks for one."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import pytest

from homespun.core import RunDirectory
from homespun.recipes import build_corpus_stage, train_tokenizer_stage
from homespun.recipes.scale.ask import Ask, Proposal
from homespun.recipes.scale.options import Text, bytes_per_token, text_repetition, tokenizer_kind
from homespun.recipes.scale.propose import better_preset
from homespun.scaling.choose import Outcome
from homespun.scaling.grid import Size


@pytest.mark.parametrize(("kind", "is_counted"), [("bpe", True), ("char", False), ("byte", False)])
def test_what_repeats_itself_is_counted_in_words_alone(
    tmp_path: Path, kind: Any, is_counted: bool
) -> None:
    """A Chinese character is as many bytes as a short word, and is none."""
    draw = random.Random(0)
    (tmp_path / "texts").mkdir()
    words = ["狐狸", "河边", "明天", "下雨", "问它", "小鸟", "银河", "遇见", "回家", "天亮"]
    for number in range(8):
        lines = ["".join(draw.choices(words, k=12)) + "。" for _ in range(30)]
        (tmp_path / "texts" / f"{number}.txt").write_text("\n".join(lines), encoding="utf-8")
    run = tmp_path / "run"
    build_corpus_stage(run, str(tmp_path / "texts"))
    train_tokenizer_stage(run, kind=kind, vocab_size=400 if kind == "bpe" else None)
    opened = RunDirectory.open(run)
    assert tokenizer_kind(opened) == kind
    assert (bytes_per_token(opened) > 2) == (kind != "byte")
    assert (text_repetition(opened) is not None) == is_counted


def proposal(bits_per_byte: float) -> Proposal:
    chosen = Outcome(Size(64, 3, 1, 1.0), 1, 1.0, 1.0, bits_per_byte, 1)
    nothing: Any = None
    return Proposal("portable", nothing, chosen, nothing, nothing)


@pytest.mark.parametrize(
    ("fast", "margin", "taken"),
    [
        (1.49, 0.0, "fast"),
        (1.50, 0.0, "portable"),
        (1.36, 0.1, "portable"),
        (1.34, 0.1, "fast"),
    ],
)
def test_fast_is_taken_where_it_is_foretold_lower_by_the_margin(
    fast: float, margin: float, taken: str
) -> None:
    ask = Ask(cast(Any, None), Text(1, 1.0), "bpe", 8, 8, None, 1.0, None, margin)
    assert better_preset(ask, proposal(1.5), proposal(fast)) == taken
