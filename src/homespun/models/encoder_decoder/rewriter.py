"""What reads one text and writes another: a model, or several that write together.

Shape letters: B batch, S read tokens, T written tokens, D width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from homespun.models.cache import KeyValueCache
from homespun.models.encoder_decoder.attention import KeysValues
from homespun.models.encoder_decoder.copying import CopySource
from homespun.models.encoder_decoder.nearest import KnownTokens


class Remembered(NamedTuple):
    """What a writer keeps of the text that was read.

    Attributes:
        layers: keys and values, a layer each.
        bias_BTS: -inf at padding, (B, 1, S); None where there is none.
        copies: what can be copied; None where the model does not copy.
        known: tokens of texts that are known; None where there are none.
        parts: what each of several writers keeps; empty of one alone.
    """

    layers: tuple[KeysValues, ...] = ()
    bias_BTS: Tensor | None = None
    copies: CopySource | None = None
    known: KnownTokens | None = None
    parts: tuple[Remembered, ...] = ()

    def rows(self, chosen_B: Tensor) -> Remembered:
        """Those of some rows, in that order."""
        bias_BTS = None if self.bias_BTS is None else self.bias_BTS[chosen_B]
        copies = None if self.copies is None else self.copies.rows(chosen_B)
        known = None if self.known is None else self.known.rows(chosen_B)
        layers = tuple(layer.rows(chosen_B) for layer in self.layers)
        parts = tuple(part.rows(chosen_B) for part in self.parts)
        return Remembered(layers, bias_BTS, copies, known, parts)


class Rewriter(nn.Module, ABC):
    """Reads a text as a whole and writes another, token by token.

    Attributes:
        context: longest text of either side.
        knows: gives the known tokens that help to write from texts, of their ids (B, S) and which
            of them are tokens; None, as in training, where none are. Set it on a model that has
            learned.
    """

    context: int
    knows: Callable[[Tensor, Tensor | None], KnownTokens] | None = None

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers of a hidden state, D."""

    @property
    @abstractmethod
    def num_words(self) -> int:
        """Words that are scored, V."""

    @property
    @abstractmethod
    def num_writer_layers(self) -> int:
        """Layers that put keys and values into a cache."""

    @abstractmethod
    def read_alone(self, ids_BS: Tensor, is_token_BS: Tensor | None = None) -> Remembered:
        """What `decode` needs of a text, without what is known beside it.

        Args:
            ids_BS: token ids.
            is_token_BS: bool, False where a row is filled up; None where no row is.

        Raises:
            RequestError: more tokens than the context holds.
        """

    @abstractmethod
    def decode(
        self, ids_BT: Tensor, read: Remembered, cache: KeyValueCache | None = None
    ) -> Tensor:
        """Hidden states (B, T, D) of the text that is written, in the compute dtype.

        Args:
            ids_BT: its tokens so far, behind those that the cache knows.
            read: of the text that was read.
            cache: keys and values of earlier tokens; new ones are appended, advancing it is the
                caller's affair.

        Raises:
            RequestError: more tokens than the context holds.
        """

    @abstractmethod
    def own_log_probs(self, hidden_BTD: Tensor, read: Remembered) -> Tensor:
        """ln p of every word behind each token, (B, T, V) in float32, without what is known."""

    @abstractmethod
    def looked_at(self, written_BT: Tensor, read: Remembered) -> Tensor:
        """How far each written token looks at each read one, (B, T, S) in float32: attention of the
        last layer, mean of its heads."""

    def read(self, ids_BS: Tensor, is_token_BS: Tensor | None = None) -> Remembered:
        """As `read_alone`, and what is known beside it."""
        read = self.read_alone(ids_BS, is_token_BS)
        if self.knows is None or self.training:
            return read
        return read._replace(known=self.knows(ids_BS, is_token_BS))

    def next_log_probs(self, hidden_BTD: Tensor, read: Remembered) -> Tensor:
        """ln p of every word behind each token, (B, T, V) in float32, copies and what is known
        included."""
        log_probs_BTV = self.own_log_probs(hidden_BTD, read)
        if read.known is None:
            return log_probs_BTV
        return read.known.mixed(log_probs_BTV, hidden_BTD)
