"""What a model writes that reads its prompt both ways: what follows, or what fills its blanks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from homespun.core import Completion, RequestError, SamplingSettings

if TYPE_CHECKING:
    from homespun.recipes.run import Run


NOTICE = "reads its prompt both ways, and is computed by torch in float32 on the processor"
"""Of such a model, where it was asked to be computed otherwise."""


def write_both_ways(run: Run, prompt: str, settings: SamplingSettings) -> Completion:
    """Continue `prompt` (objective "prefix"), or fill each `[BLANK]` of it ("blank"; without one
    what follows is filled in). Filled in, `text` is the whole prompt with its blanks filled.

    Raises:
        RequestError: more blanks than the model has marks for, or as `write_behind`.
    """
    from homespun.inference.search.prefixed import write_behind
    from homespun.recipes.learn.targets import BLANK, blank_marks
    from homespun.recipes.weights import load_model

    model, tokenizer = load_model(run.directory, run.stage, both_ways=True), run.tokenizer
    if run.objective == "prefix":
        ids = run.prompt_ids(prompt)
        return write_behind(model, tokenizer, ids, settings, prefix=len(ids))
    parts = prompt.split(BLANK) if BLANK in prompt else [prompt, ""]
    marks = blank_marks(tokenizer)[: len(parts) - 1]
    if len(parts) - 1 > len(marks):
        raise RequestError(
            f"a text has {len(marks)} blanks at the most",
            got=len(parts) - 1,
            remedy="fill some of them yourself",
        )
    ids = run.prompt_ids(parts[0])
    for mark, part in zip(marks, parts[1:], strict=True):
        ids = [*ids, mark, *map(int, tokenizer.encode(part))]
    kept, text, written = len(ids), parts[0], list[int]()
    last = None
    for mark, part in zip(marks, parts[1:], strict=True):
        ids.append(mark)
        last = write_behind(model, tokenizer, ids, settings, prefix=kept)
        ids += last.token_ids
        written += last.token_ids
        text += last.text + part
    assert last is not None
    return replace(last, text=text, token_ids=tuple(written), num_prompt_tokens=kept)
