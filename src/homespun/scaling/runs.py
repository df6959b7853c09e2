"""A finished run of a sweep, as one line of runs.jsonl."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from homespun.core import Config, DataError, parse_config
from homespun.core.files import read_jsonl

FORMAT = 1
Counting = Literal["compute", "total", "non_embedding"]
COUNTINGS: tuple[Counting, ...] = get_args(Counting)


class ScaleRun(Config):
    """What was trained and what came out.

    Attributes:
        key: name of its cell, unique in a sweep.
        kind: "isoflop" for the grid, "repeat" for text read several times, "hold-out" for a run
            that no fit may see.
        budget: operations aimed at; 0 for a run outside the grid.
        flops: operations made, 3 · forward · tokens.
        width, num_layers, vocab_size, context: shape.
        parameters: all of them, a tied table once.
        non_embedding: without the tables, as Kaplan et al. count.
        matrix_and_head: those that are multiplied for each token: matrices of the blocks and head.
        flops_per_token: of training.
        tokens: read. unique_tokens: different ones there were. epochs: their quotient.
        loss: nats per token of the complete validation text.
        bits_per_byte: the same text's, independent of the tokenizer.
        seconds: of training; counting a table is not part of it.
        table_order, table_loss: longest n-gram of the table beside the model, and the loss of the
            table alone on the same text; 0 and None where there is no table.
        settings: rates, batch, warm-up as used.
    """

    format: int = FORMAT
    key: str
    kind: Literal["isoflop", "repeat", "hold-out"] = "isoflop"
    budget: float
    flops: float
    width: int
    num_layers: int
    vocab_size: int
    context: int
    parameters: int
    non_embedding: int
    matrix_and_head: int
    flops_per_token: float
    tokens: int
    unique_tokens: int
    epochs: float
    loss: float
    bits_per_byte: float
    seconds: float
    seed: int
    settings: dict[str, Any]
    table_order: int = 0
    table_loss: float | None = None

    def counted(self, counting: Counting) -> int:
        """N, by the way of counting."""
        if counting == "total":
            return self.parameters
        return self.non_embedding if counting == "non_embedding" else self.matrix_and_head


def read_runs(path: Path) -> list[ScaleRun]:
    """The runs of a sweep, in the order they finished; none where the file is not there yet.

    Raises:
        DataError, ConfigError: a line is damaged, of another format, or written twice.
    """
    if not path.is_file():
        return []
    runs = [parse_config(ScaleRun, row, where=str(path)) for row in read_jsonl(path)]
    seen: set[str] = set()
    for run in runs:
        if run.format != FORMAT:
            raise DataError(f"{path} is of format {run.format}", remedy="sweep again")
        if run.key in seen:
            raise DataError(f"{path} has the run {run.key} twice", remedy="delete one of them")
        seen.add(run.key)
    return runs


def runs_sha256(runs: Sequence[ScaleRun]) -> str:
    """Of the runs in canonical order: the same runs give the same law, in whatever order."""
    rows = sorted(json.dumps(run.model_dump(), sort_keys=True) for run in runs)
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
