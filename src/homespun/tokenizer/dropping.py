"""Texts cut into other tokens than usual, at random: BPE-dropout.

Provilkov, Emelianenko and Voita 2020 (arXiv 1910.13267): while a model learns, every merge is left
out now and then, so that it reads the same word as `trans·late·d` and as `tr·ans·lated`, and learns
more of what words are made of. What is used afterwards is cut as ever.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HuggingFaceTokenizer

from homespun.core import ConfigError, derive_seed
from homespun.tokenizer.encoders import join_pairs, normalise
from homespun.tokenizer.encoding import ByteLevelTokenizer
from homespun.tokenizer.layout import parse_document, read_token

NUM_CUTS = 8
"""Ways in which a word is cut, from which one is drawn each time it occurs."""
MOST_KEPT = 8_000_000
"""Of the cuts that are remembered, in ids and as much again for each list: some 64 MB, the words of
a language and more. Then all are forgotten: a word is cut the same again."""
_OF_A_LIST = 8  # ids that take as much memory as an empty list


class DroppingEncoder:
    """Encodes with merges left out.

    A character is never cut into bytes where it has a token: of Chinese, three bytes each, that
    would leave nothing to learn from.

    Args:
        tokenizer: of the kind "bpe".
        share: of the merges that are left out, each time one is possible; in [0, 1).
        seed: of all draws.

    Raises:
        ConfigError: the tokenizer has no merges, or the share is out of range.
    """

    def __init__(self, tokenizer: ByteLevelTokenizer, share: float, *, seed: int) -> None:
        if tokenizer.kind != "bpe":
            raise ConfigError(
                "only a tokenizer of merges can leave some out",
                got=tokenizer.kind,
                remedy="take a tokenizer of the kind bpe, or piece_dropout=0",
            )
        if not 0.0 <= share < 1.0:
            raise ConfigError(
                "the share of merges left out lies in [0, 1)", got=share, remedy="take 0.1"
            )
        vocabulary = parse_document(tokenizer.document, where="the tokenizer")
        self._ranks = {pair: place for place, pair in enumerate(vocabulary.merges)}
        self._ids = {token: number for number, token in enumerate(vocabulary.tokens)}
        self._words = HuggingFaceTokenizer.from_str(tokenizer.document).pre_tokenizer
        self._share, self._seed = share, seed
        self._cuts: dict[str, list[list[int]]] = {}
        self._num_kept = 0
        self._characters: dict[str, list[bytes]] = {}

    def encode_batch(self, texts: Sequence[str], *, number: int) -> list[NDArray[np.uint32]]:
        """Ids of each text, a function of the texts, the seed and `number`, by which the same texts
        are cut otherwise. They decode to the text."""
        draw = random.Random(derive_seed(self._seed, "cuts", number))
        found = []
        for text in texts:
            ids: list[int] = []
            for word, _ in self._words.pre_tokenize_str(normalise(text)):
                cuts = self._cuts.get(word)
                if cuts is None:
                    cuts = self._some_cuts(word)
                    self._keep(word, cuts)
                ids += cuts[int(draw.random() * NUM_CUTS)]
            found.append(np.array(ids, dtype=np.uint32))
        return found

    def _keep(self, word: str, cuts: list[list[int]]) -> None:
        self._num_kept += sum(_OF_A_LIST + len(ids) for ids in cuts)
        if self._num_kept > MOST_KEPT:
            self._cuts, self._num_kept = {}, 0
            return
        self._cuts[word] = cuts

    def _some_cuts(self, written: str) -> list[list[int]]:
        """Of a word as the file writes it."""
        word = read_token(written)
        draw = random.Random(zlib.crc32(word) ^ self._seed)
        parts = [part for letter in word.decode("utf-8") for part in self._tokens_of(letter)]
        ids = self._ids
        cuts = [
            join_pairs(parts, self._ranks, dropped=self._share, draw=draw) for _ in range(NUM_CUTS)
        ]
        return [[ids[part] for part in cut] for cut in cuts]

    def _tokens_of(self, letter: str) -> list[bytes]:
        """One, or bytes where none stands for it."""
        found = self._characters.get(letter)
        if found is None:
            data = letter.encode("utf-8")
            single = [data[at : at + 1] for at in range(len(data))]
            found = self._characters[letter] = join_pairs(single, self._ranks)
        return found
