"""The tasks there are. Each is imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

from homespun.core import ConfigError, did_you_mean
from homespun.recipes.applications.contract import Application

_PLACES = {
    "classify": ("homespun.recipes.applications.classify", "Classify"),
    "pair": ("homespun.recipes.applications.pair", "Pair"),
    "tag": ("homespun.recipes.applications.tag", "Tag"),
    "segment": ("homespun.recipes.applications.tag", "Segment"),
    "embed": ("homespun.recipes.applications.embed", "Embed"),
    "translate": ("homespun.recipes.applications.translate", "Translate"),
    "summarise": ("homespun.recipes.applications.translate", "Summarise"),
    "write": ("homespun.recipes.applications.write", "Write"),
    "answer": ("homespun.recipes.applications.answer", "Answer"),
}


def application_names() -> list[str]:
    return list(_PLACES)


def find_application(name: str) -> Application[Any, Any]:
    """The task of that name. Raises ConfigError where there is none."""
    if name not in _PLACES:
        raise ConfigError(f"there is no task '{name}'", remedy=did_you_mean(name, list(_PLACES)))
    module, attribute = _PLACES[name]
    task: Application[Any, Any] = getattr(importlib.import_module(module), attribute)()
    return task
