"""Constraints as large as they may be: the library compiles them, in a thread as servers do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from homespun.core import Constraint
from homespun.core.constraints import check_constraint

CODE = """
import json, sys, threading
sys.path.insert(0, {here!r})
from inference_fakes import TOKENIZER
from homespun.core import Constraint, RequestError
from homespun.inference.sampling import compile_constraint
def run():
    for kind, text in json.loads(sys.stdin.read()):
        try:
            found = Constraint(kind=kind, text=text)
            state = compile_constraint(found, TOKENIZER, frozenset({{263}}))
            print("taken" if state.allowed().any() else "nothing")
        except RequestError:
            print("refused")
threading.stack_size(4 << 20)
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def chain(num: int, one: Any) -> str:
    each = {f"a{at}": one({"$ref": f"#/$defs/a{at + 1}"}) for at in range(num)}
    schema = {"$ref": "#/$defs/a0", "$defs": {**each, f"a{num}": {"type": "string"}}}
    return json.dumps(schema, separators=(",", ":"))


def rules(num: int, name: str, depth: int) -> str:
    lines = [f"{name}{at}: {'(' * depth}{name}{at + 1}{')' * depth}" for at in range(num)]
    return "\n".join([f"start: {name}0", *lines, f'{name}{num}: "a"'])


def deep(inner: Any) -> Any:
    for _ in range(20):
        inner = {"anyOf": [inner]}
    return inner


LARGEST: list[tuple[Any, str]] = [
    ("json_schema", chain(490, lambda ref: {"items": ref})),
    ("json_schema", chain(330, lambda ref: {"properties": {"x": ref}})),
    ("json_schema", chain(990, lambda ref: ref)),
    ("json_schema", chain(22, deep)),
    ("json_schema", '{"anyOf":[' * 31 + "{}" + "]}" * 31),
    ("json_schema", json.dumps({"properties": {f"p{at}": {} for at in range(1990)}})),
    ("regex", "(" * 64 + "a" + ")" * 64),
    ("regex", "|".join(map(str, range(1999)))),
    ("regex", "a?" * 1000),
    ("regex", "(((a{9}){9}){9}){9}"),
    ("grammar", rules(498, "r", 0)),
    ("grammar", rules(498, "R", 0)),
    ("grammar", rules(45, "r", 20)),
    ("grammar", rules(45, "R", 20)),
    ("grammar", 'start: "' + '" | "'.join(map(str, range(4900))) + '"'),
    ("grammar", rules(299, "r", 0).replace('"a"', "%json " + chain(690, lambda ref: ref))),
    ("grammar", "start: %json " + chain(320, lambda ref: {"properties": {"x": ref}})),
]


def test_the_library_lives_through_the_largest_that_are_let_through() -> None:
    """With half the stack that threads have on Linux."""
    for kind, text in LARGEST:
        check_constraint(Constraint(kind=kind, text=text))
    code = CODE.format(here=str(Path(__file__).parent))
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(LARGEST),
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) <= {"taken", "refused"}
    assert done.stdout.count("taken") >= len(LARGEST) - 2
