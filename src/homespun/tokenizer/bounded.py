"""A Jinja sandbox that comes to an end: imported chat templates are other people's programs.

Jinja's own sandbox keeps a template away from Python and from long ranges, but not from loops
within loops, macros that call themselves twice, or a text that is doubled forty times. Rounds and
calls are counted here, and nothing may become longer than a conversation ever is.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sized
from typing import Any, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_ROUNDS = 100_000
MOST_CHARACTERS = 20_000_000
_MOST_BITS = 4096
_DIGITS = re.compile(r"\d{7,}")
# Their widths are no call's arguments, and no chat template is known to need them.
_WITHOUT = ("center", "format", "indent", "wordwrap")

NodeT = TypeVar("NodeT", nodes.For, nodes.Macro)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An environment whose templates fail with `jinja2.TemplateError` where they do not end."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._spent = threading.local()
        for name in _WITHOUT:
            del self.filters[name]

    def begin(self) -> None:
        """Count anew; before each rendering."""
        self._spent.rounds = 0

    def count_round(self) -> None:
        """Called by templates: at every round of a loop and every call of a macro."""
        self._spent.rounds = getattr(self._spent, "rounds", 0) + 1
        if self._spent.rounds > MOST_ROUNDS:
            raise jinja2.TemplateError(f"it goes on after {MOST_ROUNDS:,} rounds")

    def concatenated(self, *parts: Any) -> str:
        """Called by templates, in place of `~`."""
        return "".join(_within([str(part) for part in parts]))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            _check_length(len(left) + len(right))
        elif operator == "%" and isinstance(left, str):
            if _DIGITS.search(left) or "*" in left:
                raise jinja2.TemplateError("a width is too large")
        elif operator == "*":
            for some, times in ((left, right), (right, left)):
                if isinstance(some, Sized) and isinstance(times, int):
                    _check_length(len(some) * times)
            if isinstance(left, int) and isinstance(right, int):
                _check_bits(left.bit_length() + right.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * abs(right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if isinstance(value, int):
                _check_length(value)
        name = getattr(function, "__name__", "")
        owner = getattr(function, "__self__", None)
        if isinstance(owner, str) and name in ("format", "format_map") and _DIGITS.search(owner):
            raise jinja2.TemplateError("a width is too large")
        if isinstance(owner, str) and name in ("join", "replace"):
            _check_length(_most_made(owner, name, args))
        return super().call(context, function, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree


class _Counting(NodeTransformer):
    """Puts calls of the environment's methods into a template."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 - Jinja calls it so
        return self._counted(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:  # noqa: N802
        return self._counted(node)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        node = self.generic_visit(node)  # type: ignore[assignment]
        return _call("concatenated", node.nodes, node.lineno)

    def _counted(self, node: NodeT) -> nodes.Node:
        found = self.generic_visit(node)
        assert isinstance(found, nodes.For | nodes.Macro)
        counted = nodes.ExprStmt(_call("count_round", [], node.lineno), lineno=node.lineno)
        found.body.insert(0, counted)
        return found


def _call(method: str, args: list[nodes.Expr], line: int) -> nodes.Call:
    # An attribute of the environment, which no name in a template can stand for.
    function = nodes.EnvironmentAttribute(method, lineno=line)
    return nodes.Call(function, args, [], None, None, lineno=line)


def _most_made(text: str, name: str, args: tuple[Any, ...]) -> int:
    """The most characters that `join` or `replace` could make of it."""
    if name == "join":
        parts = args[0] if args and isinstance(args[0], list | tuple | str) else ()
        return len(text) * len(parts) + sum(len(part) for part in parts if isinstance(part, str))
    new = args[1] if len(args) > 1 and isinstance(args[1], str) else ""
    return (len(text) + 1) * max(1, len(new))


def _within(parts: list[str]) -> list[str]:
    _check_length(sum(map(len, parts)))
    return parts


def _check_length(length: int) -> None:
    if length > MOST_CHARACTERS:
        raise jinja2.TemplateError(f"it makes something longer than {MOST_CHARACTERS:,}")


def _check_bits(bits: int) -> None:
    if bits > _MOST_BITS:
        raise jinja2.TemplateError("a number is too large")
