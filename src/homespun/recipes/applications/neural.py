"""Encoders to begin with, and the one training loop for what stands on them.

Shape letters: B batch, T time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from homespun.core import CheckpointError, Config, ConfigError, DataError, derive_seed, parse_config
from homespun.core.files import atomic_path, read_json, write_json
from homespun.core.machine import num_cores
from homespun.recipes.applications.contract import Lesson

if TYPE_CHECKING:
    from torch import nn

    from homespun.core import Objective
    from homespun.models import EncoderConfig
    from homespun.models.heads import Reader
    from homespun.models.recurrent import ReaderConfig
    from homespun.tokenizer.pieces import PieceTokenizer
    from homespun.training import BatchSource, Evaluate, Example, TrainConfig

ItemT = TypeVar("ItemT")

ENCODER_FILE, WEIGHTS_FILE, STAGE = "encoder.json", "weights.safetensors", "training"
_HEAD_RATE = 20.0
"""How much faster than a pretrained encoder the new part on it learns."""


class Base(NamedTuple):
    """Attributes:
    encoder: a Transformer, or LSTMs from both ends; its weights are set.
    config: its shape.
    tokenizer: that it was taught with.
    is_pretrained: whether it knows anything.
    """

    encoder: Reader
    config: EncoderConfig | ReaderConfig
    tokenizer: PieceTokenizer
    is_pretrained: bool


class FitSettings(Config):
    """How a model is learned.

    Attributes:
        epochs: how often examples are read, where time allows.
        batch_tokens: of a batch, see `LengthGroups`.
        learning_rate: peak, of the encoder.
        head_rate: factor on it for what stands on the encoder.
        weight_decay: of matrices.
        warmup: share of the run.
    """

    epochs: float
    batch_tokens: int = 2048
    learning_rate: float = 1e-3
    head_rate: float = 1.0
    weight_decay: float = 0.01
    warmup: float = 0.1


def fit_settings(base: Base, *, epochs: float | None = None) -> FitSettings:
    """The usual ones: few gentle passes over a pretrained encoder (Devlin et al. 2019, A.3), more
    and faster ones from nothing."""
    if base.is_pretrained:
        return FitSettings(epochs=epochs or 4, learning_rate=5e-5, head_rate=_HEAD_RATE)
    return FitSettings(epochs=epochs or 12, learning_rate=1e-3, weight_decay=0.1)


def chosen_settings(base: Base, options: Mapping[str, str]) -> FitSettings:
    """The usual settings, with what the user set of `epochs`, `rate` and `tokens`.

    Raises:
        ConfigError: one of these is no number, or out of range.
    """
    updates: dict[str, Any] = {}
    if options.get("epochs"):
        updates["epochs"] = read_option(options, "epochs", float, low=0.01, high=1000)
    if options.get("rate"):
        updates["learning_rate"] = read_option(options, "rate", float, low=1e-7, high=1.0)
    if options.get("tokens"):
        updates["batch_tokens"] = read_option(options, "tokens", int, low=1, high=1 << 20)
    return fit_settings(base).model_copy(update=updates)


def open_base(folder: Path) -> Base:
    """The BERT or MiniLM in a Hugging Face folder.

    Raises:
        ConfigError, DataError, CheckpointError: it cannot be read, see `read_bert`.
    """
    from homespun.models import load_weights, read_bert
    from homespun.tokenizer.pieces import PieceTokenizer

    config, weights = read_bert(folder)
    tokenizer = PieceTokenizer.load(folder)
    if tokenizer.vocab_size > config.vocab_size:
        raise DataError(
            f"the tokenizer in {folder} has {tokenizer.vocab_size} ids and the model knows "
            f"{config.vocab_size}",
            remedy="fetch the model again: its files do not belong together",
        )
    encoder = config.empty()
    load_weights(encoder, weights, where=str(folder))
    return Base(encoder, config, tokenizer, is_pretrained=True)


def fresh_base(
    texts: Sequence[str],
    *,
    seed: int,
    width: int = 128,
    num_layers: int = 2,
    context: int = 256,
    vocab_size: int = 8192,
    num_types: int = 2,
    dropout: float = 0.1,
) -> Base:
    """An encoder that knows nothing, with rotary positions and norms first, and a tokenizer learned
    from `texts`."""
    import torch

    from homespun.models import EncoderConfig
    from homespun.tokenizer.pieces import train_pieces

    tokenizer = train_pieces(texts, vocab_size=vocab_size, lowercase=True)
    config = EncoderConfig(
        vocab_size=tokenizer.vocab_size,
        num_layers=num_layers,
        width=width,
        num_heads=max(1, width // 64),
        mlp_width=4 * width,
        context=context,
        num_types=num_types,
        positions="rotary",
        norm="rms",
        norm_first=True,
        norm_eps=1e-6,
        bias=False,
        masked_head=False,
        dropout=dropout,
    )
    weights = torch.Generator().manual_seed(derive_seed(seed, "weights"))
    return Base(config.build(weights), config, tokenizer, is_pretrained=False)


def fresh_reader(
    texts: Sequence[str], *, seed: int, width: int = 256, vocab_size: int = 8192
) -> Base:
    """LSTMs from both ends that know nothing, and a tokenizer learned from `texts`; capitals are
    told from small letters, as names are."""
    import torch

    from homespun.models.recurrent import ReaderConfig
    from homespun.tokenizer.pieces import train_pieces

    tokenizer = train_pieces(texts, vocab_size=vocab_size)
    config = ReaderConfig(vocab_size=tokenizer.vocab_size, width=width)
    weights = torch.Generator().manual_seed(derive_seed(seed, "weights"))
    return Base(config.build(weights), config, tokenizer, is_pretrained=False)


def save_base(folder: Path, base: Base, **more: Any) -> None:
    """What `load_base` needs but for weights: shape, tokenizer, and what a head adds (`more`)."""
    base.tokenizer.save(folder)
    shape = base.config.model_dump(mode="json")
    if "masked_head" in shape:
        shape["masked_head"] = False
    write_json(folder / ENCODER_FILE, {"encoder": shape, **more})


def load_base(folder: Path) -> tuple[Base, dict[str, Any]]:
    """An encoder whose weights are not set yet, see `load_model`, and what `save_base` was given
    more. Raises DataError or ConfigError where it is damaged."""
    from homespun.models import EncoderConfig
    from homespun.models.recurrent import ReaderConfig
    from homespun.tokenizer.pieces import PieceTokenizer

    path = folder / ENCODER_FILE
    data: dict[str, Any] = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("encoder"), dict):
        raise DataError(f"{path} has no encoder", remedy="learn the task again")
    shape = data.pop("encoder")
    kind = ReaderConfig if "cell" in shape else EncoderConfig
    config: Any = parse_config(kind, shape, where=str(path))
    tokenizer = PieceTokenizer.load(folder)
    return Base(config.empty(), config, tokenizer, is_pretrained=True), data


def fit(
    model: nn.Module,
    objective: Objective,
    source: BatchSource,
    lesson: Lesson[Any],
    settings: FitSettings,
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """`fit_with` the usual config of a head on an encoder, see `train_config`."""
    fit_with(
        model, objective, source, lesson, train_config(source, lesson, settings), evaluate=evaluate
    )


def fit_with(
    model: nn.Module,
    objective: Objective,
    source: BatchSource,
    lesson: Lesson[Any],
    config: TrainConfig,
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """Train `model` on `source` through the one loop, and leave its weights in the lesson's folder.

    A killed call that is repeated goes on from its newest checkpoint; a finished one reads the
    weights back. The model is in evaluation mode then, and computes in float32.
    """
    import torch

    from homespun.training import set_threads, train

    path = lesson.folder / WEIGHTS_FILE
    set_threads(num_cores())
    if not path.is_file():
        stage = lesson.folder / STAGE
        train(
            model,
            objective,
            source,
            config=config,
            stage_dir=stage,
            clock=lesson.clock,
            evaluate=evaluate,
            progress=lesson.progress,
        )
        save_weights(model, lesson.folder)
        for checkpoint in (stage / "checkpoints").glob("step-*/*.safetensors"):
            checkpoint.unlink()  # optimiser states are several times the weights, which are kept
    load_model(model, lesson.folder)
    set_dtype: Any = getattr(model, "set_compute_dtype", None)
    if set_dtype is not None:
        set_dtype(torch.float32)


def train_config(source: Any, lesson: Lesson[Any], settings: FitSettings) -> TrainConfig:
    """What the loop is told."""
    import torch

    from homespun.models import best_compute_dtype
    from homespun.training import OptimizerConfig, ScheduleConfig, TrainConfig
    from homespun.training.optim import KindConfig, KindsConfig

    steps = max(1, math.ceil(settings.epochs * source.batches_per_epoch))
    dtype = str(best_compute_dtype(torch.device("cpu"))).removeprefix("torch.")
    return TrainConfig(
        num_steps=steps,
        seconds=lesson.seconds,
        optimizer=OptimizerConfig(
            learning_rate=settings.learning_rate,
            kinds=KindsConfig(head=KindConfig(rate=settings.head_rate)),
            beta2=0.999,
            weight_decay=settings.weight_decay,
        ),
        schedule=ScheduleConfig(kind="linear", warmup=settings.warmup),
        compute_dtype="bfloat16" if dtype == "bfloat16" else "float32",
        seed=derive_seed(lesson.seed, "loop"),
        eval_share=0.2,
    )


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write the weights of `model` where `load_model` reads them."""
    import safetensors.torch

    from homespun.models import state_to_safetensors

    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        safetensors.torch.save_file(state_to_safetensors(model), temporary)


def load_model(model: nn.Module, folder: Path) -> None:
    """Set the weights of `model` from `folder`; it is in evaluation mode then.

    Raises:
        CheckpointError: the file is missing, damaged or of another model.
    """
    import safetensors.torch

    from homespun.models import load_weights

    path = folder / WEIGHTS_FILE
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"{path} cannot be read: {error}", remedy="learn the task again"
        ) from error
    load_weights(model, tensors, where=str(path))
    model.eval()


def in_batches(
    items: Sequence[ItemT], length: Callable[[ItemT], int], *, tokens: int = 4096
) -> Iterator[list[int]]:
    """Numbers of items in batches of like lengths and about so many tokens, the shortest first:
    all of them, each once."""
    order = sorted(range(len(items)), key=lambda number: (length(items[number]), number))
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * max(1, length(items[number])) > tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def dev_loss(objective: Any, examples: Sequence[Example], *, per_token: bool = False) -> Any:
    """What `train` calls: mean loss a target over held-out examples."""
    from homespun.training import example_batch

    def evaluate(model: Any, step: int) -> dict[str, Any]:
        total, num = 0.0, 0
        for numbers in in_batches(examples, lambda example: len(example.ids)):
            some = [examples[number] for number in numbers]
            output = objective.loss(model, example_batch(some, per_token=per_token))
            total += float(output.loss_sum)
            num += output.num_targets
        return {"loss": total / max(1, num), "split": "validation"}

    return evaluate


def scored(model: Any, examples: Sequence[Example]) -> list[list[float]]:
    """What `model(ids_BT, is_token_BT, types_BT)` says of each example, one row each."""
    import torch

    from homespun.training import example_batch

    found: list[list[float]] = [[] for _ in examples]
    with torch.inference_mode():
        for numbers in in_batches(examples, lambda example: len(example.ids)):
            batch = example_batch([examples[number] for number in numbers])
            scores_BC = model(batch.ids_BT, batch.is_token_BT, batch.types_BT)
            for number, row in zip(numbers, scores_BC.float().tolist(), strict=True):
                found[number] = row
    return found


def read_option(options: Any, name: str, kind: type, *, low: float, high: float) -> Any:
    """A number a user gave by name. Raises ConfigError where it is none, or out of range."""
    try:
        value = kind(options[name])
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        raise ConfigError(
            f"{name} must be a number from {low:g} to {high:g}",
            got=options[name],
            remedy=f"write --set {name}=NUMBER",
        )
    return value


def read_choice(options: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """One of a few words a user gave by name. Raises ConfigError where it is another."""
    value = options[name].strip().lower()
    if value not in choices:
        raise ConfigError(
            f"{name} must be {' or '.join(choices)}",
            got=options[name],
            remedy=f"write --set {name}={choices[0]}",
        )
    return value


def likely_classes(
    scores: Sequence[Sequence[float]], *, is_multi: bool
) -> list[list[tuple[int, float]]]:
    """Numbers of classes and how likely they are, the likeliest first: the one of the highest
    score, or of several labels those from a half on.

    Args:
        scores: of each class before the softmax, or of several labels the sigmoid.
        is_multi: any number of classes may be right.
    """
    found = []
    for row in scores:
        likely = _sigmoids(row) if is_multi else _softmax(row)
        order = sorted(range(len(row)), key=lambda code: (-likely[code], code))
        kept = [code for code in order if likely[code] >= 0.5] if is_multi else order[:1]
        found.append([(code, likely[code]) for code in kept])
    return found


def _softmax(row: Sequence[float]) -> list[float]:
    top = max(row)
    parts = [math.exp(value - top) for value in row]
    return [part / sum(parts) for part in parts]


def _sigmoids(row: Sequence[float]) -> list[float]:
    return [1 / (1 + math.exp(-min(500.0, max(-500.0, value)))) for value in row]
