"""Which Python files there are to read: the standard library's, then those of the packages needed.

Only metadata and folder listings are read here; no module found this way is ever imported.
"""

from __future__ import annotations

import functools
import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

STDLIB = "python"

# Folders of the standard library that are tests, GUIs, generated tables or installed packages.
_SKIPPED_STDLIB = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "pydoc_data"}
    | {"site-packages", "dist-packages", "lib-dynload", "__pycache__", "__phello__"}
)
_SKIPPED_STDLIB_FILES = frozenset({"antigravity.py", "this.py", "nturl2path.py", "sre_compile.py"})
# Parts of a path that mean tests, vendored copies, build machinery, examples or generated code.
_SKIPPED_PARTS = frozenset(
    {"test", "tests", "testing", "vendor", "vendored", "extern", "third_party", "conftest"}
    | {"setup", "benchmarks", "compiled_autograd", "templates"}
)
# Compiled back ends of torch on other kinds of machine: the corpus shall not depend on them.
_SKIPPED_PREFIXES = ("nvidia-", "cuda-", "triton", "pytorch-triton", "intel-", "setuptools")


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A Python source file and the dotted name it is imported by."""

    package: str
    name: str
    path: Path


def stdlib_modules() -> Iterator[ModuleFile]:
    """The public modules of the running interpreter's standard library, by name."""
    root = Path(sysconfig.get_paths()["stdlib"])
    found: list[ModuleFile] = []
    for folder, folders, files in os.walk(root):
        folders[:] = [
            name
            for name in folders
            if name not in _SKIPPED_STDLIB and not name.startswith("config-")
        ]
        for name in files:
            if not name.endswith(".py") or name in _SKIPPED_STDLIB_FILES:
                continue
            path = Path(folder, name)
            parts = path.relative_to(root).parts
            if _is_public(parts):
                found.append(ModuleFile(STDLIB, _dotted(parts), path))
    yield from sorted(found, key=lambda module: module.name)


@functools.cache
def runtime_packages(root: str = "homespun") -> tuple[str, ...]:
    """Normalised names of the installed distributions that `root` needs to run, sorted.

    Extras (and with them development tools) are left out, so everyone who installed the same lock
    gets the same list. `root` itself and machine-specific back ends are not in it.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    seen: set[str] = set()
    waiting: list[tuple[str, frozenset[str]]] = [(root, frozenset())]
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        item = waiting.pop()
        if item in done:
            continue
        done.add(item)
        name, extras = item
        try:
            requires = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue
        seen.add(name)
        for line in requires:
            try:
                need = Requirement(line)
            except InvalidRequirement:
                continue
            if need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in (extras or {""})
            ):
                waiting.append((_normal(need.name), frozenset(need.extras)))
    return tuple(sorted(n for n in seen - {root} if not n.startswith(_SKIPPED_PREFIXES)))


def package_files(package: str, suffixes: tuple[str, ...]) -> Iterator[tuple[PurePosixPath, Path]]:
    """Files a distribution installed: (path as recorded, path on disk), sorted. None if absent.

    Args:
        suffixes: lower case; of a large package most files are of no interest.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return
    files = [file for file in distribution.files or [] if file.name.lower().endswith(suffixes)]
    for file in sorted(files, key=lambda file: (len(file.parts), str(file))):
        yield file, Path(str(distribution.locate_file(file)))


def package_modules(package: str) -> Iterator[ModuleFile]:
    """The public modules of a distribution, those nearest its top first, then by name."""
    for recorded, path in package_files(package, (".py",)):
        parts = recorded.parts
        if recorded.suffix == ".py" and not recorded.is_absolute() and _is_public(parts):
            yield ModuleFile(package, _dotted(parts), path)


def modules(packages: Iterable[str] | None = None) -> Iterator[ModuleFile]:
    """The standard library, then `packages` (default: `runtime_packages()`), in a fixed order."""
    yield from stdlib_modules()
    for package in runtime_packages() if packages is None else packages:
        yield from package_modules(package)


def is_prose_path(parts: tuple[str, ...]) -> bool:
    """Whether no folder of the path is private, hidden, a test's or a vendored copy's."""
    return not any(
        part.startswith((".", "_")) or part in _SKIPPED_PARTS or part.endswith(("-info", ".data"))
        for part in parts[:-1]
    ) and not parts[-1].startswith((".", "_"))


def _is_public(parts: tuple[str, ...]) -> bool:
    *folders, name = parts
    stem = name.removesuffix(".py")
    if ".." in folders or any(not folder.isidentifier() for folder in folders):
        return False
    if stem != "__init__" and (not stem.isidentifier() or stem.startswith(("_", "test_"))):
        return False
    if stem.endswith(("_test", "_pb2", "_pb2_grpc")):
        return False
    return not any(
        folder.startswith("_") or folder in _SKIPPED_PARTS
        for folder in (*folders, stem)
        if folder != "__init__"
    )


def _dotted(parts: tuple[str, ...]) -> str:
    names = [*parts[:-1], parts[-1].removesuffix(".py")]
    return ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 1 else names)


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
