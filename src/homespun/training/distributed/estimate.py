"""What a number of GPUs would need for a model, on paper: arithmetic alone, nothing measured.

docs/design/distributed.md shows the tables this makes and says what is left out.
"""

from __future__ import annotations

from typing import NamedTuple

from homespun.models import DecoderConfig, train_flops_per_token
from homespun.models.count import activations_per_token, parameters_by_kind
from homespun.training.distributed.layout import choose_owners

GB = 1e9
CHUNK_ROWS = 512  # of scores that the loss holds at a time


class Gpu(NamedTuple):
    """What is assumed of a GPU and its neighbours; the defaults are an H100 SXM's, 8 to a machine.

    Attributes:
        memory: bytes.
        reserved: of these, for the driver, NCCL's buffers and what lies fragmented.
        flops: bf16 operations a second that training reaches, not the 989e12 of the data sheet.
        hbm: bytes a second of its own memory.
        near: bytes a second, one way, to the GPUs of the same machine.
        far: bytes a second, one way, to other machines.
        per_machine: GPUs of a machine.
    """

    memory: float = 80e9
    reserved: float = 5e9
    flops: float = 400e12
    hbm: float = 3.35e12
    near: float = 450e9
    far: float = 50e9
    per_machine: int = 8

    def bus(self, num_gpus: int) -> float:
        """Bytes a second at which a ring of so many gathers or scatters. Over several machines
        each GPU of a machine leads one ring out of it, so all its links are used at once."""
        if num_gpus <= self.per_machine:
            return self.near
        return min(self.near, self.far * self.per_machine)


class Estimate(NamedTuple):
    """Of one GPU and one step, but for the last three.

    Attributes:
        weights, gradients, optimizer: bytes of its shards; Muon on matrices, AdamW on the rest.
        gathered: bytes of what is whole for a while: two blocks, embedding and head, and their
            gradients.
        activations: bytes, every block computed again on the way back.
        compute: seconds of products, that second computation included.
        update: seconds of the optimiser: Newton-Schulz of the owner with most to do, and memory.
        sent: bytes gathered and scattered.
        exchange: seconds of that.
        step: seconds, gathering and scattering hidden behind products as far as they are shorter.
        tokens_per_second: of all GPUs.
        days: to read 20 tokens a parameter.
        fits: whether memory suffices.
    """

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    activations: float
    compute: float
    update: float
    sent: float
    exchange: float
    step: float
    tokens_per_second: float
    days: float
    fits: bool

    @property
    def memory(self) -> float:
        """Bytes, all kinds together."""
        return self.weights + self.gradients + self.optimizer + self.gathered + self.activations


def estimate(
    config: DecoderConfig, *, num_gpus: int, rows: int, gpu: Gpu | None = None
) -> Estimate:
    """FSDP with Muon on `num_gpus`, each reading `rows` rows of the context a step.

    fp32 shards, bf16 blocks, fp32 embedding and head, fp32 gradients, activation checkpointing.
    A single GPU holds the whole and exchanges nothing.
    """
    gpu = gpu or Gpu()
    K, count = num_gpus, parameters_by_kind(config)
    tokens = rows * config.context
    blocks = count.matrix + count.vector - config.width
    ends = count.total - blocks
    block = blocks / config.num_layers
    # A shard and, of matrices, the owner's copy and its momentum; mean and square of the rest.
    optimizer = (8 * count.matrix if K > 1 else 4 * count.matrix) + 8 * (count.total - count.matrix)
    # While one block is computed (bf16) the next is on its way; a block's gradient leaves in fp32.
    gathered = 2 * 2 * block + (2 + 4) * block + (4 + 4) * ends if K > 1 else 2 * block
    layers = config.num_layers
    per_layer = (activations_per_token(config) - 4 * config.width) / layers
    kept = 2 * (layers * config.width + per_layer + 4 * config.width)
    activations = tokens * kept + 3 * 4 * CHUNK_ROWS * config.vocab_size
    compute = tokens * train_flops_per_token(config) * 4 / 3 / gpu.flops
    update = orthogonal_flops(config, K) / gpu.flops + 28 * count.total / K / gpu.hbm
    # Blocks forwards and backwards in bf16, the ends once in fp32, all gradients in fp32, and
    # Muon's rows to their owner and back.
    gathering = 2 * 2 * blocks + 4 * ends + 4 * count.total
    sent = (gathering + 2 * 4 * count.matrix / K) * (K - 1) / K
    exchange = sent / gpu.bus(K)
    step = max(compute, exchange) + update
    speed = K * tokens / step
    memory = (8 * count.total + optimizer) / K + gathered + activations
    return Estimate(
        weights=4 * count.total / K,
        gradients=4 * count.total / K,
        optimizer=optimizer / K,
        gathered=gathered,
        activations=activations,
        compute=compute,
        update=update,
        sent=sent,
        exchange=exchange,
        step=step,
        tokens_per_second=speed,
        days=20 * count.total / speed / 86_400,
        fits=memory <= gpu.memory - gpu.reserved,
    )


def orthogonal_flops(config: DecoderConfig, num_gpus: int) -> float:
    """Of the owner with most to do: five rounds of 4·m²·n + 2·m³ a matrix, m its shorter side."""
    c = config
    shapes = {
        "query": (c.num_heads * c.head_width, c.width),
        "key": (c.num_kv_heads * c.head_width, c.width),
        "value": (c.num_kv_heads * c.head_width, c.width),
        "out": (c.width, c.num_heads * c.head_width),
        "gate": (c.mlp_width, c.width),
        "up": (c.mlp_width, c.width),
        "down": (c.width, c.mlp_width),
    }
    matrices = {f"{i}.{n}": shape for i in range(c.num_layers) for n, shape in shapes.items()}
    work = [0.0] * num_gpus
    for name, owner in choose_owners(matrices, num_gpus).items():
        short, long = sorted(matrices[name])
        work[owner] += 5 * (4 * short**2 * long + 2 * short**3)
    return max(work)


def paper_models() -> dict[str, DecoderConfig]:
    """Shapes of Llama's kind (TinyLlama 1.1B, Llama 2 7B, 13B and 70B), 4,096 tokens of context."""

    def shape(layers: int, width: int, heads: int, kv_heads: int, mlp: int) -> DecoderConfig:
        return DecoderConfig(
            vocab_size=32_000,
            num_layers=layers,
            width=width,
            num_heads=heads,
            num_kv_heads=kv_heads,
            head_width=width // heads,
            mlp_width=mlp,
            context=4096,
            tied=False,
            qk_norm=False,
        )

    return {
        "1B": shape(22, 2048, 32, 4, 5632),
        "7B": shape(32, 4096, 32, 32, 11_008),
        "13B": shape(40, 5120, 40, 40, 13_824),
        "70B": shape(80, 8192, 64, 8, 28_672),
    }


def paper_table() -> str:
    """The table of docs/design/distributed.md, in Markdown."""
    head = (
        "| model | GPUs | rows | weights | gradients | optimiser | whole | activations | sum, GB "
        "| sent, GB | sending : computing | update | tokens/s | 20 tokens/parameter |"
    )
    lines = [head, "|" + "---|" * 14]
    for name, config in paper_models().items():
        for num_gpus in (1, 8, 64, 1024):
            # Four rows keep products busy; on 1,024 GPUs one row is 4.2M tokens a step already.
            rows = 1 if num_gpus == 1024 else 4
            e = estimate(config, num_gpus=num_gpus, rows=rows)
            kinds = (e.weights, e.gradients, e.optimizer, e.gathered, e.activations)
            cells = [name, f"{num_gpus:,}", str(rows), *(f"{kind / GB:.1f}" for kind in kinds)]
            cells.append(f"{e.memory / GB:.1f}" if e.fits else f"**{e.memory / GB:.0f}**")
            if e.fits:
                cells += [
                    f"{e.sent / GB:.1f}",
                    f"{e.exchange / e.compute:.0%}",
                    f"{e.update / e.step:.0%}",
                    f"{e.tokens_per_second:,.0f}",
                    _duration(e.days),
                ]
            else:
                cells += ["does not fit", "", "", "", ""]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _duration(days: float) -> str:
    if days >= 730:
        return f"{days / 365.25:.1f} years"
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} hours"
