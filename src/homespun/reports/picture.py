"""What all pictures share: the same drawing gives the same SVG, and its text stays text."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


@contextmanager
def drawing(font_size: float = 9.0, **settings: Any) -> Iterator[None]:
    """Inside the `with`, matplotlib draws so; `settings` are further ones, named as its own with
    `__` for the dots."""
    import matplotlib

    # Any: matplotlib's type for this is a literal of all its settings.
    chosen: Any = {
        "svg.hashsalt": "homespun",
        "svg.fonttype": "none",
        "font.size": font_size,
        **{name.replace("__", "."): value for name, value in settings.items()},
    }
    with matplotlib.rc_context(chosen), warnings.catch_warnings():
        # Text stays text: whoever shows the picture has the letters.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def save_svg(figure: Figure, path: Path) -> None:
    """Write it, without the day it was drawn on."""
    figure.savefig(path, format="svg", metadata=_NO_METADATA)


def as_svg(figure: Figure, *, transparent: bool = False) -> str:
    """The same as text."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=transparent, metadata=_NO_METADATA)
    return out.getvalue()
