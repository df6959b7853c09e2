"""Our answers against the schema that OpenAI publishes of its own.

    git clone https://github.com/openai/openai-openapi
    python benchmarks/serve_schema.py openai-openapi/openapi.json

Every kind of answer is asked for once or more, streamed ones too, and each whole body or event is
held against what the published description says of that path and kind of content.
"""

from __future__ import annotations

import collections
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from serve_stage import Served, run_argument, served

WHAT = "urn:published"
TALK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Who are you?"}]
TOOL = {
    "name": "weather",
    "description": "Of a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string", "enum": ["here", "there"]}},
        "required": ["place"],
        "additionalProperties": False,
    },
}
SHAPE = {
    "type": "object",
    "properties": {"yes": {"type": "boolean"}},
    "required": ["yes"],
    "additionalProperties": False,
}
CHAT, TEXT, ANSWER = "/chat/completions", "/completions", "/responses"
FEW = {"max_tokens": 12, "seed": 1}
USAGE = {"stream_options": {"include_usage": True}}
CALL = {"tools": [{"type": "function", "function": TOOL}], "tool_choice": "required"}
AS_SHAPE = {"type": "json_schema", "json_schema": {"name": "a", "schema": SHAPE, "strict": True}}
ASKED: tuple[tuple[str, dict[str, Any] | None], ...] = (
    ("/models", None),
    ("/models/{model}", None),
    *(
        (CHAT, {"messages": TALK, **FEW, **more, **way})
        for way in ({}, {"stream": True}, {"stream": True, **USAGE})
        for more in (
            {},
            {"n": 2, "temperature": 1.0, "stop": ["\n"]},
            {"logprobs": True, "top_logprobs": 3},
            {"max_tokens": 60, "response_format": AS_SHAPE},
            {"max_tokens": 60, "response_format": {"type": "json_object"}},
            {"max_tokens": 60, **CALL},
            {"max_tokens": 60, **CALL, "parallel_tool_calls": True, "logprobs": True},
            {"store": False, "metadata": {}, "user": "someone"},
        )
    ),
    *(
        (TEXT, {"prompt": "The river", **FEW, **more, **way})
        for way in ({}, {"stream": True}, {"stream": True, **USAGE})
        for more in ({}, {"n": 2}, {"logprobs": 2}, {"echo": True, "logprobs": 1})
        if not ("stream" in way and "echo" in more)
    ),
    (TEXT, {"prompt": ["one", "two"], **FEW, "best_of": 2}),
    *(
        (ANSWER, {"input": given, "max_output_tokens": 60, **more, **way})
        for way in ({}, {"stream": True})
        for given in ("Who are you?", [{"role": "user", "content": "Who are you?"}])
        for more in (
            {},
            {"instructions": "Be short.", "temperature": 0.5, "metadata": {"a": "b"}},
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": SHAPE}}},
            {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
        )
    ),
    ("/embeddings", {"input": "one"}),
    ("/embeddings", {"input": ["one", "two"], "encoding_format": "float"}),
    ("/moderations", {"input": "I will hurt you"}),
    ("/moderations", {"input": ["one", "two"]}),
    (CHAT, {"messages": []}),
    (CHAT, {"messages": TALK, "max_tokens": -1}),
    (TEXT, {"prompt": "a", "model": "nobody"}),
)


def bodies(
    server: Served, path: str, body: dict[str, Any] | None
) -> Iterator[tuple[int, str, Any]]:
    """Status, kind of content, and each whole answer or event."""
    url = f"http://127.0.0.1:{server.port}/v1" + path.format(model=server.model)
    data = None if body is None else json.dumps({"model": server.model} | body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            status, told = answer.status, answer.read().decode()
            kind = answer.headers["content-type"].partition(";")[0]
    except urllib.error.HTTPError as error:
        yield error.code, "application/json", json.loads(error.read())
        return
    if kind != "text/event-stream":
        yield status, kind, json.loads(told)
        return
    for event in told.split("\n\n"):
        data_lines = [line[6:] for line in event.split("\n") if line.startswith("data: ")]
        if data_lines and data_lines[0] != "[DONE]":
            yield status, kind, json.loads("\n".join(data_lines))


KNOWN = {
    ("/completions", "choices/*/finish_reason"): "null until a stream ends, as OpenAI sends it; "
    "only whole answers are described",
    ("/completions", "usage"): "null until the last event, as chat's is described to be",
    ("/completions", "choices/*/logprobs"): "null for the first token of a prompt, before which "
    "there is nothing",
}
"""Where we leave the description on purpose, and why."""


def with_null(schema: Any) -> Any:
    """`nullable`, which the description has kept from an older form of itself, put as null."""
    if isinstance(schema, list):
        return [with_null(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: with_null(one) for name, one in schema.items() if name != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner


class Published:
    """The description, as schemas that refer to each other."""

    def __init__(self, path: Path) -> None:
        self._whole = with_null(json.loads(path.read_text(encoding="utf-8")))
        resource = Resource.from_contents(self._whole, default_specification=DRAFT202012)
        self._registry: Any = Registry().with_resource(WHAT, resource)

    def check(self, path: str, is_post: bool, status: int, kind: str) -> Draft202012Validator:
        """What holds bodies of that path against it."""
        if status >= 400:
            pointer = "/components/schemas/ErrorResponse"
        else:
            steps = ["paths", path, "post" if is_post else "get", "responses", str(status)]
            content = self._whole
            for step in (*steps, "content"):
                content = content[step]
            if kind not in content:  # completions are streamed in the shape of whole ones
                kind = "application/json"
            escaped = [s.replace("/", "~1") for s in (*steps, "content", kind, "schema")]
            pointer = "/" + "/".join(escaped)
        return Draft202012Validator({"$ref": f"{WHAT}#{pointer}"}, registry=self._registry)


def main() -> int:
    parser = run_argument(__doc__ or "")
    parser.add_argument("published", type=Path)
    wish = parser.parse_args()
    published = Published(wish.published)
    seen: collections.Counter[str] = collections.Counter()
    broken: dict[str, str] = {}
    known: dict[str, str] = {}
    with served(wish.run, options=wish.serve) as server:
        for path, body in ASKED:
            for status, kind, value in bodies(server, path, body):
                seen[f"{path} {status} {kind}"] += 1
                check = published.check(path, body is not None, status, kind)
                for error in check.iter_errors(value):
                    steps = ["*" if isinstance(p, int) else str(p) for p in error.absolute_path]
                    where = "/".join(steps)
                    if (path, where) in KNOWN:
                        known[f"{path} {where}"] = KNOWN[path, where]
                    else:
                        told = f"{path} {kind} at {where}: {error.message[:200]}"
                        broken.setdefault(told, str(body))
    for name, count in sorted(seen.items()):
        print(f"{count:6} {name}")
    print(f"{sum(seen.values())} answers and events, {len(broken)} kinds of breach")
    for what, reason in known.items():
        print(f"  on purpose: {what}: {reason}")
    for what, asked in broken.items():
        print(f"  {what}\n    asked: {asked[:200]}")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
