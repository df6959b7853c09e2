"""Changes of a recipe, one at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

from homespun.core import ConfigError, did_you_mean
from homespun.recipes.bench.recipe import BenchRecipe, override
from homespun.scaling.rules import ADAMW_RATE, MATRIX_RATES


class Variant(NamedTuple):
    """A recipe that differs from the base in `settings`, written as `override` reads them."""

    name: str
    settings: tuple[str, ...]


def parse_variant(text: str) -> Variant:
    """A variant written `NAME:key=value,key=value`; a value may be JSON, commas and all.

    Raises:
        ConfigError: there is no name or no setting.
    """
    name, colon, settings = text.partition(":")
    parts = split_settings(settings)
    if not colon or not name.strip() or not parts or not all("=" in part for part in parts):
        raise ConfigError(
            "a change must be written NAME:key=value,key=value",
            got=text,
            remedy='as in --change "more rows:rows=16"',
        )
    return Variant(name.strip(), parts)


def usual_variants(base: BenchRecipe) -> list[Variant]:
    """Of what the presets are made of, each part taken away or added; those that change nothing in
    `base` are left out.

    Widths are chosen so that a step's products stay the same, or nearly so.
    """
    model = base.model
    width, rate = int(model["width"]), base.optimizer.get("learning_rate", 1e-2)
    gated = max(32, round(width / 12) * 32)
    tables = [f"prior_order=0,optimizer.matrix_learning_rate={MATRIX_RATES['portable']}"]
    found = [
        ("no n-gram table", tables if base.prior_order else []),
        ("table without copies", ["prior_copies=false"] if base.prior_order else []),
        ("no smear", ["model.smear=false"]),
        ("no softcap", ["model.softcap=null"]),
        ("no residual scalars", ["model.residual_scalars=false"]),
        ("no induction heads", ["model.induction=false"]),
        ("no query-key norm", ["model.qk_norm=false,model.qk_scale=1.0,model.induction=false"]),
        ("head and embedding tied", ["model.tied=true,model.embedding_std=0.02"]),
        ("value embeddings", ["model.value_embeddings=true"]),
        ("bigram table", [f"model.bigram_rows={5 * 2048}"]),
        ("head gates", ["model.head_gate=true"]),
        ("swiglu", [f"model.activation=swiglu,model.mlp_width={gated}"]),
        ("relu2", [f"model.activation=relu2,model.mlp_width={4 * width}"]),
        ("gelu", [f"model.activation=gelu,model.mlp_width={4 * width}"]),
        (
            "adamw",
            [f"optimizer.kind=adamw,optimizer.kinds.matrix.rate={ADAMW_RATE / rate:.4g}"],
        ),
        ("matrices at half the rate", [f"optimizer.matrix_learning_rate={_matrix(base) / 2:.4g}"]),
        ("matrices at twice the rate", [f"optimizer.matrix_learning_rate={_matrix(base) * 2:.4g}"]),
        ("normuon", ["optimizer.variance=longer_side"]),
        ("cautious decay", ["optimizer.cautious=true"]),
        ("cosine", ["schedule.kind=cosine"]),
        ("linear from the start", ["schedule.kind=linear"]),
        ("decay of a fifth", ["schedule.decay=0.2"]),
        ("average of weights", ['train.ema={"kind":"ema"}']),
        ("dropout 0.1", ["model.dropout=0.1"]),
        ("half the batch", [f"rows={max(1, base.rows // 2)}"]),
        ("twice the batch", [f"rows={2 * base.rows}"]),
    ]
    variants = [
        Variant(name, tuple(s for part in parts for s in split_settings(part)))
        for name, parts in found
    ]
    return [v for v in variants if v.settings and changes(base, v)]


def changes(base: BenchRecipe, variant: Variant, vocab_size: int = 2048) -> bool:
    """Whether the variant trains anything else than the base."""
    other = override(base, variant.settings)
    return _whole(other, vocab_size) != _whole(base, vocab_size)


def chosen(variants: list[Variant], names: tuple[str, ...]) -> list[Variant]:
    """Those that are named; all where no name is given.

    Raises:
        ConfigError: there is none of that name.
    """
    known = {variant.name: variant for variant in variants}
    for name in names:
        if name not in known:
            raise ConfigError(
                "there is no change of that name", got=name, remedy=did_you_mean(name, list(known))
            )
    return [known[name] for name in names] if names else variants


def _whole(recipe: BenchRecipe, vocab_size: int) -> tuple[Any, ...]:
    """Everything that decides what is trained, defaults filled in."""
    return (
        recipe.decoder(vocab_size),
        recipe.training(seconds=None, num_steps=1, seed=0),
        recipe.rows,
        recipe.prior_order,
        recipe.prior_copies,
        recipe.prior_blocks,
    )


def _matrix(base: BenchRecipe) -> float:
    rate = base.optimizer.get("matrix_learning_rate")
    return float(MATRIX_RATES[base.preset] if rate is None else rate)


def split_settings(text: str) -> tuple[str, ...]:
    """`a=1,b={"c":[2,3]}` as two settings: commas within brackets or strings are part of a value.

    Text in which a bracket or a string does not end is one setting, whose value is then no JSON.
    """
    parts, begin, depth, quoted, escaped = [], 0, 0, False, False
    for at, sign in enumerate(text):
        if quoted:
            quoted, escaped = sign != '"' or escaped, sign == "\\" and not escaped
        elif sign == '"':
            quoted = True
        elif sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        elif sign == "," and depth <= 0:
            parts.append(text[begin:at])
            begin = at + 1
    parts.append(text[begin:])
    return tuple(part.strip() for part in parts if part.strip())
