"""A Jinja sandbox that comes to an end: imported chat templates are other people's programs.

Jinja's own sandbox keeps a template away from Python and from long ranges, but not from loops
within loops, macros that call themselves twice, or a text that is doubled forty times. Rounds,
calls and characters are counted here. This stops what goes wrong and the plain bombs; it is no wall
against somebody who knows it: the conditions of loops, blocks that call themselves, and lists
within lists are not counted. A wall would be a process of its own with limits of the system.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence, Sized
from typing import Any, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MOST_ROUNDS = 100_000
MOST_CHARACTERS = 20_000_000  # of one text
MOST_MADE = 10 * MOST_CHARACTERS  # of all that are made on the way
_MOST_BITS = 4096
_MOST_INDENT = 16
_DIGITS = re.compile(r"\d{7,}")
# Their widths and numbers are no call's arguments, and no chat template is known to need them.
_WITHOUT = ("batch", "center", "format", "indent", "slice", "urlize", "wordwrap", "xmlattr")

NodeT = TypeVar("NodeT", nodes.For, nodes.Macro)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """An environment whose templates fail with `jinja2.TemplateError` where they do not end."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(finalize=self._written, **options)
        self._spent = threading.local()
        self._longest_source = 0
        for name in _WITHOUT:
            del self.filters[name]
        del self.globals["lipsum"]
        self.filters |= {"join": self._joined, "replace": self._replaced, "tojson": self._json}

    def begin(self) -> None:
        """Count anew; before each rendering."""
        self._spent.rounds = self._spent.made = 0

    def count_round(self) -> None:
        """Called by templates: at every round of a loop and every call of a macro."""
        self._spent.rounds += 1
        if self._spent.rounds > MOST_ROUNDS:
            raise jinja2.TemplateError(f"it goes on after {MOST_ROUNDS:,} rounds")
        self._make(self._longest_source)  # a round may write the template's own words

    def concatenated(self, *parts: Any) -> str:
        """Called by templates, in place of `~`."""
        texts = [str(part) for part in parts]
        self._make(sum(map(len, texts)))
        return "".join(texts)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            self._make(len(left) + len(right))
        elif operator == "%" and isinstance(left, str):
            if "*" in left:
                raise jinja2.TemplateError("a width is too large")
            self._fill(left, left.count("%"), right if isinstance(right, tuple) else (right,))
        elif operator == "*":
            for some, times in ((left, right), (right, left)):
                if isinstance(some, Sized) and isinstance(times, int):
                    self._make(len(some) * times)
            if isinstance(left, int) and isinstance(right, int):
                _check_bits(left.bit_length() + right.bit_length())
        elif operator == "**" and isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * abs(right))
        return super().call_binop(context, operator, left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        values = (*args, *kwargs.values())
        # Jinja wraps `str.format`.
        method = getattr(function, "__wrapped__", function)
        owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
        if isinstance(owner, str):
            if name in ("format", "format_map"):
                self._fill(owner, owner.count("{"), values)
            elif name == "join":
                self._joined_length(owner, values[0] if values else ())
            elif name == "replace":
                self._replaced_length(owner, *values[1:2])
            elif name == "translate":
                raise jinja2.TemplateError("text is not translated in a template")
            elif name == "expandtabs":
                self._make(len(owner) * max([8, *(v for v in values if isinstance(v, int))]))
        for value in values:
            if isinstance(value, int) and not isinstance(value, bool):
                self._make(max(0, value))
        return super().call(context, function, *args, **kwargs)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        self._longest_source = max(self._longest_source, len(source))
        tree: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        tree.set_environment(self)
        return tree

    def _make(self, length: int) -> None:
        """Note that something of this length is about to be made."""
        if length > MOST_CHARACTERS:
            raise jinja2.TemplateError(f"it makes something longer than {MOST_CHARACTERS:,}")
        self._spent.made = getattr(self._spent, "made", 0) + length
        if self._spent.made > MOST_MADE:
            raise jinja2.TemplateError(f"it makes more than {MOST_MADE:,} characters")

    def _fill(self, form: str, num_places: int, values: Sequence[Any]) -> None:
        if _DIGITS.search(form):
            raise jinja2.TemplateError("a width is too large")
        self._make(len(form) + num_places * max([32, *_lengths(values)]))

    def _written(self, value: Any) -> Any:
        """Called by templates with every value that they write."""
        self._make(len(value) if isinstance(value, Sized) else 1)
        return value

    def _joined_length(self, between: str, parts: Any) -> None:
        parts = parts if isinstance(parts, Sized) else ()
        self._make(len(between) * len(parts) + sum(_lengths(parts)))

    def _joined(self, parts: Any, between: str = "", attribute: str | None = None) -> str:
        parts = list(parts)
        if attribute is not None:
            parts = [self.getitem(part, attribute) for part in parts]
        texts = [str(part) for part in parts]
        self._joined_length(str(between), texts)
        return str(between).join(texts)

    def _replaced_length(self, text: str, new: Any = "") -> None:
        self._make((len(text) + 1) * max([1, *_lengths((new,))]))

    def _replaced(self, text: Any, old: str, new: str, count: int | None = None) -> str:
        self._replaced_length(str(text), str(new))
        return str(text).replace(str(old), str(new), -1 if count is None else count)

    def _json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: Sequence[str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        # As in transformers. Jinja's own filter writes for HTML, and would spell marks as escapes;
        # so would `ensure_ascii`, which stands here since templates name it to turn it off.
        if ensure_ascii:
            raise jinja2.TemplateError("tojson with ensure_ascii is not supported")
        if isinstance(indent, str) or (indent or 0) > _MOST_INDENT:
            raise jinja2.TemplateError("an indent is too large")
        between = None
        if separators is not None:
            item, key = separators
            if len(item) + len(key) > _MOST_INDENT:
                raise jinja2.TemplateError("separators are too long")
            between = (item, key)
        text = json.dumps(
            value, ensure_ascii=False, indent=indent, separators=between, sort_keys=sort_keys
        )
        self._make(len(text))
        return text


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


def _lengths(values: Any) -> list[int]:
    return [len(value) for value in values if isinstance(value, Sized)]


def _check_bits(bits: int) -> None:
    if bits > _MOST_BITS:
        raise jinja2.TemplateError("a number is too large")
