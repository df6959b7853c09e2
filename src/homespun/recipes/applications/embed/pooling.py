"""How an encoder makes one vector of those of its tokens, as the files beside its weights say.

Sentence-Transformers keeps that in `modules.json` and the folder of the pooling module.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import ConfigError
from homespun.core.files import read_json

if TYPE_CHECKING:
    from homespun.models.heads import Pooling

MODULES_FILE, LENGTH_FILE = "modules.json", "sentence_bert_config.json"
_USUAL_LENGTH = 256
"""Tokens of a text, where nothing says how many: what most such encoders were taught with."""
_ENDLESS = 1 << 30
"""A length from which on a tokenizer's own says that there is none."""
_KNOWN = ("Transformer", "Pooling", "Normalize")  # every vector is of length 1 here
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "first",
}
POOLINGS = tuple(_POOLINGS.values())
_SINCE_6 = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}


class Reading(NamedTuple):
    """How texts are read.

    Attributes:
        pooling: which of the tokens' vectors make that of the text.
        longest: tokens of a text, marks included.
    """

    pooling: Pooling = "mean"
    longest: int = _USUAL_LENGTH


def reading_of(folder: Path) -> Reading:
    """What an encoder's folder says, or else the usual.

    Raises:
        ConfigError: its vectors are made in a way ours are not, or it makes none. DataError: a file
            is damaged.
    """
    shape = _object(folder / "config.json")
    made_for = [str(name) for name in shape.get("architectures") or ()]
    if any(name.endswith("ForSequenceClassification") for name in made_for):
        raise ConfigError(
            f"{folder} tells classes or scores pairs, and makes no vectors of texts",
            got=", ".join(made_for),
            remedy="choose an encoder for sentences, such as MiniLM or BGE",
        )
    told = _object(folder / LENGTH_FILE)
    most = told.get("max_seq_length")
    if told and most is None:  # from version 6 on the tokenizer says it
        most = _object(folder / "tokenizer_config.json").get("model_max_length")
    longest = most if isinstance(most, int) and 2 < most < _ENDLESS else _USUAL_LENGTH
    return Reading(_pooling(folder), longest)


def _pooling(folder: Path) -> Pooling:
    path = folder / MODULES_FILE
    modules = read_json(path) if path.is_file() else []
    pooling: Pooling = "mean"
    for module in modules if isinstance(modules, list) else []:
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind not in _KNOWN:
            raise ConfigError(
                f"{path} names a part that our encoders do not have", got=kind, remedy=_OTHER
            )
        if kind == "Pooling":
            settings = folder / str(module.get("path", "")) / "config.json"
            told = _object(settings)
            wanted = [name for name, value in told.items() if "_mode_" in name and value is True]
            if "pooling_mode" in told:  # as sentence-transformers writes it from version 6 on
                mode = told["pooling_mode"]
                named = mode if isinstance(mode, list) else [mode]
                wanted = [_SINCE_6.get(str(name), str(name)) for name in named]
            if len(wanted) != 1 or wanted[0] not in _POOLINGS:
                raise ConfigError(
                    f"{settings} asks for vectors that are made in another way",
                    got=", ".join(wanted) or "nothing",
                    remedy=_OTHER,
                )
            pooling = _POOLINGS[wanted[0]]
    return pooling


_OTHER = "choose one whose vectors are the mean or the first of its tokens' (MiniLM, BGE)"


def _object(path: Path) -> dict[str, Any]:
    found = read_json(path) if path.is_file() else {}
    return found if isinstance(found, dict) else {}
