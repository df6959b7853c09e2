"""Mixed requests under random arrival, departure and shared beginnings: is every answer the one the
slow engine writes?

    python benchmarks/serve_mixed.py --num 500
"""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from bad_input_stage import make_run
from serve_stage import TEXT, Served, post, run_argument, served


def body_of(rng: random.Random, model: str) -> dict[str, Any]:
    words = ["the", "old", "river", "runs", "by", "a", "quiet", "hill", "and", "nobody", "knows"]
    return {
        "model": model,
        "prompt": " ".join(words[: rng.randint(1, len(words))]),
        "max_tokens": rng.randint(1, 32),
        "temperature": rng.choice((0, 0.8, 1.0)),
        "top_p": rng.choice((1.0, 0.9)),
        "top_k": rng.choice((0, 8)),
        "repetition_penalty": rng.choice((1.0, 1.2)),
        "seed": rng.randrange(1000),
        "stop": rng.choice(([], ["e"], ["th", "o"])),
        "stream": rng.random() < 0.5,
    }


def text_of(body: bytes, streamed: bool) -> str:
    if not streamed:
        return str(json.loads(body)["choices"][0]["text"])
    events = body.decode().replace("\r\n", "\n").split("data: ")[1:]
    found = ""
    for event in events:
        event = event.split("\n\n")[0]
        if event != "[DONE]":
            found += json.loads(event)["choices"][0]["text"]
    return found


async def ask(server: Served, num: int) -> list[tuple[dict[str, Any], str]]:
    rng = random.Random(7)
    gate = asyncio.Semaphore(24)
    found: list[tuple[dict[str, Any], str]] = []

    async def one(body: dict[str, Any], leaves: bool) -> None:
        async with gate:
            if leaves:
                wish = body | {"max_tokens": 10_000, "ignore_eos": True}
                await post(server.port, TEXT, wish, leave_after=rng.random() * 0.05)
                return
            answer = await post(server.port, TEXT, body)
            assert answer.status == 200, answer
            found.append((body, text_of(unchunked(answer.body, answer.headers), body["stream"])))

    tasks = []
    while len(tasks) < num:
        tasks.append(asyncio.create_task(one(body_of(rng, server.model), rng.random() < 0.15)))
        await asyncio.sleep(rng.random() * 0.02)
    await asyncio.gather(*tasks)
    return found


def unchunked(body: bytes, headers: Any) -> bytes:
    """A body without the lengths of its chunks."""
    if headers.get("transfer-encoding") != "chunked":
        return body
    found, at = b"", 0
    while True:
        line_end = body.index(b"\r\n", at)
        size = int(body[at:line_end], 16)
        if size == 0:
            return found
        found += body[line_end + 2 : line_end + 2 + size]
        at = line_end + 2 + size + 2


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--num", type=int, default=500)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = wish.run or make_run(Path(scratch))
        with served(path, options=wish.serve) as server:
            found = asyncio.run(ask(server, wish.num))
        same = sum(text == expected(path, body) for body, text in found)
    print(f"{same} of {len(found)} answers are those of the slow engine")
    print(f"{wish.num - len(found)} went away")
    return 0 if same == len(found) else 1


def expected(path: Path, body: dict[str, Any]) -> str:
    from homespun.core import SamplingSettings
    from homespun.inference import reference_generate
    from homespun.recipes import Run

    run = Run(path) if path not in _RUNS else _RUNS[path]
    _RUNS[path] = run
    names = ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed")
    settings = SamplingSettings(**{name: body[name] for name in names}, stop=tuple(body["stop"]))
    ids = [*run.tokenizer.start_ids, *map(int, run.tokenizer.encode(body["prompt"]))]
    window = run.model.context
    return reference_generate(run.model, run.tokenizer, ids, settings, window=window).text


_RUNS: dict[Path, Any] = {}


if __name__ == "__main__":
    raise SystemExit(main())
