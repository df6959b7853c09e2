"""From texts to an encoder-decoder that tasks can begin with: it learns to write pieces that were
taken out (Raffel et al. 2020, arXiv 1910.10683, section 3.1.4)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from homespun.core import Progress, WorkClock, derive_seed
from homespun.core.files import typed, write_json, write_text
from homespun.core.machine import machine, num_threads, versions
from homespun.recipes.counted.begun import CARD_FILE, README_FILE, drop_leftovers
from homespun.recipes.counted.trained import (
    BudgetAsk,
    check_budget,
    judged_text,
    kept_weights,
    trained_folder,
)
from homespun.recipes.encoder.judging import Looks, MaskedScore, share_text
from homespun.recipes.encoder.shape import encoder_training, usual_size
from homespun.recipes.process import prepare_process
from homespun.recipes.rewriter.judging import piece_frequency_score, piece_score
from homespun.recipes.rewriter.shape import CONTEXT, NUM_MARKS, ROWS, rewriter_shape
from homespun.recipes.rewriter.tokens import TokenText, token_text
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from homespun.models import EncoderDecoderConfig
    from homespun.tokenizer import ByteLevelTokenizer
    from homespun.training import SpanBatches


class RewriterAsk(BudgetAsk):
    """What is to be learned; `size` is that of each half."""


def pretrain_rewriter(
    ask: RewriterAsk, out: Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Do it all; returns card.json. Killed and called again, it goes on.

    `out` is a folder for `finetune translate|summarise --base` then, with config.json,
    model.safetensors, tokenizer.json and a card.

    Raises:
        ConfigError: no budget, or a size that is none. DataError: the texts cannot be used.
        RunError: the folder holds something else, was asked for other things, or another process
            works on it.
    """
    prepare_process()
    check_budget(ask, what="an encoder-decoder")
    rewriter_shape(ask.size or usual_size(ask.seconds), vocab_size=8)

    def train(ask: RewriterAsk, clock: WorkClock, progress: Progress) -> dict[str, Any]:
        text = token_text(out, ask, context=CONTEXT, progress=progress)
        return _learn(out, ask, text, clock, progress)

    return trained_folder(ask, out, train, command="encoder-decoder", progress=progress)


def _learn(
    out: Path,
    ask: RewriterAsk,
    text: TokenText,
    clock: WorkClock,
    progress: Progress,
) -> dict[str, Any]:
    import torch

    from homespun.models import write_encoder_decoder
    from homespun.training import Seq2SeqObjective, set_threads, train

    tokenizer = text.tokenizer
    size, num_ids = ask.size or usual_size(ask.seconds), tokenizer.vocab_size
    # Marks are rows of the table that no text has, and that are never written for a task.
    shape = rewriter_shape(size, vocab_size=num_ids + NUM_MARKS)
    weights = torch.Generator().manual_seed(derive_seed(ask.seed, "weights"))
    model = shape.build(weights).to(training_device())
    source = _pieces(text.train, tokenizer, derive_seed(ask.seed, "rows"), rows=ROWS)
    # Others than in training, and the same at every look.
    asked = derive_seed(ask.seed, "held out")
    looks, watched = _looked_at(text.held_out, tokenizer, asked)
    judging, judged = looks, watched
    if text.test is not None:
        judging, judged = _looked_at(text.test, tokenizer, asked)

    def score(rewriter: Any, num_batches: int) -> MaskedScore:
        return piece_score(rewriter, watched, num_batches, num_text_ids=num_ids)

    set_threads(num_threads())
    result = train(
        model,
        Seq2SeqObjective(),
        source,
        config=encoder_training(
            seconds=ask.seconds, steps=ask.steps, seed=ask.seed, portable=False
        ),
        stage_dir=out / "training",
        clock=clock,
        evaluate=looks.during(score),
        progress=progress,
        judge=looks.at_the_end(score),
    )
    model.set_compute_dtype(torch.float32)
    counts_V = np.bincount(text.train, minlength=num_ids).astype(np.int64)
    mine = piece_score(model, judged, judging.judged, num_text_ids=num_ids)
    frequencies = piece_frequency_score(counts_V, judged, judging.judged, num_text_ids=num_ids)
    card = {
        "format": 1,
        "size": size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocab_size": num_ids,
        "marks": NUM_MARKS,
        "train_tokens": len(text.train),
        "tokens_read": result.tokens,
        "epochs": result.epochs,
        "seconds": result.seconds,
        "weights": kept_weights(result),
        "judged_on": "validation" if text.test is None else "test",
        "pieces": mine.describe(),
        "by_frequency": frequencies.describe(),
        "machine": machine(),
        "versions": versions(),
    }
    write_encoder_decoder(out, model, shape)
    write_text(out / README_FILE, _readme(out.name, ask, shape, card))
    write_json(out / CARD_FILE, card)
    drop_leftovers(out, "*.npy")
    return card


def _looked_at(
    stream: NDArray[np.int32], tokenizer: ByteLevelTokenizer, seed: int
) -> tuple[Looks, SpanBatches]:
    """How much of a held-out text is looked at, and its rows: the same at every look."""
    looks = Looks.at(len(stream), context=CONTEXT, rows=ROWS)
    return looks, _pieces(stream, tokenizer, seed, rows=looks.rows)


def _pieces(
    stream: NDArray[np.int32], tokenizer: ByteLevelTokenizer, seed: int, *, rows: int
) -> SpanBatches:
    from homespun.training import SpanBatches, TokenBatches

    first = tokenizer.vocab_size
    return SpanBatches(
        TokenBatches(stream, context=CONTEXT, rows=rows, seed=seed),
        marks=range(first, first + NUM_MARKS),
        end_id=tokenizer.end_of_text_id,
        seed=derive_seed(seed, "pieces"),
    )


def _readme(name: str, ask: RewriterAsk, shape: EncoderDecoderConfig, card: dict[str, Any]) -> str:
    mine, others = card["pieces"], card["by_frequency"]
    return f"""# encoder-decoder: {name}

Learned to write pieces that were taken out of texts with `homespun encoder-decoder` from
`{Path(ask.source).name}`, seed {ask.seed}: {card["tokens_read"]:,} tokens in
{card["seconds"]:,.0f} seconds, the text's own {card["train_tokens"]:,} tokens
{card["epochs"]:.1f} times. {shape.num_layers} layers that read and {shape.num_writer_layers} that
write, of width {shape.width}, {card["parameters"]:,} parameters, {card["vocab_size"]:,} tokens;
Homespun alone reads it.

## How good it is

Of {mine["num"]:,} tokens in pieces of {judged_text(card)}, each told from the rest of the text and
the pieces so far:

| | right, with the 95% interval | nats a token |
|---|---|---|
| this encoder-decoder | {share_text(mine)} | {mine["loss"]:.3f} |
| always the commonest; frequencies alone | {share_text(others)} | {others["loss"]:.3f} |

{card["weights"]["sentence"]}

## Use it

`homespun finetune translate FILE --base {typed(name)}`, and so for `summarise`.

## What to mind

It knows what the corpus says, prejudices included, and little of other kinds of text.
"""
