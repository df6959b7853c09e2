"""Choices between answers: what is taken, and that a line is whole or not there."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from serving_fakes import fake_model, running

from homespun.core.files import read_jsonl
from homespun.serving import ApiError, KeyRing, Preference, PreferenceLog, build_page, hash_of

KEY = "hs-0123456789abcdef"


def record(**more: Any) -> dict[str, Any]:
    answer = {
        "model": "a",
        "settings": {"temperature": 0.5},
        "text": "是的",
        "finish_reason": "stop",
    }
    return {
        "schema_version": 1,
        "prompt": [{"role": "user", "content": "Is it so?"}],
        "left": answer,
        "right": {**answer, "model": "b", "text": "No."},
        "choice": "left",
        "language": "en",
        **more,
    }


def test_a_choice_is_kept_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "preferences.jsonl"
    router, is_public = build_page(PreferenceLog(path))
    keys = KeyRing({"mine": hash_of(KEY)})
    held = {"Authorization": f"Bearer {KEY}"}
    with (
        running(fake_model(), keys=keys, extra=[router], is_public=is_public) as server,
        server.client(headers=held) as client,
    ):
        answer = client.post("/page/preferences", json=record())
        refused = client.post("/page/preferences", json=record(choice="middle"))
    assert answer.status_code == 201
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "choice"
    [kept] = read_jsonl(path)
    assert kept.pop("id") == answer.json()["id"]
    assert kept.pop("time").endswith("+00:00")
    assert kept.pop("judge") == "mine"
    assert kept == record()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_server_that_keeps_no_choices_says_so() -> None:
    router, is_public = build_page(None)
    with (
        running(fake_model(), extra=[router], is_public=is_public) as server,
        server.client() as client,
    ):
        answer = client.post("/page/preferences", json=record())
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_kept")


@pytest.mark.parametrize(
    "wrong",
    [
        {"schema_version": 2},
        {"choice": "neither"},
        {"prompt": []},
        {"prompt": [{"role": "assistant", "content": "It is."}]},
        {"prompt": [{"role": "tool", "content": "x"}]},
        {"prompt": [{"role": "user", "content": "x" * 200_001}]},
        {"prompt": [{"role": "user", "content": "x"}] * 257},
        {"left": {"model": "", "settings": {}, "text": "", "finish_reason": "stop"}},
        {"left": {"model": "a", "settings": {"x": "y"}, "text": "", "finish_reason": "stop"}},
        {"judge": "somebody else"},
        {"time": "yesterday"},
        {"language": "x" * 17},
    ],
)
def test_what_is_no_choice_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preference.model_validate(record(**wrong))


def test_a_line_that_a_crash_cut_off_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    log = PreferenceLog(path)
    first = log.append(Preference.model_validate(record()))
    with path.open("ab") as handle:
        handle.write(b'{"schema_version": 1, "id": "cut' + b"x" * 100_000)
    second = log.append(Preference.model_validate(record()))
    assert [row["id"] for row in read_jsonl(path)] == [first, second]
    path.write_bytes(b'{"cut')
    third = log.append(Preference.model_validate(record()))
    assert [row["id"] for row in read_jsonl(path)] == [third]


def test_many_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    logs = [PreferenceLog(path) for _ in range(4)]  # as of several servers

    def add(log: PreferenceLog) -> None:
        for _ in range(10):
            log.append(Preference.model_validate(record()))

    threads = [threading.Thread(target=add, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({row["id"] for row in read_jsonl(path)}) == 40


def test_a_full_file_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "preferences.jsonl"
    size = len(json.dumps(record())) + 200
    log = PreferenceLog(path, most_bytes=size)
    log.append(Preference.model_validate(record()))
    before = path.read_bytes()
    with pytest.raises(ApiError, match="full") as caught:
        log.append(Preference.model_validate(record()))
    assert caught.value.status == 507
    assert path.read_bytes() == before
