"""A larger model that computes the same: more width, more layers.

The idea is Net2Net's (Chen et al. 2015, arXiv 1511.05641); for Transformers see bert2BERT (arXiv
2110.07143), LEMON (arXiv 2310.07999) and Gesmundo & Maile 2023 (arXiv 2308.06103).

Width. The residual stream x (D) becomes x' = [c·x, 0] (D'), with c = sqrt(D'/D): its mean square is
that of x, so RMSNorm divides by the same number, eps included. Whatever writes to the stream
(embedding, `out`, `down`) has its rows times c, and zeros for the new components; every norm's
weights are divided by c to undo it, once more for a tied head, whose table carries the c. What
reads from the stream meets zeros in the new components, so those columns may be random: they
break the symmetry. New heads and new gated units are random too, and the columns that would let
them write are zero. A norm behind the embedding makes the same stream of a table that is c times as
large; what looks at the stream before a norm does (smear's gate) is divided by c.

Depth. A new block is a copy of the one below it whose two writing projections are zero: the
identity, which learns at once, since its inner features are there. Where the embedding flows into
each layer once more, it does not into a new one, and what flows in stays as large as it is.

Shape letters: D width, D' new width, R rows, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from homespun.core import ConfigError
from homespun.models.config import DecoderConfig

MLP_MULTIPLE = 32
# Of these any value may stand in a model that grows; all other fields must have their default.
_FREE = {
    "vocab_size", "num_layers", "width", "num_heads", "num_kv_heads", "head_width", "mlp_width",
    "context", "rope_base", "rope_scaling", "tied", "qk_norm", "norm_eps", "softcap", "qk_scale",
    "dropout", "activation", "embedding_std", "head_std", "uniform_init", "mlp_init_scale",
    "induction", "ngram_prior", "smear", "embedding_norm", "residual_scalars",
}  # fmt: skip
# A number for each layer; 0 leaves the stream as it is.
_OF_LAYERS = ("mix.residual_L", "mix.first_L")
_WRITES = ("attention.out.weight", "mlp.down.weight")
_READS = (
    "attention.query.weight",
    "attention.key.weight",
    "attention.value.weight",
    "mlp.gate.weight",
    "mlp.up.weight",
)


def grow_config(
    config: DecoderConfig, *, num_layers: int | None = None, width: int | None = None
) -> DecoderConfig:
    """The shape of the grown model: heads as wide as before, the feed-forward layer in proportion.

    Args:
        config: of the model as it is.
        num_layers, width: of the new one; as before where None.

    Raises:
        ConfigError: smaller than before or the same; a width that is not a whole number of heads;
            a model with a part that cannot be grown.
    """
    check_plain(config, "grown")
    layers, width = num_layers or config.num_layers, width or config.width
    if layers < config.num_layers or width < config.width:
        raise ConfigError(
            f"a model of {config.num_layers} layers of width {config.width} can only become larger",
            got=f"{layers} layers of width {width}",
            remedy="give --layers or --width a larger number",
        )
    if (layers, width) == (config.num_layers, config.width):
        raise ConfigError(
            f"the model has {layers} layers of width {width} already",
            remedy="give --layers or --width a larger number",
        )
    group = config.num_heads // config.num_kv_heads
    step = config.head_width * group
    if (width - config.width) % step:
        raise ConfigError(
            f"the width must grow by a multiple of {step}, the width of "
            f"{'a head' if group == 1 else f'{group} heads that share keys'}",
            got=width,
            remedy=f"choose {config.width + step * max(1, (width - config.width) // step)}",
        )
    num_heads = config.num_heads + (width - config.width) // config.head_width
    units = config.mlp_width * width / config.width
    return config.model_copy(
        update={
            "num_layers": layers,
            "width": width,
            "num_heads": num_heads,
            "num_kv_heads": num_heads // group,
            "mlp_width": max(config.mlp_width, MLP_MULTIPLE * math.ceil(units / MLP_MULTIPLE))
            if width > config.width
            else config.mlp_width,
        }
    )


def check_plain(config: DecoderConfig, done: str) -> None:
    """Raises ConfigError where the model has a part that cannot be `done` ("grown")."""
    for name, field in type(config).model_fields.items():
        if name not in _FREE and getattr(config, name) != field.default:
            raise ConfigError(
                f"a model with {name} = {getattr(config, name)} cannot be {done}",
                remedy="begin with a portable model (`spin --portable` or `plan --portable`)",
            )


@torch.no_grad()
def grow_weights(
    tensors: Mapping[str, Tensor],
    before: DecoderConfig,
    after: DecoderConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Weights of the larger model, which gives the same scores as the smaller.

    Args:
        tensors: of a model built from `before`, by name.
        before, after: as `grow_config` relates them.
        generator: of what is random.
    """
    wide = _widen(tensors, before, after, generator)
    return _deepen(wide, before.num_layers, after.num_layers)


def _widen(
    tensors: Mapping[str, Tensor],
    before: DecoderConfig,
    after: DecoderConfig,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    c = math.sqrt(after.width / before.width)
    empty = {name: tensor.shape for name, tensor in _shapes(before, after, tensors).items()}
    wide: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        shape = empty[name]
        if name == "embedding.weight":
            wide[name] = _padded(tensor * c, shape)
        elif name == "unembedding.weight":
            wide[name] = _padded(tensor, shape)
        elif name == "norm.weight":
            wide[name] = _padded(tensor / (c * c if before.tied else c), shape, fill=1 / c)
        elif name.endswith(("attention_norm.weight", "mlp_norm.weight")):
            wide[name] = _padded(tensor / c, shape, fill=1 / c)
        elif name.endswith(_WRITES):
            wide[name] = _padded(tensor * c, shape)
        elif name.endswith(_READS):
            wide[name] = _padded(tensor, shape, generator=generator)
        elif name == "embedding_norm.weight":
            wide[name] = _padded(tensor, shape, fill=1.0)
        elif name == "smear.weight":
            wide[name] = _padded(tensor / c, shape)
        elif name == "prior_strength.gate_D":  # reads what the head reads
            wide[name] = _padded(tensor * (c if before.tied else 1.0), shape)
        else:  # norms of single heads, which keep their width, and numbers that have none
            wide[name] = tensor.clone()
    return wide


def _shapes(
    before: DecoderConfig, after: DecoderConfig, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Tensors without content, as the wide model of the old depth has them.

    Raises:
        ConfigError: the model has parameters that growing knows nothing of.
    """
    with torch.device("meta"):
        model = after.model_copy(update={"num_layers": before.num_layers}).empty()
    wanted = dict(model.named_parameters())
    if strange := sorted(tensors.keys() ^ wanted.keys()):
        raise ConfigError(
            "this model has a part that cannot be grown",
            got=strange[0],
            remedy="begin with a model of the portable kind (`spin --portable`)",
        )
    return {name: parameter.detach() for name, parameter in wanted.items()}


def _padded(
    tensor: Tensor,
    shape: torch.Size,
    *,
    fill: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`tensor` in the corner of a larger one that is `fill`, or N(0, 1/C) where random."""
    if generator is not None:
        larger = torch.empty(shape).normal_(0.0, shape[-1] ** -0.5, generator=generator)
    else:
        larger = torch.full(shape, fill)
    larger[tuple(slice(size) for size in tensor.shape)] = tensor
    return larger


def _deepen(tensors: Mapping[str, Tensor], before: int, after: int) -> dict[str, Tensor]:
    """The new blocks lie evenly between the old ones, each above the one that it copies."""
    origin = [new * before // after for new in range(after)]
    deep: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name in _OF_LAYERS:
            again_L = [new > 0 and origin[new] == origin[new - 1] for new in range(after)]
            deep[name] = tensor[origin].masked_fill(torch.tensor(again_L), 0.0)
            continue
        if not name.startswith("blocks."):
            deep[name] = tensor
            continue
        _, number, rest = name.split(".", 2)
        copies = [new for new, old in enumerate(origin) if old == int(number)]
        for place in copies:
            is_new = place != copies[0] and name.endswith(_WRITES)
            deep[f"blocks.{place}.{rest}"] = torch.zeros_like(tensor) if is_new else tensor.clone()
    return deep
