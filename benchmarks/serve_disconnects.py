"""Clients that go away at random: is their place free soon, and is nothing lost?

    python benchmarks/serve_disconnects.py --num 300

Half of the requests are streamed; prompts are long enough that some leave while theirs is read.
"""

from __future__ import annotations

import asyncio
import random
import time

from serve_stage import TEXT, Served, metrics, post, run_argument, served, share

ALLOWED_SECONDS = 0.2


async def measure(server: Served, num: int) -> bool:
    rng = random.Random(1)
    text = " ".join(f"word {i}" for i in range(200))
    fixed = {"model": server.model, "prompt": "The river", "temperature": 0, "max_tokens": 16}
    before = (await post(server.port, TEXT, fixed)).body
    waited: list[float] = []
    for number in range(num):
        body = {
            "model": server.model,
            "prompt": f"{number} {text}"[: rng.choice((20, 150, 400))],
            "max_tokens": 100_000,
            "ignore_eos": True,
            "stream": number % 2 == 0,
        }
        await post(server.port, TEXT, body, leave_after=rng.random() * 0.05)
        left = time.perf_counter()
        while True:
            told = await metrics(server.port)
            if told["num_requests_running"] == told["num_requests_waiting"] == 0:
                break
            await asyncio.sleep(0.005)
        waited.append(time.perf_counter() - left)
    after = (await post(server.port, TEXT, fixed)).body
    told = await metrics(server.port)
    same = before.split(b'"choices"')[1].split(b'"usage"')[0] in after
    print(f"{num} clients went away; the place was free after")
    print(f"  median {share(waited, 50) * 1e3:.1f} ms, most {max(waited) * 1e3:.1f} ms")
    print(f"  cache in use afterwards: {told['kv_cache_usage_perc']:.4f}")
    print(f"  the same answer as before: {'yes' if same else 'NO'}")
    return max(waited) <= ALLOWED_SECONDS and told["kv_cache_usage_perc"] == 0 and same


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--num", type=int, default=300)
    wish = parser.parse_args()
    with served(wish.run, options=wish.serve) as server:
        return 0 if asyncio.run(measure(server, wish.num)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
