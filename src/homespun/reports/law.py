"""Pictures of a scaling law and its table beside published ones, from law.json and runs.jsonl."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from homespun.core import RunError
from homespun.core.files import atomic_path, write_text
from homespun.reports.picture import drawing, save_svg
from homespun.scaling.fit import CONSTANTS
from homespun.scaling.law import Law, fitted_runs, losses, make_law, optimum, read_law
from homespun.scaling.published import PUBLISHED, WHY_THEY_DIFFER, Published
from homespun.scaling.runs import Counting, ScaleRun, read_runs, runs_sha256

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT_OUT = "left out of the fit"
_NO_FLOOR = 0.01  # nats a token: next to nothing, as laws without E have it
_MARKED = {"read": "", "quoted": " (quoted, not read at its source)", "memory": " (from memory)"}


def write_law_plots(folder: Path) -> list[Path]:
    """Four SVG files and `law.md` into `folder`/plots.

    Raises:
        DataError: the sweep has no law yet. RunError: its law is of other runs than it has now.
    """
    law = read_law(folder / "law.json")
    runs = [run for run in read_runs(folder / "runs.jsonl") if run.kind != "hold-out"]
    if runs_sha256(fitted_runs(runs, law.least_budget, law.least_tokens)) != law.runs_sha256:
        raise RunError(
            f"{folder / 'law.json'} was not fitted to the runs of this sweep",
            remedy="fit it again with `homespun scale fit`",
        )
    out = folder / "plots"
    pictures: dict[str, Callable[[Axes, Law, Sequence[ScaleRun]], None]] = {
        "loss_by_operations": draw_by_operations,
        "parabolas": draw_parabolas,
        "predicted": draw_predicted,
        "residuals": draw_residuals,
    }
    written = []
    for name, draw in pictures.items():
        written.append(out / f"{name}.svg")
        _save(written[-1], draw, law, runs)
    written.append(out / "law.md")
    write_text(written[-1], comparison(law, runs))
    return written


def _save(
    path: Path,
    draw: Callable[[Axes, Law, Sequence[ScaleRun]], None],
    law: Law,
    runs: Sequence[ScaleRun],
) -> None:
    from matplotlib.figure import Figure

    open_sides = {"axes__spines__top": False, "axes__spines__right": False}
    with drawing(**open_sides), atomic_path(path) as temporary:
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.subplots()
        draw(axes, law, runs)
        save_svg(figure, temporary)


def draw_by_operations(axes: Axes, law: Law, runs: Sequence[ScaleRun]) -> None:
    """Loss over operations, a line for each size, and the law's lower edge beyond the data."""
    once = [run for run in runs if run.kind == "isoflop"]
    sizes = sorted({(run.matrix_and_head, run.width, run.num_layers) for run in once})
    for place, (count, width, layers) in enumerate(sizes):
        mine = sorted((r.flops, r.loss) for r in once if r.matrix_and_head == count)
        axes.plot(
            *zip(*mine, strict=True),
            marker="o",
            markersize=3,
            linewidth=1,
            color=_shade(place, len(sizes)),
            label=f"{width}x{layers}, {count / 1e6:.2g}M",
        )
    low, high = law.valid["flops"]
    budgets = np.geomspace(low, 30 * high, 60)
    edge = [losses(law, *optimum(law, c))[0] for c in budgets]
    axes.plot(budgets, edge, color="black", linestyle="--", linewidth=1.2, label="the law's edge")
    axes.set_xscale("log")
    axes.set_xlabel("operations of training")
    axes.set_ylabel("validation loss, nats per token")
    axes.legend(frameon=False, fontsize=7)


def draw_parabolas(axes: Axes, law: Law, runs: Sequence[ScaleRun]) -> None:
    """Loss over size at equal operations, with the fitted parabolas and their lowest points."""
    lines = law.frontier["parabolas"]
    for place, line in enumerate(lines):
        colour = _shade(place, len(lines))
        mine = [r for r in runs if r.kind == "isoflop" and r.budget == line["budget"]]
        x = np.array([float(r.counted(law.counting)) for r in mine])
        axes.plot(x, [r.loss for r in mine], "o", markersize=4, color=colour)
        if not len(x) or not any(line["coefficients"]):
            continue
        fine = np.geomspace(x.min() / 1.2, x.max() * 1.2, 50)
        z = np.log(fine) - line["centre"]
        c0, c1, c2 = line["coefficients"]
        axes.plot(
            fine, c0 + c1 * z + c2 * z**2, linewidth=1, color=colour, label=f"{line['budget']:.3g}"
        )
        if line["parameters"] is not None:
            axes.plot([line["parameters"]], [line["loss"]], "*", markersize=9, color=colour)
    axes.set_xscale("log")
    axes.set_xlabel("parameters, matrices and head")
    axes.set_ylabel("validation loss, nats per token")
    axes.legend(frameon=False, fontsize=7, title="operations")


def draw_predicted(axes: Axes, law: Law, runs: Sequence[ScaleRun]) -> None:
    """Measured over fitted loss; on the diagonal the two agree."""
    fitted, measured = _fitted(law, runs)
    told = _told(law, runs)
    axes.plot(fitted[told], measured[told], "o", markersize=4)
    if not told.all():
        axes.plot(fitted[~told], measured[~told], "+", color="grey", label=_LEFT_OUT)
        axes.legend(frameon=False, fontsize=7)
    ends = [min(fitted.min(), measured.min()), max(fitted.max(), measured.max())]
    axes.plot(ends, ends, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("loss by the law, nats per token")
    axes.set_ylabel("loss measured")


def draw_residuals(axes: Axes, law: Law, runs: Sequence[ScaleRun]) -> None:
    """What the law misses, in percent, over operations; repeated text marked, and what the law was
    not fitted to."""
    fitted, measured = _fitted(law, runs)
    missed = 100 * (measured / fitted - 1)
    flops = np.array([run.flops for run in runs])
    again = np.array([run.epochs > 1.0 for run in runs])
    told = _told(law, runs)
    for chosen, mark, label in (
        (told & ~again, "o", "read once"),
        (told & again, "x", "read again"),
    ):
        axes.plot(flops[chosen], missed[chosen], mark, markersize=4, label=label)
    if not told.all():
        axes.plot(flops[~told], missed[~told], "+", color="grey", label=_LEFT_OUT)
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.axhspan(-200 * law.noise, 200 * law.noise, alpha=0.1, label="two standard deviations")
    axes.set_xscale("log")
    axes.set_xlabel("operations of training")
    axes.set_ylabel("measured above the law, %")
    axes.legend(frameon=False, fontsize=7)


def comparison(law: Law, runs: Sequence[ScaleRun]) -> str:
    """Our exponents beside published ones, in Markdown, and why they differ, which the law's own
    runs show where they are fitted otherwise."""
    c = law.constants
    state = ", provisional" if law.provisional else ""
    ours = Published(
        f"this sweep ({law.corpus}, {law.num_runs} runs{state})",
        "law.json",
        law.frontier["a"],
        law.frontier["b"],
        c.alpha,
        c.beta,
        "matrices and head; parabolas for a and b, the formula for alpha and beta",
        "read",
    )
    lines = [
        "# The law beside others",
        "",
        "| source | a (N\\* ~ C^a) | b (D\\* ~ C^b) | alpha | beta | what is counted |",
        "|---|---|---|---|---|---|",
    ]
    for row in (ours, *PUBLISHED):
        numbers = " | ".join(
            "-" if v is None else f"{v:.3g}" for v in (row.a, row.b, row.alpha, row.beta)
        )
        lines.append(
            f"| {row.name}, {row.source}{_MARKED[row.mark]} | {numbers} | {row.counting} |"
        )
    share = c.beta / (c.alpha + c.beta)
    n, d = optimum(law, law.valid["flops"][1])
    factor = law.valid["flops"][1] / law.valid["flops"][0]
    spans = {
        name: law.intervals[name]["95"] for name in ("E", "alpha", "beta") if name in law.intervals
    }
    lines += [
        "",
        f"By the formula a = beta / (alpha + beta) = {share:.3f}; at the largest budget it wants "
        f"{d / n:.1f} tokens for each parameter. 95% intervals: "
        + "; ".join(f"{k} {low:.3g} to {high:.3g}" for k, (low, high) in spans.items())
        + f". A run differs from the fit by {100 * law.noise:.2f}% (standard deviation).",
        "",
        "## Why they differ",
        "",
        *(f"- {reason.format(factor=factor)}" for reason in WHY_THEY_DIFFER),
        "",
        "The runs of this sweep, fitted in other ways (none of which a plan uses):",
        "",
        "| fitted | a by parabolas | a by the formula | E | alpha | beta | off by |",
        "|---|---|---|---|---|---|---|",
        *(_other_row(name, other) for name, other in otherwise(law, runs)),
        "",
    ]
    return "\n".join(lines)


def otherwise(law: Law, runs: Sequence[ScaleRun]) -> list[tuple[str, Law]]:
    """The law's own runs fitted with each way to count parameters, and without a floor E."""
    ways: list[tuple[str, Counting, Mapping[str, float]]] = [
        ("N: matrices and head, as the law", "compute", law.given),
        ("N: all, tables included", "total", law.given),
        ("N: without tables and head", "non_embedding", law.given),
        (f"E = {_NO_FLOOR:g}", "compute", {**law.given, "E": _NO_FLOOR}),
    ]
    return [
        (
            name,
            make_law(
                runs,
                corpus=law.corpus,
                preset=law.preset,
                bytes_per_token=law.bytes_per_token,
                counting=counting,
                given=given,
                joint=law.joint,
                least_budget=law.least_budget,
                least_tokens=law.least_tokens,
                num_draws=2,  # nobody asks for its intervals
            ),
        )
        for name, counting, given in ways
        if len(given) < len(CONSTANTS)  # else nothing is left to fit
    ]


def _other_row(name: str, law: Law) -> str:
    c = law.constants
    values = (law.frontier["a"], c.beta / (c.alpha + c.beta), c.E, c.alpha, c.beta)
    shown = " | ".join("-" if value is None else f"{value:.3g}" for value in values)
    return f"| {name} | {shown} | {100 * law.noise:.2f}% |"


def _fitted(law: Law, runs: Sequence[ScaleRun]) -> tuple[Any, Any]:
    at = [
        [float(run.counted(law.counting)) for run in runs],
        [float(run.tokens) for run in runs],
        [float(run.unique_tokens) for run in runs],
    ]
    return losses(law, *at), np.array([run.loss for run in runs])


def _told(law: Law, runs: Sequence[ScaleRun]) -> Any:
    """Which of them the law was fitted to, (n,)."""
    keys = {run.key for run in fitted_runs(runs, law.least_budget, law.least_tokens)}
    return np.array([run.key in keys for run in runs])


def _shade(place: int, total: int) -> tuple[float, float, float]:
    """From blue to red."""
    x = place / max(1, total - 1)
    return (0.15 + 0.7 * x, 0.35 + 0.15 * math.sin(math.pi * x), 0.85 - 0.7 * x)
