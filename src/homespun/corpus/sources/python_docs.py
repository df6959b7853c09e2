"""The documentation that is already on the machine: docstrings, read by `ast`, as readable pages.

One page per module: its name, its docstring, then every documented public class, method and
function in source order, each with its signature. No module is imported for this: the source is
parsed. The one exception is a fixed list of modules that are compiled into the interpreter and have
no source to parse (`builtins`, `math`, …); their docstrings are read with `inspect`.
"""

from __future__ import annotations

import ast
import gc
import warnings
from collections.abc import Iterable, Iterator

from homespun.corpus.sources.python_compiled import compiled_pages
from homespun.corpus.sources.python_entries import ApiEntry, ApiPage, entries_of
from homespun.corpus.sources.python_modules import (
    ModuleFile,
    package_modules,
    runtime_packages,
    stdlib_modules,
)

__all__ = [
    "DEFAULT_MAX_BYTES",
    "ApiEntry",
    "ApiPage",
    "iter_api_entries",
    "iter_api_pages",
    "read_page",
]

# Text kept from one package, so that one large package does not drown the rest, and source read
# from it, so that parsing stays within seconds. Both in bytes; files near the top come first.
MAX_PACKAGE_TEXT = 700_000
MAX_PACKAGE_SOURCE = 3_000_000
MAX_MODULE_SOURCE = 1_000_000
DEFAULT_MAX_BYTES = 12_000_000


def iter_api_entries(
    *, packages: Iterable[str] | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> Iterator[ApiEntry]:
    """Every documented public name of the corpus `python`, in its order."""
    for page in iter_api_pages(packages=packages, max_bytes=max_bytes):
        yield from page.entries


def iter_api_pages(
    *, packages: Iterable[str] | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> Iterator[ApiPage]:
    """Pages of the interpreter, the standard library, then `packages`, until `max_bytes` of text.

    Args:
        packages: distribution names; default is what Homespun itself needs to run.
        max_bytes: UTF-8 bytes of page text after which no further page begins.
    """
    left = max_bytes
    seen: set[str] = set()
    for group in _groups(packages):
        for page in group:
            size = len(page.text().encode("utf-8", "replace"))
            if page.document_id in seen:
                continue
            if size > left:
                return
            left -= size
            seen.add(page.document_id)
            yield page


def _groups(packages: Iterable[str] | None) -> Iterator[Iterator[ApiPage]]:
    yield compiled_pages()
    yield (page for module in stdlib_modules() if (page := read_page(module)))
    for package in runtime_packages() if packages is None else packages:
        yield _package_pages(package)


def _package_pages(package: str) -> Iterator[ApiPage]:
    source_left, text_left = MAX_PACKAGE_SOURCE, MAX_PACKAGE_TEXT
    for module in package_modules(package):
        try:
            source_left -= module.path.stat().st_size
        except OSError:
            continue
        if source_left < 0:
            return
        page = read_page(module)
        if page is None:
            continue
        text_left -= len(page.text().encode("utf-8", "replace"))
        if text_left < 0:
            return
        yield page


def read_page(module: ModuleFile) -> ApiPage | None:
    """The page of one source file; None where it cannot be parsed or documents nothing."""
    try:
        if module.path.stat().st_size > MAX_MODULE_SOURCE:
            return None
        source = module.path.read_bytes()
        if b'"""' not in source and b"'''" not in source:
            return None  # no docstring to speak of: parsing is what takes the time here
        entries = _entries_in(source, module.name)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not entries:
        return None
    return ApiPage(module.package, module.name, module.name, entries)


def _entries_in(source: bytes, name: str) -> tuple[ApiEntry, ...]:
    # A tree is many new objects without a cycle: looking for cycles would take longer than parsing.
    was_on = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
        entries = tuple(entries_of(tree, name))
        del tree  # before collecting begins again
        return entries
    finally:
        if was_on:
            gc.enable()
