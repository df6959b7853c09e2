"""`transformers`, in float32 and, where the processor multiplies it in hardware, in bfloat16."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homespun.recipes.bench.decode_peers.contestant import (
    PROMPT,
    Contestant,
    installed,
    without_prompt,
)

if TYPE_CHECKING:
    import torch

    from homespun.models import Decoder, DecoderConfig


def by_transformers(
    model: Decoder, config: DecoderConfig, threads: int | None
) -> Iterator[tuple[str, Contestant]]:
    """The same weights, in whatever family they are exported as."""
    library = installed("transformers", "transformers")
    import torch

    from homespun.models import best_compute_dtype, export_hf

    if threads is not None:
        torch.set_num_threads(threads)
    dtypes = dict.fromkeys([torch.float32, best_compute_dtype("cpu")])
    with tempfile.TemporaryDirectory() as folder:
        export_hf(model, config, [], Path(folder), end_of_text_id=config.vocab_size - 1)
        for dtype in dtypes:
            theirs = library.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
            name = str(dtype).removeprefix("torch.")
            yield f"transformers {name}", _contestant(theirs, dtype, threads)


def _contestant(theirs: Any, dtype: torch.dtype, threads: int | None) -> Contestant:
    import torch

    def generate(rows: int, prompt: int, tokens: int) -> float:
        ids = torch.randint(0, 1000, (rows, prompt))
        begun = time.perf_counter()
        with torch.inference_mode():
            theirs.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                min_new_tokens=tokens,
                max_new_tokens=tokens,
                do_sample=False,
                pad_token_id=0,
            )
        return time.perf_counter() - begun

    write = without_prompt(lambda rows, tokens: generate(rows, PROMPT, tokens))
    num_bytes = sum(p.numel() for p in theirs.parameters()) * dtype.itemsize
    return Contestant(write, lambda tokens: generate(1, tokens, 1), num_bytes, threads)
