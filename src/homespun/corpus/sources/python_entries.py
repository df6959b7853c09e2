"""What a page of Python documentation is made of, and how it is read from a parsed module.

Nothing is executed: `ast` gives names, signatures and docstrings as they stand in the source.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["function", "class", "method", "property", "module"]
Parameter = tuple[str, str | None, str | None]

_ROLE = re.compile(r":(?:[a-z]+:){1,2}`~?!?([^`<\n]+?)(?:\s*<[^`>\n]*>)?`")


@dataclass(frozen=True, slots=True)
class ApiEntry:
    """One documented public name.

    Attributes:
        module: dotted module name, "json.decoder".
        qualified_name: dotted name from the top, "json.decoder.JSONDecoder.decode".
        kind: what it is.
        signature: how it is called, "decode(s, _w=WHITESPACE.match) -> str"; without `self`,
            "" for modules, the bare name for properties.
        docstring: cleaned, never empty.
        parameters: (name, annotation, default) as source text; "*args" and "**kwargs" keep stars.
        returns: annotation as source text.
        source_document_id: id of the page in the corpus `python`.
    """

    module: str
    qualified_name: str
    kind: Kind
    signature: str
    docstring: str
    parameters: tuple[Parameter, ...]
    returns: str | None
    source_document_id: str

    @property
    def name(self) -> str:
        """The last part of the name."""
        return self.qualified_name.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class ApiPage:
    """The entries of one module, in source order, the module's own first where it has one."""

    package: str
    document_id: str
    module: str
    entries: tuple[ApiEntry, ...]

    def text(self) -> str:
        """The page as it stands in the corpus."""
        parts = [f"# {self.module}"]
        for entry in self.entries:
            if entry.kind == "module":
                parts.append(entry.docstring)
                continue
            inner = entry.qualified_name.removeprefix(f"{self.module}.")
            owner = inner.rpartition(".")[0]
            head = f"{owner}.{entry.signature}" if owner else f"{self.module}.{entry.signature}"
            word = "class " if entry.kind == "class" else ""
            parts.append(f"{'###' if owner else '##'} {word}{head}")
            parts.append(entry.docstring)
        return "\n\n".join(parts) + "\n"


def entries_of(tree: ast.Module, module: str) -> Iterator[ApiEntry]:
    """Documented public names of a parsed module, in source order, each name once."""
    docstring = clean_docstring(ast.get_docstring(tree, clean=False))
    if docstring:
        yield ApiEntry(module, module, "module", "", docstring, (), None, module)
    yield from _body_entries(tree.body, module, module, False, set())


def _body_entries(
    body: list[ast.stmt], module: str, owner: str, in_class: bool, seen: set[str]
) -> Iterator[ApiEntry]:
    for node in _statements(body):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        name = f"{owner}.{node.name}"
        if node.name.startswith("_") or name in seen or _has(node, "overload"):
            continue
        if isinstance(node, ast.ClassDef):
            inner = list(_body_entries(node.body, module, name, True, set()))
            entry = _class_entry(node, module, name)
            if entry is None and not inner:
                continue
            seen.add(name)
            if entry is not None:
                yield entry
            yield from inner
            continue
        docstring = clean_docstring(ast.get_docstring(node, clean=False))
        if not docstring or any(_has(node, word) for word in ("setter", "deleter")):
            continue
        seen.add(name)
        if in_class and any(_has(node, w) for w in ("property", "cached_property")):
            returns = ast.unparse(node.returns) if node.returns else None
            yield ApiEntry(module, name, "property", node.name, docstring, (), returns, module)
            continue
        parameters = _parameters(node.args, in_class and not _has(node, "staticmethod"))
        returns = ast.unparse(node.returns) if node.returns else None
        signature = _signature(node.name, node.args, parameters, returns)
        kind: Kind = "method" if in_class else "function"
        yield ApiEntry(module, name, kind, signature, docstring, parameters, returns, module)


def _class_entry(node: ast.ClassDef, module: str, name: str) -> ApiEntry | None:
    docstring = clean_docstring(ast.get_docstring(node, clean=False))
    parameters: tuple[Parameter, ...] = ()
    signature = node.name
    if any(_has(node, word) for word in ("dataclass", "dataclasses.dataclass")):
        parameters = tuple(
            (
                item.target.id,
                ast.unparse(item.annotation),
                ast.unparse(item.value) if item.value else None,
            )
            for item in node.body
            if isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and "ClassVar" not in ast.unparse(item.annotation)
        )
        signature = f"{node.name}({', '.join(_render(p) for p in parameters)})"
    makers = {i.name: i for i in _statements(node.body) if isinstance(i, ast.FunctionDef)}
    maker = makers.get("__init__") or makers.get("__new__")
    if maker is not None:
        docstring = docstring or clean_docstring(ast.get_docstring(maker, clean=False))
        parameters = _parameters(maker.args, True)
        signature = _signature(node.name, maker.args, parameters, None)
    if not docstring:
        return None
    return ApiEntry(module, name, "class", signature, docstring, parameters, None, module)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a body, those under `if` and `try` included: names are defined there too."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements(node.body)
            yield from _statements(node.orelse)
        elif isinstance(node, ast.Try):
            yield from _statements(node.body)
            for handler in node.handlers:
                yield from _statements(handler.body)


def _has(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, decorator: str) -> bool:
    for item in node.decorator_list:
        target = item.func if isinstance(item, ast.Call) else item
        text = target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")
        if text == decorator:
            return True
    return False


def _parameters(arguments: ast.arguments, bound: bool) -> tuple[Parameter, ...]:
    """Parameters in order; the first positional one (`self`, `cls`) is left out when bound."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    defaults += arguments.defaults
    found: list[Parameter] = [
        _parameter(arg.arg, arg, default) for arg, default in zip(positional, defaults, strict=True)
    ]
    if bound and found:
        found = found[1:]
    if arguments.vararg:
        found.append(_parameter(f"*{arguments.vararg.arg}", arguments.vararg, None))
    found += [
        _parameter(arg.arg, arg, default)
        for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        found.append(_parameter(f"**{arguments.kwarg.arg}", arguments.kwarg, None))
    return tuple(found)


def _parameter(name: str, arg: ast.arg, default: ast.expr | None) -> Parameter:
    return (
        name,
        ast.unparse(arg.annotation) if arg.annotation else None,
        ast.unparse(default) if default else None,
    )


def _signature(
    name: str, arguments: ast.arguments, parameters: tuple[Parameter, ...], returns: str | None
) -> str:
    """`name(a, b=1, *, c=2) -> returns`, with the `/` and `*` marks where they stand."""
    bound = len(arguments.posonlyargs) + len(arguments.args) > sum(
        1 for p in parameters if not p[0].startswith("*")
    ) - len(arguments.kwonlyargs)
    num_positional_only = max(0, len(arguments.posonlyargs) - bound)
    num_positional = len(arguments.posonlyargs) + len(arguments.args) - bound
    shown = [_render(parameter) for parameter in parameters]
    if arguments.kwonlyargs and not arguments.vararg:
        shown.insert(num_positional, "*")
    if num_positional_only:
        shown.insert(num_positional_only, "/")
    arrow = f" -> {returns}" if returns else ""
    return f"{name}({', '.join(shown)}){arrow}"


def _render(parameter: Parameter) -> str:
    name, annotation, default = parameter
    text = f"{name}: {annotation}" if annotation else name
    if default is not None:
        text += f" = {default}" if annotation else f"={default}"
    return text


def clean_docstring(docstring: str | None) -> str:
    """Indentation taken off, `:class:`-like marks of reStructuredText reduced to their text."""
    if not docstring or not docstring.strip():
        return ""
    text = inspect.cleandoc(docstring.encode("utf-8", "replace").decode("utf-8"))
    return _ROLE.sub(r"\1", text).strip()
