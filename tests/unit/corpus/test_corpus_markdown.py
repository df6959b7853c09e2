"""Markdown loses what stands in it for programs, and nothing else."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homespun.corpus.sources.formats.markdown import markdown_text


def test_markdown_loses_its_yaml_header_and_comments_only() -> None:
    source = "---\ntitle: x\ntags: [a]\n---\n# Heading\n\n<!-- no -->*Text* with `code`.\n"
    assert markdown_text(source) == "# Heading\n\n*Text* with `code`.\n"
    rule = "---\nA line between rules.\n---\nText"
    assert markdown_text(rule) == rule


@pytest.mark.parametrize(
    "header",
    [
        "---\ntitle: x\n\n# a comment\ntags:\n- a\n- b\ntext: >\n  Words and\n  more.\n---\n",
        '---\n标题: 静夜思\nDate created: 2020-01-01\n"quoted": 1\nlist: [\n  a,\n]\n...\n',
        '+++\ntitle = "x"\n[params]\nmath = true\n+++\n',
        "---\ntitle: x\nog:title: b\n---\n",
        "---\ntitle: x\n\"og:title\": b\n'a, b': c\n---\n",
        "---\n$x: a\n@id:\n  b\ntitle (en): x\nwhat's new : y\n<<: *all\n---\n",
        "+++\ntitle = 'x'\ndesc = '''\nText at\nthe margin.\n'''\n+++\n",
        '+++\ndesc = """Text at\nthe margin."""\n"og:title" = "b"\n+++\n',
    ],
)
def test_headers_are_taken_out(header: str) -> None:
    assert markdown_text(header + "# Heading\n") == "# Heading\n"


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nNote: it begins with a rule.\n\nA long story.\n\n---\n\nThe rest.\n",
        "---\nHe said: come in.\nAnd they came.\n---\n",
        "---\n话说：天下大势\n---\n",
        "---\nWell, he said: come in.\n---\n",
        "---\n“Come: in.”\n---\n",
        "---\n- Tea: it is hot.\n- Milk: it is not.\n---\n",
        "---\n**Tea**: it is hot.\n---\n",
        "---\n> Tea: it is hot.\n---\n",
        "+++\nx = '''\nand this is a text\n+++\n",
        "+++\nx = 1 is an equation\nand this is a text\n+++\n",
    ],
)
def test_a_text_between_two_rules_is_no_header(text: str) -> None:
    assert markdown_text(text) == text


@pytest.mark.parametrize(
    "code",
    [
        "```html\n<!-- shown -->\n```\n",
        "~~~\n<!-- shown -->\n```\n-->\n~~~~\n",
        "- item\n\n    ```\n    <!-- shown -->\n    ```\n",
        "Use `<!--` to begin and `-->` to end.\n",
        "``a ` <!-- shown --> b``\n",
        "`over\na line <!-- shown -->`\n",
    ],
)
def test_comments_that_are_shown_in_code_stay(code: str) -> None:
    assert markdown_text(f"<!-- gone -->\n{code}a <!-- gone --> b") == f"\n{code}a  b"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a ` b\n\nc <!-- gone --> d ` e", "a ` b\n\nc  d ` e"),
        ("a ` b <!-- gone --> `` c", "a ` b  `` c"),
        ("<!-- ` --> a ` b <!-- gone -->", " a ` b "),
        ("<!-- ``` -->\na <!-- gone -->", "\na "),
    ],
)
def test_backticks_that_begin_no_code_hide_no_comment(text: str, left: str) -> None:
    assert markdown_text(text) == left


@given(st.lists(st.sampled_from(["<!--", "-->", "<!-->", "-", "a", "\n"])).map("".join))
def test_comments_go_as_an_expression_would_take_them(text: str) -> None:
    assert markdown_text(f"x{text}") == re.sub("<!--.*?-->", "", f"x{text}", flags=re.DOTALL)


def test_comments_that_never_end_are_passed_over_once() -> None:
    text = "<!-- " * 200_000  # an expression would take minutes
    assert markdown_text(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "".join("`" * number + " " for number in range(1500)),
        "` a\n\n" * 200_000,
        "` `` " * 150_000,
        " " * 500_000,
        "```a` " * 200_000,
        "```\n" * 200_000,
    ],
)
def test_backticks_take_time_that_grows_with_the_text(text: str) -> None:
    begin = time.process_time()
    markdown_text(text + "<!-- -->")
    assert time.process_time() - begin < 10  # a second or so; minutes where each looks for its own
