"""Judging texts takes time and threads: both have an end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from serving_fakes import connected, raw_request, running, until

from homespun.serving import Moderation


class SlowModerator:
    """Attributes:
    num_judged: texts so far. most: at the same time.
    """

    def __init__(self) -> None:
        self.num_judged = self.most = self._now = 0
        self._lock = threading.Lock()

    def __call__(self, text: str) -> Moderation:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        time.sleep(0.02)
        with self._lock:
            self._now -= 1
            self.num_judged += 1
        return Moderation({}, {})


def test_moderations_leave_threads_to_others_and_end_when_nobody_waits() -> None:
    moderator = SlowModerator()
    with running(moderator=moderator) as server, server.client() as plain:

        def ask(num: int) -> bool:
            return plain.post("/v1/moderations", json={"input": ["a"] * num}).is_success

        with ThreadPoolExecutor(8) as many:
            assert all(many.map(ask, [2] * 8))
        assert moderator.num_judged == 16
        assert moderator.most == 2
        with connected(server, raw_request({"input": ["a"] * 64}, path="/v1/moderations")):
            until(lambda: moderator.num_judged > 16)
        time.sleep(0.2)
        assert moderator.num_judged < 16 + 64
        num = moderator.num_judged
        time.sleep(0.1)
        assert moderator.num_judged == num


def test_an_input_in_parts_has_one_result_and_texts_one_each() -> None:
    """Clients look at the first result of something in parts: none of it may be missed."""

    def judge(text: str) -> Moderation:
        return Moderation({"rude": len(text) / 10, "kind": 0.1}, {"rude": "rude" in text})

    def results(given: list[Any]) -> list[dict[str, Any]]:
        answer = plain.post("/v1/moderations", json={"input": given})
        return list(answer.json()["results"])

    with running(moderator=judge) as server, server.client() as plain:
        texts = ["a", "so rude", "bc"]
        assert [one["flagged"] for one in results(list(texts))] == [False, True, False]
        (one,) = results([{"type": "text", "text": text} for text in texts])
        assert one["flagged"]
        assert one["categories"]["rude"]
        assert not one["categories"]["violence"]
        assert one["category_scores"]["rude"] == 0.7
        assert one["category_scores"]["kind"] == 0.1
