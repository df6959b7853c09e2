"""The families' table as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homespun.reports.picture import as_svg, drawing

_INK, _BAR, _OTHER = "#333333", "#4477aa", "#bbbbbb"  # Paul Tol's blue; grey for what is no peer


def draw_families(found: Mapping[str, Any]) -> str:
    """An SVG of a bar a family, in the order of the years; those whose number means something else
    are grey.

    Args:
        found: what `bench_families` returned.
    """
    from matplotlib.figure import Figure

    rows = found["families"]
    with drawing(font_size=10.0):
        figure = Figure(figsize=(7.2, 0.42 * len(rows) + 1.1), layout="constrained")
        axes = figure.subplots()
        names = [f"{row['name']} ({row['year']})" for row in rows]
        values = [row["val_bpb"] for row in rows]
        colours = [_OTHER if row["note"] else _BAR for row in rows]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, labels=[f"{value:.3f}" for value in values], padding=3, color=_INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(values))
        minutes = found["seconds"] / 60
        axes.set_xlabel(
            f"bits per byte on text not seen, after {minutes:g} minutes each ("
            f"{found['data']['name']}); less is better",
            parse_math=False,  # two dollars in a name are no formula
        )
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return as_svg(figure)
