"""The readable text of HTML and reStructuredText files."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

# --- HTML -------------------------------------------------------------------------------------

DROPPED = frozenset(
    {"script", "style", "nav", "noscript", "template", "svg", "math", "iframe", "object"}
    | {"button", "select", "textarea", "footer", "aside", "canvas", "audio", "video"}
)
_BLOCKS = frozenset(
    {"p", "div", "section", "article", "main", "header", "blockquote", "figure", "figcaption"}
    | {"ul", "ol", "dl", "table", "address", "hr", "details", "summary", "body", "fieldset"}
    | {"form"}
)
# Elements that may hold others and that people close: an end tag of one outside what is passed over
# says that its own was forgotten. The page's text, where it begins, says so too.
_HOLDERS = (_BLOCKS - {"p", "hr"}) | {"html", "td", "th", "tr", "li"}
_FORGOTTEN = frozenset({"nav", "footer", "aside", "button", "select"})
_TEXT_BEGINS = frozenset({"main", "article", "h1"})
_LINES = frozenset({"br", "tr", "dt", "dd", "caption", "option"})
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_SPACE = re.compile(r"[ \t\r\n\f]+")
# Chinese and Japanese write no spaces: a new line between two of their characters is none either.
_HAN = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_HAN_NEWLINE = re.compile(rf"(?<=[{_HAN}])[ \t\f]*[\r\n][ \t\r\n\f]*(?=[{_HAN}])")

# What begins a comment, a marked section and a tag, and what may end one.
_ENDS = (
    ("<!--", re.compile(r"--\s*>")),
    ("<![", re.compile(r"\]\s*>")),
    ("<", re.compile(">")),
)


class _Opened:
    """Elements that are open, the innermost last. Many are never closed: each cell of a table may
    be left open, so looking for one must not take longer the more there are."""

    def __init__(self) -> None:
        self._tags: list[str] = []
        self._num: Counter[str] = Counter()

    def __contains__(self, tag: str) -> bool:
        return self._num[tag] > 0

    def open(self, tag: str) -> None:
        self._tags.append(tag)
        self._num[tag] += 1

    def close(self, tag: str) -> bool:
        """Take the last `tag` and all after it off; whether there was one."""
        if tag not in self:
            return False
        last = ""
        while last != tag:
            last = self._tags.pop()
            self._num[last] -= 1
        return True


class _TextOfHtml(HTMLParser):
    """Collects text; block elements make paragraphs, what is not prose is passed over."""

    def __init__(self, dropped: frozenset[str]) -> None:
        super().__init__(convert_charrefs=True)
        self._dropped = dropped
        self.parts: list[str] = []
        self.title = ""
        self._dropping: list[str] = []
        self._inside = _Opened()  # holders opened in what is passed over
        self._holders = _Opened()  # those opened outside of it
        self._in_title = False
        self._in_pre = 0
        self._newlines = 0  # asked for before the next text
        self._space = ""  # white space since the last text: "", " " or "\n"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropping and tag in _TEXT_BEGINS and self._dropping[-1] in _FORGOTTEN:
            self._dropping = []
        if self._dropping:
            if tag == self._dropping[-1]:
                self._dropping.append(tag)
            elif tag in _HOLDERS:
                self._inside.open(tag)
            return
        if tag in _HOLDERS:
            self._holders.open(tag)
        if tag in self._dropped:
            self._dropping, self._inside = [tag], _Opened()
        elif tag == "title":
            self._in_title = True
        elif tag in _HEADINGS:
            self._break(2)
            self._put(_HEADINGS[tag] + " ")
        elif tag == "pre":
            self._break(2)
            self._in_pre += 1
        elif tag == "li":
            self._break(1)
            self._put("- ")
        elif tag in _BLOCKS:
            self._break(2)
        elif tag in _LINES:
            self._break(1)
        elif tag in ("td", "th") and not self._newlines and self.parts:
            self._put("\t")

    def handle_endtag(self, tag: str) -> None:
        if self._dropping:
            if tag == self._dropping[-1]:
                self._dropping.pop()
                return
            if self._inside.close(tag) or tag not in self._holders:
                return
            self._dropping = []
        self._holders.close(tag)
        if tag == "title":
            self._in_title = False
        elif tag == "pre":
            self._in_pre = max(0, self._in_pre - 1)
            self._break(2)
        elif tag in _BLOCKS or tag in _HEADINGS:
            self._break(2)

    def handle_data(self, data: str) -> None:
        if self._dropping:
            return
        if self._in_title:
            self.title += data
        elif self._in_pre:
            self._put(data)
        else:
            body = data.strip(" \t\r\n\f")
            before = data[: data.find(body)] if body else data
            self._space = _kind(self._space + before)
            if body:
                self._put(_SPACE.sub(" ", _HAN_NEWLINE.sub("", body)))
                self._space = _kind(data[len(before) + len(body) :])

    def _break(self, newlines: int) -> None:
        self._newlines = max(self._newlines, newlines)

    def _put(self, text: str) -> None:
        """Add text after the white space that was asked for since the last one."""
        if self._newlines and self.parts:
            self.parts.append("\n" * self._newlines)
        elif self._space and self.parts and not self.parts[-1].endswith((" ", "\t")):
            around = self.parts[-1][-1:], text[:1]
            if self._space != "\n" or not all(map(_HAN_CHARACTER.match, around)):
                self.parts.append(" ")
        self._newlines, self._space = 0, ""
        self.parts.append(text)


def _kind(space: str) -> str:
    """White space as one character: a newline where there is one in it."""
    return "\n" if "\n" in space or "\r" in space else " " if space else ""


def html_text(html: str, *, dropped: frozenset[str] = DROPPED) -> tuple[str, str]:
    """(text, title). Headings get Markdown's #, list items a dash; scripts and menus are left out.

    Never fails: what is not well-formed is read as browsers do, roughly.

    Args:
        dropped: elements that are passed over with all in them.
    """
    parser = _TextOfHtml(dropped)
    parser.feed(without_open_ends(html))
    parser.close()
    return "".join(parser.parts).strip("\n "), _SPACE.sub(" ", parser.title).strip()


def without_open_ends(html: str) -> str:
    """What can have no end any more as the text that it is: Python's parser (before 3.14 at least)
    looks for the end of each tag, comment and section anew, which for a page of 100 kB that has
    many takes minutes."""
    html = html.replace("--!>", "-->")  # browsers end a comment here, older Pythons do not
    for begin, end in _ENDS:
        last = max((found.end() for found in end.finditer(html)), default=0)
        if html.find(begin, last) >= 0:
            html = html[:last] + html[last:].replace(begin, f"&lt;{begin[1:]}")
    return html


# --- reStructuredText ---------------------------------------------------------------------------

_RST_TARGET = re.compile(r"^\.\. _.*$|^__ .*$|^\.\. \[[^\]]*\].*$|^\.\. \|.*$", re.MULTILINE)
_RST_ADORNMENT = re.compile(r"^([!-/:-@[-`{-~])\1{2,}\s*$")
_RST_DIRECTIVE = re.compile(r"^(\s*)\.\. ([\w:.-]+)::\s*(.*)$")
_RST_OPTION = re.compile(r"^\s+:[\w -]+:.*$")
# A name ends in what is no space: one that may end anywhere in a run of spaces is tried at each.
_RST_ROLE = re.compile(r":(?:[a-zA-Z][\w-]*:){1,2}`~?!?([^`<]*[^`<\s])\s*(?:<[^`>]*>)?`")
_RST_LINK = re.compile(r"`([^`<]*[^`<\s])\s*<[^`>]*>`__?")
_RST_NAME = re.compile(r"`([^`]+)`__?")
_RST_COMMENT = re.compile(r"^(\s*)\.\.(\s|$)")
# Directives whose content is text a person reads; of others it is an image, a table of contents, …
_RST_PROSE = frozenset(
    {"note", "warning", "tip", "important", "caution", "danger", "hint", "attention", "admonition"}
    | {"seealso", "topic", "sidebar", "epigraph", "versionadded", "versionchanged", "deprecated"}
    | {"code", "code-block", "sourcecode", "literalinclude", "parsed-literal", "glossary"}
    | {"rubric", "centered", "doctest", "testcode", "highlights", "pull-quote", "line-block"}
    | {"compound", "container", "only", "details", "dropdown", "tab", "tabs", "tab-set", "tab-item"}
    | {"table", "list-table", "math", "versionremoved", "deprecated-removed", "impl-detail"}
    | {"availability", "example", "exercise", "theorem", "proof", "definition", "lemma"}
)
# Of these, what stands behind the name is for programs: a language, a condition, a class of styles.
_RST_TOLD = frozenset(
    {"code", "code-block", "sourcecode", "literalinclude", "parsed-literal", "doctest", "testcode"}
    | {"only", "container"}
)
# What is described is prose in every language: "c:function", "js:class", "option".
_RST_DESCRIBED = frozenset(
    {"function", "class", "method", "data", "attribute", "module", "exception", "describe"}
    | {"staticmethod", "classmethod", "property", "decorator", "decoratormethod", "object", "macro"}
    | {"coroutinefunction", "awaitablefunction", "type", "alias", "concept", "struct", "union"}
    | {"enum", "enum-class", "enum-struct", "enumerator", "enumvalue", "var", "member"}
    | {"option", "cmdoption", "envvar", "confval", "setting", "opcode"}
    | {"pdbcommand", "2to3fixer", "token", "command"}
)
# Without "rst:" before them they define one, for programs.
_RST_OF_ITSELF = frozenset({"rst:role", "rst:directive"})


def rst_text(text: str) -> str:
    """Readable text of reStructuredText: roles, targets, comments and options are taken out.

    Only lines are looked at: no directive is carried out and no file is included.
    """
    lines: list[str] = []
    skip_deeper_than: int | None = None
    in_options = False
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if skip_deeper_than is not None:
            if not line.strip() or indent > skip_deeper_than:
                continue
            skip_deeper_than = None
        if in_options and _RST_OPTION.match(line):
            continue
        in_options = False
        if directive := _RST_DIRECTIVE.match(line):
            name = directive[2]
            is_described = name.rpartition(":")[2] in _RST_DESCRIBED or name in _RST_OF_ITSELF
            if name not in _RST_PROSE and not is_described:
                skip_deeper_than = len(directive[1])
                continue
            in_options = True
            if directive[3] and name not in _RST_TOLD:
                lines.append(f"{directive[1]}{directive[3]}")
        elif _RST_COMMENT.match(line):
            skip_deeper_than = indent
        elif _RST_ADORNMENT.match(line):
            continue
        else:
            lines.append(line)
    plain = _RST_TARGET.sub("", "\n".join(lines))
    plain = _RST_ROLE.sub(r"\1", plain)
    plain = _RST_LINK.sub(r"\1", plain)
    plain = _RST_NAME.sub(r"\1", plain)
    return re.sub(r"\n{3,}", "\n\n", plain).strip("\n")
