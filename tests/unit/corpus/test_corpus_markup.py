"""HTML and reStructuredText give their readable text."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.sources.formats.markup import html_text, rst_text


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


@pytest.mark.parametrize(
    "name",
    ["c:function", "cpp:class", "js:method", "py:attribute", "classmethod", "option", "confval"],
)
def test_rst_keeps_what_it_describes_in_whatever_language(name: str) -> None:
    source = f".. {name}:: thing\n   :no-index:\n\n   What it does.\n\nEnd."
    assert rst_text(source) == "thing\n\n   What it does.\n\nEnd."


def test_rst_shows_code_without_the_name_of_its_language() -> None:
    source = "Do this:\n\n.. code-block:: python\n   :linenos:\n\n   x = 1\n\nEnd."
    assert rst_text(source) == "Do this:\n\n   x = 1\n\nEnd."
    assert rst_text(".. literalinclude:: a/b.py\n\nEnd.") == "End."


@pytest.mark.parametrize("name", ["list-table", "container", "only", "dropdown", "math"])
def test_rst_keeps_text_in_boxes(name: str) -> None:
    assert "Words." in rst_text(f".. {name}:: x\n\n   Words.\n\nEnd.")


@pytest.mark.parametrize("name", ["image", "toctree", "raw", "index", "py:currentmodule", "c:x"])
def test_rst_drops_other_directives_with_what_is_in_them(name: str) -> None:
    assert rst_text(f".. {name}:: x\n\n   Words.\n\nEnd.") == "End."


@pytest.mark.parametrize("name", ["role", "directive", "namespace", "cpp:namespace"])
def test_rst_drops_what_only_defines_a_name(name: str) -> None:
    assert rst_text(f".. {name}:: raw-html(raw)\n   :format: html\n\nEnd.") == "End."
    described = ".. rst:role:: ref\n\n   Refers.\n\n.. rst:directive:: toc\n\n   Lists.\n"
    assert rst_text(described) == "ref\n\n   Refers.\n\ntoc\n\n   Lists."


def test_rst_includes_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    assert "secret" not in rst_text(f".. include:: {secret}\n\n.. raw:: html\n   :file: {secret}\n")


@pytest.mark.parametrize("begin", [":func:`name", "`name", ":func:`name <a", "`name <a"])
def test_many_spaces_in_what_never_ends_are_read_at_once(begin: str) -> None:
    """An expression that tries every place among them needs minutes."""
    source = f"One.\n\n{begin}{' ' * 300_000}x"
    assert rst_text(source) == source


def test_names_are_taken_out_of_their_marks() -> None:
    source = ":func:`~a.b <c>` and `text <https://x.y>`_, :c:func:`d`, `e`_ and :a:`f <g> h`"
    assert rst_text(source) == "a.b and text, d, e and :a:`f <g> h`"


def test_a_page_that_is_one_form_is_read() -> None:
    html = """<body><form action="x"><div><h1>News</h1><p>The text.</p><input type="text">
    <select><option>one</option></select><button>Send</button></div></form></body>"""
    assert html_text(html)[0] == "# News\n\nThe text."


@pytest.mark.parametrize(
    "after",
    [
        "</div><p>The text.</p>",
        "</ul></div><p>The text.</p>",
        "<main><p>The text.</p></main></div>",
        "<article>The text.</article></div>",
        "<h1>The text.</h1></div>",
    ],
)
def test_a_menu_that_is_never_closed_ends_where_the_page_says_so(after: str) -> None:
    html = f"<body><p>Before.</p><div><nav><ul><li>Home</li><li>About</li>{after}</body>"
    text, _ = html_text(html)
    assert "The text." in text
    assert "Home" not in text
    assert "About" not in text


def test_a_closed_menu_with_holders_inside_stays_out() -> None:
    html = "<div><nav><div><ul><li>a</ul></div><p>b</p></nav><p>text</p></div>"
    assert html_text(html)[0] == "text"


def test_a_new_line_between_chinese_characters_is_no_space() -> None:
    html = "<p>话说天下\n  大势，\r\n<b>分久</b>\n必合。 合 久\nand more\n必分</p>"
    assert html_text(html)[0] == "话说天下大势，分久必合。 合 久 and more 必分"


def _lines_run(html: str) -> int:
    """Lines of the reader that are run: what it takes, whatever the machine."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal count
        count += event == "line" and frame.f_code.co_filename.endswith("markup.py")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        html_text(html)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "piece", ["<tr><td><a>x</a>", "<div></p>", "<li>x</ul>", "<nav><div></b>", "<div><div></div>"]
)
def test_twice_as_many_elements_that_stay_open_take_twice_as_much(piece: str) -> None:
    assert _lines_run(piece * 400) < 2.2 * _lines_run(piece * 200)


def test_a_large_table_whose_cells_are_never_closed_is_read() -> None:
    text, _ = html_text("<table>" + "<tr><td><a>cell</a>" * 50_000)
    assert text.count("cell") == 50_000


@pytest.mark.parametrize("end", ["", ">", "<p>end"])
@pytest.mark.parametrize(
    "piece", ["<a ", "<a b='", '<a b="c', "<a =", "<p a=b ", "<!-- x> ", "<![CDATA[x> "]
)
def test_what_never_ends_is_looked_for_once(piece: str, end: str) -> None:
    begin = time.process_time()
    html_text("<p>text</p>" + piece * 12_000 + end)
    assert time.process_time() - begin < 5  # half a minute where each looks for its own


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a < b and <b>c</b> < d", "a < b and c < d"),
        ("<p>cut off in a <a hre", "cut off in a <a hre"),
        ("a<!-- x --!>b<!--y-->c <!-- d", "abc <!-- d"),
        ("<p>1</p><!-- open <p>2</p>", "1\n\n<!-- open\n\n2"),
    ],
)
def test_what_has_no_end_is_text(html: str, text: str) -> None:
    assert html_text(html)[0] == text
