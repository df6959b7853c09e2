"""`suffix`: models that fill blanks are told what stands behind one; others say they cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from serving_fakes import END_OF_TEXT, FakeEngine, fake_model, running

URL = "/v1/completions"
MARK = 259
ENGINE = FakeEngine("filled")


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    models = (fake_model(), fake_model("filler", ENGINE, blank_mark=MARK, can_chat=False))
    with running(*models) as server, server.client() as found:
        yield found


def asked(client: httpx2.Client, **body: Any) -> dict[str, Any]:
    answer = client.post(URL, json={"model": "filler", **body})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_the_model_reads_both_sides_and_writes_what_is_between(client: httpx2.Client) -> None:
    found = asked(client, prompt="Once ", suffix=" 完.", max_tokens=20)
    assert found["choices"][0]["text"] == "filled"
    ids = [END_OF_TEXT, *b"Once ", MARK, *" 完.".encode(), MARK]
    assert ENGINE.asked[-1][0] == ids
    assert found["usage"]["prompt_tokens"] == len(ids)


@pytest.mark.parametrize("suffix", [None, ""])
def test_without_a_suffix_the_blank_is_at_the_end(
    client: httpx2.Client, suffix: str | None
) -> None:
    found = asked(client, prompt="Once ", suffix=suffix, echo=True, max_tokens=20)
    assert found["choices"][0]["text"] == "Once filled"
    assert ENGINE.asked[-1][0] == [END_OF_TEXT, *b"Once ", MARK, MARK]


def test_several_prompts_and_streams(client: httpx2.Client) -> None:
    found = asked(client, prompt=["a", "bc"], suffix="z", n=2)
    assert [choice["text"] for choice in found["choices"]] == ["filled"] * 4
    assert [ids for ids, _, _ in ENGINE.asked[-2:]] == [
        [END_OF_TEXT, *b"a", MARK, *b"z", MARK],
        [END_OF_TEXT, *b"bc", MARK, *b"z", MARK],
    ]
    body = {"model": "filler", "prompt": [65, 66], "suffix": "z", "stream": True}
    with client.stream("POST", URL, json=body) as answer:
        assert [line for line in answer.iter_lines() if line][-1] == "data: [DONE]"
    assert ENGINE.asked[-1][0] == [65, 66, MARK, *b"z", MARK]


def test_other_models_say_that_they_cannot(client: httpx2.Client) -> None:
    answer = client.post(URL, json={"model": "fake", "prompt": "a", "suffix": "b"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("suffix", "model_cannot_fill")
    assert "can_fill" in error["message"]
    assert client.post(URL, json={"model": "fake", "prompt": "a", "suffix": ""}).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"suffix": "x" * 300}, "suffix"),
        ({"suffix": "x" * 300_000}, "suffix"),
        ({"suffix": "x", "echo": True}, "echo"),
        ({"suffix": 1}, "suffix"),
        ({"suffix": ["x"]}, "suffix"),
    ],
)
def test_what_cannot_be_is_refused_by_name(
    client: httpx2.Client, body: dict[str, Any], param: str
) -> None:
    answer = client.post(URL, json={"model": "filler", "prompt": "a", **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_who_can_fill_is_listed(client: httpx2.Client) -> None:
    told = {one["id"]: one["can_fill"] for one in client.get("/v1/models").json()["data"]}
    assert told == {"fake": False, "filler": True}
