"""An encoder whose vectors are near for texts that belong together, taught or as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from homespun.core import DataError, derive_seed
from homespun.recipes.applications.contract import NOT_NEEDED, Lesson
from homespun.recipes.applications.embed.pooling import POOLINGS, Reading, reading_of
from homespun.recipes.applications.embed.task import Partner, Twins, partners
from homespun.recipes.applications.neural import (
    Base,
    Begun,
    EncoderLearning,
    chosen_settings,
    in_batches,
    load_base,
    load_model,
    save_base,
    save_weights,
)

if TYPE_CHECKING:
    from torch import Tensor

    from homespun.models.heads import TextEmbedder
    from homespun.training import Evaluate

_ROWS = 256
"""Texts that are held against all others at once."""
_MOST_AT_ONCE = 512
"""Held-out pairs that are told from one another to measure the loss, which grows with their
number."""


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
        from homespun.training.data.twins import TwinBatches

        learned = _begun(lesson, base)
        settings = chosen_settings(base, lesson.options)
        source = TwinBatches(
            learned.ids(lesson.train),
            tokens=settings.batch_tokens,
            seed=derive_seed(lesson.seed, "order"),
            context=base.config.context,
        )
        evaluate = pairs_loss(learned.ids(lesson.dev[:_MOST_AT_ONCE]), width=learned.width)
        return Begun(learned, ContrastiveObjective(), source, evaluate, settings)

    def load(self, folder: Path) -> LearnedEmbedder:
        base, told = load_base(folder)
        pooling, longest = told.get("pooling", "mean"), told.get("longest", 256)
        if pooling not in POOLINGS or type(longest) is not int or longest < 3:
            raise DataError(f"{folder} does not say how it reads", remedy="learn the task again")
        learned = LearnedEmbedder.new(base, Reading(pooling, longest))
        load_model(learned.model, folder)
        return learned


class Untaught(EmbedEncoder):
    """The encoder as it came: what teaching must improve on."""

    name = "untaught"
    summary = "The encoder as it came."
    needs_base = True
    takes_time = False
    held_out = NOT_NEEDED
    held_out_few = ""
    options: ClassVar[Mapping[str, str]] = {}

    def learn(self, lesson: Lesson[Twins]) -> LearnedEmbedder:
        base = self.base(lesson)
        learned = _begun(lesson, base)
        save_weights(learned.model, lesson.folder)
        load_model(learned.model, lesson.folder)
        return learned


def _begun(lesson: Lesson[Twins], base: Base) -> LearnedEmbedder:
    """Its shape, tokenizer and way of reading are kept."""
    reading = Reading() if lesson.base is None else reading_of(lesson.base)
    save_base(lesson.folder, base, **reading._asdict())
    return LearnedEmbedder.new(base, reading)


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

    def __init__(self, model: TextEmbedder, base: Base, *, longest: int) -> None:
        self.model = model
        self.tokenizer = base.tokenizer
        self.longest = min(longest, base.config.context)
        self.width = base.config.width

    @classmethod
    def new(cls, base: Base, reading: Reading) -> LearnedEmbedder:
        from homespun.models.heads import TextEmbedder

        model = TextEmbedder(base.encoder, pooling=reading.pooling).eval()
        return cls(model, base, longest=reading.longest)

    def ids(self, pairs: Sequence[Twins]) -> list[tuple[list[int], list[int]]]:
        """Of both texts, cut to what is read."""
        first, _ = self.read([pair.first for pair in pairs])
        second, _ = self.read([pair.second for pair in pairs])
        return list(zip(first, second, strict=True))

    def read(self, texts: Sequence[str]) -> tuple[list[list[int]], int]:
        """Texts as tokens, marks included, and how many of them are longer than what is read: of
        these the beginning."""
        whole = [piece.ids for piece in self.tokenizer.encode_batch(list(texts))]
        last = self.longest - 1
        num_cut = sum(len(ids) > self.longest for ids in whole)
        cut = [ids if len(ids) <= last + 1 else [*ids[:last], ids[-1]] for ids in whole]
        return cut, num_cut

    @property
    def most(self) -> str:
        return f"{self.longest} tokens of a text"

    @property
    def room(self) -> int:
        """Tokens of a text that is put together from sentences, marks left out, so that all of it
        is read; a few are spared, since a sentence among others may have one more than alone."""
        return max(1, self.longest - 2 - self.longest // 32)

    def places(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Where the tokens of each text stand, marks left out, from … up to in code points."""
        return [piece.offsets[1:-1] for piece in self.tokenizer.encode_batch(list(texts))]

    def are_cut(self, examples: Sequence[Twins]) -> list[bool]:
        sides = [self.tokenizer.encode_batch([one[at] for one in examples]) for at in (0, 1)]
        return [
            max(len(first.ids), len(second.ids)) > self.longest
            for first, second in zip(*sides, strict=True)
        ]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D), rows of length 1."""
        return self.vectors(self.read(texts)[0])

    def vectors(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """(N, D) of texts as tokens, as `read` gives them."""
        found_ND: NDArray[np.float32] = vectors_of(self.model, ids, width=self.width).numpy()
        return found_ND

    def answer(self, examples: Sequence[Twins]) -> list[Partner]:
        first_ND = self.embed([example.first for example in examples])
        second_ND = self.embed([example.second for example in examples])
        starts = range(0, len(first_ND), _ROWS)
        blocks = (first_ND[start : start + _ROWS] @ second_ND.T for start in starts)
        return partners(examples, chain.from_iterable(blocks))


def vectors_of(model: Any, ids: Sequence[Sequence[int]], *, width: int) -> Tensor:
    """(N, D) in float32 on the CPU, rows of length 1, of texts as tokens: in batches of about as
    many tokens, however many texts there are, and without gradients.

    Args:
        model: a `TextEmbedder`.
        ids: of each text, marks included.
        width: numbers of a vector.
    """
    import torch

    from homespun.models import device_of
    from homespun.training import Example, example_batch

    found_ND = torch.zeros(len(ids), width)
    device = device_of(model)
    with torch.no_grad():
        for numbers in in_batches(ids, len):
            batch = example_batch([Example(list(ids[n]), None) for n in numbers]).to(device)
            vectors_BD = model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
            found_ND[numbers] = vectors_BD.float().cpu()
    return found_ND


def pairs_loss(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], *, width: int) -> Evaluate:
    """What `train` calls: the loss of `ContrastiveObjective` a pair, each told from all others. The
    encoder never reads them all at once, which of long texts would take gigabytes.

    Args:
        pairs: ids of both texts.
        width: numbers of a vector.
    """
    from homespun.training.data.twins import share_texts

    same_BB = share_texts(pairs)

    def evaluate(model: Any, step: int) -> Mapping[str, Any]:
        first_BD, second_BD = (
            vectors_of(model, [pair[side] for pair in pairs], width=width) for side in (0, 1)
        )
        loss = float(model.loss_sum(first_BD, second_BD, same_BB)) / len(pairs)
        return {"loss": loss, "split": "validation"}

    return evaluate
