"""Which Python names are kept for validation, and how to see that a text speaks of one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from homespun.corpus.chat.choices import share
from homespun.corpus.sources.python_docs import ApiEntry

_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")

# Modules are held out whole, and only those that no other module is inside of.
_MODULE_SHARE = 0.01


class HeldOut:
    """A fixed share of names, chosen by hash, and everything inside of them.

    A function is held out alone, a class with its methods, a module with all it defines, so that
    no name kept for training contains a held-out name. Built-ins are never held out: they have no
    dotted name by which a mention could be told from an ordinary word.

    Args:
        entries: all documented names.
        seed: of the choice.
        name_share: about which share of functions and classes is held out.
    """

    def __init__(self, entries: Iterable[ApiEntry], *, seed: int, name_share: float = 0.04) -> None:
        listed = list(entries)
        modules = {entry.module for entry in listed}
        parents = {".".join(m.split(".")[:n]) for m in modules for n in range(1, m.count(".") + 1)}
        self._seed = seed
        self._name_share = name_share
        self._modules = {
            module
            for module in modules - parents
            if "." in module and share(seed, "held-out module", module) < _MODULE_SHARE
        }
        self.names: set[str] = {e.qualified_name for e in listed if self._is_chosen(e)}
        self._units = {_unit(entry) for entry in listed if entry.qualified_name in self.names}
        docstrings = {entry.docstring for entry in listed if entry.qualified_name in self.names}
        # The same object under a second name would give the answer away.
        self.copies: set[str] = {
            e.qualified_name for e in listed if e.docstring in docstrings
        } - self.names

    def _is_chosen(self, entry: ApiEntry) -> bool:
        if entry.module in self._modules:
            return True
        if entry.kind == "module" or entry.module == "builtins":
            return False
        return share(self._seed, "held-out name", _unit(entry)) < self._name_share

    def mentioned_in(self, texts: Sequence[str]) -> bool:
        """Whether a held-out name, or a dotted name that begins with one, stands in `texts`."""
        for text in texts:
            for match in _DOTTED.finditer(text):
                parts = match[0].split(".")
                for length in range(2, len(parts) + 1):
                    name = ".".join(parts[:length])
                    if name in self._units or name in self._modules or name in self.names:
                        return True
        return False


def _unit(entry: ApiEntry) -> str:
    """The name that is held out or kept as a whole: the module's own function or class."""
    inner = entry.qualified_name.removeprefix(f"{entry.module}.").split(".")
    return f"{entry.module}.{inner[0]}" if entry.kind != "module" else entry.module
