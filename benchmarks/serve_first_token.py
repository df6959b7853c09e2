"""How long until the first token of an answer to a long prompt, alone and beside eight streams?

    python benchmarks/serve_first_token.py --run RUN

The prompt is 512 tokens nobody asked before, so the run's window must hold them and some more
(`homespun extend context RUN --context 1024 --name longer`). Then as many prompts at once as
`--queued` says: the last of them waits for all the others to be read, so that what it may take is
that many times what one takes.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

from serve_stage import TEXT, Served, get, post, run_argument, served, share

ALLOWED = 2.0


class Prompts:
    """Prompts of `length` tokens that share no beginning."""

    def __init__(self, server: Served, length: int) -> None:
        self._server, self._length = server, length
        self._rng = random.Random(9)

    def body(self, num_tokens: int) -> dict[str, Any]:
        # Ids that every vocabulary has, and that stand for text.
        ids = [self._rng.randrange(500) for _ in range(self._length)]
        limits = {"max_tokens": num_tokens, "ignore_eos": True, "stream": True}
        return {"model": self._server.model, "prompt": ids, **limits}


async def first_tokens(server: Served, prompts: Prompts, num: int, at_once: int) -> list[float]:
    """Seconds to the first token of `num` answers, `at_once` asked for together."""
    rng, found = random.Random(10), []
    while len(found) < num:
        answers = await asyncio.gather(
            *(post(server.port, TEXT, prompts.body(4)) for _ in range(at_once))
        )
        assert all(answer.status == 200 for answer in answers), answers
        found += [answer.first_seconds for answer in answers]
        await asyncio.sleep(rng.random() * 0.05)
    return found


async def measure(server: Served, num: int, length: int, streams: int, queued: int) -> bool:
    (model,) = json.loads((await get(server.port, "/v1/models")).body)["data"]
    window = int(model["max_model_len"])
    if window < length + 64:
        raise SystemExit(f"the window holds {window} tokens, too few for a prompt of {length}")
    prompts = Prompts(server, length)
    await first_tokens(server, prompts, 5, 1)
    alone = await first_tokens(server, prompts, num, 1)
    end = False

    async def stream() -> None:
        short = Prompts(server, 8)
        while not end:
            await post(server.port, TEXT, short.body(window - 16))

    tasks = [asyncio.create_task(stream()) for _ in range(streams)]
    await asyncio.sleep(0.5)
    began = time.perf_counter()
    beside = await first_tokens(server, prompts, num, 1)
    many = await first_tokens(server, prompts, num, queued)
    seconds = time.perf_counter() - began
    end = True
    await asyncio.gather(*tasks)
    limit = share(alone, 99)
    for name, times, least in (
        ("alone", alone, 1),
        (f"beside {streams} streams", beside, 1),
        (f"beside {streams} streams, {queued} at once", many, queued),
    ):
        late = share(times, 99)
        print(
            f"{name}: first token after {share(times, 50) * 1e3:.1f} ms (median), "
            f"{late * 1e3:.1f} ms (p99), {late / limit / least:.2f} times one alone"
            + (f" for each of {least}" if least > 1 else "")
        )
    print(f"{2 * num} long prompts in {seconds:.0f} s")
    return share(beside, 99) <= ALLOWED * limit and share(many, 99) <= ALLOWED * limit * queued


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--queued", type=int, default=4)
    wish = parser.parse_args()
    with served(wish.run, options=wish.serve) as server:
        good = asyncio.run(measure(server, wish.num, wish.length, wish.streams, wish.queued))
        return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
