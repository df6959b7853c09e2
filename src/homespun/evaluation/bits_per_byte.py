"""Bits per byte: the one measure for all families of models, and how a decoder is given it.

The convention. Every document starts after the end-of-text id and is scored alone: all its tokens
and its own end-of-text id are predicted, and the nats of the end mark count. Bytes are the UTF-8
bytes of the documents. Bits per byte = nats / ln 2 / bytes, whatever the tokenizer.

A document longer than the model's context is read in overlapping windows. Each token is predicted
once; past the first window it sees at least `context - stride` tokens before it. The default
stride, three quarters of the context, costs a third more than none and leaves a quarter as the
least history. A stride of the whole context is quickest and makes scores worse; a stride of 1
gives every token the longest history there is.

Shape letters: B windows of a batch, T tokens, D width, V vocabulary, N predictions.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from homespun.classic.ngram import continued_ids
from homespun.core import DataError, Score, Tokenizer
from homespun.evaluation.pieces import batched_texts

_ROWS_OF_LOGITS = 1024


class ScoredDecoder(Protocol):
    """What is asked of a model here; `models.Decoder` is one."""

    training: bool
    compute_dtype: torch.dtype

    @property
    def context(self) -> int: ...
    def __call__(self, ids_BT: Tensor) -> Tensor: ...
    def head(self, hidden_BTD: Tensor) -> Tensor: ...
    def next_token_loss(self, hidden_BTD: Tensor, targets_BT: Tensor) -> Tensor: ...
    def set_compute_dtype(self, dtype: torch.dtype) -> Any: ...
    def train(self, mode: bool = True) -> Any: ...
    def parameters(self) -> Iterator[Any]: ...


class WindowScores(NamedTuple):
    """Scores of what each window of a document predicts.

    Attributes:
        nats, num_bytes: float64, of equal lengths; in sum those of the document. Where its
            tokens stand for other bytes than its own (Unicode in another form), by their shares.
    """

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DocumentScores:
    """Scores of single documents, in the order given. Fewer than given where time ran out.

    Attributes:
        nats: float64, the end mark included.
        num_bytes: int64, UTF-8.
        num_tokens: int64, predictions: tokens and the end mark.
        windows: of each document, in its order; None where they were not asked for.
    """

    nats: NDArray[np.float64]
    num_bytes: NDArray[np.int64]
    num_tokens: NDArray[np.int64]
    windows: tuple[WindowScores, ...] | None = None

    @property
    def total(self) -> Score:
        return Score(
            nats=float(self.nats.sum()),
            num_bytes=int(self.num_bytes.sum()),
            num_tokens=int(self.num_tokens.sum()),
        )


class Window(NamedTuple):
    """Inputs start … stop-1 of a sequence; the predictions made from `first` on count."""

    start: int
    first: int
    stop: int


def cut_windows(num_inputs: int, *, context: int, stride: int) -> list[Window]:
    """Windows of at most `context` inputs in which every prediction counts exactly once.

    Raises:
        DataError: the stride is not 1 … context.
    """
    if not 1 <= stride <= context:
        raise DataError(
            f"the stride must be 1 to the context of {context}",
            got=stride,
            remedy="leave it out: the default is three quarters of the context",
        )
    windows = [Window(0, 0, min(context, num_inputs))]
    while windows[-1].stop < num_inputs:
        first = windows[-1].stop
        stop = min(first + stride, num_inputs)
        windows.append(Window(max(0, stop - context), first, stop))
    return windows


def default_stride(context: int) -> int:
    return max(1, context - context // 4)


def score_sequences(
    model: ScoredDecoder,
    sequences: Sequence[NDArray[Any]],
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_tokens: int = 4096,
    counted: Sequence[NDArray[np.bool_]] | None = None,
) -> NDArray[np.float64]:
    """Summed nats of ids 1 … of each sequence given those before, each sequence alone; arguments
    as for `score_windows`."""
    scored = score_windows(
        model,
        sequences,
        context=context,
        stride=stride,
        batch_tokens=batch_tokens,
        counted=counted,
    )
    return np.array([sum(nats for _, nats in windows) for windows in scored], dtype=np.float64)


def score_windows(
    model: ScoredDecoder,
    sequences: Sequence[NDArray[Any]],
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_tokens: int = 4096,
    counted: Sequence[NDArray[np.bool_]] | None = None,
) -> list[list[tuple[Window, float]]]:
    """The windows of each sequence with the summed nats of what each predicts.

    Args:
        model: the decoder, used as it is (see `evaluating`).
        sequences: 1-D id arrays of length 2 or more, the first id being the start mark.
        context: inputs of a window; the model's context by default.
        stride: see the top of this file.
        batch_tokens: inputs computed together; bounds memory.
        counted: for each sequence, which of its ids count; same lengths. All by default.
    """
    context = min(context or model.context, model.context)
    stride = default_stride(context) if stride is None else stride
    jobs = [
        (number, window)
        for number, ids in enumerate(sequences)
        for window in cut_windows(len(ids) - 1, context=context, stride=stride)
        # Of a long context with a short continuation most windows have nothing that counts.
        if counted is None or counted[number][window.first + 1 : window.stop + 1].any()
    ]
    # Windows of like length together: right padding is unseen by causal attention but costs time.
    jobs.sort(key=lambda job: job[1].start - job[1].stop)
    scored: list[list[tuple[Window, float]]] = [[] for _ in sequences]
    device = next(iter(model.parameters())).device
    for batch in _batches(jobs, batch_tokens):
        longest = max(window.stop - window.start for _, window in batch)
        ids_BT = np.zeros((len(batch), longest), dtype=np.int64)
        targets_BT = np.zeros((len(batch), longest), dtype=np.int64)
        counts_BT = np.zeros((len(batch), longest), dtype=np.bool_)
        for row, (number, (start, first, stop)) in enumerate(batch):
            ids_BT[row, : stop - start] = sequences[number][start:stop]
            targets_BT[row, : stop - start] = sequences[number][start + 1 : stop + 1]
            counts_BT[row, first - start : stop - start] = (
                True if counted is None else counted[number][first + 1 : stop + 1]
            )
        rows_N, _ = np.nonzero(counts_BT)
        nats_N = _nats(model, ids_BT, targets_BT, counts_BT, device)
        per_row = np.bincount(rows_N, weights=nats_N, minlength=len(batch))
        for (number, window), nats in zip(batch, per_row.tolist(), strict=True):
            scored[number].append((window, nats))
    return [sorted(windows) for windows in scored]


def score_documents(
    model: ScoredDecoder,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_tokens: int = 4096,
    deadline: float | None = None,
    by_window: bool = False,
) -> DocumentScores:
    """Score each of `texts` alone by the convention above, with the model as it is.

    Args:
        model, context, stride, batch_tokens: as for `score_sequences`.
        tokenizer: the one the model was trained with.
        texts: whole documents.
        deadline: time.monotonic() after which no further group of documents (of about eight bytes
            a token of a batch, at least one document) is begun; the first group is always scored.
        by_window: keep what each window came to.
    """
    nats: list[float] = []
    num_bytes: list[int] = []
    num_tokens: list[int] = []
    windows: list[WindowScores] = []
    # Bytes of each token, as they are met.
    sizes_V = np.full(tokenizer.vocab_size if by_window else 0, -1)
    for group in batched_texts(texts, num_characters=8 * batch_tokens):
        if nats and deadline is not None and time.monotonic() > deadline:
            break
        sequences = [_marked(ids, tokenizer) for ids in tokenizer.encode_batch(group)]
        scored = score_windows(
            model, sequences, context=context, stride=stride, batch_tokens=batch_tokens
        )
        for text, ids, found in zip(group, sequences, scored, strict=True):
            nats.append(sum(value for _, value in found))
            num_bytes.append(len(text.encode("utf-8")))
            num_tokens.append(len(ids) - 1)
            if by_window:
                for new in np.unique(ids[sizes_V[ids] < 0]):
                    sizes_V[new] = len(tokenizer.token_bytes(int(new)))
                windows.append(_window_scores(found, sizes_V[ids], num_bytes[-1]))
    return DocumentScores(
        nats=np.array(nats, dtype=np.float64),
        num_bytes=np.array(num_bytes, dtype=np.int64),
        num_tokens=np.array(num_tokens, dtype=np.int64),
        windows=tuple(windows) if by_window else None,
    )


def _window_scores(
    scored: Sequence[tuple[Window, float]], sizes_T: NDArray[Any], num_bytes: int
) -> WindowScores:
    """Of a document of `num_bytes`, whose ids stand for `sizes_T` bytes."""
    ends_T = np.concatenate([[0], np.cumsum(sizes_T)])
    sizes = np.array([ends_T[stop + 1] - ends_T[first + 1] for (_, first, stop), _ in scored])
    return WindowScores(
        nats=np.array([nats for _, nats in scored], dtype=np.float64),
        num_bytes=sizes * (num_bytes / max(1, sizes.sum())),
    )


def score_model(
    model: ScoredDecoder,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    *,
    context: int | None = None,
    stride: int | None = None,
    batch_tokens: int = 4096,
    dtype: torch.dtype = torch.float32,
) -> Score:
    """Score of all `texts` together; computed in `dtype`, the model is left as it was."""
    with evaluating(model, dtype=dtype):
        return score_documents(
            model, tokenizer, texts, context=context, stride=stride, batch_tokens=batch_tokens
        ).total


class DecoderLanguageModel:
    """A decoder with its tokenizer, as a core.LanguageModel.

    Args:
        name: how it is called in tables.
        model: the decoder.
        tokenizer: the one it was trained with.
        stride: see `score_documents`.
        dtype: precision of the computation.
    """

    def __init__(
        self,
        name: str,
        model: ScoredDecoder,
        tokenizer: Tokenizer,
        *,
        stride: int | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        self._model = model
        self._tokenizer = tokenizer
        self._stride = stride
        self._dtype = dtype

    def score(self, texts: Sequence[str]) -> Score:
        return score_model(
            self._model, self._tokenizer, texts, stride=self._stride, dtype=self._dtype
        )

    def score_continuations(
        self, contexts: Sequence[str], continuations: Sequence[str]
    ) -> NDArray[np.float64]:
        """Nats of each continuation given its context, without an end mark.

        Where the context is "", of a whole document with its end mark, as `score` has it. See
        `continued_ids` for how text becomes ids.

        Args:
            contexts, continuations: as many of each; no continuation is empty.
        """
        whole = [at for at, context in enumerate(contexts) if not context]
        given = [at for at, context in enumerate(contexts) if context]
        sequences, counted = [], []
        for ids, num_given in continued_ids(
            self._tokenizer,
            [contexts[at] for at in given],
            [continuations[at] for at in given],
        ):
            sequences.append(_marked(ids, self._tokenizer)[:-1])
            counted.append(np.arange(len(ids) + 1) > num_given)
        nats = np.zeros(len(contexts))
        with evaluating(self._model, dtype=self._dtype):
            nats[given] = score_sequences(
                self._model, sequences, stride=self._stride, counted=counted
            )
            nats[whole] = score_documents(
                self._model,
                self._tokenizer,
                [continuations[at] for at in whole],
                stride=self._stride,
            ).nats
        return nats

    def score_openings(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Nats of each text as a document begins with it, without an end mark; 0 of ""."""
        rows = self._tokenizer.encode_batch(list(texts))
        said = [at for at, ids in enumerate(rows) if len(ids)]
        sequences = [_marked(rows[at], self._tokenizer)[:-1] for at in said]
        nats = np.zeros(len(rows))
        with evaluating(self._model, dtype=self._dtype):
            nats[said] = score_sequences(self._model, sequences, stride=self._stride)
        return nats


def quick_validation(
    model: ScoredDecoder,
    tokens: NDArray[Any],
    *,
    context: int,
    max_tokens: int,
    batch_tokens: int = 4096,
) -> float:
    """Nats per token of a packed split, cheaply, for use between training steps.

    The split (`E d1 E d2 … E`) is read in windows of `context` as in training, each from nothing;
    where it is longer than `max_tokens` the windows are spread evenly over it. The same windows
    every time, in the model's own precision. Not the number of the report: windows begin in the
    middle of documents.

    Raises:
        DataError: fewer than two tokens.
    """
    if len(tokens) < 2:
        raise DataError(
            "the validation split has no tokens to predict",
            got=len(tokens),
            remedy="give more text or a larger share for validation",
        )
    num_predictions = len(tokens) - 1
    context = min(context, num_predictions)
    num_windows = max(1, min(num_predictions, max_tokens) // context)
    starts = np.linspace(0, num_predictions - context, num_windows).astype(np.int64)
    rows = max(1, batch_tokens // context)
    device = next(iter(model.parameters())).device
    nats = 0.0
    with evaluating(model):
        for first in range(0, num_windows, rows):
            some = [tokens[start : start + context + 1] for start in starts[first : first + rows]]
            windows_BT = torch.from_numpy(np.stack(some).astype(np.int64)).to(device)
            # As in training, whose kernels are faster than scores of every word.
            hidden_BTD = model(windows_BT[:, :-1])
            nats += float(model.next_token_loss(hidden_BTD, windows_BT[:, 1:]))
    return nats / (num_windows * context)


@contextmanager
def evaluating(model: ScoredDecoder, *, dtype: torch.dtype | None = None) -> Iterator[None]:
    """No gradients, evaluation mode and `dtype` within; the model's own mode and dtype after."""
    was_training, was_dtype = model.training, model.compute_dtype
    model.train(False)
    if dtype is not None:
        model.set_compute_dtype(dtype)
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
        model.set_compute_dtype(was_dtype)


@torch.no_grad()
def _nats(
    model: ScoredDecoder,
    ids_BT: NDArray[np.int64],
    targets_BT: NDArray[np.int64],
    counts_BT: NDArray[np.bool_],
    device: torch.device,
) -> NDArray[np.float64]:
    """Nats of the predictions that count, row by row; logits only of these, a piece at a time."""
    hidden_BTD = model(torch.from_numpy(ids_BT).to(device))
    counts = torch.from_numpy(counts_BT).to(device)
    hidden_ND = hidden_BTD[counts]
    targets_N = torch.from_numpy(targets_BT).to(device)[counts]
    nats: list[Tensor] = []
    for start in range(0, len(targets_N), _ROWS_OF_LOGITS):
        logits_NV = model.head(hidden_ND[start : start + _ROWS_OF_LOGITS]).float()
        wanted_N1 = targets_N[start : start + _ROWS_OF_LOGITS, None]
        nats.append(logits_NV.logsumexp(-1) - logits_NV.gather(-1, wanted_N1)[:, 0])
    if not nats:
        return np.zeros(0)
    return torch.cat(nats).double().cpu().numpy()


def _marked(ids: NDArray[Any], tokenizer: Tokenizer) -> NDArray[np.int64]:
    """With one mark in front, the end mark where the tokenizer has no other, and one behind."""
    start = (tokenizer.start_ids or (tokenizer.end_of_text_id,))[-1]
    return np.concatenate([[start], ids, [tokenizer.end_of_text_id]]).astype(np.int64)


def _batches(
    jobs: Sequence[tuple[int, Window]], batch_tokens: int
) -> Iterator[Sequence[tuple[int, Window]]]:
    """Cut `jobs`, longest first, so that rows times the longest is at most `batch_tokens`."""
    start = 0
    while start < len(jobs):
        longest = jobs[start][1].stop - jobs[start][1].start
        stop = start + max(1, batch_tokens // longest)
        yield jobs[start:stop]
        start = stop
