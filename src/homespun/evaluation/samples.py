"""Text the model writes by itself, from fixed prompts, and what can be counted in it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from homespun.classic import count_han, text_units
from homespun.core import Generator, SamplingSettings, Tokenizer
from homespun.evaluation.together import continue_each

Kind = Literal["docs", "code", "stories", "prose", "zh-prose", "zh-poetry"]

# The empty prompt is the model's free choice: it follows the end-of-text mark alone.
PROMPTS: dict[Kind, tuple[str, ...]] = {
    "docs": ("", "The function returns", "To install", "Note that", "This module", "An example"),
    "code": ("", "def ", "import ", "class ", "    return ", "# "),
    "stories": ("", "Once upon a time", "One day", "The little", '"Mother', "She was"),
    "prose": ("", "It was", '"I do not', "The old man", "In the morning", "She looked"),
    "zh-prose": ("", "他说", "我们", "有一天", "这是", "第二天"),
    "zh-poetry": ("", "春", "明月", "山中", "秋风", "君"),
}

_CODE_LINE = re.compile(
    r"^\s*(def |class |import |from \w+ import|return\b|if .*:$|for .*:$|#include|\}|.*[;{]$)"
)
_DOCS_SIGN = re.compile(r"``|::|`[\w.]+`|\bparameters?\b|\breturns?\b|\bmodule\b|\bfunction\b")
_STORY_SIGN = re.compile(r"\b(once upon|one day|little|mom|mommy|princess|king)\b")


def kind_of_text(texts: Sequence[str], *, num_characters: int = 200_000) -> Kind:
    """Which set of prompts suits a corpus, by simple counts over its first characters.

    Chinese where over 30% of the letters are Han; poetry where its lines hold under 20 characters
    on average. Else code where over 40% of the lines look like it, docs where there are over 8
    signs of reference text per 1000 words, stories over 4 of a child's tale, and prose else.
    """
    beginnings: list[str] = []
    left = num_characters
    for text in texts:
        if left <= 0:
            break
        beginnings.append(text[:left])
        left -= len(text) + 1
    text = "\n".join(beginnings)
    letters = sum(map(str.isalpha, text))
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or not letters:
        return "prose"
    if count_han(text) > 0.3 * letters:
        mean_line = sum(map(len, lines)) / len(lines)
        return "zh-poetry" if mean_line < 20 else "zh-prose"
    if sum(bool(_CODE_LINE.match(line)) for line in lines) > 0.4 * len(lines):
        return "code"
    per_thousand = 1000 / max(1, len(text.split()))
    lowered = text.lower()
    if len(_DOCS_SIGN.findall(lowered)) * per_thousand > 8:
        return "docs"
    return "stories" if len(_STORY_SIGN.findall(lowered)) * per_thousand > 4 else "prose"


def choose_prompts(texts: Sequence[str]) -> tuple[str, ...]:
    """Fixed prompts for a corpus like `texts`; both languages' where it holds both."""
    kind = kind_of_text(texts)
    chinese = [text for text in texts if count_han(text[:2000]) > 0.3 * len(text[:2000])]
    share = sum(map(len, chinese)) / max(1, sum(map(len, texts)))
    if not 0.1 < share < 0.9:
        return PROMPTS[kind]
    known = set(chinese)
    other = kind_of_text([text for text in texts if text not in known])
    both = (PROMPTS[other], PROMPTS[kind_of_text(chinese)][1:])
    return tuple(prompt for prompts in both for prompt in prompts)


def write_samples(
    generator: Generator,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    settings: SamplingSettings,
    num_samples: int,
    deadline: float | None = None,
) -> list[dict[str, Any]]:
    """Continue each prompt in turn, again with the next seed, until `num_samples` or `deadline`.

    Every prompt follows the mark before a text. Sample i has seed `settings.seed + i`. At least one
    is written whatever the deadline; a prompt too long for the model is passed over.

    Returns:
        `{"prompt", "text" (without the prompt), "settings", "tokens", "finish_reason"}` each.
    """
    asked = [prompts[number % len(prompts)] for number in range(num_samples if prompts else 0)]
    start = tokenizer.start_ids or (tokenizer.end_of_text_id,)
    ids = [[*start, *map(int, tokenizer.encode(prompt))] for prompt in asked]
    samples: list[dict[str, Any]] = []
    completions = continue_each(generator, ids, settings, deadline=deadline)
    for number, (prompt, completion) in enumerate(zip(asked, completions, strict=False)):
        if completion is None:
            continue
        own = dataclasses.replace(settings, seed=settings.seed + number)
        samples.append(
            {
                "prompt": prompt,
                "text": completion.text,
                "settings": {**dataclasses.asdict(own), "stop": list(own.stop)},
                "tokens": len(completion.token_ids),
                "finish_reason": completion.finish_reason,
            }
        )
    return samples


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of all `texts` (Li et al. 2016, "distinct-n"); 0 if none.

    Units are words, punctuation marks and single Chinese characters, so that the number does not
    depend on the tokenizer. It falls with the amount of text: compare equal amounts.
    """
    total = 0
    different: set[tuple[str, ...]] = set()
    for text in texts:
        grams = list(_ngrams(text_units(text, punctuation=True), n))
        total += len(grams)
        different.update(grams)
    return len(different) / total if total else 0.0


def has_loop(text: str, *, min_block: int = 4, copies: int = 3) -> bool:
    """Whether a block of at least four units stands three times in a row somewhere in `text`.

    Units as for `distinct`. A shorter block counts once its copies make up such a block: "ha ha"
    loops from twelve on.
    """
    units = text_units(text, punctuation=True)
    for length in range(min_block, len(units) // copies + 1):
        run = 0
        for left, right in zip(units, units[length:], strict=False):
            run = run + 1 if left == right else 0
            if run >= (copies - 1) * length:
                return True
    return False


def diversity(texts: Sequence[str]) -> dict[str, Any]:
    """The "diversity" entry of eval.json; shares are 0 … 1.

    `repeating_samples`: share of samples with a loop (`has_loop`). `broken_characters`: share of
    characters that are U+FFFD, where the model wrote bytes that are not UTF-8.
    """
    characters = sum(map(len, texts))
    return {
        **{f"distinct_{n}": distinct(texts, n) for n in (1, 2, 3)},
        "repeating_samples": sum(map(has_loop, texts)) / len(texts) if texts else 0.0,
        "broken_characters": sum(text.count("\ufffd") for text in texts) / max(1, characters),
        "num_samples": len(texts),
        "num_characters": characters,
    }


def _ngrams(units: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return (tuple(units[start : start + n]) for start in range(len(units) - n + 1))
