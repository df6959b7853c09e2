"""A translator behind `homespun serve`: what its clients get is what `homespun apply` writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from test_serving_command import serving

from homespun.cli import main
from homespun.recipes.applications import Asked, learn_application, open_application

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}
TEXTS = [
    "two and two and one",
    "five and one and three",
    "four and two and four",
    "one",
    "  three ",
]


def pairs() -> list[dict[str, str]]:
    return [
        {"source": f"{a} and {b} and {c}", "target": f"{WORDS[a]} und {WORDS[b]} und {WORDS[c]}"}
        for a in WORDS
        for b in WORDS
        for c in WORDS
    ]


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny one that has begun to learn numbers: it writes much, if not all of it right."""
    folder = tmp_path_factory.mktemp("translator")
    data = folder / "pairs.jsonl"
    rows = [json.dumps(row, ensure_ascii=False) + "\n" for row in pairs()]
    data.write_text("".join(rows), encoding="utf-8")
    options = {
        "width": "32", "layers": "1", "epochs": "2", "dropout": "0", "tokens": "512",
        "smoothing": "0", "beams": "3", "pieces": "300", "context": "32",
    }  # fmt: skip
    out = folder / "de"
    learn_application(Asked("translate", data, out, options=options, judge_baselines=False))
    return out


@pytest.fixture(scope="module")
def expected(translator: Path) -> list[str]:
    """What `apply` writes."""
    opened = open_application(translator)
    found = opened.learned.answer([opened.task.example({"source": text}) for text in TEXTS])
    assert all(found)
    return list(found)


@pytest.fixture(scope="module")
def client(translator: Path) -> Iterator[httpx2.Client]:
    with serving(f"de={translator}") as (found, told):
        assert "serving de at " in told
        found.timeout = httpx2.Timeout(60)
        yield found


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "de", "messages": [{"role": "user", "content": text}], **more}


def test_chat_answers_are_those_of_apply(client: httpx2.Client, expected: list[str]) -> None:
    for text, wanted in zip(TEXTS, expected, strict=True):
        found = client.post("/v1/chat/completions", json=chat(text)).json()
        assert found["choices"][0]["message"]["content"] == wanted
        assert found["choices"][0]["finish_reason"] in ("stop", "length")
        counted = found["usage"]
        assert counted["total_tokens"] == counted["prompt_tokens"] + counted["completion_tokens"]
        cut = client.post("/tokenize", json={"model": "de", "prompt": text}).json()
        assert counted["prompt_tokens"] == cut["count"]
    both = client.post("/v1/chat/completions", json=chat(TEXTS[0], n=2)).json()["choices"]
    assert both[0]["message"]["content"] == expected[0] != both[1]["message"]["content"]


def test_several_prompts_and_several_clients_at_once(
    client: httpx2.Client, expected: list[str]
) -> None:
    found = client.post("/v1/completions", json={"model": "de", "prompt": TEXTS}).json()
    assert [choice["text"] for choice in found["choices"]] == expected

    def ask(at: int) -> str:
        answer = client.post("/v1/chat/completions", json=chat(TEXTS[at % len(TEXTS)]))
        return str(answer.json()["choices"][0]["message"]["content"])

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(20)))
    assert answers == [expected[at % len(TEXTS)] for at in range(20)]


def streamed(client: httpx2.Client, body: dict[str, Any]) -> list[str]:
    with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    deltas = [json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines]
    return [text for text in deltas if text]


def test_streams_say_the_same(client: httpx2.Client, expected: list[str]) -> None:
    assert "".join(streamed(client, chat(TEXTS[0]))) == expected[0]
    whole = client.post("/v1/chat/completions", json=chat(TEXTS[0], temperature=0)).json()
    # A reader that is late gets fewer, longer pieces: not always all in one.
    several = [streamed(client, chat(TEXTS[0], temperature=0)) for _ in range(10)]
    assert {"".join(pieces) for pieces in several} == {whole["choices"][0]["message"]["content"]}
    assert max(map(len, several)) > 1


def test_drawn_answers_come_again_by_their_seed(client: httpx2.Client) -> None:
    def drawn(seed: int) -> list[str]:
        body = chat(TEXTS[0], temperature=2, n=3, seed=seed)
        found = client.post("/v1/chat/completions", json=body).json()["choices"]
        return [choice["message"]["content"] for choice in found]

    assert drawn(1) == drawn(1)
    assert len({*drawn(1), *drawn(2)}) > 1


def test_limits_and_refusals(client: httpx2.Client, expected: list[str]) -> None:
    cut = client.post("/v1/chat/completions", json=chat(TEXTS[0], max_tokens=2)).json()
    assert cut["usage"]["completion_tokens"] <= 2
    assert cut["choices"][0]["finish_reason"] == "length"
    stopped = client.post("/v1/chat/completions", json=chat(TEXTS[0], stop=" und")).json()
    assert " und" not in stopped["choices"][0]["message"]["content"]
    answer = client.post("/v1/chat/completions", json=chat("one and " * 100))
    assert answer.status_code == 400
    assert "'de' reads 32" in answer.json()["error"]["message"]
    answer = client.post("/v1/embeddings", json={"model": "de", "input": "one"})
    assert answer.status_code == 400
    assert "makes no vectors" in answer.json()["error"]["message"]
    assert client.get("/health").status_code == 200
    told = client.get("/metrics").text
    assert 'vllm:request_success_total{finished_reason="stop",model_name="de"}' in told


def test_openais_own_client(client: httpx2.Client, expected: list[str]) -> None:
    openai = pytest.importorskip("openai")
    address = f"{str(client.base_url).rstrip('/')}/v1"
    with (
        httpx2.Client(trust_env=False, timeout=60) as plain,
        openai.OpenAI(base_url=address, api_key="none", http_client=plain, max_retries=0) as own,
    ):
        found = own.chat.completions.create(**chat(TEXTS[0]))
        assert found.choices[0].message.content == expected[0]
        with pytest.raises(openai.BadRequestError) as refused:
            own.chat.completions.create(**chat(TEXTS[0], frequency_penalty=0.5))
        assert refused.value.param == "frequency_penalty"


def test_what_else_was_learned_says_where_it_belongs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "rows.jsonl"
    rows = [
        json.dumps({"text": f"a {word} day {n}", "label": label}) + "\n"
        for word, label in (("fine", "good"), ("dull", "bad"))
        for n in range(30)
    ]
    data.write_text("".join(rows), encoding="utf-8")
    out = tmp_path / "classes"
    learn_application(Asked("classify", data, out, method="linear", judge_baselines=False))
    assert main(["serve", str(out), "--port", "0"]) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "--moderator" in told
    assert "Traceback" not in told
