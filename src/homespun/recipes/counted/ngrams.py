"""Kneser-Ney models of a text of one's own, and of ARPA files from elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from homespun.core import BudgetError, DataError, Progress, Silent, perplexity_of
from homespun.core.files import read_json, text_error, typed, write_json, write_text
from homespun.core.machine import available_memory
from homespun.core.text import nfc
from homespun.recipes.counted.begun import (
    CARD_FILE,
    README_FILE,
    TextAsk,
    asked_folder,
    cut_by,
    ensure_text,
    segmenter_of,
    settled,
    texts_in,
)

if TYPE_CHECKING:
    from homespun.classic import KneserNeyModel

ARPA_FILE = "model.arpa"
_BYTES = 30
"""Of memory that counting takes for each token and each order: 140 at order 5, and the tokens."""
_FOREIGN = 0.002
"""Share of an ARPA file's words from which on it was not cut into words as texts are here: our own
has but a stray one, others' have capitals, or what is joined by marks, as don't and 3.5."""


def _compile(pattern: str) -> Any:
    return regex.compile(pattern)  # type: ignore[no-untyped-call]


_HAN, _RUNS = _compile(r"\p{Han}"), _compile(r"(\p{Han}+)")
_HAN_LINE_ENDS = _compile(r"(?<=\p{Han})\n(?=\p{Han})")
_LINE_ENDS = _compile(r"(?<!\n)\n(?!\n)")


class NgramsAsk(TextAsk):
    """What is to be learned.

    Attributes:
        order: longest n-gram.
        min_count: rarer words are `<unk>`; 2 lets the model know that there are such.
        segmenter: what `finetune segment` left, for Chinese words; None: each character is one.
        seed: of the division.
    """

    order: int = 5
    min_count: int = 2


def learn_ngrams(ask: NgramsAsk, out: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Count, and write `out`: model.arpa and a card with what it says of held-out text, which is
    returned. Called again, it returns the card.

    Raises:
        ConfigError: a setting is out of range. DataError: the texts cannot be used. RunError: the
            folder holds something else. BudgetError: counting takes more memory than there is.
    """
    from homespun.classic import KneserNeyModel

    progress = progress or Silent()
    ask = settled(ask)
    split = _words_by(ask.segmenter)
    model = KneserNeyModel(order=ask.order, min_count=ask.min_count, split=split)
    with asked_folder(out, ask, what="ngrams"):
        if (out / CARD_FILE).is_file():
            card: dict[str, Any] = read_json(out / CARD_FILE)
            return card
        ensure_text(out, ask, progress=progress)
        task = progress.task(f"counting n-grams of up to {ask.order} words")
        begun = time.monotonic()
        model.fit(
            _sentences(texts_in(out, "train")),
            before_counting=lambda num_tokens: _check_memory(ask.order, num_tokens),
        )
        seconds = time.monotonic() - begun
        task.finish(f"{sum(model.num_ngrams):,} n-grams")
        model.write_arpa(out / ARPA_FILE)
        shorter = KneserNeyModel(order=1, min_count=ask.min_count, split=split)
        shorter.fit(_sentences(texts_in(out, "train")))
        held_out = list(_sentences(texts_in(out, "validation")))
        card = {
            "format": 1,
            "order": ask.order,
            "words": len(model.vocabulary) - 3,  # without its marks
            "ngrams": list(model.num_ngrams),
            "seconds": seconds,
            "held_out": scored(model, held_out),
            "by_frequency": scored(shorter, held_out),
        }
        write_text(out / README_FILE, _readme(out.name, ask, card))
        write_json(out / CARD_FILE, card)
        return card


def _check_memory(order: int, num_tokens: int) -> None:
    """Before n-grams are counted, which the system would end without a word.

    Raises:
        BudgetError: they take more memory than is free.
    """
    from homespun.recipes.scale.room import size_text

    need, free = order * num_tokens * _BYTES, available_memory().free
    if need > free:
        raise BudgetError(
            f"counting n-grams of up to {order} words of this text needs about {size_text(need)} "
            f"of memory, and {size_text(free)} are free",
            got=f"{num_tokens:,} words, marks and ends of sentences",
            remedy="take a lower --order and another --out, or a part of the text",
        )


def open_ngrams(path: Path, *, blanks: bool = False) -> KneserNeyModel:
    """What `learn_ngrams` left in a folder, or any ARPA file.

    Args:
        blanks: texts are read as KenLM and SRILM do: a line is a sentence, its words stand between
            blanks. So they are, too, where the words of an ARPA file say that it was made so.

    Raises:
        DataError: it is neither.
    """
    from homespun.classic import KneserNeyModel
    from homespun.classic.kneser_ney import words_between_blanks

    asked = (path.parent if path.name == ARPA_FILE else path) / "asked.json"
    if path.is_dir() and not ((path / ARPA_FILE).is_file() and asked.is_file()):
        raise DataError(
            f"there is no n-gram model in {path}",
            remedy="make one with `homespun ngrams learn TEXT --out FOLDER`",
        )
    model = KneserNeyModel.read_arpa(path / ARPA_FILE if path.is_dir() else path)
    if asked.is_file():
        model.split = _words_by(read_json(asked).get("segmenter"))
    elif _is_foreign(model.vocabulary.words):
        blanks = True
    if blanks:
        model.split = words_between_blanks
    return model


def reads_lines(model: KneserNeyModel) -> bool:
    """Whether a line is a sentence to it, and words stand between blanks."""
    from homespun.classic.kneser_ney import words_between_blanks

    return model.split is words_between_blanks


def _is_foreign(words: Sequence[str]) -> bool:
    """Whether texts were cut into such words otherwise than here."""
    from homespun.classic.kneser_ney import words_and_marks
    from homespun.classic.kneser_ney.vocabulary import MARKS

    own = [word for word in words if word not in MARKS]
    return sum(words_and_marks(word) != [word] for word in own) > _FOREIGN * len(own)


def score_file(model: KneserNeyModel, path: Path) -> dict[str, Any]:
    """What the model says of the sentences of a text file, see `scored`.

    Raises:
        DataError: it is no UTF-8 text, or says nothing.
    """
    try:
        text = nfc(path.read_text("utf-8-sig"))  # as what was counted
    except (OSError, UnicodeDecodeError) as error:
        raise text_error(error, path) from error
    lines = (line for line in text.split("\n") if line.strip())
    return scored(model, list(lines if reads_lines(model) else _sentences([text])))


def scored(model: KneserNeyModel, sentences: list[str]) -> dict[str, Any]:
    """Perplexity of a word, ends of sentences among them; how many of them the model does not know;
    and the perplexity without those, which models of other vocabularies can be compared by no
    better.

    Raises:
        DataError: there are no sentences.
    """
    from homespun.classic.kneser_ney.vocabulary import START_ID, UNKNOWN_ID

    if not sentences:
        raise DataError("there is no text to score", remedy="give at least one sentence")
    stream = model.vocabulary.stream(model.words_of(sentence) for sentence in sentences)
    scores = model.stream_log_probs(stream)
    # The end of a sentence is always known.
    is_word, is_known = stream != START_ID, (stream != START_ID) & (stream != UNKNOWN_ID)
    return {
        "perplexity": perplexity_of(-float(np.mean(scores[is_word]))),
        "known_perplexity": perplexity_of(-float(np.mean(scores[is_known]))),
        "words": int(is_word.sum()),
        "unknown": int(is_word.sum() - is_known.sum()),
    }


def _words_by(segmenter: str | None) -> Callable[[str], list[str]]:
    from homespun.classic.kneser_ney import words_and_marks

    cut = cut_by(segmenter_of(segmenter))
    if cut is None:
        return words_and_marks

    def words(sentence: str) -> list[str]:
        found: list[str] = []
        for part in _RUNS.split(sentence):
            found += cut(part) if _HAN.match(part) else words_and_marks(part)
        return found

    return words


def _sentences(texts: Iterable[str]) -> Iterator[str]:
    """A single line end is where a line was full, and ends no sentence."""
    from homespun.classic.extracts.sentences import sentences_of

    for text in texts:
        joined: str = _LINE_ENDS.sub(" ", _HAN_LINE_ENDS.sub("", text))
        yield from sentences_of(joined)


def _readme(name: str, ask: NgramsAsk, card: dict[str, Any]) -> str:
    mine, others = card["held_out"], card["by_frequency"]
    return f"""# ngrams: {name}

Interpolated modified Kneser-Ney of order {ask.order} over {card["words"]:,} words, counted from
`{Path(ask.source).name}` in {card["seconds"]:,.1f} seconds: {sum(card["ngrams"]):,} n-grams.
`model.arpa` is read by KenLM, SRILM and others.

## How good it is

On {mine["words"]:,} words of text it has not counted, {mine["unknown"]:,} of them unknown to it:

| | perplexity | of known words |
|---|---|---|
| this model | {mine["perplexity"]:,.1f} | {mine["known_perplexity"]:,.1f} |
| frequencies alone | {others["perplexity"]:,.1f} | {others["known_perplexity"]:,.1f} |

## Use it

`homespun ngrams score {typed(name)} FILE`,
`homespun ngrams write {typed(name)} --prompt "The river"`.
"""
