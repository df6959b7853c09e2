"""Homespun spins raw text into a language model you can talk to, on the machine you own.

    import homespun as hs
    run = hs.spin("texts/", minutes=10)
    print(run.chat("What is in these texts?"))

Rooms, from the ground up: core, corpus, tokenizer, classic, models, inference, training, scaling,
evaluation, reports, recipes, cli. docs/tour.md gives the reading order. Importing this package is
light: torch is loaded when a model is first needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homespun.recipes import Run, load, open_run, spin

__version__ = "0.1.0"
__all__ = ["Run", "__version__", "load", "open_run", "spin"]


def __getattr__(name: str) -> Any:
    if name in ("Run", "load", "open_run", "spin"):
        from homespun import recipes

        return getattr(recipes, name)
    raise AttributeError(f"module 'homespun' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
