"""A hidden Markov model of running text: what Shannon's and Baum's century had before networks.

States follow one another, and each writes a token. Learned by stepwise expectation-maximisation
(Cappé and Moulines 2009; Liang and Klein 2009): after each batch, expected counts move a little
towards those of the batch, so that a text need not be read whole before anything is learned.

Shape letters: R rows, T tokens of a row, S states, V vocabulary.
"""

from __future__ import annotations

import time
from typing import Self

import numpy as np
from numpy.typing import NDArray

from homespun.core import ConfigError, DataError

Floats = NDArray[np.float32]
_DECAY = 0.65
"""Of the steps' size, `(k + 2) ^ -0.65`: between 0.5 and 1, as convergence asks."""
_FLOOR = 0.02
"""Share of what a state writes that is the whole text's distribution: nothing is impossible."""


class HmmTextModel:
    """Says how likely each token is after those before it.

    Args:
        num_states: S.
        vocab_size: V.
        seed: of the initial states, which are the whole text's distribution, shaken.

    Raises:
        ConfigError: there are fewer than one state or two tokens.
    """

    def __init__(self, num_states: int, vocab_size: int, *, seed: int) -> None:
        if num_states < 1 or vocab_size < 2:
            raise ConfigError(
                "an HMM has a state and two tokens at least",
                got=(num_states, vocab_size),
                remedy="take 64 states",
            )
        self.num_states, self.vocab_size = num_states, vocab_size
        self._draw = np.random.Generator(np.random.PCG64(seed))
        self.next_SS = self._shaken(np.ones((num_states, num_states)))
        self.begin_S = np.full(num_states, 1 / num_states, np.float32)
        self.writes_VS = np.full((vocab_size, num_states), 1 / vocab_size, np.float32)
        self.tokens_read = 0

    def fit(
        self,
        stream: NDArray[np.integer],
        *,
        seconds: float,
        rows: int = 128,
        length: int = 64,
        max_batches: int | None = None,
    ) -> Self:
        """Read pieces of the stream until the time is over.

        Args:
            stream: ids.
            seconds: how long.
            rows, length: of a batch.
            max_batches: an end that does not depend on the clock.

        Raises:
            ConfigError: there is to be no row, or none of two tokens.
            DataError: fewer than two tokens, or an id outside the vocabulary.
        """
        began = time.monotonic()
        if rows < 1 or length < 2:
            raise ConfigError(
                "a batch has a row, of two tokens at least",
                got=(rows, length),
                remedy="take 128 and 64",
            )
        if len(stream) < 2:
            # Of one token nothing follows: how states follow one another could not be counted.
            raise DataError(
                "there is no text to learn from", got=len(stream), remedy="give two tokens or more"
            )
        counts_V = np.bincount(stream, minlength=self.vocab_size).astype(np.float64)
        if len(counts_V) > self.vocab_size:
            raise DataError(
                f"a token id is outside the vocabulary of {self.vocab_size}",
                got=len(counts_V) - 1,
                remedy="use the tokenizer that the text was encoded with",
            )
        plain_V1 = ((counts_V + 0.1) / (counts_V.sum() + 0.1 * self.vocab_size))[:, None]
        noise_VS = self._draw.gamma(1.0, 1.0, (self.vocab_size, self.num_states))
        self.writes_VS = _columns(plain_V1 * noise_VS)
        pair_SS = self.next_SS.astype(np.float64)
        emit_VS = self.writes_VS.astype(np.float64)
        first_S = self.begin_S.astype(np.float64)
        length = min(length, len(stream))
        step = 0
        while (max_batches is None or step < max_batches) and time.monotonic() - began < seconds:
            starts = self._draw.integers(0, len(stream) - length + 1, rows)
            ids_RT = np.stack([stream[start : start + length] for start in starts]).astype(np.int64)
            expected = self.expected(ids_RT)
            size = (step + 2) ** -_DECAY
            for kept, found in zip((first_S, pair_SS, emit_VS), expected, strict=True):
                kept *= 1 - size
                kept += size * found / found.sum() * self.num_states
            self.begin_S = (first_S / first_S.sum()).astype(np.float32)
            self.next_SS = _rows(pair_SS + 1e-6)
            written_VS = emit_VS / np.maximum(emit_VS.sum(axis=0), 1e-30)
            self.writes_VS = _columns((1 - _FLOOR) * written_VS + _FLOOR * plain_V1)
            self.tokens_read += ids_RT.size
            step += 1
        return self

    def nats(self, ids_RT: NDArray[np.integer], counts_RT: NDArray[np.bool_]) -> float:
        """Summed -ln p of the tokens that count, each after those before it in its row."""
        _, scales_RT = self._forward(ids_RT)
        return float(-np.log(scales_RT)[counts_RT].sum())

    def expected(
        self, ids_RT: NDArray[np.integer]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """How often, in expectation, rows begin in a state (S,), states follow one another (S, S),
        and write tokens (V, S): the forward-backward algorithm, scaled (Rabiner 1989, section V.A).
        """
        R, T = ids_RT.shape
        alpha_TRS, scales_RT = self._forward(ids_RT)
        pair_SS = np.zeros((self.num_states, self.num_states))
        emit_VS = np.zeros((self.vocab_size, self.num_states))
        beta_RS = np.ones((R, self.num_states), np.float32)
        for at in range(T - 1, -1, -1):
            state_RS = alpha_TRS[at] * beta_RS
            np.add.at(emit_VS, ids_RT[:, at], state_RS)
            if at == 0:
                break
            ahead_RS = self.writes_VS[ids_RT[:, at]] * beta_RS / scales_RT[:, at, None]
            pair_SS += self.next_SS * (alpha_TRS[at - 1].T @ ahead_RS)
            beta_RS = ahead_RS @ self.next_SS.T
        return (alpha_TRS[0] * beta_RS).sum(axis=0).astype(np.float64), pair_SS, emit_VS

    def _forward(self, ids_RT: NDArray[np.integer]) -> tuple[Floats, Floats]:
        """Where it is after each token, (T, R, S), and how likely each token was, (R, T)."""
        R, T = ids_RT.shape
        alpha_TRS = np.empty((T, R, self.num_states), np.float32)
        scales_RT = np.empty((R, T), np.float32)
        state_RS = np.broadcast_to(self.begin_S, (R, self.num_states))
        for at in range(T):
            joint_RS = state_RS * self.writes_VS[ids_RT[:, at]]
            total_R = np.maximum(joint_RS.sum(axis=1), 1e-30)
            scales_RT[:, at] = total_R
            alpha_TRS[at] = joint_RS / total_R[:, None]
            state_RS = alpha_TRS[at] @ self.next_SS
        return alpha_TRS, scales_RT

    def _shaken(self, table: NDArray[np.float64]) -> Floats:
        return _rows(table * self._draw.gamma(1.0, 1.0, table.shape))


def _rows(table: NDArray[np.float64]) -> Floats:
    shares: Floats = (table / table.sum(axis=1, keepdims=True)).astype(np.float32)
    return shares


def _columns(table: NDArray[np.float64]) -> Floats:
    shares: Floats = (table / table.sum(axis=0, keepdims=True)).astype(np.float32)
    return shares
