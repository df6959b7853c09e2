"""Prompts of a file are answered in continuous batches: as soon as one has ended the next comes."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from homespun.core import (
    Completion,
    HomespunError,
    Progress,
    RequestError,
    SamplingSettings,
    Silent,
    TokenLogprob,
)
from homespun.core.files import read_json, sha256_file
from homespun.recipes.batch.answers import open_answers
from homespun.recipes.batch.lines import Line, asked, check_ids, read_lines

if TYPE_CHECKING:
    from homespun.inference import Engine
    from homespun.recipes.run import Run

MOST_WAITING = 256
"""Requests in the engine at a time: enough that it never waits for the next one."""


class BatchResult(NamedTuple):
    """Attributes:
    num_lines: answered, those of earlier times included.
    num_errors: of them, which have an error instead.
    first_error: of the first of these in the prompts' order, its id and what is wrong; "" where
        all have answers.
    """

    num_lines: int
    num_errors: int
    first_error: str = ""


def generate_file(
    run: Run,
    source: Path | str,
    out: Path | str,
    settings: SamplingSettings | None = None,
    *,
    progress: Progress | None = None,
) -> BatchResult:
    """Answer all prompts of a file of JSON lines (see `lines`).

    A row of `out` is `{"id", "text", "finish_reason", "num_prompt_tokens", "num_tokens"}`, with
    `"answers"` where several are asked for, `"score"` and `"logprobs"` where they are; or
    `{"id", "error"}`. Rows stand in the order of the prompts. Killed and called again, it keeps
    what has been answered, and the file is in the end what it would have been.

    Args:
        run: the model.
        source: prompts.
        out: answers.
        settings: of all lines; each may have others.

    Raises:
        DataError: `source` is missing or empty, or two lines have one id. RunError: `out` cannot be
            gone on with, see `open_answers`. RequestError: `settings` cannot be.
    """
    from homespun.inference import check_settings

    source, out = Path(source), Path(out)
    settings = SamplingSettings() if settings is None else settings
    check_settings(settings, vocab_size=run.tokenizer.vocab_size)
    if source.resolve() == out.resolve():
        raise RequestError("prompts and answers are one file", got=source, remedy="name another")
    num_lines = check_ids(source)
    with open_answers(out, _made_by(run, settings), source) as answers:
        task = (progress or Silent()).task("answering", total=num_lines, unit="lines")
        ids = []
        left = []
        for line in read_lines(source):
            ids.append(line.id)
            if line.id not in answers.done:
                left.append(line.number)
        task.advance(num_lines - len(left))
        missing = set(left)
        lines = (line for line in read_lines(source) if line.number in missing)
        if missing:
            with closing(_answered(run, lines, settings)) as rows:
                for row in rows:
                    answers.add(row)
                    task.advance(1)
        answers.sort(ids)
        task.finish()
        first = next((f"{i}: {answers.errors[i]}" for i in ids if i in answers.errors), "")
        return BatchResult(num_lines, len(answers.errors), first)


def _made_by(run: Run, settings: SamplingSettings) -> dict[str, Any]:
    """What decides the answers."""
    return {
        "model": read_json(run.directory.stage(run.stage) / "done.json")["weights_sha256"],
        "tokenizer": sha256_file(run.path / "tokenizer.json"),
        "weights": run.weights,
        "settings": _jsonable(dataclasses.asdict(settings)),
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _jsonable(inner) for name, inner in value.items()}
    return [_jsonable(inner) for inner in value] if isinstance(value, tuple | list) else value


def _answered(
    run: Run, lines: Iterator[Line], settings: SamplingSettings
) -> Generator[dict[str, Any], None, None]:
    """A row for each line, as soon as there is one."""
    from homespun.inference import Request

    engine: Engine = run.engine
    open_lines: dict[int, tuple[Line, dict[int, Completion]]] = {}
    try:
        while True:
            while len(open_lines) < MOST_WAITING and (line := next(lines, None)) is not None:
                try:
                    request = Request(*asked(line, run, settings))
                    open_lines[engine.add_request(request)] = line, {}
                except HomespunError as error:
                    yield {"id": line.id, "error": str(error)}
            if not open_lines:
                return
            for output in engine.step():
                line, found = open_lines[output.request_id]
                if output.completion is not None:
                    found[output.index] = output.completion
                if output.is_last:
                    del open_lines[output.request_id]
                    yield _row(line, output.error, [found[index] for index in sorted(found)])
    finally:
        for request_id in open_lines:
            engine.cancel(request_id)


def _row(line: Line, error: HomespunError | None, found: list[Completion]) -> dict[str, Any]:
    if error is not None:
        return {"id": line.id, "error": str(error)}
    row = {"id": line.id, **_told(found[0]), "num_prompt_tokens": found[0].num_prompt_tokens}
    if len(found) > 1:
        row["answers"] = [_told(completion) for completion in found]
    if found[0].prompt_logprobs is not None:
        row["prompt_logprobs"] = [_logprob(token) for token in found[0].prompt_logprobs]
    return row


def _told(completion: Completion) -> dict[str, Any]:
    told: dict[str, Any] = {
        "text": completion.text,
        "finish_reason": completion.finish_reason,
        "num_tokens": len(completion.token_ids),
    }
    if completion.score is not None:
        told["score"] = completion.score
    if completion.logprobs is not None:
        told["logprobs"] = [_logprob(token) for token in completion.logprobs]
    return told


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    return {"token_id": token.token_id, "logprob": token.logprob, "top": [*map(list, token.top)]}
