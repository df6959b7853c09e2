"""Where a model's files are: a folder, or a name on a hub whose files are fetched."""

from __future__ import annotations

from pathlib import Path

from homespun.core import Progress, Silent
from homespun.recipes.imports.hub import fetch_model

HUB = "hub:"


def is_on_hub(source: str | Path) -> bool:
    """Whether it is written as "hub:OWNER/NAME"."""
    return str(source).startswith(HUB)


def model_place(source: str | Path, *, progress: Progress | None = None) -> Path:
    """The folder of a model: `source` itself, or where "hub:OWNER/NAME" is kept, fetched where it
    is not there in its newest version. Raises as `fetch_model`."""
    if not is_on_hub(source):
        return Path(source)
    from homespun.corpus.registry.fetching import cache_folder

    name = str(source).removeprefix(HUB)
    return fetch_model(name, cache=cache_folder(), progress=progress or Silent())
