"""Families that are trained, all through the one loop, each for the same seconds.

Shape letters: B rows, T tokens of a row.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.core import Objective, Silent, WorkClock, derive_seed
from homespun.core.machine import num_cores
from homespun.recipes.bench.ours import TokenText
from homespun.recipes.bench.validation import ScoreBatch, decoder_score, validation_pass
from homespun.recipes.encoder.shape import MASKED_SHARE, encoder_shape, muon
from homespun.recipes.families.contenders import Judged
from homespun.recipes.measure import best_dtype_name

if TYPE_CHECKING:
    from torch import Tensor, nn

    from homespun.training import BatchSource, OptimizerConfig, TokenBatches

_ROWS = 8
_SAMPLED = 2048
"""Tokens an encoder is asked for: each costs a pass over its whole window."""


def judge_recurrent(
    text: TokenText, *, seconds: float, seed: int, context: int, cell: Any
) -> Judged:
    """RNN, LSTM or GRU; gradients flow through 64 tokens. Dropout is as much as suits how often the
    text will have been read when the time is over."""
    from homespun.models import RecurrentConfig
    from homespun.training import OptimizerConfig, TruncatedObjective, regularisation

    width = 320 if cell != "rnn" else 512
    shape = RecurrentConfig(
        cell=cell, vocab_size=text.vocab_size, num_layers=1, width=width, context=context
    )
    source, objective = _rows(text, context, seed), TruncatedObjective(64)
    batches = seconds / _batch_seconds(shape.build(_weights(seed)), objective, source)
    suits = regularisation(max(1e-3, source.epochs(math.ceil(batches))), weight_decay=0.01)
    model = shape.model_copy(update={"dropout": suits.dropout}).build(_weights(seed))
    rate = 1e-3 if cell == "rnn" else 3e-3
    optimizer = OptimizerConfig(learning_rate=rate, beta2=0.99, weight_decay=suits.weight_decay)
    tokens = _learn(model, objective, source, optimizer, seconds=seconds, seed=seed)
    shown = f"1 layer of {width}" + (f", dropout {suits.dropout:.2f}" if suits.dropout else "")
    return _judged(model, decoder_score(model), text, context, tokens, shown)


def judge_gpt2(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """The decoder of 2019: learned positions, LayerNorm, GELU, AdamW."""
    from homespun.models import DecoderConfig
    from homespun.training import CausalObjective, OptimizerConfig

    shape = DecoderConfig(
        vocab_size=text.vocab_size,
        num_layers=4,
        width=128,
        num_heads=2,
        num_kv_heads=2,
        head_width=64,
        mlp_width=512,
        context=context,
        qk_norm=False,
        norm="layer",
        norm_eps=1e-5,
        positions="learned",
        activation="gelu_tanh",
        attention_bias=True,
        out_bias=True,
        mlp_bias=True,
    )
    model = shape.build(_weights(seed))
    source = _rows(text, context, seed)
    optimizer = OptimizerConfig(learning_rate=2e-3, beta2=0.99)
    tokens = _learn(model, CausalObjective(), source, optimizer, seconds=seconds, seed=seed)
    return _judged(model, decoder_score(model), text, context, tokens, "128 wide, 4 layers")


def judge_portable(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """The decoder of today, as `pretrain --preset portable` has it."""
    from homespun.models import DecoderConfig, preset_options
    from homespun.training import CausalObjective

    shape = DecoderConfig(
        vocab_size=text.vocab_size,
        num_layers=4,
        width=128,
        num_heads=2,
        num_kv_heads=2,
        head_width=64,
        mlp_width=352,
        context=context,
        **preset_options("portable", text.vocab_size),
    )
    model = shape.build(_weights(seed))
    source = _rows(text, context, seed)
    tokens = _learn(model, CausalObjective(), source, muon(tied=False), seconds=seconds, seed=seed)
    return _judged(model, decoder_score(model), text, context, tokens, "128 wide, 4 layers")


def judge_encoder_decoder(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """Reads half a window and writes the other: every token is told from what stands before."""
    from homespun.models import EncoderDecoderConfig
    from homespun.training import Seq2SeqObjective
    from homespun.training.data.prefixes import PrefixBatches

    context -= context % 2
    shape = EncoderDecoderConfig(
        vocab_size=text.vocab_size,
        num_layers=2,
        num_writer_layers=3,
        width=128,
        num_heads=2,
        head_width=64,
        mlp_width=512,
        context=context,
        positions="rotary",
        norm="rms",
        norm_first=True,
        norm_eps=1e-6,
        activation="relu2",
        bias=False,
        tied=False,
        scaled="none",
    )
    model = shape.build(_weights(seed))
    rows = _rows(text, context, seed, rows=2 * _ROWS)
    source = PrefixBatches(rows, context=context)
    tokens = _learn(model, Seq2SeqObjective(), source, muon(tied=False), seconds=seconds, seed=seed)
    score = prefix_score(model, context // 2, start_id=text.end_of_text_id or 0)
    return _judged(model, score, text, context, tokens, "128 wide, 2 and 3 layers")


def judge_encoder(text: TokenText, *, seconds: float, seed: int, context: int) -> Judged:
    """Pseudo-likelihood (Wang and Cho 2019; Salazar et al. 2020, arXiv 1910.14659): each token is
    told from both sides. Such numbers are no probability of the text, and lower for it."""
    from homespun.training import MaskedBatches, MaskedObjective, Words

    mask_id = text.vocab_size
    shape = encoder_shape("128x4", vocab_size=text.vocab_size + 1, portable=False)
    shape = shape.model_copy(update={"num_types": 0, "context": context})
    model = shape.build(_weights(seed))
    rows = _rows(text, context, seed)
    never_V = np.zeros(text.vocab_size + 1, dtype=bool)
    never_V[mask_id] = True
    source = MaskedBatches(
        rows, Words(mask_id, never_V), seed=derive_seed(seed, "masks"), share=MASKED_SHARE
    )
    tokens = _learn(model, MaskedObjective(), source, muon(tied=True), seconds=seconds, seed=seed)
    nats = pseudo_nats(model, text.held_out, mask_id=mask_id, context=context, num=_SAMPLED)
    mean = sum(nats) / len(nats)
    num = len(text.held_out) - 1
    note = f"told from both sides, {len(nats):,} tokens asked for: no probability of the text"
    return Judged(mean * num, num, tokens, _size(model), "128 wide, 4 layers", note)


def prefix_score(model: Any, half: int, *, start_id: int) -> ScoreBatch:
    """How an encoder-decoder is judged: the first half of a window is read, the second written.
    Where tokens of the first half count too, as in the first window, they are written after a mark.
    """
    import torch

    def score(ids_BT: Tensor, targets_BT: Tensor) -> float:
        total = 0.0
        parts = [(ids_BT[:, :half], ids_BT[:, half:], targets_BT[:, half:])]
        if bool((targets_BT[:, :half] >= 0).any()):
            mark_B1 = torch.full_like(ids_BT[:, :1], start_id)
            parts.append((mark_B1, ids_BT[:, :half], targets_BT[:, :half]))
        for source_BS, written_BT, wanted_BT in parts:
            if written_BT.shape[1]:
                hidden_BTD = model(source_BS, None, written_BT)
                total += float(model.next_token_loss(hidden_BTD.float(), wanted_BT))
        return total

    return score


def pseudo_nats(model: Any, stream: Any, *, mask_id: int, context: int, num: int) -> list[float]:
    """-ln p of tokens spread evenly over `stream`, each behind the mask in the middle of a window
    of its own; at the ends of the stream windows are moved inside."""
    import torch

    context = min(context, len(stream))
    places = np.unique(np.linspace(0, len(stream) - 1, min(num, len(stream))).astype(int))
    found: list[float] = []
    with torch.inference_mode():
        for start in range(0, len(places), 32):
            some = places[start : start + 32]
            firsts = np.clip(some - context // 2, 0, len(stream) - context)
            ids_BT = np.stack([stream[a : a + context] for a in firsts]).astype(np.int64)
            within = some - firsts
            right = ids_BT[np.arange(len(some)), within].copy()
            ids_BT[np.arange(len(some)), within] = mask_id
            hidden_BTD = model(torch.from_numpy(ids_BT))
            picked_ND = hidden_BTD[torch.arange(len(some)), torch.from_numpy(within)]
            scores_NV = model.scores(picked_ND).float()
            scores_NV[:, mask_id] = float("-inf")
            likely_N = scores_NV.log_softmax(-1)[torch.arange(len(some)), torch.from_numpy(right)]
            found += (-likely_N).tolist()
    return found


def _learn(
    model: nn.Module,
    objective: Objective,
    source: BatchSource,
    optimizer: OptimizerConfig,
    *,
    seconds: float,
    seed: int,
) -> int:
    """Train for so long; returns tokens read. The model is in float32 and evaluation mode then."""
    import torch

    from homespun.training import ScheduleConfig, TrainConfig, set_threads, train

    set_threads(num_cores())
    with tempfile.TemporaryDirectory(prefix="homespun-family-") as folder:
        result = train(
            model,
            objective,
            source,
            config=TrainConfig(
                seconds=seconds,
                optimizer=optimizer,
                schedule=ScheduleConfig(kind="wsd", warmup=0.02, decay=0.6),
                compute_dtype=best_dtype_name(),
                seed=derive_seed(seed, "loop"),
                checkpoint_seconds=None,
                health=None,
                tensorboard=False,
            ),
            stage_dir=Path(folder) / "stage",
            clock=WorkClock(Path(folder) / "clock.json"),
            progress=Silent(),
        )
    set_dtype: Any = getattr(model, "set_compute_dtype", None)
    if set_dtype is not None:
        set_dtype(torch.float32)
    return result.tokens


def _batch_seconds(model: Any, objective: Objective, source: BatchSource) -> float:
    """How long a batch takes, forward and backward, of a model that is not used for anything
    else."""
    import torch

    from homespun.models import best_compute_dtype
    from homespun.training import set_threads
    from homespun.training.machine import median_seconds

    set_threads(num_cores())
    model.set_compute_dtype(best_compute_dtype("cpu"))
    batch = source.batch(0)
    return median_seconds(
        lambda: torch.autograd.backward(objective.loss(model, batch).loss_sum), seconds=0.1
    )


def _judged(
    model: nn.Module,
    score: ScoreBatch,
    text: TokenText,
    context: int,
    tokens: int,
    shape: str,
) -> Judged:
    found = validation_pass(score, text.held_out, context=context, stride=max(1, context // 2))
    return Judged(found.nats, found.predictions, tokens, _size(model), shape)


def _rows(text: TokenText, context: int, seed: int, *, rows: int = _ROWS) -> TokenBatches:
    from homespun.training import TokenBatches

    return TokenBatches(text.train, context=context, rows=rows, seed=derive_seed(seed, "rows"))


def _weights(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(derive_seed(seed, "weights"))


def _size(model: nn.Module) -> int:
    return sum(math.prod(parameter.shape) for parameter in model.parameters())
