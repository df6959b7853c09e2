"""HTML, reStructuredText and Markdown give their readable text."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.sources.formats.markup import html_text, markdown_text, rst_text


def test_html_keeps_prose_and_drops_machinery() -> None:
    html = """<html><head><title>A &amp; B</title><style>p {color: red}</style>
    <script>var x = "<p>no</p>";</script></head><body><nav><a href="/">Home</a></nav>
    <h1>Heading</h1><p>First   paragraph with <b>bold</b>
    words.</p><p>Second.<br>New line.</p><ul><li>one</li><li>two</li></ul>
    <footer>Imprint</footer></body></html>"""
    text, title = html_text(html)
    assert title == "A & B"
    assert text == (
        "# Heading\n\nFirst paragraph with bold words.\n\nSecond.\nNew line.\n\n- one\n- two"
    )


def test_html_keeps_the_spacing_of_preformatted_text() -> None:
    text, _ = html_text("<p>Code:</p><pre>def f():\n    return 1\n\n\nx</pre><p>  After. </p>")
    assert text == "Code:\n\ndef f():\n    return 1\n\n\nx\n\nAfter."


def test_html_with_unclosed_elements_keeps_its_text() -> None:
    text, _ = html_text("<p>One<p>Two<div>Three</div><nav>menu")
    assert text == "One\n\nTwo\n\nThree"


@given(st.text(alphabet="<>/pscriptnav ab&;\"'!-\n", max_size=100))
def test_html_never_fails(html: str) -> None:
    html_text(html)


def test_html_of_chinese_is_untouched() -> None:
    text, _ = html_text("<p>　　话说天下大势，</p><p>分久必合。</p>")
    assert text == "　　话说天下大势，\n\n分久必合。"


def test_rst_is_reduced_to_its_text() -> None:
    source = """.. _target:

Title
=====

See :class:`~pkg.Thing` and `the site <https://example.org>`_ with ``code``.

.. note:: Mind this.
   It matters.

.. image:: picture.png
   :width: 30

.. toctree::
   :maxdepth: 2

   one
   two

.. a comment
   that goes on

Last paragraph.
"""
    assert rst_text(source) == (
        "Title\n\nSee pkg.Thing and the site with ``code``.\n\n"
        "Mind this.\n   It matters.\n\nLast paragraph."
    )


def test_rst_includes_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    assert "secret" not in rst_text(f".. include:: {secret}\n\n.. raw:: html\n   :file: {secret}\n")


def test_markdown_loses_its_yaml_header_and_comments_only() -> None:
    source = "---\ntitle: x\ntags: [a]\n---\n# Heading\n\n<!-- no -->*Text* with `code`.\n"
    assert markdown_text(source) == "# Heading\n\n*Text* with `code`.\n"
    rule = "---\nA line between rules.\n---\nText"
    assert markdown_text(rule) == rule
