"""Vectors of words: learned from a text, judged on what people said of words, drawn."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from homespun.core import DataError, Progress, Silent
from homespun.core.files import read_json, typed, write_json, write_text
from homespun.core.machine import num_cores
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
    from homespun.classic.vectors import Word2Vec, WordVectors
    from homespun.classic.vectors.glove import GloVe

PICTURE_FILE = "words.svg"
_SHOWN, _PASSED_OVER = 60, 100
"""Words of a picture: the most frequent ones behind so many, which are mostly grammar."""


class WordsAsk(TextAsk):
    """What is to be learned.

    Attributes:
        method: skip-gram or CBOW (word2vec), or GloVe.
        dim: width of a vector.
        window: neighbours to each side; None for the method's own.
        epochs: passes; None for the method's own.
        min_count: rarer words get no vector.
        segmenter: what `finetune segment` left, for Chinese words; None: each character is one.
        threads: 1 gives the same vectors every time; more are faster and do not.
        seed: of every draw.
    """

    method: Literal["skipgram", "cbow", "glove"] = "skipgram"
    dim: int = 100
    window: int | None = None
    epochs: int | None = None
    min_count: int = 5
    threads: int = 1


def learn_words(ask: WordsAsk, out: Path, *, progress: Progress | None = None) -> dict[str, Any]:
    """Learn, and write `out`: vectors.safetensors, words.json, words.txt in word2vec's format, a
    picture and a card, which is returned. Called again, it returns the card.

    Raises:
        ConfigError: a setting is out of range. DataError: the texts cannot be used. RunError: the
            folder holds something else.
    """
    from homespun.classic.vectors import encode_sentences, text_sentences

    progress = progress or Silent()
    ask = settled(ask)
    cut = cut_by(segmenter_of(ask.segmenter))
    learner = _learner(ask)
    with asked_folder(out, ask, what="words"):
        if (out / CARD_FILE).is_file():
            card: dict[str, Any] = read_json(out / CARD_FILE)
            return card
        ensure_text(out, ask, progress=progress)
        task = progress.task("reading words")
        text = encode_sentences(
            (
                sentence
                for document in texts_in(out, "train")
                for sentence in text_sentences(document, cut)
            ),
            min_count=ask.min_count,
        )
        task.finish(f"{text.num_words:,} words, {len(text.vocabulary):,} of them different")
        task = progress.task(f"learning vectors by {ask.method}")
        begun = time.monotonic()
        vectors = learner.fit_encoded(text).vectors_
        seconds = time.monotonic() - begun
        task.finish()
        vectors.save(out)
        vectors.save_text(out / "words.txt")
        words = vectors.words[_PASSED_OVER : _PASSED_OVER + _SHOWN] or vectors.words[:_SHOWN]
        write_text(out / PICTURE_FILE, draw_words(vectors, words))
        card = {
            "format": 1,
            "method": ask.method,
            "words": len(vectors),
            "read": text.num_words,
            "dim": ask.dim,
            "seconds": seconds,
            "near": {word: vectors.nearest(word, 5) for word in words[:5]},
        }
        write_text(out / README_FILE, _readme(out.name, ask, card))
        write_json(out / CARD_FILE, card)
        return card


def open_words(folder: Path) -> WordVectors:
    """What `learn_words` left, or a file in word2vec's or GloVe's text format.

    Raises:
        DataError: there are no vectors.
    """
    from homespun.classic.vectors import WordVectors

    if not folder.is_dir():
        return WordVectors.load_text(folder)
    if not (folder / "words.json").is_file():
        raise DataError(
            f"there are no word vectors in {folder}",
            remedy="make some with `homespun words learn TEXT --out FOLDER`",
        )
    return WordVectors.load(folder)


def judge_words(
    vectors: WordVectors, *, pairs: Sequence[Path] = (), analogies: Sequence[Path] = ()
) -> list[dict[str, Any]]:
    """A row a file: Spearman's rho on pairs of words that people compared, or the share of
    analogies that are right, and how much of the file the vectors know.

    Raises:
        DataError: a file cannot be read.
    """
    from homespun.classic.vectors import (
        read_analogies,
        read_word_pairs,
        score_analogies,
        score_word_pairs,
    )

    rows: list[dict[str, Any]] = []
    for path in pairs:
        found = score_word_pairs(vectors, read_word_pairs(path))
        rows.append(
            {
                "file": path.name,
                "measure": "Spearman's rho",
                "value": found.rho,
                "known": found.num_covered,
                "num": found.num_pairs,
            }
        )
    for path in analogies:
        score = score_analogies(vectors, read_analogies(path))
        rows.append(
            {
                "file": path.name,
                "measure": "analogies right",
                "value": score.accuracy,
                "known": score.num_covered,
                "num": score.num_questions,
            }
        )
    return rows


def draw_words(vectors: WordVectors, words: Sequence[str]) -> str:
    """An SVG of words where they differ most. Raises RequestError where one has no vector."""
    from homespun.reports.words import draw_words as draw

    return draw(words, vectors.picture(words))


def _learner(ask: WordsAsk) -> Word2Vec | GloVe:
    from homespun.classic.vectors import GloVe, Word2Vec

    own: dict[str, Any] = {
        name: value
        for name, value in (("window", ask.window), ("epochs", ask.epochs))
        if value is not None
    }
    own |= {
        "min_count": ask.min_count,
        "seed": ask.seed,
        "num_threads": min(ask.threads, num_cores()),
    }
    if ask.method == "glove":
        return GloVe(ask.dim, x_max=10.0, subsample=None, **own)
    return Word2Vec(ask.dim, kind=ask.method, **own)


def _readme(name: str, ask: WordsAsk, card: dict[str, Any]) -> str:
    near = "\n".join(
        f"| {word} | {', '.join(other for other, _ in others)} |"
        for word, others in card["near"].items()
    )
    return f"""# words: {name}

{card["words"]:,} vectors of width {card["dim"]}, learned by {ask.method} from the {card["read"]:,}
words of `{Path(ask.source).name}` in {card["seconds"]:,.0f} seconds, seed {ask.seed}.

| word | nearest |
|---|---|
{near}

`words.svg` shows some of them, `words.txt` is in word2vec's text format.

## Use it

`homespun words near {typed(name)} WORD`, `homespun words analogy {typed(name)} A B C`,
`homespun words judge {typed(name)} --pairs wordsim353.tsv`.

## What to mind

Which words stand near one another is what the text says of them, prejudices included.
"""
