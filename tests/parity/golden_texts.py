"""What packages that are not always installed were asked, and where their answers are kept."""

from __future__ import annotations

import random
from pathlib import Path

from homespun.classic.kneser_ney import words_and_marks

GOLDEN = Path(__file__).parent / "golden"
NGRAMS, VECTORS, ENCODER = (GOLDEN / name for name in ("ngrams.json", "vectors.json", "encoder"))
ENGLISH = (
    "It was the best of times. It was the worst of times. It was the age of wisdom. "
    "It was the age of foolishness. It was the season of light. It was the spring of hope. "
    "We had everything before us. We had nothing before us. The dog was before us all."
)
CHINESE = (
    "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。及秦灭之后，楚汉分争，又并入于汉。"
    "汉朝自高祖斩白蛇而起义，一统天下。后来光武中兴，传至献帝，遂分为三国。"
)
TEXTS = {
    "english": [words_and_marks(part + ".") for part in ENGLISH.split(".")],
    "chinese": [words_and_marks(part + "。") for part in CHINESE.split("。")],
}
CASES = [
    (name, order, discounts, min_count)
    for name in sorted(TEXTS)
    for order in (2, 3, 5)
    for discounts in ("modified", "absolute")
    for min_count in (1, 2)
]
SENTENCES = [
    "It was the best of times.",
    "天下大势，分久必合",
    "The dog, the spring and the age of light 12,345!",
    "naïve Café 与 光武中兴 — mixed",
    "x",
    "it was the age of wisdom " * 12,  # more than the 32 tokens that are read
]


def held_out(text: list[list[str]]) -> list[list[str]]:
    """The text, the same words in another order, some that are unknown, and nothing."""
    rng = random.Random(0)
    shuffled = [rng.sample(words, len(words)) for words in text]
    return [*text, *shuffled, ["never", *text[0][:3], "never"], []]
