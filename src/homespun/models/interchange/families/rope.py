"""Scaled rotary positions in the words of `transformers`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from homespun.core import ConfigError, parse_config
from homespun.models.config import DecoderConfig
from homespun.models.reshape.rope_scaling import RopeScaling

# By kind: their names of our fields, beside factor and original_max_position_embeddings.
_OWN = {
    "linear": {},
    "yarn": {
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
    },
    "llama3": {"high_freq_factor": "high_factor", "low_freq_factor": "low_factor"},
}
_COMMON = {"rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings"}


def rope_field(data: Mapping[str, Any], name: str) -> Any:
    """What config.json says of rotary positions under `name`, in whichever of the three places
    `transformers` looks; None where it says nothing."""
    for place in (data.get("rope_scaling"), data.get("rope_parameters"), data):
        if place and place.get(name) is not None:
            return place[name]
    return None


def write_rope(config: DecoderConfig) -> dict[str, Any]:
    """Fields of config.json: the first is what transformers 4 reads, the second is 5's."""
    scaling = config.rope_scaling
    if scaling is None:
        return {
            "rope_theta": config.rope_base,
            "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_base},
        }
    found: dict[str, Any] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind != "linear":
        found["original_max_position_embeddings"] = scaling.original_context
    for theirs, ours in _OWN[scaling.kind].items():
        if getattr(scaling, ours) is not None:
            found[theirs] = getattr(scaling, ours)
    return {
        "rope_theta": config.rope_base,
        "rope_parameters": {**found, "rope_theta": config.rope_base},
        "rope_scaling": found,
    }


def read_rope(data: Mapping[str, Any], path: Path) -> RopeScaling | None:
    """Raises ConfigError for a kind of scaling that ours does not have."""
    for field in ("rope_scaling", "rope_parameters"):
        rope = data.get(field) or {}
        kind = rope.get("rope_type", rope.get("type", "default"))
        if any(isinstance(value, Mapping) for value in rope.values()):
            kind = "one for each kind of layers"
        if kind != "default":
            break
    else:
        return None
    own = _OWN.get(kind, {})
    strange = {key for key in rope.keys() - _COMMON - own.keys() if rope[key] is not None}
    strange -= {"partial_rotary_factor"}  # looked at with the other fields
    if kind not in _OWN or strange or rope.get("factor") is None:
        raise ConfigError(
            f"{path} asks for {field}, which our decoder does not have",
            got=rope,
            remedy="linear, yarn and llama3 are the kinds of scaling it knows",
        )
    if rope["factor"] == 1.0:
        return None
    # As `transformers` fills it in, be the factor what it may.
    name = "original_max_position_embeddings"
    original = data.get(name) or rope.get(name) or data.get("max_position_embeddings", 2)
    fields = {ours: rope[theirs] for theirs, ours in own.items() if rope.get(theirs) is not None}
    return parse_config(
        RopeScaling,
        {"kind": kind, "factor": rope["factor"], "original_context": int(original), **fields},
        where=str(path),
    )
