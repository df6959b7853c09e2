"""Curves as SVG that takes its colours and fonts from the page.

matplotlib draws with a stand-in for each colour, which is then replaced by a CSS variable, so that
one drawing serves light, dark and paper. Styles become attributes: the page's security policy
allows no inline style.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from markupsafe import escape

from homespun.reports.curves import Curves, Points
from homespun.reports.picture import as_svg, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Stand-in: name of the CSS variable.
_COLOURS = {
    "#010101": "--ink",
    "#020202": "--quiet",
    "#030303": "--line",
    "#040404": "--first",
    "#050505": "--second",
}
_INK, _QUIET, _LINE, _FIRST, _SECOND = _COLOURS
_FONT_SIZE = 9.0
_SETTINGS: dict[str, Any] = {
    "text__color": _QUIET,
    "axes__edgecolor": _LINE,
    "axes__labelcolor": _QUIET,
    "xtick__color": _QUIET,
    "ytick__color": _QUIET,
    "axes__formatter__use_mathtext": False,
    "path__simplify": True,
}
WIDE = (7.2, 3.3)
NARROW = (3.6, 3.0)


def draw_curves(curves: Curves, *, title: str, inches: tuple[float, float], key: str) -> str:
    """Training and validation loss over steps, the learning rate small below, as an `<svg>`.

    Args:
        title: what a screen reader says.
        inches: WIDE or NARROW.
        key: unique on the page; prefix of all ids.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with drawing(_FONT_SIZE, **_SETTINGS):
        figure = Figure(figsize=inches, layout="constrained")
        loss, rate = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [5, 1], "hspace": 0.08}
        )
        _draw_loss(loss, curves)
        rate.fill_between(*_columns(curves.rate), color=_LINE, linewidth=0)
        rate.plot(*_columns(curves.rate), color=_QUIET, linewidth=1)
        rate.set_ylim(bottom=0)
        rate.set_yticks([])
        rate.set_ylabel("rate", rotation=0, ha="right", va="center")
        rate.set_xlabel("step")
        rate.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axes in (loss, rate):
            axes.spines[["top", "left", "right"]].set_visible(False)
            axes.tick_params(length=0)
            axes.margins(x=0.01)
        drawn = as_svg(figure, transparent=True)
    return page_svg(drawn, title=title, key=key)


def _draw_loss(axes: Axes, curves: Curves) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot(*_columns(curves.train), color=_FIRST, linewidth=0.7, alpha=0.25)
    axes.plot(*_columns(curves.smooth), color=_FIRST, linewidth=1.6)
    axes.plot(
        *_columns(curves.validation), color=_SECOND, linewidth=1.2, marker="o", markersize=3.2
    )
    top = _highest_worth_showing(curves)
    if top is not None:
        axes.set_ylim(top=top)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=_LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(curves.unit, loc="left", fontsize=_FONT_SIZE, color=_QUIET, pad=8)


def _highest_worth_showing(curves: Curves) -> float | None:
    """The first steps fall from far above and would squeeze all the rest to a line at the bottom:
    leave out what lies above twice the range of the last nine tenths."""
    later = [y for x, y in curves.smooth if x >= 0.1 * curves.last_step]
    later += [y for _, y in curves.validation]
    if not later:
        return None
    low, high = min(later), max(later)
    highest = max(y for _, y in (*curves.smooth, *curves.validation))
    limit = low + 2 * (high - low)
    return limit if low < limit < highest else None


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def page_svg(svg: str, *, title: str, key: str) -> str:
    """An SVG file of matplotlib as an element of an HTML page.

    Args:
        title: plain text, becomes the accessible name.
        key: put before every id, which matplotlib numbers anew in each file.
    """
    body = svg[svg.index("<svg") :]
    view = re.search(r'viewBox="([^"]*)"', body)
    assert view is not None
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r' style="([^"]*)"', _as_attributes, body)
    body = re.sub(r"\bid=\"", f'id="{key}-', body)
    body = re.sub(r"xlink:href=\"#", f'href="#{key}-', body)
    body = body.replace("url(#", f"url(#{key}-")
    body = re.sub(r'="[^"]*"', lambda m: re.sub(r"(\.\d{2})\d+", r"\1", m[0]), body)
    for stand_in, variable in _COLOURS.items():
        body = body.replace(stand_in, f"var({variable})")
    body = re.sub(r"\s*\n\s*", "\n", body)
    return (
        f'<svg viewBox="{view[1]}" role="img" aria-label="{escape(title)}" '
        f'stroke-linejoin="round" stroke-linecap="butt">{body}</svg>'
    )


def _as_attributes(match: re.Match[str]) -> str:
    attributes = []
    for declaration in match[1].split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":
            name, value = "font-size", f"{_FONT_SIZE:g}"
        if value and name not in ("font-family", "font-weight", "font-style"):
            attributes.append(f'{name}="{value}"')
    return "".join(f" {attribute}" for attribute in attributes)
