"""The Python documentation is read without running it, in a fixed order, as readable pages."""

from __future__ import annotations

import ast
import itertools
import sys
import textwrap
from pathlib import Path

import pytest

from homespun.corpus.api_entries import EntryWriter, read_api_entries
from homespun.corpus.sources import python_docs
from homespun.corpus.sources.embedded import python_code_documents, python_documents
from homespun.corpus.sources.python_compiled import compiled_pages, language_topics
from homespun.corpus.sources.python_docs import ApiEntry, iter_api_entries, read_page
from homespun.corpus.sources.python_entries import ApiPage, clean_docstring, entries_of
from homespun.corpus.sources.python_modules import (
    ModuleFile,
    package_files,
    package_modules,
    runtime_packages,
    stdlib_modules,
)

SOURCE = '''
"""A module. See :class:`~pkg.Thing`."""
from typing import overload

def plain(a, b=1, /, c: int = 2, *args, d, e=None, **rest) -> str:
    """Do it.

    First.
        Indented.
    """

def undocumented(): ...
def _private(): """Hidden."""

@overload
def many(a: int): """Not this one."""
def many(a): """This one."""

class Thing(Base):
    """A thing."""
    def __init__(self, size: int, *, deep=True): ...
    def act(self, how): """Act."""
    @classmethod
    def make(cls, source): """Make."""
    @staticmethod
    def help(topic): """Help."""
    @property
    def size(self) -> int: """Its size."""
    @size.setter
    def size(self, value): """Set it."""

@dataclass(frozen=True)
class Record:
    """A record."""
    name: str
    count: int = 0
    KINDS: ClassVar[list] = []

if True:
    def inside(x): """Inside an if."""
try:
    import fast
except ImportError:
    async def inside(x): """A second one of the name."""
    async def fallback(x): """A fallback."""
'''


def _entries() -> dict[str, ApiEntry]:
    return {entry.qualified_name: entry for entry in entries_of(ast.parse(SOURCE), "pkg.mod")}


def test_entries_are_the_documented_public_names_in_source_order() -> None:
    assert [(name.removeprefix("pkg.mod"), e.kind) for name, e in _entries().items()] == [
        ("", "module"),
        (".plain", "function"),
        (".many", "function"),
        (".Thing", "class"),
        (".Thing.act", "method"),
        (".Thing.make", "method"),
        (".Thing.help", "method"),
        (".Thing.size", "property"),
        (".Record", "class"),
        (".inside", "function"),
        (".fallback", "function"),
    ]


@pytest.mark.parametrize(
    ("name", "signature"),
    [
        ("plain", "plain(a, b=1, /, c: int = 2, *args, d, e=None, **rest) -> str"),
        ("Thing", "Thing(size: int, *, deep=True)"),
        ("Thing.act", "act(how)"),
        ("Thing.make", "make(source)"),
        ("Thing.help", "help(topic)"),
        ("Thing.size", "size"),
        ("Record", "Record(name: str, count: int = 0)"),
    ],
)
def test_signatures_are_how_one_calls_it(name: str, signature: str) -> None:
    assert _entries()[f"pkg.mod.{name}"].signature == signature


def test_every_signature_is_valid_python() -> None:
    for entry in _entries().values():
        if "(" in entry.signature:
            ast.parse(f"def {entry.signature}: ...")


def test_parameters_carry_annotation_and_default() -> None:
    entry = _entries()["pkg.mod.plain"]
    assert entry.parameters == (
        ("a", None, None),
        ("b", None, "1"),
        ("c", "int", "2"),
        ("*args", None, None),
        ("d", None, None),
        ("e", None, "None"),
        ("**rest", None, None),
    )
    assert entry.returns == "str"
    assert entry.name == "plain"
    assert entry.docstring == "Do it.\n\nFirst.\n    Indented."


def test_docstrings_lose_indentation_and_roles() -> None:
    assert _entries()["pkg.mod"].docstring == "A module. See pkg.Thing."
    assert clean_docstring(":func:`f <g>` and :py:meth:`a.b`") == "f and a.b"
    assert clean_docstring("  \n ") == ""


def test_a_page_reads_like_documentation() -> None:
    page = ApiPage("p", "pkg.mod", "pkg.mod", tuple(_entries().values()))
    text = page.text()
    assert text.startswith("# pkg.mod\n\nA module. See pkg.Thing.\n\n## pkg.mod.plain(a, b=1, /")
    assert (
        "## class pkg.mod.Thing(size: int, *, deep=True)\n\nA thing.\n\n### Thing.act(how)" in text
    )


def test_a_module_is_parsed_and_never_run(tmp_path: Path) -> None:
    path = tmp_path / "bomb.py"
    path.write_text('"""Docs."""\nraise SystemExit("run")\n')
    page = read_page(ModuleFile("p", "bomb", path))
    assert page is not None
    assert page.entries[0].docstring == "Docs."
    path.write_text('"""Docs."""\ndef broken(:\n')
    assert read_page(ModuleFile("p", "bomb", path)) is None


def test_the_standard_library_comes_without_tests_and_packages() -> None:
    names = [module.name for module in stdlib_modules()]
    assert {"json", "json.decoder", "argparse", "pathlib"} <= set(names)
    assert names == sorted(names)
    parts = {part for name in names for part in name.split(".")}
    assert not parts & {"test", "tests", "idlelib", "lib2to3", "site-packages", "antigravity"}
    assert not any(part.startswith("_") for part in parts)


def test_packages_are_what_homespun_needs_and_no_development_tools() -> None:
    names = runtime_packages()
    assert {"numpy", "torch", "pydantic", "typer"} <= set(names)
    assert not {"transformers", "mypy", "hypothesis", "pytest", "ruff", "homespun"} & set(names)
    assert list(names) == sorted(names)


def test_an_unknown_package_has_no_files() -> None:
    assert list(package_files("no-such-package-here", (".py",))) == []
    assert list(package_modules("no-such-package-here")) == []
    assert runtime_packages("no-such-package-here") == ()


def test_compiled_modules_have_pages_with_callable_signatures() -> None:
    pages = {page.module: page for page in compiled_pages()}
    entries = {e.qualified_name: e for page in pages.values() for e in page.entries}
    assert entries["builtins.len"].signature == "len(obj, /)"
    assert entries["builtins.str.split"].signature == "split(sep=None, maxsplit=-1)"
    assert entries["math.sqrt"].source_document_id == "builtin/math"
    assert all(" at 0x" not in entry.signature for entry in entries.values())


def test_the_language_reference_is_there() -> None:
    topics = dict(language_topics())
    assert "language/lambda" in topics
    assert "lambda" in topics["language/lambda"]


def test_entries_point_to_pages_of_the_corpus() -> None:
    entries = list(itertools.islice(iter_api_entries(packages=[], max_bytes=300_000), 2000))
    ids = {document.doc_id for document in python_documents(packages=[], max_bytes=1_300_000)}
    assert {entry.source_document_id for entry in entries} <= ids
    assert all(entry.docstring for entry in entries)


def test_the_corpora_keep_to_their_size_and_order() -> None:
    for make in (python_documents, python_code_documents):
        first = list(make(packages=["packaging"], max_bytes=400_000))
        assert sum(len(d.text.encode()) for d in first) <= 400_000
        assert [d.doc_id for d in first] == [
            d.doc_id for d in make(packages=["packaging"], max_bytes=400_000)
        ]
        assert len({d.doc_id for d in first}) == len(first)


def test_nothing_new_is_imported_by_reading_packages() -> None:
    before = set(sys.modules)
    pages = [read_page(module) for module in package_modules("networkx")]
    assert any(pages)
    assert not {name for name in set(sys.modules) - before if name.startswith("networkx")}


def test_a_package_is_kept_to_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_docs, "MAX_PACKAGE_TEXT", 20_000)
    pages = list(python_docs._package_pages("packaging"))
    assert 0 < sum(len(page.text().encode()) for page in pages) <= 20_000


def test_prose_in_docs_keeps_code_examples_apart() -> None:
    docstring = textwrap.dedent(
        """
        Add two numbers.

        >>> add(1, 2)
        3
        """
    )
    assert clean_docstring(docstring) == "Add two numbers.\n\n>>> add(1, 2)\n3"


def test_entries_written_with_the_corpus_are_those_that_parsing_gives(tmp_path: Path) -> None:
    with EntryWriter(tmp_path / "api_entries.jsonl.zst") as writer:
        for _ in python_documents(packages=["pydantic"], max_bytes=1_500_000, told=writer.add):
            pass
    written = list(read_api_entries(tmp_path))
    parsed = list(itertools.islice(iter_api_entries(packages=["pydantic"]), len(written)))
    assert len(written) > 1000
    assert written == parsed
