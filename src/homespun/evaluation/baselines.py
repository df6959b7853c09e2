"""What a model has to beat: xz, token frequencies and a 5-gram, on the same validation text."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homespun.classic import KneserNey, Unigram, join_documents
from homespun.classic.compressors import MAX_TRAINING_BYTES, XzLanguageModel
from homespun.core import DataError, Progress, Silent, Tokenizer
from homespun.evaluation.pieces import batched_texts, cut_documents, digest_of, draw_documents

ORDER = 5
# About 20 MB of English; 0.7 GB while they are counted.
MAX_TRAINING_TOKENS = 6_000_000
# Pieces whose scores are kept one by one, so that a model that was scored on some of them only can
# be compared on these.
MAX_LISTED_PIECES = 100_000
# xz compresses text at about 1 MB/s on one core of a laptop; measured each time, this is the
# share of the measured speed that is counted on, since larger windows are slower.
_XZ_CAUTION = 0.5
# Of the seconds given, since a larger window adds little to what xz can do.
_XZ_SHARE = 0.4
_XZ_LEAST_SECONDS = 2.0
_XZ_PROBE_BYTES = 256 * 1024
_BATCH_CHARACTERS = 1 << 20


def run_baselines(
    train_texts: Callable[[], Iterable[str]],
    validation_texts: Sequence[str],
    tokenizer: Tokenizer,
    *,
    seconds_budget: float = 60.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score xz, unigram and 5-gram on `validation_texts`; returns baselines.json.

    Args:
        train_texts: gives the training documents from the start, each time it is called.
        validation_texts: whole documents; long ones are scored in pieces (`cut_documents`).
        tokenizer: of the model these are compared with.
        seconds_budget: xz reads only as much training text as 40% of this allows, 64 MB at most;
            the n-gram models read all, up to six million tokens. Where that is not all of it,
            whole documents are drawn at random over the whole corpus.
        seed: of that drawing.
        progress: where to say how far it is.

    Raises:
        DataError: no training or no validation text.
    """
    progress = progress or Silent()
    pieces = cut_documents(validation_texts)
    num_bytes = sum(len(text.encode("utf-8")) for text in validation_texts)
    if not num_bytes:
        raise DataError(
            "there is no validation text to score", remedy="give a larger corpus or split"
        )
    started = time.monotonic()
    task = progress.task("baselines", total=4)
    drawn, all_drawn = draw_documents(train_texts(), MAX_TRAINING_BYTES, seed=seed)
    documents, all_encoded = _encode([text for _, text in drawn], tokenizer, MAX_TRAINING_TOKENS)
    if not documents:
        raise DataError("there is no training text", remedy="build the corpus first")
    held_out = tokenizer.encode_batch(pieces)
    task.advance(note="encoded")
    models: list[dict[str, Any]] = []
    vocab = {"vocab_size": tokenizer.vocab_size, "end_of_text_id": tokenizer.end_of_text_id}
    for name, table in (
        ("unigram", Unigram(**vocab)),
        (f"{ORDER}-gram", KneserNey(order=ORDER, **vocab)),
    ):
        model_started = time.monotonic()
        nats = table.fit(documents).document_nats(held_out)
        seconds = time.monotonic() - model_started
        detail: dict[str, Any] = {
            "training_tokens": sum(len(ids) + 1 for ids in documents),
            "all_training_text": all_drawn and all_encoded,
            "ngrams": list(table.num_ngrams),
        }
        models.append(_entry(name, nats, num_bytes, seconds, detail))
        task.advance(note=f"{name} {models[-1]['bits_per_byte']:.3f}")
    del documents
    spent = time.monotonic() - started
    left = max(_XZ_LEAST_SECONDS, min(_XZ_SHARE * seconds_budget, seconds_budget - spent))
    models.insert(0, _xz(drawn, all_drawn, pieces, num_bytes, seconds=left))
    task.advance(note=f"xz {models[0]['bits_per_byte']:.3f}")
    task.finish()
    return {
        "format": 1,
        "split": "validation",
        "num_bytes": num_bytes,
        "num_documents": len(validation_texts),
        "num_pieces": len(pieces),
        "pieces_sha256": digest_of(pieces),
        "models": models,
    }


def _entry(
    name: str,
    nats: NDArray[np.float64],
    num_bytes: int,
    seconds: float,
    detail: dict[str, Any],
) -> dict[str, Any]:
    if len(nats) <= MAX_LISTED_PIECES:
        detail["piece_nats"] = [round(float(value), 2) for value in nats]
    return {
        "name": name,
        "bits_per_byte": float(nats.sum()) / math.log(2) / num_bytes,
        "seconds": round(seconds, 3),
        "detail": detail,
    }


def _xz(
    drawn: Sequence[tuple[int, str]],
    all_drawn: bool,
    pieces: Sequence[str],
    num_bytes: int,
    *,
    seconds: float,
) -> dict[str, Any]:
    started = time.monotonic()
    alone = XzLanguageModel(b"").score(pieces)
    probe = [text for _, text in _first_bytes(drawn, _XZ_PROBE_BYTES)]
    probe_started = time.monotonic()
    XzLanguageModel(b"").score(probe)
    probe_bytes = len(join_documents(probe))
    speed = probe_bytes / max(1e-3, time.monotonic() - probe_started)
    affordable = max(probe_bytes, int(speed * _XZ_CAUTION * seconds) - num_bytes)
    used = _first_bytes(drawn, affordable)
    # In the order of the corpus, where neighbours are of one kind.
    training = join_documents(text for _, text in sorted(used))
    score = XzLanguageModel(training, max_training_bytes=len(training)).score(pieces)
    return {
        "name": "xz",
        "bits_per_byte": score.bits_per_byte,
        "seconds": round(time.monotonic() - started, 3),
        "detail": {
            "bits_per_byte_without_training_text": alone.bits_per_byte,
            "training_bytes": len(training),
            "all_training_text": all_drawn and len(used) == len(drawn),
        },
    }


def _first_bytes(drawn: Sequence[tuple[int, str]], max_bytes: int) -> list[tuple[int, str]]:
    """The first documents that together have at most `max_bytes` with their marks, one at least."""
    total = 0
    for number, (_, text) in enumerate(drawn):
        total += len(text.encode("utf-8", "replace")) + 1
        if total > max_bytes and number:
            return list(drawn[:number])
    return list(drawn)


def _encode(
    texts: Iterable[str], tokenizer: Tokenizer, max_tokens: int
) -> tuple[list[NDArray[np.uint32]], bool]:
    """Documents as ids until `max_tokens`, and whether that is all of them."""
    documents: list[NDArray[np.uint32]] = []
    num_tokens = 0
    for batch in batched_texts(texts, num_characters=_BATCH_CHARACTERS):
        if num_tokens >= max_tokens:
            return documents, False
        encoded = tokenizer.encode_batch(batch)
        documents.extend(encoded)
        num_tokens += sum(map(len, encoded))
    return documents, True
