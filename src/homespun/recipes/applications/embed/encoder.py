"""An encoder whose vectors are near for texts that belong together, taught or as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from homespun.core import derive_seed
from homespun.recipes.applications.contract import Lesson
from homespun.recipes.applications.embed.task import Partner, Twins, partners
from homespun.recipes.applications.neural import (
    Base,
    Begun,
    EncoderLearning,
    chosen_settings,
    load_base,
    load_model,
    save_base,
    save_weights,
    scored,
)

if TYPE_CHECKING:
    from homespun.models.heads import TextEmbedder

_LONGEST = 256
_MOST_AT_ONCE = 512
"""Held-out pairs that the loss is measured on together: it grows with their number."""


class EmbedEncoder(EncoderLearning[Twins, Partner]):
    """Sentence-BERT with the other pairs of a batch as what is to be told apart."""

    name = "encoder"
    summary = (
        "An encoder taught by telling pairs apart: wants --base MiniLM, and thousands of pairs."
    )
    options: ClassVar[Mapping[str, str]] = {"epochs": "", "rate": "", "tokens": "4096"}

    def texts(self, examples: Sequence[Twins]) -> list[str]:
        return [text for example in examples for text in example]

    def begin(self, lesson: Lesson[Twins], base: Base) -> Begun:
        from homespun.training import ContrastiveObjective
        from homespun.training.data.twins import TwinBatches, twin_batch

        save_base(lesson.folder, base)
        learned = LearnedEmbedder.new(base)
        settings = chosen_settings(base, lesson.options)
        source = TwinBatches(
            learned.ids(lesson.train),
            tokens=settings.batch_tokens,
            seed=derive_seed(lesson.seed, "order"),
            context=base.config.context,
        )
        held_out = twin_batch(learned.ids(lesson.dev[:_MOST_AT_ONCE]))

        def evaluate(model: Any, step: int) -> Mapping[str, Any]:
            output = ContrastiveObjective().loss(model, held_out)
            return {"loss": float(output.loss_sum) / output.num_targets, "split": "validation"}

        return Begun(learned, ContrastiveObjective(), source, evaluate, settings)

    def load(self, folder: Path) -> LearnedEmbedder:
        base, _ = load_base(folder)
        learned = LearnedEmbedder.new(base)
        load_model(learned.model, folder)
        return learned


class Untaught(EmbedEncoder):
    """The encoder as it came: what teaching must improve on."""

    name = "untaught"
    summary = "The encoder as it came."
    needs_base = True
    options: ClassVar[Mapping[str, str]] = {}

    def learn(self, lesson: Lesson[Twins]) -> LearnedEmbedder:
        base = self.base(lesson)
        save_base(lesson.folder, base)
        learned = LearnedEmbedder.new(base)
        save_weights(learned.model, lesson.folder)
        return learned


class LearnedEmbedder:
    """Vectors by a `TextEmbedder`.

    Args:
        model: on an encoder.
        base: its tokenizer and shape.
        longest: tokens that are read of a text, marks included; the context at most.

    Attributes:
        tokenizer: the encoder's.
        longest: as above.
        width: numbers of a vector.
    """

    def __init__(self, model: TextEmbedder, base: Base, *, longest: int = _LONGEST) -> None:
        self.model = model
        self.tokenizer = base.tokenizer
        self.longest = min(longest, base.config.context)
        self.width = base.config.width

    @classmethod
    def new(cls, base: Base, *, longest: int = _LONGEST) -> LearnedEmbedder:
        from homespun.models.heads import TextEmbedder

        return cls(TextEmbedder(base.encoder).eval(), base, longest=longest)

    def ids(self, pairs: Sequence[Twins]) -> list[tuple[list[int], list[int]]]:
        """Of both texts, cut to what is read."""
        encode = self.tokenizer.encode_batch
        first = encode([pair.first for pair in pairs], most=self.longest)
        second = encode([pair.second for pair in pairs], most=self.longest)
        return [(a.ids, b.ids) for a, b in zip(first, second, strict=True)]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D), rows of length 1; of a text longer than `longest` its beginning counts."""
        pieces = self.tokenizer.encode_batch(list(texts), most=self.longest)
        return self.vectors([piece.ids for piece in pieces])

    def vectors(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """(N, D) of texts as tokens, marks included, each `longest` at most."""
        from homespun.training import Example

        rows = scored(self.model, [Example(list(one), 0) for one in ids])
        return np.array(rows, dtype=np.float32).reshape(len(ids), self.width)

    def num_longer(self, texts: Sequence[str]) -> int:
        """How many texts are not read to their end."""
        pieces = self.tokenizer.encode_batch(list(texts))
        return sum(len(piece.ids) > self.longest for piece in pieces)

    def answer(self, examples: Sequence[Twins]) -> list[Partner]:
        first_ND = self.embed([example.first for example in examples])
        second_ND = self.embed([example.second for example in examples])
        return partners(examples, first_ND @ second_ND.T)
