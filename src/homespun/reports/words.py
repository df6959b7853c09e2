"""Words as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from homespun.reports.picture import as_svg, drawing


def draw_words(words: Sequence[str], points_P2: NDArray[Any]) -> str:
    """An SVG of each word at its point."""
    from matplotlib.figure import Figure

    with drawing():
        figure = Figure(figsize=(7.2, 5.4), layout="constrained")
        axes = figure.subplots()
        axes.scatter(points_P2[:, 0], points_P2[:, 1], s=6, color="#4477aa")
        for word, (x, y) in zip(words, points_P2, strict=True):
            # Two dollars are no formula.
            axes.annotate(word, (x, y), xytext=(3, 2), textcoords="offset points", parse_math=False)
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("top", "right", "bottom", "left"):
            axes.spines[side].set_visible(False)
        return as_svg(figure)
