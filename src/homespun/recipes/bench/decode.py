"""How fast answers are written: ours by weights and batch, beside others, in turn on one machine.

Models have random weights, so that shapes are free; speed does not depend on the weights. Ours is
the whole engine, from `add_request` to the last output.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError, Progress, RequestError, Silent, did_you_mean
from homespun.core.machine import machine, versions
from homespun.recipes.bench.decode_peers import (
    CONTEXT,
    DECODE_PEERS,
    LONG_PROMPT,
    MOST_ROWS,
    PROMPT,
    Contestant,
)
from homespun.recipes.process import keep_memory

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig
    from homespun.recipes.run import Run


class DecodeSize(NamedTuple):
    """What the shapes of a size have in common; `mlp_width` is Llama's."""

    num_layers: int
    width: int
    num_heads: int
    mlp_width: int
    vocab_size: int


DECODE_SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"qk_norm": False},
    "gpt2": {
        "norm": "layer",
        "norm_eps": 1e-5,
        "positions": "learned",
        "activation": "gelu_tanh",
        "qk_norm": False,
        "attention_bias": True,
        "out_bias": True,
        "mlp_bias": True,
    },
    "qwen2": {"qk_norm": False, "attention_bias": True},
    "qwen3": {"qk_norm": True},
}
"""What decoders of a family have. Qwen's have half as many heads of keys and values, and GPT-2's
MLP is four times as wide as the model."""
DECODE_SIZES = {
    "1m": DecodeSize(4, 128, 4, 352, 2048),
    "15m": DecodeSize(6, 288, 6, 768, 32000),
    "110m": DecodeSize(12, 768, 12, 2048, 32000),
}


class DecodeAsk(NamedTuple):
    """What one run of the benchmark is to do.

    Attributes:
        sizes: names of `DECODE_SIZES`.
        weights: ours, each a row; "torch" is the engine without the compiled step.
        batches: rows at once.
        seconds: of each measurement.
        peers: names of `DECODE_PEERS`, measured beside.
        threads: of every contender; None leaves each its own choice.
        shape: name of `DECODE_SHAPES`.
    """

    sizes: Sequence[str]
    weights: Sequence[str] = ("float32", "int8", "int4")
    batches: Sequence[int] = (1, 16, 64)
    seconds: float = 2.0
    peers: Sequence[str] = ()
    threads: int | None = None
    shape: str = "llama"


class Plain:
    """A tokenizer of the benchmark's random models: its text is of no interest."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.end_of_text_id = vocab_size - 1
        self.end_of_turn_id = vocab_size - 1

    def token_bytes(self, token_id: int) -> bytes:
        return b"" if token_id == self.end_of_text_id else b"x"


def bench_decode(ask: DecodeAsk, *, progress: Progress | None = None) -> dict[str, Any]:
    """Measure; JSON values, see benchmarks/README.md.

    Raises:
        ConfigError: a size, a shape, a kind of weights or a peer is unknown, a batch has no rows or
            too many, or a peer is not installed, or cannot be a model of that shape.
    """
    from homespun.training.machine import memory_read_gbs

    progress = progress or Silent()
    for size in ask.sizes:
        _check("size of that name", size, list(DECODE_SIZES))
    _check("shape of that name", ask.shape, list(DECODE_SHAPES))
    for peer in ask.peers:
        _check("such peer", peer, list(DECODE_PEERS))
    _check_ours(ask)
    found = []
    for size in ask.sizes:
        task = progress.task(f"decoding {size}", total=len(ask.weights) + len(ask.peers))
        config = config_of(DECODE_SIZES[size], ask.shape)
        model = random_model(config)
        bandwidth = 1e9 * memory_read_gbs(seconds=0.5)
        rows = []
        for label, contestant in _contestants(model, config, ask):
            rows.append(_measure(label, contestant, ask, bandwidth))
            task.advance(note=label)
        task.finish()
        found.append(
            {
                "size": size,
                "shape": DECODE_SIZES[size]._asdict(),
                "parameters": sum(p.numel() for p in model.parameters()),
                "read_gigabytes_per_second": round(bandwidth / 1e9, 1),
                "contenders": rows,
            }
        )
    return {
        "format": 1,
        "benchmark": "decode",
        "shape": ask.shape,
        "machine": machine(),
        "versions": versions(),
        "prompt": PROMPT,
        "long_prompt": LONG_PROMPT,
        "batches": list(ask.batches),
        "sizes": found,
    }


def weight_losses(run: Run, *, tokens: int = 20_000) -> dict[str, Any]:
    """What weights of fewer bits cost: bits per byte of a run's held-out text.

    Args:
        tokens: of the held-out text, its first ones.

    Raises:
        RunError: there is no model or no held-out text in the run.
    """
    import torch

    from homespun.corpus import open_split
    from homespun.inference.native import WEIGHT_KINDS, NativeRunner
    from homespun.inference.runners import Work

    model, window = run.model.eval(), min(run.model.context, 512)
    ids = [int(token) for token in open_split(run.directory.shards, "validation")[:tokens]]
    num_bytes = sum(len(run.tokenizer.token_bytes(token)) for token in ids[1:])
    blocks = list(range(-(-window // 16)))
    nats = {}
    for kind in WEIGHT_KINDS:
        runner, total = NativeRunner(model, len(blocks), weights=kind), 0.0
        for start in range(0, len(ids) - 1, window):
            part = ids[start : start + window + 1]
            scores_TV = runner.run([Work(part[:-1], 0, blocks, len(part) - 1, [])]).scores_RV
            loss = torch.nn.functional.cross_entropy(
                scores_TV, torch.tensor(part[1:]), reduction="sum"
            )
            total += float(loss)
        nats[kind] = total
    exact = nats["float32"]
    return {
        kind: {
            "bits_per_byte": round(total / math.log(2) / num_bytes, 5),
            "against_float32": round(total / exact - 1, 5),
        }
        for kind, total in nats.items()
    }


def config_of(size: DecodeSize, shape: str = "llama") -> DecoderConfig:
    """A decoder that others can be too."""
    from homespun.models import DecoderConfig

    shares_keys = shape in ("qwen2", "qwen3")
    return DecoderConfig(
        vocab_size=size.vocab_size,
        num_layers=size.num_layers,
        width=size.width,
        num_heads=size.num_heads,
        num_kv_heads=size.num_heads // 2 if shares_keys else size.num_heads,
        head_width=size.width // size.num_heads,
        mlp_width=4 * size.width if shape == "gpt2" else size.mlp_width,
        context=CONTEXT,
        **DECODE_SHAPES[shape],
    )


def _check(what: str, name: str, names: list[str]) -> None:
    if name not in names:
        raise ConfigError(f"there is no {what}", got=name, remedy=did_you_mean(name, names))


def _check_ours(ask: DecodeAsk) -> None:
    """Raises ConfigError for weights or batches that there are not."""
    from homespun.inference.native import WEIGHT_KINDS

    for kind in ask.weights:
        _check("such kind of weights", kind, [*WEIGHT_KINDS, "torch"])
    for batch in ask.batches:
        if not 1 <= batch <= MOST_ROWS:
            raise ConfigError(
                f"a batch has 1 to {MOST_ROWS} rows", got=batch, remedy="give --batch such a number"
            )


def random_model(config: DecoderConfig) -> Decoder:
    """Built from a fixed seed, no part of it idle."""
    import torch

    model = config.build(torch.Generator().manual_seed(0))
    with torch.no_grad():
        for parameter in model.parameters():  # fresh blocks are the identity
            if not bool(parameter.any()):
                parameter.normal_(0, 0.02)
    return model.eval()


def _contestants(
    model: Decoder, config: DecoderConfig, ask: DecodeAsk
) -> Iterator[tuple[str, Contestant]]:
    for kind in ask.weights:
        yield f"homespun {kind}", _ours(model, kind, ask.threads)
    for peer in ask.peers:
        yield from DECODE_PEERS[peer](model, config, ask.threads)


def _ours(model: Decoder, kind: str, threads: int | None) -> Contestant:
    from homespun.core import SamplingSettings
    from homespun.inference import Engine, Request

    compiled = kind != "torch"
    engine = Engine(
        model,
        Plain(model.head_weight.shape[0]),  # type: ignore[arg-type]
        num_threads=threads,
        kernels="native" if compiled else "torch",
        weights=kind if compiled else "float32",  # type: ignore[arg-type]
        max_rows=MOST_ROWS,
        kv_tokens=MOST_ROWS * (CONTEXT // 4 + 32),
        prefill_chunk=LONG_PROMPT,
    )
    turn = iter(range(10**9))

    def write(rows: int, tokens: int) -> float:
        settings = SamplingSettings(max_tokens=tokens + 1, temperature=0.0, ignore_end=True)
        number = next(turn)
        for row in range(rows):
            ids = [(number * 7 + row * 31 + i) % 1000 for i in range(PROMPT)]
            engine.add_request(Request(ids, settings))
        # The prompts, and the first token of each, or the first few where these come in one call.
        untimed = sum(len(output.token_ids) for output in engine.step())
        timed, begun = 0, time.perf_counter()
        while engine.has_work:
            timed += sum(len(output.token_ids) for output in engine.step())
        seconds = time.perf_counter() - begun
        assert timed + untimed == rows * (tokens + 1)
        return seconds * rows * tokens / timed

    def read(tokens: int) -> float:
        settings = SamplingSettings(max_tokens=1, temperature=0.0, ignore_end=True)
        number = next(turn)
        begun = time.perf_counter()
        engine.generate([(number * 13 + i) % 1000 for i in range(tokens)], settings)
        return time.perf_counter() - begun

    return Contestant(write, read, engine.num_weight_bytes, engine.num_threads)


def _measure(
    label: str, contestant: Contestant, ask: DecodeAsk, bandwidth: float
) -> dict[str, Any]:
    keep_memory()  # of every contestant alike, as the server does
    rates: dict[str, float | None] = {}
    for batch in ask.batches:
        try:
            rates[str(batch)] = round(_rate(contestant.write, batch, ask.seconds), 1)
        except RequestError:
            rates[str(batch)] = None
    reads = [contestant.read(LONG_PROMPT)]
    until = time.perf_counter() + ask.seconds
    while time.perf_counter() < until or len(reads) < 3:
        reads.append(contestant.read(LONG_PROMPT))
    alone = rates.get("1")
    share = None
    if alone is not None and contestant.num_bytes:
        share = round(alone * contestant.num_bytes / bandwidth, 3)
    return {
        "name": label,
        "tokens_per_second": rates,
        "prefill_tokens_per_second": round(LONG_PROMPT / min(reads), 1),
        "weight_bytes": contestant.num_bytes,
        "share_of_read_bandwidth": share,
        "threads": contestant.threads,
    }


def _rate(write: Callable[[int, int], float], rows: int, seconds: float) -> float:
    """Tokens a second of all rows together: the best of trials of about a third of `seconds`."""
    tokens = 16
    took = write(rows, tokens)
    tokens = max(16, min(CONTEXT // 4, int(tokens * seconds / 3 / max(took, 1e-6))))
    trials: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(trials) < 2:
        trials.append(write(rows, tokens))
    return rows * tokens / min(trials)
