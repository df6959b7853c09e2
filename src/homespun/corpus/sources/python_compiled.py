"""Pages of what the interpreter itself knows: compiled modules without source, and the language.

`builtins`, `math` and their like are part of the interpreter, so there is no file to parse. This
fixed list of them is read with `inspect`; importing them runs none but the interpreter's own code.
The language reference ships as one table of texts (`pydoc_data/topics.py`), which is parsed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homespun.corpus.sources.python_entries import ApiEntry, ApiPage, Parameter, clean_docstring
from homespun.corpus.sources.python_modules import STDLIB

# (module with the code, name people use). A module this interpreter was built without is left out.
_COMPILED = (
    ("builtins", "builtins"),
    ("sys", "sys"),
    ("itertools", "itertools"),
    ("math", "math"),
    ("cmath", "cmath"),
    ("time", "time"),
    ("posix", "os"),
    ("_io", "io"),
    ("_collections", "collections"),
    ("_functools", "functools"),
    ("_struct", "struct"),
    ("_random", "random"),
    ("_csv", "csv"),
    ("array", "array"),
    ("gc", "gc"),
    ("binascii", "binascii"),
    ("zlib", "zlib"),
    ("unicodedata", "unicodedata"),
    ("marshal", "marshal"),
    ("select", "select"),
)


def compiled_pages() -> Iterator[ApiPage]:
    """One page for each compiled module of the list, id "builtin/NAME"."""
    for real, shown in _COMPILED:
        try:
            module = importlib.import_module(real)
        except ImportError:
            continue
        document_id = f"builtin/{shown}"
        entries: list[ApiEntry] = []
        docstring = clean_docstring(getattr(module, "__doc__", None))
        if docstring:
            entries.append(ApiEntry(shown, shown, "module", "", docstring, (), None, document_id))
        for name in sorted(vars(module)):
            if not name.startswith("_"):
                entries += _entries(vars(module)[name], shown, f"{shown}.{name}", document_id)
        if entries:
            yield ApiPage(STDLIB, document_id, shown, tuple(entries))


def language_topics() -> Iterator[tuple[str, str]]:
    """(id, text) of the language reference's topics, "language/NAME", by name."""
    path = Path(sysconfig.get_paths()["stdlib"]) / "pydoc_data" / "topics.py"
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            topics = ast.literal_eval(node.value)
            for name in sorted(topics):
                yield f"language/{name}", str(topics[name])


def _entries(value: Any, module: str, name: str, document_id: str) -> list[ApiEntry]:
    short = name.rpartition(".")[2]
    docstring = clean_docstring(inspect.getdoc(value))
    if inspect.isclass(value):
        if value.__name__ != short:  # an alias, such as IOError for OSError
            return []
        own = value.__dict__
        found = []
        if own.get("__doc__"):
            signature, parameters = _signature(value, short)
            found.append(
                ApiEntry(module, name, "class", signature, docstring, parameters, None, document_id)
            )
        for inner in sorted(own):
            if not inner.startswith("_") and callable(own[inner]):
                found += _method(own[inner], module, f"{name}.{inner}", document_id)
        return found
    if not callable(value) or not docstring:
        return []
    signature, parameters = _signature(value, short)
    return [ApiEntry(module, name, "function", signature, docstring, parameters, None, document_id)]


def _method(value: Any, module: str, name: str, document_id: str) -> list[ApiEntry]:
    docstring = clean_docstring(inspect.getdoc(value))
    if not docstring:
        return []
    signature, parameters = _signature(value, name.rpartition(".")[2], bound=True)
    return [ApiEntry(module, name, "method", signature, docstring, parameters, None, document_id)]


def _signature(value: Any, name: str, *, bound: bool = False) -> tuple[str, tuple[Parameter, ...]]:
    """Signature and parameters; the bare name where the interpreter does not tell."""
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError):
        return name, ()
    items = list(signature.parameters.values())
    if bound and items and items[0].name in ("self", "type", "cls"):
        items = items[1:]
        signature = signature.replace(parameters=items)
    parameters: list[Parameter] = []
    for item in items:
        stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}.get(item.kind.name, "")
        default = None if item.default is item.empty else repr(item.default)
        if default and " at 0x" in default:  # an address would differ between two runs
            return name, ()
        parameters.append((stars + item.name, None, default))
    return f"{name}{signature}", tuple(parameters)
