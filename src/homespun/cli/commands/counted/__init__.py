"""What is learned by counting: word vectors, n-gram models.

words    learn, near, analogy, judge, picture
ngrams   learn, score, write
"""

from __future__ import annotations

import typer

from homespun.cli.commands.counted import ngrams, words

__all__ = ["add_counted"]


def add_counted(app: typer.Typer, *, panel: str) -> None:
    """Add the commands to `app`, under the heading `panel` of its help page."""
    app.add_typer(words.build_group(), name="words", rich_help_panel=panel)
    app.add_typer(ngrams.build_group(), name="ngrams", rich_help_panel=panel)
