"""Paragraphs that nearly repeat earlier ones are found, in bounded memory."""

from __future__ import annotations

import random

import pytest

from homespun.corpus.dedup import DuplicateFilter
from homespun.corpus.near import ShingleMemory, share_seen_slowly

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


def sentence(rng: random.Random, length: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(length))


def test_share_agrees_with_the_slow_version() -> None:
    rng = random.Random(0)
    memory = ShingleMemory()
    earlier: list[str] = []
    for _ in range(60):
        text = sentence(rng, 40)
        if earlier:
            cut = rng.randrange(40)
            text = " ".join(rng.choice(earlier).split()[:cut] + text.split()[cut:])
        sample = memory.sample(text)
        assert memory.share_seen(sample) == pytest.approx(share_seen_slowly(text, earlier))
        memory.remember(sample)
        earlier.append(text)


def test_chinese_characters_count_as_words() -> None:
    memory = ShingleMemory()
    text = "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。"
    memory.remember(memory.sample(text))
    changed = text.replace("周末", "当年")
    assert 0.4 < memory.share_seen(memory.sample(changed)) < 1.0
    assert memory.share_seen(memory.sample(changed)) == pytest.approx(
        share_seen_slowly(changed, [text])
    )


def test_memory_stays_bounded_and_still_finds_copies() -> None:
    rng = random.Random(1)
    memory = ShingleMemory(max_entries=2_000)
    texts = [sentence(rng, 200) for _ in range(100)]
    for text in texts:
        memory.remember(memory.sample(text))
        assert len(memory) <= 2_000
    copied = [memory.share_seen(memory.sample(text)) for text in texts]
    assert all(share in (0.0, 1.0) for share in copied)  # 0 where the sample is too small
    assert sum(copied) > 50
    assert memory.share_seen(memory.sample(sentence(rng, 200))) == 0.0


def test_a_paragraph_with_a_changed_word_is_taken_out_and_code_is_spared() -> None:
    rng = random.Random(2)
    paragraph, other = sentence(rng, 40), sentence(rng, 40)
    nearly = " ".join([*paragraph.split()[:-1], "changed"])

    def fresh() -> DuplicateFilter:
        duplicates = DuplicateFilter(
            min_width=60, enough=lambda text: len(text) > 20, shingles=ShingleMemory()
        )
        duplicates.check(paragraph)
        return duplicates

    verdict = fresh().check(f"{nearly}\n\n{other}")
    assert verdict.near == (nearly,)
    assert verdict.removed == ()
    assert verdict.text.strip() == other
    assert fresh().check(nearly).reason == "near-repeated-paragraph"
    assert fresh().check(f"{nearly}\n\n{other}", is_code=True).near == ()
