"""The families' table as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homespun.reports.picture import as_svg, drawing

_INK, _BAR, _BEST, _OTHER = "#333333", "#88aacc", "#225588", "#bbbbbb"


def draw_families(*found: Mapping[str, Any]) -> str:
    """An SVG of a bar a family, in the order of the years, and beside them those of further texts.
    The lowest number of each text is dark; those that mean something else are grey.

    Args:
        found: what `bench_families` returned, of each text.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    years = {row["name"]: row["year"] for one in found for row in one["families"]}
    names = sorted(years, key=lambda name: years[name])  # stable: else as they came
    places = {name: place for place, name in enumerate(names)}
    with drawing(font_size=10.0):
        size = (3.4 + 3.8 * len(found), 0.42 * len(names) + 1.5)
        figure = Figure(figsize=size, layout="constrained")
        all_axes = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, one in zip(all_axes, found, strict=True):
            rows = one["families"]
            values = [row["val_bpb"] for row in rows]
            lowest = min((row["val_bpb"] for row in rows if not row["note"]), default=None)
            colours = [
                _OTHER if row["note"] else _BEST if row["val_bpb"] == lowest else _BAR
                for row in rows
            ]
            bars = axes.barh([places[row["name"]] for row in rows], values, color=colours)
            axes.bar_label(bars, labels=[f"{value:.3f}" for value in values], padding=3, color=_INK)
            axes.set_xlim(0, 1.2 * max(values))
            # Two dollars in a name are no formula.
            axes.set_title(one["data"]["name"], fontsize=10.0, parse_math=False)
            axes.set_xlabel(f"bits per byte after {one['seconds'] / 60:g} minutes each")
            axes.spines[["top", "right"]].set_visible(False)
        shown = [f"{name} ({years[name]})" for name in names]
        all_axes[0].set_yticks(range(len(names)), shown)
        all_axes[0].invert_yaxis()
        keys = [Patch(color=_BEST, label="lowest")]
        if any(row["note"] for one in found for row in one["families"]):
            keys.append(Patch(color=_OTHER, label="told from both sides: no probability of a text"))
        figure.legend(handles=keys, loc="outside lower right", ncols=2, frameon=False)
        return as_svg(figure)
