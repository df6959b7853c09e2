"""Ten times more requests than the server can answer: does it go on answering?

    python benchmarks/serve_overload.py --seconds 60 --times 10

First the peak: as many clients as keep it busy, each asking again when it is answered. Then
requests at `--times` the rate of that. Useful are tokens of whole answers. The clients share the
machine's cores with the server: what each of the two took is printed. How soon refusals come is
also seen by one more client in a process of its own, which has nothing else to do: a client that
opens a thousand connections a second keeps its own answers waiting.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import os
import random
import resource
import subprocess
import sys
import time
from typing import Any

from serve_stage import TEXT, Answer, Served, post, run_argument, served, share


def body_of(server: Served, rng: random.Random) -> dict[str, Any]:
    return {
        "model": server.model,
        "prompt": f"{rng.random()} the river",
        "max_tokens": 48,
        "ignore_eos": True,
    }


async def peak(
    server: Served, seconds: float, clients: int, *, streamed: float = 0.0
) -> tuple[float, float]:
    """Useful tokens and answers a second.

    Args:
        streamed: share of the requests that ask for a stream.
    """
    rng = random.Random(2)
    end = time.perf_counter() + seconds
    tokens = answers = 0

    async def client() -> None:
        nonlocal tokens, answers
        while time.perf_counter() < end:
            body = body_of(server, rng) | {"stream": rng.random() < streamed}
            answer = await post(server.port, TEXT, body)
            tokens += answer.num_tokens
            answers += answer.status == 200

    await asyncio.gather(*(client() for _ in range(clients)))
    return tokens / seconds, answers / seconds


async def overload(server: Served, seconds: float, rate: float) -> list[Answer]:
    """Answers to requests that come at `rate` a second, whatever becomes of them; fewer where so
    many wait for a connection already that this process may open no more."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200
    waiting: set[asyncio.Task[Answer]] = set()
    rng = random.Random(3)
    tasks: list[asyncio.Task[Answer]] = []
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds:
        for _ in range(min(max(0, int(now * rate) - len(tasks)), most - len(waiting))):
            tasks.append(asyncio.create_task(post(server.port, TEXT, body_of(server, rng))))
            waiting.add(tasks[-1])
            tasks[-1].add_done_callback(waiting.discard)
        await asyncio.sleep(0.005)
    return list(await asyncio.gather(*tasks))


async def probe(port: int, seconds: float) -> list[float]:
    """How soon requests were refused that come fifty times a second, in seconds."""
    begun, found = time.perf_counter(), []

    async def ask(at: float) -> None:
        await asyncio.sleep(at - (time.perf_counter() - begun))
        answer = await post(port, TEXT, {"prompt": "a", "max_tokens": 1})
        if answer.status == 429:  # counted from when it should have been sent
            found.append(time.perf_counter() - begun - at)

    await asyncio.gather(*(ask(at / 50) for at in range(int(50 * seconds))))
    return found


class Cores:
    """How many cores the server and its clients keep busy from now on."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._begun = (time.perf_counter(), server.cpu_seconds, time.process_time())

    def __str__(self) -> str:
        began, server, clients = self._begun
        seconds = time.perf_counter() - began
        busy = (self._server.cpu_seconds - server) / seconds
        mine = (time.process_time() - clients) / seconds
        return f"cores: {busy:.2f} the server, {mine:.2f} its clients, of {os.cpu_count()}"


async def measure(server: Served, seconds: float, times: float, clients: int) -> bool:
    cores = Cores(server)
    best, rate = await peak(server, min(15.0, seconds), clients)
    print(f"peak {best:.0f} useful tokens/s, {rate:.1f} answers/s with {clients} clients; {cores}")
    memory, cores = server.resident_mb, Cores(server)
    watching = [sys.executable, __file__, "--probe", str(server.port), "--seconds", str(seconds)]
    watcher = subprocess.Popen(watching, stdout=subprocess.PIPE, text=True)
    begun = time.perf_counter()
    answers = await overload(server, seconds, times * rate)
    useful = sum(answer.num_tokens for answer in answers) / (time.perf_counter() - begun)
    refused = [answer for answer in answers if answer.status in (429, 503)]
    others = [answer for answer in answers if answer.status not in (200, 429, 503)]
    late = [answer.seconds for answer in refused]
    told = [answer for answer in refused if "retry-after" in answer.headers]
    grown = server.resident_mb - memory
    print(
        f"offered {len(answers)} requests in {seconds:g} s; {useful:.0f} useful tokens/s; {cores}"
    )
    print(f"  {useful / best:.1%} of the peak")
    print(
        f"  {len(refused)} refused, {len(told)} of them told when to come again; "
        f"within {share(late, 50) * 1e3:.1f} ms (median), {share(late, 99) * 1e3:.1f} ms (p99)"
    )
    seen = json.loads(watcher.communicate()[0])
    print(
        f"  one more client alone: {len(seen)} refused within {share(seen, 50) * 1e3:.1f} ms "
        f"(median), {share(seen, 99) * 1e3:.1f} ms (p99)"
    )
    ends = dict(collections.Counter(answer.status for answer in others))
    print(f"  ended otherwise, by status: {ends}")
    print(f"  resident memory {memory:.0f} MB, {grown:+.1f} MB")
    return useful >= 0.9 * best and share(seen, 99) <= 0.05 and not others


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--probe", type=int, help=argparse.SUPPRESS)
    wish = parser.parse_args()
    if wish.probe is not None:
        print(json.dumps(asyncio.run(probe(wish.probe, wish.seconds))))
        return 0
    with served(wish.run, options=wish.serve) as server:
        good = asyncio.run(measure(server, wish.seconds, wish.times, wish.clients))
        return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
