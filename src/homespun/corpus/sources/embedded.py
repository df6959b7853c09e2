"""The corpora that are already on every machine: `python` (documentation) and `python-code`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from homespun.core.types import Document
from homespun.corpus.sources.formats.encodings import UTF8, detect_encoding
from homespun.corpus.sources.formats.markdown import markdown_text
from homespun.corpus.sources.formats.markup import rst_text
from homespun.corpus.sources.python_compiled import language_topics
from homespun.corpus.sources.python_docs import (
    DEFAULT_MAX_BYTES,
    MAX_MODULE_SOURCE,
    ApiEntry,
    iter_api_pages,
)
from homespun.corpus.sources.python_modules import (
    STDLIB,
    is_prose_path,
    package_files,
    package_modules,
    runtime_packages,
    stdlib_modules,
)

EMBEDDED = ("python", "python-code")

_PROSE = (".rst", ".md", ".txt")
# Files that packages ship beside their code and that are no prose about it.
_NOT_PROSE = ("license", "licence", "copying", "notice", "authors", "cmakelists", "requirements")
_MIN_PROSE_WORDS = 60
# Source taken from one package, so that the corpus does not end with the letter C.
_MAX_PACKAGE_CODE = 200_000


def python_documents(
    *,
    packages: Iterable[str] | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    told: Callable[[ApiEntry], None] | None = None,
) -> Iterator[Document]:
    """The corpus `python`: the language reference, then a page a module, then shipped prose.

    Args:
        packages: distribution names; default is what Homespun itself needs to run.
        max_bytes: UTF-8 bytes of text after which nothing is added.
        told: of every entry of the pages, so that nobody need parse them again.
    """
    names = list(runtime_packages() if packages is None else packages)
    left = max_bytes
    for doc_id, text in language_topics():
        page = f"# {doc_id.partition('/')[2]}\n\n{rst_text(text)}"
        left -= len(page.encode("utf-8", "replace"))
        if left < 0:
            return
        yield Document(doc_id, page, STDLIB, "en")
    for api_page in iter_api_pages(packages=names, max_bytes=left):
        if told is not None:
            for entry in api_page.entries:
                told(entry)
        text = api_page.text()
        left -= len(text.encode("utf-8", "replace"))
        yield Document(api_page.document_id, text, api_page.package, "en")
    for package in names:
        for document in _package_prose(package):
            left -= len(document.text.encode("utf-8", "replace"))
            if left < 0:
                return
            yield document


def _package_prose(package: str) -> Iterator[Document]:
    for recorded, path in package_files(package, _PROSE):
        name = recorded.name.lower()
        if recorded.suffix.lower() not in _PROSE or not is_prose_path(recorded.parts):
            continue
        if any(word in name for word in _NOT_PROSE) or "license" in str(recorded.parent).lower():
            continue
        try:
            if path.stat().st_size > MAX_MODULE_SOURCE:
                continue
            data = path.read_bytes()
        except OSError:
            continue
        if detect_encoding(data[:4096]) != UTF8:
            continue
        text = data.decode("utf-8-sig", "replace")
        text = {".rst": rst_text, ".md": markdown_text}.get(recorded.suffix, str)(text)
        # Tables of names and numbers are not prose: words have letters, and lines have words.
        words = [word for word in text.split() if word.isalpha()]
        if len(words) >= _MIN_PROSE_WORDS and len(words) > 3 * text.count("\n"):
            yield Document(f"{package}/{recorded}", text, package)


def python_code_documents(
    *, packages: Iterable[str] | None = None, max_bytes: int = DEFAULT_MAX_BYTES
) -> Iterator[Document]:
    """The corpus `python-code`: source files of the same modules, a document each.

    Args:
        packages: distribution names; default is what Homespun itself needs to run.
        max_bytes: bytes of source after which nothing is added.
    """
    left = max_bytes
    names = runtime_packages() if packages is None else packages
    groups = [stdlib_modules(), *(package_modules(name) for name in names)]
    for group in groups:
        source_left = _MAX_PACKAGE_CODE
        for module in group:
            try:
                size = module.path.stat().st_size
                if size > MAX_MODULE_SOURCE:
                    continue
                data = module.path.read_bytes()
                text = data.decode("utf-8-sig")
            except (OSError, UnicodeDecodeError):
                continue
            if module.package != STDLIB:
                source_left -= size
                if source_left < 0:
                    break
            left -= size
            if left < 0:
                return
            yield Document(module.name, text, module.package, "code")
