"""Puts the page together: one file, nothing loaded from elsewhere, no script."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from homespun.core.files import write_text
from homespun.reports import changes, findings, views, wording
from homespun.reports.collect import RunFiles, read_run

FILE_NAME = "report.html"


def write_report(run_dir: Path) -> Path:
    """Write `report.html` of a run from the JSON its stages have written so far.

    The page is one file of less than a megabyte that needs nothing else: it can be mailed, printed
    and opened without a network. The same files give the same bytes.

    Returns:
        The path of the page.

    Raises:
        RunError: `run_dir` is no run. DataError: a file of it is damaged.
    """
    path = run_dir / FILE_NAME
    write_text(path, render(read_run(run_dir)))
    return path


def render(files: RunFiles) -> str:
    """The page as HTML."""
    style = resources.files("homespun.reports").joinpath("templates/style.css").read_text("utf-8")
    return (
        page_environment()
        .get_template("report.html.jinja")
        .render(
            style=style,
            style_hash=csp_hash(style),
            name=files.name,
            is_imported=files.is_imported,
            # Of a model from elsewhere nothing can be measured without a text.
            can_measure=not files.is_imported or files.corpus_card is not None,
            origin=views.origin(files),
            asked=views.asked_view(files),
            data=views.data_view(files),
            tokenizer=views.tokenizer_view(files),
            model=views.model_view(files),
            pretrain=views.curve_view(files, "pretrain"),
            sft=views.curve_view(files, "sft"),
            time=views.time_view(files),
            change=changes.change_view(files),
            verdict=findings.verdict_view(files),
            baselines=findings.baselines_view(files),
            overfitting=findings.overfitting_view(files),
            samples=findings.samples_view(files),
            chat=findings.chat_view(files),
        )
    )


@cache
def page_environment() -> Environment:
    """What every page is made with: all text is escaped, nothing may be undefined. One for all, as
    it keeps the templates it has read, which takes longer than filling them in."""
    environment = Environment(
        loader=PackageLoader("homespun.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=wording.clean,
    )
    environment.filters |= {
        "count": wording.count,
        "short_count": wording.short_count,
        "size": wording.size,
        "percent": wording.percent,
        "decimal": wording.decimal,
        "duration": wording.duration,
        "with_code": _with_code,
    }
    return environment


def _with_code(text: str) -> Markup:
    """Escape a sentence, and set what stands between backticks as code."""
    parts = wording.clean(text).split("`")
    # An odd number of backticks: the last one is just a backtick.
    if len(parts) % 2 == 0:
        parts[-2:] = ["`".join(parts[-2:])]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts)
    )


def csp_hash(text: str) -> str:
    """What a Content-Security-Policy names an allowed inline element by (CSP level 3, 2.3.1)."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"
