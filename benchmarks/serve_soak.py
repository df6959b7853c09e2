"""Four fifths of what the server can do, for half an hour: no errors, and no memory lost.

python benchmarks/serve_soak.py --minutes 30
"""

from __future__ import annotations

import asyncio
import collections
import time

import numpy as np
from serve_overload import body_of, peak
from serve_stage import TEXT, Answer, Served, post, run_argument, served

ALLOWED_MB_A_MINUTE = 1.0


async def measure(server: Served, minutes: float, load: float) -> bool:
    import random

    rng = random.Random(5)
    # Of the same requests, half of them streamed, and for as long as a peak may last.
    _, rate = await peak(server, min(60.0, minutes * 60), 32, streamed=0.5)
    statuses: collections.Counter[int] = collections.Counter()
    memory: list[tuple[float, float]] = []
    begun = time.perf_counter()
    open_tasks: set[asyncio.Task[Answer]] = set()
    sent = 0

    def ended(task: asyncio.Task[Answer]) -> None:
        open_tasks.discard(task)
        statuses[task.result().status] += 1

    while (now := time.perf_counter() - begun) < minutes * 60:
        while sent < now * rate * load:
            body = body_of(server, rng) | {"stream": rng.random() < 0.5}
            leave = rng.random() * 0.05 if rng.random() < 0.05 else None
            task = asyncio.create_task(post(server.port, TEXT, body, leave_after=leave))
            open_tasks.add(task)
            task.add_done_callback(ended)
            sent += 1
        if not memory or now - memory[-1][0] > 5:
            memory.append((now, server.resident_mb))
        await asyncio.sleep(0.005)
    await asyncio.gather(*open_tasks)
    later = [point for point in memory if point[0] > minutes * 60 / 5] or memory
    slope = 0.0
    if len(later) > 2:
        slope = float(np.polyfit([at / 60 for at, _ in later], [mb for _, mb in later], 1)[0])
    print(f"{sent} requests at {rate * load:.1f} a second; by status {dict(statuses)}")
    print("  (0: went away on purpose)")
    print(f"  resident memory {memory[0][1]:.0f} to {memory[-1][1]:.0f} MB, {slope:+.3f} MB/min")
    errors = sum(count for status, count in statuses.items() if status not in (0, 200))
    print(f"  {errors} errors or refusals")
    return errors == 0 and slope < ALLOWED_MB_A_MINUTE


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.8)
    wish = parser.parse_args()
    with served(wish.run, options=wish.serve) as server:
        return 0 if asyncio.run(measure(server, wish.minutes, wish.load)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
