"""OpenVINO, in float32 and with weights of 8 bits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.core.machine import num_threads
from homespun.recipes.bench.decode_peers.contestant import (
    PROMPT,
    Contestant,
    fastest_threads,
    installed,
)
from homespun.recipes.bench.decode_peers.vino_graph import vino_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from homespun.models import Decoder, DecoderConfig


def by_openvino(
    model: Decoder, config: DecoderConfig, threads: int | None
) -> Iterator[tuple[str, Contestant]]:
    """The same weights. Beside those of 8 bits activations, keys and values are what OpenVINO
    makes of them by itself, as bfloat16 where the processor has it."""
    library = installed("openvino", "openvino")
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2)
    for kind, size in (("float32", 4), ("int8", 1)):
        graph = vino_model(library, model, config, is_int8=kind == "int8")
        theirs = OpenVino(library, graph, threads, is_exact=kind == "float32")
        yield (
            f"openvino {kind}",
            Contestant(theirs.write, theirs.read, matrices * size, theirs.threads),
        )


class OpenVino:
    """Greedily, all rows of a batch together.

    Args:
        graph: from `vino_model`.
        threads: None takes one or all cores for a row, whichever is faster, else all.
        is_exact: everything is computed in float32.
    """

    def __init__(
        self, library: Any, graph: Any, threads: int | None, *, is_exact: bool = False
    ) -> None:
        self._library, self._graph, self._is_exact = library, graph, is_exact
        self._requests: dict[int, Any] = {}
        self._most = threads or num_threads()
        self.threads = threads or fastest_threads(self._short_answer)

    def scores(self, ids_BT: NDArray[np.int64], start: int, threads: int) -> NDArray[np.float32]:
        """(B, V) after the last of some more tokens, which stand at `start` and on."""
        request = self._request(threads)
        if start == 0:
            request.reset_state()
        found = request.infer(
            {
                "ids": ids_BT,
                "positions": np.arange(start, start + ids_BT.shape[1]),
                "rows": np.arange(len(ids_BT), dtype=np.int32),
            },
            share_inputs=True,
            share_outputs=True,
        )
        scores_BV: NDArray[np.float32] = found["scores"]
        return scores_BV

    def write(self, rows: int, tokens: int) -> float:
        threads = self.threads if rows == 1 else self._most
        ids_BT = (np.arange(rows)[:, None] * 31 + np.arange(PROMPT)) % 1000
        last_B = self.scores(ids_BT, 0, threads).argmax(-1)
        begun = time.perf_counter()
        for place in range(PROMPT, PROMPT + tokens):
            last_B = self.scores(last_B[:, None], place, threads).argmax(-1)
        return time.perf_counter() - begun

    def read(self, tokens: int) -> float:
        begun = time.perf_counter()
        self.scores(np.arange(tokens)[None] % 1000, 0, self._most).argmax(-1)
        return time.perf_counter() - begun

    def _request(self, threads: int) -> Any:
        if threads not in self._requests:
            wish = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
            if self._is_exact:
                wish |= {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
            compiled = self._library.Core().compile_model(self._graph, "CPU", wish)
            self._requests[threads] = compiled.create_infer_request()
        return self._requests[threads]

    def _short_answer(self, threads: int) -> float:
        self.threads = threads
        self.write(1, 16)
        return self.write(1, 64)
