"""What a docstring says, in parts: summary, parameters, returns, raises, example.

Understands the Google, NumPy and Sphinx styles. Meant to be quoted in short answers, so anything
that does not come out as clean sentences is left out rather than mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from homespun.corpus.chat.sentences import split_sentences

MAX_SENTENCE = 260
MAX_EXAMPLE = 320

_HEADERS = {
    "args": "parameters",
    "arguments": "parameters",
    "parameters": "parameters",
    "params": "parameters",
    "other parameters": "parameters",
    "keyword args": "parameters",
    "keyword arguments": "parameters",
    "returns": "returns",
    "return": "returns",
    "raises": "raises",
    "raise": "raises",
}
_HEADER = re.compile(r"^([A-Z][A-Za-z]+(?: [A-Za-z]+){0,2})\s*:?$")
_UNDERLINE = re.compile(r"^[-=~^]{3,}$")
_FIELD = re.compile(r"^[:@](\w+)((?:\s+[^:\s]+)*)\s*:\s*(.*)$")
_GOOGLE_ITEM = re.compile(r"^(\*{0,2}\w+)\s*(\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:\s+(\S.*)$")
_NUMPY_ITEM = re.compile(r"^(\*{0,2}\w+)\s*(?::.*)?$")
_ERROR = re.compile(r"^(?:\w+\.)*([A-Z]\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration))$")
_BLOCK_START = re.compile(r"^(?:[-*+•] |\d+[.)] |>>> |\.\. |[:@]\w+|```|\||\+-)")
_SIGNATURE = re.compile(r"^[\w.]+\s*\(.*\)?\s*(?:->.*|:)?$")
_UNCLEAN = re.compile(
    r"::|\$|\\|>>>|\.\.\s|https?:|www\.|_`|`_|__\b\s|\|\w|\bTODO\b|\bXXX\b|\bFIXME\b|<\w+>|@\w|"
    r"\{|\}|\[\d|\]_|=>|\s\*\s|\bbelow\b|\babove\b|\bfollowing\b|\bthis (?:example|section)\b|"
    r"#|&\w+;|\w\.\.|\.`\.|[\u0000-\u001f\ufffd]|\u2500|-{3}|={3}|\bself\b|\(see\b|\bsee also\b",
    re.IGNORECASE,
)
_POINTER = re.compile(
    r"^(?:See|Same as|Like|As |Override|Overrid|Deprecated|Internal|Alias|Note|Warning|Similar|"
    r"Equivalent|Example|Usage|Called|Inherited|Copyright|Author|Bases?:|Parameters?\b|Args\b|"
    r"Copied|Port of|Version|Created|Private|Not |No |If |When |For |Given |Helper)",
)


@dataclass(frozen=True, slots=True)
class DocParts:
    """Attributes:
    summary: the first sentence, with its full stop; "" where it is not fit to be quoted.
    second: the sentence after it in the same paragraph, likewise.
    parameters: name without stars -> one sentence.
    returns: one sentence or phrase, "" unknown.
    raises: (exception, condition sentence) in order.
    example: one doctest, prompts included.
    """

    summary: str = ""
    second: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    returns: str = ""
    raises: tuple[tuple[str, str], ...] = ()
    example: str = ""


def parse_docstring(docstring: str, parameter_names: Iterable[str] = ()) -> DocParts:
    """Take `docstring` (indentation already removed) apart.

    Args:
        parameter_names: of the signature, stars allowed; only these are accepted as parameters.
    """
    lines = docstring.splitlines()
    names = {name.lstrip("*") for name in parameter_names}
    summary, second = _opening(lines)
    parameters: dict[str, str] = {}
    raises: list[tuple[str, str]] = []
    returns = ""
    for kind, name, text in [*_sections(lines), *_fields(lines), *_bare_items(lines, names)]:
        if kind == "parameters":
            for part in name.split(","):
                key = part.strip().lstrip("*")
                if key in names and key not in parameters and (said := _first_clean(text)):
                    parameters[key] = said
        elif kind == "raises":
            error = _ERROR.match(name.strip("`"))
            if error and (said := _first_clean(text)) and error[1] not in dict(raises):
                raises.append((error[1], said))
        elif not returns:
            returns = _first_clean(text)
    if not raises:
        raises = _raises_in_prose(lines)
    return DocParts(summary, second, parameters, returns, tuple(raises), _example(lines))


def tidy(text: str) -> str:
    """One line, reStructuredText quoting reduced to single backticks."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"`~?([\w.]+)`", r"`\1`", text)
    text = re.sub(r"\*\*([^*\s][^*]*)\*\*", r"\1", text)
    text = re.sub(r"(?<![\w*])\*(\w+)\*(?![\w*])", r"`\1`", text)
    text = re.sub(r"\s*\[\w+\]_", "", text)
    return " ".join(text.split())


def is_clean(sentence: str) -> bool:
    """Whether a sentence can be quoted alone: whole, plain, balanced, of sensible length."""
    if not 12 <= len(sentence) <= MAX_SENTENCE or _UNCLEAN.search(sentence):
        return False
    if sentence.count("`") % 2 or sentence.count('"') % 2 or sentence.count(" '") > 1:
        return False
    if any(sentence.count(a) != sentence.count(b) for a, b in ("()", "[]")):
        return False
    words = sentence.split()
    return (
        len(words) >= 3
        and sentence[-1] in ".!)`"
        and sentence[-3:] != "..."
        and words[-1] != "e.g."
    )


def _closed(text: str) -> str:
    """With a full stop, where the writer left it off at the end of a phrase."""
    return text + "." if text and (text[-1].isalnum() or text[-1] in ")`'\"]%") else text


def _first_clean(text: str) -> str:
    sentences = split_sentences(tidy(text), chinese=False)
    if not sentences:
        return ""
    first = _closed(sentences[0])
    return first if is_clean(first) else ""


def _opening(lines: list[str]) -> tuple[str, str]:
    """The first two sentences of the first paragraph that is not a signature."""
    for paragraph in _paragraphs(lines):
        if any(_SIGNATURE.match(line) and "(" in line for line in paragraph[:1]):
            if len(paragraph) == 1:
                continue
            return "", ""
        kept = []
        cut = False
        for line in paragraph:
            if _BLOCK_START.match(line.strip()) or _is_header(line):
                cut = True
                break
            if not _UNDERLINE.match(line.strip()):
                kept.append(line)
        if not kept:
            return "", ""
        sentences = split_sentences(tidy(" ".join(kept)), chinese=False)
        if cut and sentences and sentences[-1][-1] not in ".!":
            sentences.pop()
        if not sentences:
            return "", ""
        first = _closed(sentences[0])
        if not is_clean(first) or _POINTER.match(first) or not first[0].isalpha():
            return "", ""
        second = _closed(sentences[1]) if len(sentences) > 1 else ""
        return first, second if is_clean(second) and not _POINTER.match(second) else ""
    return "", ""


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    paragraph: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            paragraph.append(line)
        elif paragraph:
            yield paragraph
            paragraph = []


def _is_header(line: str) -> bool:
    match = _HEADER.match(line.strip())
    return bool(match and (match[1].lower() in _HEADERS or line.strip().endswith(":")))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _sections(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, name, text) of Google and NumPy sections."""
    for number, line in enumerate(lines):
        match = _HEADER.match(line.strip())
        kind = _HEADERS.get(match[1].lower()) if match else None
        if kind is None:
            continue
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if _UNDERLINE.match(below.strip()):
            body = _numpy_body(lines[number + 2 :])
            yield from _numpy_items(kind, body)
        elif line.rstrip().endswith(":"):
            body = _indented_body(lines[number + 1 :], _indent(line))
            yield from _google_items(kind, body)


def _indented_body(lines: list[str], indent: int) -> list[str]:
    body = []
    for line in lines:
        if line.strip() and _indent(line) <= indent:
            break
        body.append(line)
    return body


def _numpy_body(lines: list[str]) -> list[str]:
    body = []
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if _UNDERLINE.match(below.strip()) and _indent(line) == 0:
            break
        body.append(line)
    return body


def _items(body: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Group lines under each line of the smallest indentation."""
    filled = [line for line in body if line.strip()]
    if not filled:
        return
    base = min(map(_indent, filled))
    head, below = "", list[str]()
    for line in body:
        if line.strip() and _indent(line) == base:
            if head:
                yield head, below
            head, below = line.strip(), []
        elif head:
            below.append(line)
    yield head, below


def _until_blank(lines: list[str]) -> str:
    kept = []
    for line in lines:
        if not line.strip() or _BLOCK_START.match(line.strip()):
            break
        kept.append(line.strip())
    return " ".join(kept)


def _google_items(kind: str, body: list[str]) -> Iterator[tuple[str, str, str]]:
    if kind == "returns":
        text = _until_blank(body)
        match = re.match(r"^[\w.\[\], |]+:\s+(\S.*)$", text)
        yield kind, "", match[1] if match else text
        return
    for head, below in _items(body):
        if match := _GOOGLE_ITEM.match(head):
            yield kind, match[1], f"{match[3]} {_until_blank(below)}"


def _numpy_items(kind: str, body: list[str]) -> Iterator[tuple[str, str, str]]:
    for head, below in _items(body):
        name = head.partition(":")[0].strip()
        if kind == "returns":
            yield kind, "", _until_blank(below)
            return
        if kind == "raises" or all(_NUMPY_ITEM.match(part.strip()) for part in name.split(",")):
            yield kind, name, _until_blank(below)


def _fields(lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, name, text) of `:param x:` and `@param x:` fields."""
    for number, line in enumerate(lines):
        match = _FIELD.match(line.strip())
        if not match:
            continue
        word, name, text = match[1], match[2].split(), match[3]
        text = f"{text} {_until_blank(_indented_body(lines[number + 1 :], _indent(line)))}"
        if word in ("param", "parameter", "arg", "argument", "keyword") and name:
            yield "parameters", name[-1], text
        elif word in ("raise", "raises", "except", "exception") and name:
            yield "raises", name[-1], text
        elif word in ("return", "returns") and not name:
            yield "returns", "", text


def _bare_items(lines: list[str], names: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield parameters in the style of compiled modules: the name alone, its text indented."""
    for number, line in enumerate(lines[:-1]):
        if line.strip() in names and _indent(line) == 0 and _indent(lines[number + 1]) > 0:
            body = _indented_body(lines[number + 1 :], 0)
            yield "parameters", line.strip(), _until_blank(body)


def _raises_in_prose(lines: list[str]) -> list[tuple[str, str]]:
    """From sentences such as "Raises ValueError if x is not there."."""
    found: list[tuple[str, str]] = []
    for paragraph in _paragraphs(lines):
        text = " ".join(paragraph)
        if "Raise" not in text:
            continue
        for sentence in split_sentences(tidy(text), chinese=False):
            match = re.match(
                r"^Raises? (?:an? )?`?(?:\w+\.)*(\w+)`?(?: exception)? (if .+|when .+)$", sentence
            )
            if match and _ERROR.match(match[1]) and is_clean(said := _closed(match[2])):
                found.append((match[1], said))
    return found[:1]


def _example(lines: list[str]) -> str:
    """The first run of `>>>` lines with their output, where there is output and all is shown."""
    block: list[str] = []
    for line in [*lines, ""]:
        text = line.strip()
        if text.startswith(">>>") or (block and text and _indent(line) >= _indent(block[0])):
            block.append(line)
        elif block:
            break
    if not block:
        return ""
    base = _indent(block[0])
    while block and block[-1].strip() in (">>>", "..."):
        block.pop()
    example = "\n".join(line[base:].rstrip() for line in block)
    shows_output = any(not line.startswith((">>>", "...")) for line in example.splitlines())
    unfit = (
        "Traceback",
        " at 0x",
        "doctest:",
        "...\n",
        "$",
        "<BLANKLINE>",
        "...]",
        "...)",
        "`",
        "may vary",
        "Error:",
    )
    if not shows_output or len(example) > MAX_EXAMPLE or any(mark in example for mark in unfit):
        return ""
    return example
