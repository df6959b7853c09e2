"""Others that write answers, with the same shapes as ours, for `homespun bench decode`.

Each is imported when it is asked for. See benchmarks/README.md for what is installed for whom.

contestant    what each of them does, and how long its texts are
hf            `transformers` in float32 and bfloat16
llama_cpp     llama.cpp in 16, 8.5 and 4.5 bits
ct2           CTranslate2 in float32 and int8
vino          OpenVINO in float32 and int8; vino_graph: a decoder as its graph
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from homespun.recipes.bench.decode_peers.contestant import (
    CONTEXT,
    LONG_PROMPT,
    MOST_ROWS,
    PROMPT,
    Contestant,
)
from homespun.recipes.bench.decode_peers.ct2 import by_ctranslate2
from homespun.recipes.bench.decode_peers.hf import by_transformers
from homespun.recipes.bench.decode_peers.llama_cpp import by_llama_cpp, write_random_gguf
from homespun.recipes.bench.decode_peers.vino import by_openvino

if TYPE_CHECKING:
    from homespun.models import Decoder, DecoderConfig

DecodePeer = Callable[["Decoder", "DecoderConfig", int | None], Iterator[tuple[str, Contestant]]]
DECODE_PEERS: dict[str, DecodePeer] = {
    "transformers": by_transformers,
    "llama.cpp": by_llama_cpp,
    "ctranslate2": by_ctranslate2,
    "openvino": by_openvino,
}

__all__ = [
    "CONTEXT",
    "DECODE_PEERS",
    "LONG_PROMPT",
    "MOST_ROWS",
    "PROMPT",
    "Contestant",
    "DecodePeer",
    "write_random_gguf",
]
