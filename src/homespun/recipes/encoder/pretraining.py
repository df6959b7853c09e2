"""From texts to an encoder that tasks can begin with (Devlin et al. 2019, arXiv 1810.04805)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from homespun.core import (
    ConfigError,
    DataError,
    Progress,
    WorkClock,
    derive_seed,
    did_you_mean,
)
from homespun.core.files import typed, write_json, write_text
from homespun.core.machine import machine, num_threads, versions
from homespun.recipes.counted.begun import (
    CARD_FILE,
    README_FILE,
    Segment,
    drop_leftovers,
    segmenter_of,
    texts_in,
)
from homespun.recipes.counted.trained import (
    SAMPLE_BYTES,
    BudgetAsk,
    check_budget,
    judged_text,
    kept_weights,
    trained_folder,
    usual_vocab_size,
)
from homespun.recipes.encoder.judging import (
    Looks,
    MaskedScore,
    frequency_score,
    masked_score,
    share_text,
)
from homespun.recipes.encoder.shape import (
    CONTEXT,
    MASKED_SHARE,
    ROWS,
    encoder_shape,
    encoder_training,
    usual_size,
)
from homespun.recipes.encoder.tokens import MarkedStream, marked_stream
from homespun.recipes.process import prepare_process
from homespun.recipes.together import training_device

if TYPE_CHECKING:
    from homespun.core import Split
    from homespun.models import EncoderConfig
    from homespun.tokenizer.pieces import PieceTokenizer
    from homespun.training import MaskedBatches, Words

TOKENIZERS = ("wordpiece", "bpe")


class EncoderAsk(BudgetAsk):
    """What is to be learned.

    Attributes:
        portable: in BERT's own shape, which `transformers` reads.
        cased: tell capitals from small letters.
        masked: share of the words that are hidden, see `MASKED_SHARE`; BERT's is 0.15.
        tokenizer: "wordpiece", or "bpe", byte-level.
        segmenter: what `finetune segment` left: Chinese words are hidden as wholes then, and not
            characters. None for characters.
    """

    portable: bool = False
    cased: bool = False
    masked: float = MASKED_SHARE
    tokenizer: str = "wordpiece"


def pretrain_encoder(
    ask: EncoderAsk, out: Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Do it all; returns card.json. Killed and called again, it goes on.

    `out` is a folder for `--base` then, with config.json, model.safetensors, tokenizer.json and a
    card.

    Raises:
        ConfigError: no budget, a size that is none, a segmenter of another task.
        DataError: the texts cannot be used. RunError: the folder holds something else, was asked
            for other things, or another process works on it.
    """
    prepare_process()
    check_budget(ask, what="an encoder")
    encoder_shape(ask.size or usual_size(ask.seconds), vocab_size=8, portable=ask.portable)
    if not 0.01 <= ask.masked <= 0.9:
        raise ConfigError(
            "the share of hidden words is between 0.01 and 0.9",
            got=ask.masked,
            remedy=f"BERT's is 0.15, the usual one here {MASKED_SHARE:g}",
        )
    if ask.tokenizer not in TOKENIZERS:
        raise ConfigError(
            "an encoder's tokenizer is wordpiece or bpe",
            got=ask.tokenizer,
            remedy=did_you_mean(ask.tokenizer, list(TOKENIZERS)),
        )
    words_of = segmenter_of(ask.segmenter)

    def train(ask: EncoderAsk, clock: WorkClock, progress: Progress) -> dict[str, Any]:
        tokenizer = _tokenizer(out, ask)
        stream = _stream(out, "train", tokenizer, words_of, progress)
        held_out = _stream(out, "validation", tokenizer, words_of, progress)
        test = _stream(out, "test", tokenizer, words_of, progress)
        return _learn(out, ask, tokenizer, _Streams(stream, held_out, test), clock, progress)

    return trained_folder(ask, out, train, command="encoder", progress=progress)


class _Streams(NamedTuple):
    """Attributes:
    train: is learned from. held_out: by it weights are chosen.
    test: what is judged on where it is long enough.
    """

    train: MarkedStream
    held_out: MarkedStream
    test: MarkedStream


def _tokenizer(out: Path, ask: EncoderAsk) -> PieceTokenizer:
    from homespun.tokenizer import sample_texts
    from homespun.tokenizer.byte_pieces import train_byte_pieces
    from homespun.tokenizer.pieces import PIECES_FILE, PieceTokenizer, train_pieces

    if not (out / PIECES_FILE).is_file():
        sample = sample_texts(texts_in(out, "train"), SAMPLE_BYTES, seed=ask.seed)
        vocab_size = ask.vocab_size or usual_vocab_size(out)
        train = train_pieces if ask.tokenizer == "wordpiece" else train_byte_pieces
        train(sample, vocab_size=vocab_size, lowercase=not ask.cased).save(out)
    return PieceTokenizer.load(out)


def _stream(
    out: Path,
    split: Split,
    tokenizer: PieceTokenizer,
    words_of: Segment | None,
    progress: Progress,
) -> MarkedStream:
    path = out / f"{split}.npz"
    if not path.is_file():
        task = progress.task(f"encoding {split} text")
        marked_stream(texts_in(out, split), tokenizer, words_of=words_of).save(path)
        task.finish()
    found = MarkedStream.load(path)
    if split != "test" and not _is_enough(found):
        raise DataError(
            f"an encoder needs {CONTEXT + 2} tokens of {split} text at least",
            got=len(found.ids_N),
            remedy="add text",
        )
    return found


def _is_enough(stream: MarkedStream) -> bool:
    return len(stream.ids_N) >= CONTEXT + 2


def _learn(
    out: Path,
    ask: EncoderAsk,
    tokenizer: PieceTokenizer,
    streams: _Streams,
    clock: WorkClock,
    progress: Progress,
) -> dict[str, Any]:
    import torch

    from homespun.models import write_encoder
    from homespun.training import MaskedObjective, Words, set_threads, train

    size = ask.size or usual_size(ask.seconds)
    shape = encoder_shape(size, vocab_size=tokenizer.vocab_size, portable=ask.portable)
    weights = torch.Generator().manual_seed(derive_seed(ask.seed, "weights"))
    model = shape.build(weights).to(training_device())
    never_V = tokenizer.mark_flags()
    words = Words(tokenizer.mask_id, never_V, tokenizer.word_beginnings())
    source = _masked(
        streams.train, words, derive_seed(ask.seed, "rows"), rows=ROWS, share=ask.masked
    )
    # Others than in training, and the same at every look.
    asked = derive_seed(ask.seed, "held out")
    looks, watched = _looked_at(streams.held_out, words, asked)
    is_third = _is_enough(streams.test)
    judging, judged = _looked_at(streams.test, words, asked) if is_third else (looks, watched)

    def score(encoder: Any, num_batches: int) -> MaskedScore:
        return masked_score(encoder, watched, num_batches)

    set_threads(num_threads())
    result = train(
        model,
        MaskedObjective(),
        source,
        config=encoder_training(
            seconds=ask.seconds, steps=ask.steps, seed=ask.seed, portable=ask.portable
        ),
        stage_dir=out / "training",
        clock=clock,
        evaluate=looks.during(score),
        progress=progress,
        judge=looks.at_the_end(score),
    )
    model.set_compute_dtype(torch.float32)
    counts_V = np.bincount(streams.train.ids_N, minlength=tokenizer.vocab_size).astype(np.int64)
    card = {
        "format": 1,
        "size": size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocab_size": tokenizer.vocab_size,
        "whole_chinese_words": ask.segmenter is not None,
        "train_tokens": len(streams.train.ids_N),
        "tokens_read": result.tokens,
        "epochs": result.epochs,
        "seconds": result.seconds,
        "weights": kept_weights(result),
        "judged_on": "test" if is_third else "validation",
        "masked": masked_score(model, judged, judging.judged).describe(),
        "by_frequency": frequency_score(
            counts_V, judged, judging.judged, never_V=never_V
        ).describe(),
        "machine": machine(),
        "versions": versions(),
    }
    write_encoder(out, model, shape)
    if ask.portable:
        tokenizer.save_for_transformers(out, context=shape.context)
    write_text(out / README_FILE, _readme(out.name, ask, shape, card))
    write_json(out / CARD_FILE, card)
    drop_leftovers(out, "*.npz")
    return card


def _looked_at(stream: MarkedStream, words: Words, seed: int) -> tuple[Looks, MaskedBatches]:
    """How much of a held-out text is looked at, and its rows: the same at every look."""
    looks = Looks.at(len(stream.ids_N), context=CONTEXT, rows=ROWS)
    return looks, _masked(stream, words, seed, rows=looks.rows, share=MASKED_SHARE)


def _masked(
    stream: MarkedStream, words: Words, seed: int, *, rows: int, share: float
) -> MaskedBatches:
    from homespun.training import MaskedBatches, TokenBatches

    ids, begins = (
        TokenBatches(tokens, context=CONTEXT, rows=rows, seed=seed)
        for tokens in (stream.ids_N, stream.begins_N)
    )
    return MaskedBatches(ids, words, seed=seed, share=share, begins=begins)


def _readme(name: str, ask: EncoderAsk, shape: EncoderConfig, card: dict[str, Any]) -> str:
    mine, others = card["masked"], card["by_frequency"]
    reader = "`transformers` reads it" if ask.portable else "Homespun alone reads it"
    return f"""# encoder: {name}

Learned words behind masks with `homespun encoder` from `{Path(ask.source).name}`, seed {ask.seed}:
{card["tokens_read"]:,} tokens in {card["seconds"]:,.0f} seconds, the text's own
{card["train_tokens"]:,} tokens {card["epochs"]:.1f} times. {shape.num_layers} layers of width
{shape.width}, {card["parameters"]:,} parameters, {card["vocab_size"]:,} pieces of words; {reader}.

## How good it is

Of {mine["num"]:,} masked tokens of {judged_text(card)}:

| | right, with the 95% interval | nats a token |
|---|---|---|
| this encoder | {share_text(mine)} | {mine["loss"]:.3f} |
| always the commonest; frequencies alone | {share_text(others)} | {others["loss"]:.3f} |

{card["weights"]["sentence"]}

## Use it

`homespun finetune classify FILE --base {typed(name)}`, and so for `tag`, `pair`, `answer`
and `embed`.

## What to mind

It knows what the corpus says, prejudices included, and little of other kinds of text.
"""
