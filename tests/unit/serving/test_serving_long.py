"""Long answers are written in pieces: between two pieces the event loop goes round."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from serving_fakes import ByteTokenizer, FakeEngine, chat, fake_model

from homespun.core import Completion, RequestError, TokenLogprob
from homespun.serving import ServedEngine, ThreadDesk, create_app
from homespun.serving.computing.messages import Ended, News, Said
from homespun.serving.computing.wire import news_line, read_news
from homespun.serving.http.written import Pieces, slices, written
from homespun.serving.openai.completions import MOST_TOLD
from homespun.serving.openai.logprobs import AT_ONCE, TextLog, parts_of, token_text
from homespun.serving.openai.sse import event, written_event

WINDOW = 210_000


class CountingTokenizer(ByteTokenizer):
    """Counts how many tokens were looked at in each round of the event loop."""

    def __init__(self) -> None:
        self.num = 0

    def token_bytes(self, token_id: int) -> bytes:
        self.num += 1
        return super().token_bytes(token_id)

    def decode(self, ids: Sequence[int]) -> str:  # as real ones do: not token by token
        return b"".join(map(super().token_bytes, ids)).decode("utf-8", "replace")


async def posted(
    app: Any, path: str, body: dict[str, Any], turned: Callable[[], None]
) -> tuple[bytes, list[int]]:
    """The body of an answer and the sizes of what was sent at once; `turned` is called in every
    round of the event loop until it is there."""
    data = json.dumps(body).encode()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "root_path": "",
    }
    asked, sent = [{"type": "http.request", "body": data, "more_body": False}], list[bytes]()

    async def receive() -> dict[str, Any]:
        if not asked:
            await asyncio.Event().wait()
        return asked.pop()

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200
        sent.append(message.get("body", b""))

    asking = asyncio.ensure_future(app(scope, receive, send))
    while not asking.done():
        turned()
        await asyncio.sleep(0)
    await asking
    return b"".join(sent), list(map(len, sent))


def looked_at(path: str, body: dict[str, Any], says: str = "x") -> tuple[list[int], int, bytes]:
    """Tokens looked at in each round, the most bytes sent at once, and the answer."""
    tokenizer = CountingTokenizer()
    engine = FakeEngine(says, window=WINDOW, kv_capacity=WINDOW)
    model = fake_model(engine=engine, tokenizer=tokenizer)
    app = create_app([model], ThreadDesk({"fake": cast(ServedEngine, engine)}))
    _ = model.longest_token
    rounds: list[int] = []

    async def run() -> tuple[bytes, list[int]]:
        async with app.router.lifespan_context(app):
            tokenizer.num = 0
            return await posted(app, path, body, lambda: rounds.append(tokenizer.num))

    answer, sizes = asyncio.run(run())
    return [after - before for before, after in pairwise(rounds)], max(sizes), answer


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("num_tokens", "top"), [(100_000, 0), (9_000, 20)])
def test_a_scored_prompt_of_200_000_log_probabilities_does_not_hold_the_loop(
    num_tokens: int, top: int, stream: bool
) -> None:
    prompt = [65 + at % 26 for at in range(num_tokens)]
    body = {"prompt": prompt, "echo": True, "logprobs": top, "max_tokens": 1, "stream": stream}
    rounds, most_sent, answer = looked_at("/v1/completions", body)
    # A token is looked at twice for its text and its place, its alternatives once.
    assert sum(rounds) > num_tokens * (2 + top)
    assert max(rounds) <= 2 * (AT_ONCE + 21)
    assert len(rounds) > num_tokens * (1 + top) // AT_ONCE
    assert most_sent <= 1 << 18
    text = answer.decode()
    if stream:
        text = text.removeprefix("data: ").split("\n\n")[0]
    told = json.loads(text)["choices"][0]["logprobs"]
    num = num_tokens + (not stream)  # the answer's token is an event of its own, or is not
    assert {name: len(values) >= num for name, values in told.items()} == dict.fromkeys(told, True)
    assert told["text_offset"][:num_tokens] == list(range(num_tokens))
    assert told["tokens"][:27] == [chr(65 + at % 26) for at in range(27)]
    assert told["token_logprobs"][:2] == [None, -0.25]


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_answer_with_log_probabilities_does_not_either(stream: bool) -> None:
    body = chat(logprobs=True, top_logprobs=20, max_tokens=2000, stream=stream)
    rounds, _, answer = looked_at("/v1/chat/completions", body, says="ab" * 1000)
    assert sum(rounds) > 2000 * 21
    # Of a stream many pieces may come at once, each of them short.
    assert max(rounds) <= 3 * (AT_ONCE + 21)
    if not stream:
        told = json.loads(answer)["choices"][0]["logprobs"]["content"]
        assert [entry["token"] for entry in told] == list("ab" * 1000)
        assert {len(entry["top_logprobs"]) for entry in told} == {20}


def log_of(texts: Sequence[int], top: int, seed: int = 0) -> list[TokenLogprob]:
    draw = random.Random(seed)
    return [
        TokenLogprob(token, -draw.random(), tuple((draw.randrange(256), -9.5) for _ in range(top)))
        for token in texts
    ]


def told_obvious(prompt: Sequence[int], found: Sequence[TokenLogprob], text: str) -> dict[str, Any]:
    """All columns at once: of a prompt, whose first token nothing foretells."""
    served = fake_model()
    places, data = [], b""
    for token in prompt:
        new = served.tokenizer.token_bytes(token)
        places.append(len(data.decode("utf-8", "replace")))
        data += new
    shift = len(text) - len(data.decode("utf-8", "replace"))
    return {
        "tokens": [token_text(served, token) for token in prompt],
        "token_logprobs": [None, *(item.logprob for item in found)],
        "top_logprobs": [
            None,
            *({token_text(served, t): v for t, v in reversed(item.top)} for item in found),
        ],
        "text_offset": [max(0, place + shift) for place in places],
    }


@pytest.mark.parametrize("num", [1, 2, 511, 512, 513, 3000])
@pytest.mark.parametrize("top", [0, 3])
def test_pieces_are_what_is_written_at_once(num: int, top: int) -> None:
    text = " " + "Wolle und Garn. " * 200
    prompt = list(text.encode())[:num]
    found = log_of(prompt[1:], top)
    log = TextLog(fake_model())
    told = log.told([], prompt_ids=prompt, of_prompt=found, text=bytes(prompt).decode())
    data = json.loads(asyncio.run(written({"a": [told], "b": None})))
    assert data["b"] is None
    assert data["a"] == [told_obvious(prompt, found, bytes(prompt).decode())]
    # What follows begins where the prompt ends.
    after = log.told(log_of(b"xy", top))
    assert isinstance(after, dict)
    assert after["text_offset"] == [num, num + 1]


def test_parts_have_a_token_at_least_and_leave_none_out() -> None:
    found = log_of(range(200), 20) + log_of(range(50), 600) + log_of([7], 0)
    parts = list(parts_of(found))
    assert [item for part in parts for item in part] == found
    assert all(len(part) == 1 or sum(1 + len(i.top) for i in part) < AT_ONCE + 21 for part in parts)
    assert list(parts_of([])) == []


def test_several_values_in_pieces_stand_in_their_places() -> None:
    made: list[str] = []

    def pieces(name: str) -> Pieces:
        def run() -> Any:
            for part in ("[", '"羊",', "1]"):
                made.append(name)
                yield part.encode()

        return Pieces(run())

    value = {"a": pieces("a"), "text": 'a"b', "more": [pieces("b"), {"c": pieces("c")}]}
    assert json.loads(asyncio.run(written(value))) == {
        "a": ["羊", 1],
        "text": 'a"b',
        "more": [["羊", 1], {"c": ["羊", 1]}],
    }
    assert made == ["a"] * 3 + ["b"] * 3 + ["c"] * 3  # in the order of the text
    with pytest.raises(TypeError, match="object is not JSON"):
        asyncio.run(written({"a": object()}))
    with pytest.raises(ValueError, match="JSON"):
        asyncio.run(written({"a": float("nan")}))


def test_events_in_pieces_are_padded_as_others_are() -> None:
    def one() -> Any:
        yield b'"x'
        yield b'y"'

    whole = event({"a": "xy"}, padded=True)
    parts = asyncio.run(written_event({"a": Pieces(one())}, padded=True))
    assert len(parts) == len(whole)
    assert (len(parts) - len(b"data: \n\n")) % 64 == 0
    assert json.loads(parts[6:])["a"] == "xy"
    assert asyncio.run(written_event({"a": 1})) == event({"a": 1})


def test_slices_are_all_of_it() -> None:
    data = bytes(range(256)) * 3000
    assert list(slices(b"short")) == [b"short"]
    assert b"".join(slices(data)) == data
    assert max(map(len, slices(data))) <= 1 << 18


@pytest.mark.parametrize("num", [0, 1, 64, 65, 1000])
@pytest.mark.parametrize("top", [0, 1, 20])
def test_log_probabilities_come_through_the_wire_bit_by_bit(num: int, top: int) -> None:
    found = tuple(log_of([at % 256 for at in range(num)], top, seed=num))
    done = Completion("羊", (1, 2), "stop", 3, 0.5, found, 1, -0.1, found)
    said = [
        Said(0, "a", (1,), found, None, None, False, found),
        Said(0, "b", (2,), (), done, None, True),
        Said(1, "", (), (), None, RequestError("no"), True),
    ]
    news = read_news(news_line(News(said=[(7, said)], ended=[Ended(8)])))
    ((number, read),) = news.said
    assert number == 7
    assert read[:2] == said[:2]
    assert str(read[2].error) == "no"
    assert all(isinstance(item, TokenLogprob) for item in read[0].prompt_logprobs)


def test_as_much_as_may_be_told_is_a_few_long_texts_on_the_wire() -> None:
    """Python's lock is held as long as a line is parsed: by numbers, not by texts."""
    found = tuple(TokenLogprob(at, -1 / 3) for at in range(MOST_TOLD))
    line = news_line(News(said=[(1, [Said(0, "", (), (), None, None, False, found)])]))
    assert line.count(b",") < 100
    assert read_news(line).said[0][1][0].prompt_logprobs == found
