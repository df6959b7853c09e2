"""A pretrained encoder-decoder that goes on learning from a user's pairs."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from homespun.core import DataError
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.neural import (
    FitSettings,
    read_option,
    train_config,
)
from homespun.recipes.applications.translate.recall import REMEMBERING, recall_of
from homespun.recipes.applications.translate.task import Pair
from homespun.recipes.applications.translate.writer import (
    WRITING,
    PairWriter,
    WriterMethod,
    finish,
    save_writer,
    teach,
    teaching,
    writing_settings,
)

if TYPE_CHECKING:
    from homespun.core import Tokenizer
    from homespun.models import T5Marks
    from homespun.tokenizer import ByteLevelTokenizer, ImportedTokenizer
    from homespun.training import PairBatches, TrainConfig, TurnBatches

_T5_RATE, _OWN_RATE = 3e-4, 1e-3
_MOST_UNKNOWN = 0.05
"""Share of unknown tokens among those to be written from which on nothing good can come."""


class T5Method(WriterMethod):
    """T5, T5 1.1 or mT5 with its own tokenizer (Raffel et al. 2020, arXiv 1910.10683), or what
    `homespun encoder-decoder` left.

    A few gentle passes by AdamW at 3e-4, the usual rate of this family; at 1e-3 for one of one's
    own, which is smaller and has seen less.
    """

    name = "t5"
    needs_base = takes_base = True
    base_kind = "encoder-decoder"
    summary = "A pretrained T5 or mT5, or an encoder-decoder of one's own, that goes on learning."
    options: ClassVar[Mapping[str, str]] = {
        "prefix": "",
        "context": "256",
        "tokens": "2048",
        "epochs": "4",
        "rate": "",
        "dropout": "0.1",
        "smoothing": "0",
        "agreement": "0",
        **REMEMBERING,
        **WRITING,
    }

    def learn(self, lesson: Lesson[Pair]) -> PairWriter:
        from homespun.models import is_own_writer, load_weights, read_encoder_decoder

        assert lesson.base is not None  # it needs one
        options = lesson.options
        context = read_option(options, "context", int, low=8, high=1 << 16)
        how = teaching(options)
        is_own = is_own_writer(lesson.base)
        rate = _OWN_RATE if is_own else _T5_RATE
        if options["rate"]:
            rate = read_option(options, "rate", float, low=1e-7, high=1.0)
        settings = FitSettings(
            epochs=read_option(options, "epochs", float, low=0.01, high=100_000),
            learning_rate=rate,
        )
        dropout = read_option(options, "dropout", float, low=0.0, high=0.9)
        config, weights = read_encoder_decoder(lesson.base, context=context)
        config = config.model_copy(update={"dropout": dropout})
        tokenizer, marks = _tokenizer(lesson.base, config.vocab_size, is_own=is_own)
        _check_written(tokenizer, [pair.targets[0] for pair in lesson.train], lesson.base)
        record = {
            **writing_settings(options),
            **marks._asdict(),
            "prefix": unicodedata.normalize("NFC", options["prefix"]),
        }
        model = config.empty()
        load_weights(model, weights, where=str(lesson.base))
        recall = recall_of(lesson)
        tokenizer.save(lesson.folder)
        save_writer(lesson.folder, config.model_dump(mode="json"), record, recall)
        writer = PairWriter(model.eval(), tokenizer, record, recall)

        def plan(source: PairBatches | TurnBatches) -> TrainConfig:
            return train_config(source, lesson, settings)

        teach(writer, lesson, how, plan=plan)
        finish(writer, lesson, how)
        return writer


def _tokenizer(
    folder: Path, vocab_size: int, *, is_own: bool
) -> tuple[ImportedTokenizer | ByteLevelTokenizer, T5Marks]:
    """The model's own, and what writing begins and ends with. Raises DataError where it is none, or
    of another model."""
    from homespun.models import T5Marks, read_t5_marks
    from homespun.tokenizer import ImportedTokenizer, load_tokenizer, read_tokenizer_files

    tokenizer: ImportedTokenizer | ByteLevelTokenizer
    if is_own:
        tokenizer = load_tokenizer(folder)
        marks = T5Marks(tokenizer.end_of_text_id, tokenizer.end_of_text_id)
    else:
        files = read_tokenizer_files(folder)
        tokenizer = ImportedTokenizer(
            files.document, marks=files.marks, roles=files.roles, where=f"the tokenizer in {folder}"
        )
        marks = read_t5_marks(folder)
    if tokenizer.vocab_size > vocab_size:
        raise DataError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} ids and the model knows "
            f"{vocab_size}",
            remedy="fetch the model again: its files do not belong together",
        )
    return tokenizer, marks


def _check_written(tokenizer: Tokenizer, texts: Sequence[str], folder: Path) -> None:
    """Raises DataError where the model has no words for what it is to write."""
    # Marks are never made of text: what has no bytes is a character that no piece has.
    rows = tokenizer.encode_batch(texts)
    num = sum(len(row) for row in rows)
    unknown = sum(not tokenizer.token_bytes(int(index)) for row in rows for index in row)
    if unknown > _MOST_UNKNOWN * num:
        raise DataError(
            f"{folder} cannot write these texts: its tokenizer knows no pieces for many characters",
            got=f"{unknown / num:.0%} unknown tokens",
            remedy="choose a model of that language, as mT5 is of 101",
        )
