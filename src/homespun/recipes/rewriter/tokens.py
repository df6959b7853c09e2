"""Texts as one stream of byte-level tokens, kept while there is work to do.

Shape letters: N tokens of a stream.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError, Progress
from homespun.core.files import atomic_path
from homespun.evaluation.pieces import batched_texts
from homespun.recipes.counted.begun import texts_in
from homespun.recipes.counted.trained import SAMPLE_BYTES, BudgetAsk, usual_vocab_size

if TYPE_CHECKING:
    from homespun.core import Split
    from homespun.tokenizer import ByteLevelTokenizer

_AT_ONCE = 1_000_000
"""Characters that are encoded together."""


class TokenText(NamedTuple):
    """Attributes:
    tokenizer: the folder's.
    train, held_out: streams of (N,) ids, see `token_stream`.
    test: what is judged on; None where there is too little text for a third part.
    """

    tokenizer: ByteLevelTokenizer
    train: NDArray[np.int32]
    held_out: NDArray[np.int32]
    test: NDArray[np.int32] | None


def token_text(out: Path, ask: BudgetAsk, *, context: int, progress: Progress) -> TokenText:
    """The text of `out` by a tokenizer of its own. Both are kept there.

    Raises:
        DataError: there is less text than a row and the token behind it.
    """
    tokenizer = byte_tokenizer(out, ask.vocab_size, seed=ask.seed)

    def stream(split: Split, least: int = context + 2) -> NDArray[np.int32]:
        return token_stream(out, split, tokenizer, least=least, progress=progress)

    test = stream("test", 0)
    is_enough = len(test) >= context + 2
    return TokenText(tokenizer, stream("train"), stream("validation"), test if is_enough else None)


def byte_tokenizer(out: Path, vocab_size: int | None, *, seed: int) -> ByteLevelTokenizer:
    """The folder's, learned from its training text where there is none.

    Args:
        vocab_size: None for what suits the text.
        seed: of the sample it is learned from.
    """
    from homespun.tokenizer import (
        TokenizerConfig,
        load_tokenizer,
        sample_texts,
        train_tokenizer,
    )

    if not (out / "tokenizer.json").is_file():
        sample = sample_texts(texts_in(out, "train"), SAMPLE_BYTES, seed=seed)
        config = TokenizerConfig(vocab_size=vocab_size or usual_vocab_size(out), seed=seed)
        train_tokenizer(sample, config=config).save(out)
    return load_tokenizer(out)


def token_stream(
    out: Path, split: Split, tokenizer: ByteLevelTokenizer, *, least: int, progress: Progress
) -> NDArray[np.int32]:
    """`[end] text [end] text [end]`, (N,).

    Args:
        least: tokens there must be.

    Raises:
        DataError: there are fewer.
    """
    path = out / f"{split}.npy"
    if not path.is_file():
        task = progress.task(f"encoding {split} text")
        end = np.array([tokenizer.end_of_text_id], np.int32)
        parts = [end]
        for some in batched_texts(texts_in(out, split), num_characters=_AT_ONCE):
            for ids in tokenizer.encode_batch(some):
                parts += [np.asarray(ids, np.int32), end]
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, np.concatenate(parts), allow_pickle=False)
        task.finish()
    ids_N: NDArray[np.int32] = np.load(path, allow_pickle=False)
    if len(ids_N) < least:
        raise DataError(
            f"this needs {least} tokens of {split} text at least",
            got=len(ids_N),
            remedy="add text",
        )
    return ids_N
