"""How fast this machine trains decoders of several shapes, measured before a plan is made."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from homespun.core import ConfigError, Progress, RunDirectory, TextBlocks, WorkClock
from homespun.core.machine import give_back_memory, peak_memory_bytes
from homespun.recipes.together import ALONE, Helpers
from homespun.scaling.choose import Measured

if TYPE_CHECKING:
    from homespun.models import DecoderConfig, NgramPrior
    from homespun.models.count import MemoryEstimate
    from homespun.models.native import NativeKernels
    from homespun.training import Batch, RampConfig

# A first guess at training speed, to decide which shapes are worth timing: what training of small
# decoders reaches on two cores. Wrong guesses cost a few seconds, not the result.
GUESSED_FLOPS = 60e9
# What a step takes for each byte of activations that is counted: kernels keep less than the count,
# products have buffers of their own; shapes that are timed give the machine's own figure.
# Of 128x5 and 256x7 with 2,048 tokens a step compiled kernels took 0.60 and 0.63 (LOG.md).
USUAL_OVERHEAD = {"native": 0.72, "torch": 1.6}
LEAST_OVERHEAD = 0.6
# What a stage loads besides its model: the writer of event files, maps of the shards, hashes of the
# text. Of two sizes, 520 and 628 MB at their peak, this was left over (LOG.md).
STAGE_BYTES = 140_000_000
# What evaluating takes beside what a stage loads and the models: a batch that is scored in float32,
# windows of training text, conversations and an index of them. With the corpus python and 64x3 it
# came to 250 MB, before the search for copies gave back what it took.
JUDGING_BYTES = 250_000_000
# Of a token and an order, at the peak of counting a table: 8 million tokens at order 3 took 1.1 GB.
COUNTING_BYTES = 46
# Of a weight that Muon updates, beside gradient and state: its copy in bfloat16, and what goes in
# and comes out of the orthogonal steps. 384x9 took 135 MB, 8.5 bytes a weight, and a save's copies
# lie where the next step finds no room for its own.
UPDATE_BYTES = 10
TIMED_TOKENS = 131_072
KEPT_CHECKPOINTS = 2  # of a training, unless more are asked for
_CAUTION = 1.04


class KernelChoice(NamedTuple):
    """Attributes:
    name: as in `TrainConfig.kernels`.
    why: a sentence on why not the faster ones; empty where they are taken.
    """

    name: Literal["torch", "native"]
    why: str


def best_kernels() -> KernelChoice:
    """The compiled ones, unless they cannot be had: compiling takes two seconds, once a machine."""
    from homespun.models.native import load_kernels

    try:
        load_kernels()
    except ConfigError as error:
        return KernelChoice("torch", f"training will be slower: {error}")
    return KernelChoice("native", "")


def loaded_kernels() -> NativeKernels | None:
    """What `best_kernels` names, for `use_kernels`; None for torch's own operations."""
    from homespun.models.native import kernels_by_name

    return kernels_by_name(best_kernels().name)


class ShapeSpeed(NamedTuple):
    """Attributes:
    shape: its name, "128x5".
    rows: of the context, that were held at once, as timed.
    drops: whether it was timed with dropout.
    """

    shape: str
    parameters: int
    rows: int
    tokens_per_second: float
    flops_per_token: float
    drops: bool = False

    @property
    def measured(self) -> Measured:
        return Measured(self.flops_per_token, self.tokens_per_second)


class TextBeside(NamedTuple):
    """What a model beside an n-gram table is timed with.

    Attributes:
        tokens: of the training split. prior: the table of it. blocks: of the text and the table.
    """

    tokens: Any
    prior: NgramPrior
    blocks: TextBlocks

    def batches(self, *, rows: int, context: int) -> list[Batch]:
        """The first of training, with the blocks they are of: more than a processor's cache holds
        the n-grams of, since in training it does not either."""
        from homespun.training import TokenBatches

        source = TokenBatches(self.tokens, context=context, rows=rows, seed=0, blocks=self.blocks)
        return [source.batch(k) for k in range(max(8, TIMED_TOKENS // (rows * context)))]


class StepLoad(NamedTuple):
    """What a step reads.

    Attributes:
        rows: of the context, in a whole step. parts: that they are learned from in, one after
            another.
        beside: for a config with `ngram_prior`, the table it is trained beside.
        ramp: that training would follow; speeds are those of a whole run by it.
    """

    rows: int
    parts: int = 1
    beside: TextBeside | None = None
    ramp: RampConfig | None = None

    @property
    def at_once(self) -> int:
        """Rows that are held at once."""
        return max(1, math.ceil(self.rows / self.parts))


def measure_shapes(
    shapes: Sequence[DecoderConfig],
    load_of: Callable[[DecoderConfig], StepLoad],
    *,
    seconds: float,
    is_thrifty: bool = False,
    share: float = 1.0,
    progress: Progress,
) -> list[ShapeSpeed]:
    """Time whole training steps of each shape for about `seconds` each.

    Args:
        share: times as fast as this process alone is what will train, see `share_together`.
        is_thrifty: give back what a shape took before the next.
    """
    from homespun.models import count_parameters, train_flops_per_token
    from homespun.recipes.scale.shapes import shape_name

    task = progress.task("measuring this machine", len(shapes), "shapes")
    speeds = []
    for config in shapes:
        load = load_of(config)
        rate = share * ramped_rate(config, load, seconds=seconds)
        speeds.append(
            ShapeSpeed(
                shape_name(config),
                count_parameters(config),
                load.at_once,
                round(rate, 1),
                float(train_flops_per_token(config)),
                config.dropout > 0,
            )
        )
        if is_thrifty:
            give_back_memory()
        task.advance(note=f"{speeds[-1].shape}: {rate:,.0f} tokens/s")
    task.finish()
    return speeds


def best_threads(
    config: DecoderConfig,
    known: float,
    load: StepLoad,
    *,
    seconds: float,
) -> int:
    """All threads, or one where that trains faster than `known` tokens a second: another program
    holds a core."""
    import torch

    every = torch.get_num_threads()
    if every == 1:
        return 1
    torch.set_num_threads(1)
    try:
        alone = ramped_rate(config, load, seconds=seconds)
    finally:
        torch.set_num_threads(every)
    return 1 if alone > 1.05 * known else every


def ramped_rate(config: DecoderConfig, load: StepLoad, *, seconds: float) -> float:
    """Tokens a second of a run by the load's ramp, whose phases are timed in turn, each batch in as
    many parts as the largest would be; without a ramp, of its rows of the whole context.

    Args:
        seconds: in all.
    """
    ramp, parts, beside = load.ramp, load.parts, load.beside
    if ramp is None:
        return tokens_per_second(
            config, rows=load.rows, parts=parts, seconds=seconds, beside=beside
        )
    each = seconds / len(ramp.phases)
    took = 0.0  # seconds a step, on average
    for phase in ramp.phases:
        rate = tokens_per_second(
            config,
            rows=phase.rows,
            parts=parts,
            context=phase.context,
            seconds=each,
            beside=beside,
        )
        took += phase.share * phase.rows * phase.context / rate
    return ramp.batch_tokens / took


def tokens_per_second(
    config: DecoderConfig,
    *,
    rows: int,
    seconds: float,
    parts: int = 1,
    context: int | None = None,
    beside: TextBeside | None = None,
    helpers: Helpers = ALONE,
) -> float:
    """Of whole training steps.

    Args:
        parts: that the rows of a step are learned from in, as where memory is short: the weights
            change once for all of them.
        context: of the rows; None for the model's.
        beside: for a config with `ngram_prior`, the table it is trained beside.
        helpers: who trains along; they must all measure the same, see `share_together`.
    """
    import torch

    from homespun.models import best_compute_dtype
    from homespun.training.machine import training_tokens_per_second

    model = config.build(torch.Generator().manual_seed(0))
    model.set_compute_dtype(best_compute_dtype("cpu"))
    batches: list[Batch] = []
    if beside is not None:
        model.attach_prior(beside.prior)
        batches = beside.batches(rows=rows, context=context or config.context)
    return training_tokens_per_second(
        model,
        batch=rows,
        context=context or config.context,
        vocab_size=config.vocab_size,
        seconds=seconds,
        kernels=loaded_kernels(),
        parts=parts,
        batches=batches,
        world=helpers.world,
        parallel=helpers.parallel(),
    )


def share_together(
    run: Path,
    config: DecoderConfig,
    load: StepLoad,
    *,
    seconds: float,
    helpers: Helpers,
    progress: Progress,
) -> float:
    """How many times as fast all processes train a shape together as the leader alone does, with
    all cores of its machine; both are measured here, without a table. 1 where there is only one
    process, or they train on GPUs.

    Args:
        run: that all open.
        seconds: in all.
        progress: told the share.
    """
    world = helpers.world
    if world is None or world.size == 1 or world.device.type != "cpu":
        return 1.0
    shape = config.model_copy(update={"ngram_prior": False})
    rows, context = max(load.rows, world.size), None
    if load.ramp is not None:
        rows, context = load.ramp.phases[-1].rows, load.ramp.phases[-1].context
    alone = tokens_per_second(
        shape, rows=rows, context=context, parts=load.parts, seconds=seconds / 2
    )
    parts = max(load.parts, helpers.parallel().accumulate)
    asked: dict[str, Any] = {"rows": rows, "context": context, "parts": parts}
    asked["seconds"] = seconds / 2
    helpers.call("measure", run, shape=shape.model_dump(), **asked)
    share = tokens_per_second(shape, helpers=helpers, **asked) / alone
    progress.say(
        f"{world.size} processes train {share:.2f} times as fast as one with all cores of its "
        "machine: the plan counts on that"
    )
    return share


def help_measuring(
    run: RunDirectory,
    *,
    clock: WorkClock,
    helpers: Helpers,
    shape: dict[str, Any],
    **asked: Any,
) -> None:
    """What the other processes do in `share_together`."""
    from homespun.models import DecoderConfig

    tokens_per_second(DecoderConfig(**shape), helpers=helpers, **asked)


def best_dtype_name(device: str = "cpu") -> Literal["bfloat16", "float32"]:
    """What this processor is fast in, or another device, as the settings of a training name it."""
    import torch

    from homespun.models import best_compute_dtype

    return "bfloat16" if best_compute_dtype(device) == torch.bfloat16 else "float32"


def counted_memory(config: DecoderConfig, *, rows: int) -> MemoryEstimate:
    """What `models.memory_by_kind` counts for training by Muon in this machine's compute dtype."""
    from homespun.models.count import memory_by_kind

    width = 2 if best_dtype_name() == "bfloat16" else 4
    return memory_by_kind(config, batch=rows, optimizer="muon", activation_bytes=width)


def resident_bytes() -> int:
    """What this process holds in memory now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def expected_memory(
    need: int,
    *,
    limit: int | None = None,
) -> int:
    """Peak of this process where training in it needs so many bytes: since freed memory is kept
    for the next need (`prepare_process`), no less than its peak so far, such as that of counting a
    table. Where that is beyond `limit`, it is given back."""
    kept = round(_CAUTION * (peak_memory_bytes() + STAGE_BYTES // 2))
    if limit is not None and kept > limit:
        give_back_memory()
        kept = max(peak_memory_bytes(), round(_CAUTION * (resident_bytes() + STAGE_BYTES // 2)))
    return max(need, kept)


def counting_bytes(order: int, num_tokens: int) -> int:
    """Of memory that counting an n-gram table takes at its peak, roughly."""
    return order * num_tokens * COUNTING_BYTES


def needed_memory(
    config: DecoderConfig,
    *,
    rows: int,
    before: int,
    overhead: float,
    table_bytes: int = 0,
    to_count: tuple[int, int] = (0, 0),
) -> int:
    """What a process that trains `config` holds at the most, in bytes.

    What the process held before and what every stage loads; weights, gradients and the optimiser's
    state, which stay; and of what does not stay the most: a step's activations, held-out text, or
    a save.

    Args:
        rows: of the context, that a step's activations are held for at once.
        before: resident bytes before anything was timed or counted.
        overhead: what activations take, in those that are counted; see `learned_overhead`.
        table_bytes: of the n-gram table beside the model.
        to_count: order and tokens of a table that is yet to be counted.
    """
    counted = counted_memory(config, rows=rows)
    states = counted.total - counted.activations
    tokens = rows * config.context
    step = overhead * counted.activations + beside_network(config, tokens)
    step += updating_bytes(config)
    passing = max(step, held_out_bytes(config), states - counted.gradients)
    need = before + table_bytes + STAGE_BYTES + states + passing
    order, num_tokens = to_count
    counting = before + counting_bytes(order, num_tokens)
    return round(max(need, counting) * _CAUTION)


def judging_memory(config: DecoderConfig, *, before: int, table_bytes: int = 0) -> int:
    """What a process that has trained `config` holds at the most while it evaluates, in bytes: the
    text model and the chat model, each with what writes by it, are there at once.

    Args:
        before, table_bytes: as in `needed_memory`.
    """
    from homespun.models import count_parameters

    models = 4 * 4 * count_parameters(config)
    return round(_CAUTION * (before + table_bytes + STAGE_BYTES + models + JUDGING_BYTES))


def usual_overhead() -> float:
    """What activations take by the kernels that train here, in those that are counted."""
    return USUAL_OVERHEAD[best_kernels().name]


def learned_overhead(
    config: DecoderConfig, *, rows: int, before: int, peaks: tuple[int, int], table_bytes: int = 0
) -> float | None:
    """The same as a shape showed that has just been timed; None where it showed nothing.

    Args:
        before: resident bytes before anything was timed or counted.
        peaks: this process's peak before the timing and after it.
    """
    if peaks[1] <= peaks[0]:  # what held more earlier hides what a step took
        return None
    timed = counted_memory(config, rows=rows)
    kept = timed.total - timed.activations + updating_bytes(config)
    taken = (peaks[1] - before - table_bytes - kept) / timed.activations
    return taken if LEAST_OVERHEAD < taken < 3.0 else None


def updating_bytes(config: DecoderConfig) -> int:
    """Of what the optimiser needs beside gradients and its state."""
    from homespun.models import parameters_by_kind

    return UPDATE_BYTES * parameters_by_kind(config).matrix


def held_out_bytes(config: DecoderConfig) -> float:
    """Of scoring held-out text, 4,096 tokens at a time, the scores of 1,024 at once and twice."""
    tokens = 4096
    activations = tokens * (8 * config.width + 2 * config.mlp_width)
    scores = 2 * 1024 * config.vocab_size
    return 4 * (activations + scores) + beside_network(config, tokens)


def beside_network(config: DecoderConfig, tokens: int) -> float:
    """Bytes of what a table says of a batch: places in it for every token, beside hidden states
    that are copied to travel with them, and log probabilities of all words for 1,024 tokens at a
    time; nothing without a table."""
    places = tokens * (2 * 4 * config.width + 16 * 8)
    return float((places + 2 * 4 * 1024 * config.vocab_size) * config.ngram_prior)


def expected_disk(
    config: DecoderConfig, *, table_bytes: int = 0, kept: int = KEPT_CHECKPOINTS, more: int = 0
) -> int:
    """Bytes of checkpoints: those that are kept, the best, one to go back to and one being
    written, then the weights again; and the n-gram table.

    Args:
        more: of each checkpoint, beyond weights and Muon's state.
    """
    from homespun.models import count_parameters

    checkpoints = (kept + 3) * (checkpoint_bytes(config) + more)
    return checkpoints + 4 * count_parameters(config) + table_bytes


def checkpoint_bytes(config: DecoderConfig) -> int:
    """Of one: weights and Muon's state."""
    from homespun.models import parameters_by_kind

    count = parameters_by_kind(config)
    return 4 * (3 * count.total - count.matrix)
