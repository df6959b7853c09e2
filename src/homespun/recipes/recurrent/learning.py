"""From texts to a recurrent language model in a folder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from homespun.core import (
    ConfigError,
    Progress,
    WorkClock,
    derive_seed,
    parse_config,
)
from homespun.core.files import read_json, typed, write_json, write_text
from homespun.core.machine import machine, num_threads, versions
from homespun.recipes.counted.begun import (
    CARD_FILE,
    README_FILE,
    drop_leftovers,
    texts_in,
)
from homespun.recipes.counted.trained import (
    BudgetAsk,
    check_budget,
    judged_text,
    kept_weights,
    trained_folder,
    width_and_layers,
)
from homespun.recipes.measure import best_dtype_name
from homespun.recipes.process import prepare_process
from homespun.recipes.recurrent.using import MODEL_FILE, save_recurrent, score_texts
from homespun.recipes.rewriter.tokens import TokenText, token_text
from homespun.recipes.together import training_device
from homespun.scaling.plan import rereading

if TYPE_CHECKING:
    from homespun.core import Split
    from homespun.models import RecurrentConfig
    from homespun.training import Regularisation, TokenBatches

CONTEXT, ROWS, PIECE = 256, 8, 64
"""Tokens of a row of training, rows of a batch, and tokens through which gradients flow."""
_RATES = {"rnn": 1e-3, "lstm": 3e-3, "gru": 3e-3}
_DECAY = 0.01
_JUDGED_CHARACTERS = 400_000
"""Of held-out text, at the end."""


class RecurrentAsk(BudgetAsk):
    """What is to be learned.

    Attributes:
        cell: kind of the layers.
    """

    cell: Literal["rnn", "lstm", "gru"] = "lstm"


def usual_size(seconds: float | None) -> str:
    """Width and layers for so long a training."""
    if seconds is None or seconds < 1200:
        return "320x1"
    return "512x1" if seconds < 4800 else "768x1"


def learn_recurrent(
    ask: RecurrentAsk, out: Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Do it all; returns card.json. Killed and called again, it goes on. `open_recurrent` opens
    the folder then.

    Raises:
        ConfigError: no budget, or a size that is none. DataError: the texts cannot be used.
        RunError: the folder holds something else, was asked for other things, or another process
            works on it.
    """
    prepare_process()
    check_budget(ask, what="a recurrent model")
    _shape(ask, vocab_size=8, dropout=0.0)

    def train(ask: RecurrentAsk, clock: WorkClock, progress: Progress) -> dict[str, Any]:
        text = token_text(out, ask, context=CONTEXT, progress=progress)
        return _learn(out, ask, text, clock, progress)

    return trained_folder(ask, out, train, command="recurrent", progress=progress)


def _shape(ask: RecurrentAsk, *, vocab_size: int, dropout: float) -> RecurrentConfig:
    from homespun.models import RecurrentConfig

    size = ask.size or usual_size(ask.seconds)
    width, num_layers = width_and_layers(size)
    if not 8 <= width <= 8192 or not 1 <= num_layers <= 99:
        raise ConfigError(
            "a recurrent model's size is its width, 8 to 8192, and its layers",
            got=size,
            remedy="give 320x1 or 512x2, for example",
        )
    return RecurrentConfig(
        cell=ask.cell,
        vocab_size=vocab_size,
        num_layers=num_layers,
        width=width,
        context=CONTEXT,
        dropout=dropout,
    )


def _learn(
    out: Path,
    ask: RecurrentAsk,
    text: TokenText,
    clock: WorkClock,
    progress: Progress,
) -> dict[str, Any]:
    import torch

    from homespun.evaluation import quick_validation
    from homespun.training import (
        BestConfig,
        OptimizerConfig,
        ScheduleConfig,
        TokenBatches,
        TrainConfig,
        TruncatedObjective,
        set_threads,
        train,
    )

    set_threads(num_threads())
    seed = derive_seed(ask.seed, "rows")
    tokenizer = text.tokenizer
    source = TokenBatches(text.train, context=CONTEXT, rows=ROWS, seed=seed)
    shape, epochs = _settled_shape(out, ask, tokenizer.vocab_size, source, len(text.train))
    weights = torch.Generator().manual_seed(derive_seed(ask.seed, "weights"))
    model = shape.build(weights).to(training_device())
    suits = _suits(model, epochs, len(text.train))

    def evaluate(read: Any, step: int) -> dict[str, Any]:
        loss = quick_validation(read, text.held_out, context=CONTEXT, max_tokens=1 << 15)
        return {"loss": loss, "split": "validation"}

    result = train(
        model,
        TruncatedObjective(PIECE),
        source,
        config=TrainConfig(
            num_steps=ask.steps,
            seconds=ask.seconds,
            optimizer=OptimizerConfig(
                learning_rate=_RATES[ask.cell], beta2=0.99, weight_decay=suits.weight_decay
            ),
            schedule=ScheduleConfig(kind="wsd", warmup=0.02, decay=0.6),
            compute_dtype=best_dtype_name(training_device()),
            seed=derive_seed(ask.seed, "loop"),
            eval_share=0.05,
            eval_cost=0.04,
            best=BestConfig(),
        ),
        stage_dir=out / "training",
        clock=clock,
        evaluate=evaluate,
        progress=progress,
    )
    model.set_compute_dtype(torch.float32)
    model.eval()
    judged_on: Split = "validation" if text.test is None else "test"
    card = {
        "format": 1,
        "cell": ask.cell,
        "size": f"{shape.width}x{shape.num_layers}",
        "dropout": shape.dropout,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocab_size": tokenizer.vocab_size,
        "train_tokens": len(text.train),
        "tokens_read": result.tokens,
        "epochs": result.epochs,
        "seconds": result.seconds,
        "weights": kept_weights(result),
        "judged_on": judged_on,
        "held_out": score_texts(model, tokenizer, _some(texts_in(out, judged_on))),
        "machine": machine(),
        "versions": versions(),
    }
    save_recurrent(out, model)
    write_text(out / README_FILE, _readme(out.name, ask, card))
    write_json(out / CARD_FILE, card)
    drop_leftovers(out, "*.npy")
    return card


def _settled_shape(
    out: Path, ask: RecurrentAsk, vocab_size: int, source: TokenBatches, unique: int
) -> tuple[RecurrentConfig, float]:
    """The shape, with as much dropout as suits how well it could know the text by heart, and how
    often that will be read: measured once, so that a run that goes on has the same."""
    import torch

    from homespun.models import RecurrentConfig, best_compute_dtype
    from homespun.training import TruncatedObjective
    from homespun.training.machine import batch_seconds

    path = out / MODEL_FILE
    if not path.is_file():
        num_batches = float(ask.steps or math.inf)
        plain = _shape(ask, vocab_size=vocab_size, dropout=0.0)
        model = plain.build(torch.Generator().manual_seed(0)).to(training_device())
        if ask.seconds is not None:
            model.set_compute_dtype(best_compute_dtype(training_device()))
            objective = TruncatedObjective(PIECE)
            took = batch_seconds(model, objective, source.batch(0), seconds=0.1)
            num_batches = min(num_batches, ask.seconds / took)
        epochs = max(1e-3, source.epochs(math.ceil(num_batches)))
        dropout = round(_suits(model, epochs, unique).dropout, 4)
        shape = _shape(ask, vocab_size=vocab_size, dropout=dropout)
        write_json(path, {"model": shape.model_dump(mode="json"), "epochs": epochs})
    told = read_json(path)
    return parse_config(RecurrentConfig, told["model"], where=str(path)), float(told["epochs"])


def _suits(model: Any, epochs: float, unique: int) -> Regularisation:
    from homespun.models import num_multiplied
    from homespun.training import RECURRENT, regularisation

    times = rereading(num_multiplied(model), epochs * unique, unique)
    return regularisation(RECURRENT * times, weight_decay=_DECAY)


def _some(texts: Any) -> list[str]:
    """Whole documents, about so many characters of them."""
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text)
        if size >= _JUDGED_CHARACTERS:
            break
    return found


def _readme(name: str, ask: RecurrentAsk, card: dict[str, Any]) -> str:
    found = card["held_out"]
    return f"""# {ask.cell}: {name}

Learned with `homespun recurrent learn` from `{Path(ask.source).name}`, seed {ask.seed}:
{card["tokens_read"]:,} tokens in {card["seconds"]:,.0f} seconds, the text's own
{card["train_tokens"]:,} tokens {card["epochs"]:.1f} times. {card["size"]} (width and layers),
{card["parameters"]:,} parameters, {card["vocab_size"]:,} tokens, dropout {card["dropout"]:g}.

Of {found["bytes"]:,} bytes of {judged_text(card)}: {found["bits_per_byte"]:.3f} bits per byte.
{card["weights"]["sentence"]}

`homespun recurrent write {typed(name)} --prompt TEXT` writes on,
`homespun recurrent score {typed(name)} FILE` says how likely it finds a text. It knows what the
corpus says, prejudices included.
"""
