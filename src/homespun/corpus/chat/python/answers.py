"""Short, correct answers about one documented Python name, taken from its documentation.

Each kind of question has one function here that gives the answer in a language, or "" where the
documentation does not say. Frames are few and constant: a small model learns to fill them well.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from homespun.corpus.chat.python.docstrings import DocParts
from homespun.corpus.chat.python.phrasings import THINGS
from homespun.corpus.chat.python.wording import (
    as_predicate,
    is_imperative,
    join_list,
    lower_first,
    number_word,
)
from homespun.corpus.chat.sentences import Language
from homespun.corpus.sources.python_docs import ApiEntry

MAX_ANSWER = 600
_MAX_CODE = 160
_IS_A_THING = (
    r"is an? (?!(?:[\w-]+ ){0,3}(?:function|method|wrapper|shortcut|version|decorator|helper|"
    r"generator|factory|callback|variant|hook|manager|alias|coroutine|callable)\b)"
)


@dataclass(frozen=True, slots=True)
class Subject:
    """An entry and what its docstring says, ready to be asked about.

    Attributes:
        name: how it is called in text: the qualified name, built-ins without their module.
    """

    entry: ApiEntry
    parts: DocParts
    name: str

    @property
    def has_signature(self) -> bool:
        """Whether it is known how this is called, `self` left out."""
        first = self.entry.parameters[0][0] if self.entry.parameters else ""
        return "(" in self.entry.signature and first not in ("self", "cls")


def shown_name(entry: ApiEntry) -> str:
    return entry.qualified_name.removeprefix("builtins.")


def answer(kind: str, subject: Subject, language: Language) -> str:
    """The answer to a question of `kind`, at most MAX_ANSWER characters, or ""."""
    text = _ANSWERS[kind](subject, language)
    return text if len(text) <= MAX_ANSWER else ""


def predicate_of(subject: Subject) -> str:
    """What the summary says of the name ("returns …", "is a …"), or "" where that would be wrong.

    "A connection to the store." says what a function gives, not what the function is.
    """
    predicate = as_predicate(subject.parts.summary)
    is_called = subject.entry.kind in ("function", "method")
    return "" if is_called and re.match(_IS_A_THING, predicate) else predicate


def describe(subject: Subject, language: Language) -> str:
    name, entry, parts = subject.name, subject.entry, subject.parts
    if not parts.summary:
        return ""
    if language == "zh":
        return f"`{name}` 是一个{THINGS['zh'][entry.kind]}。文档的说明是：{parts.summary}"
    predicate = predicate_of(subject)
    if predicate:
        text = f"`{name}` {predicate}"
    else:
        text = f"`{name}` is a {THINGS['en'][entry.kind]}. Its documentation says: {parts.summary}"
    # After "x returns …" a sentence in the imperative would change the mood.
    if parts.second and len(text) + len(parts.second) < 320 and not is_imperative(parts.second):
        text += f" {parts.second}"
    return text


def describe_module(subject: Subject, language: Language) -> str:
    name, parts = subject.name, subject.parts
    if not parts.summary:
        return ""
    if language == "zh":
        return f"`{name}` 是一个模块。文档的说明是：{parts.summary}"
    short = name.rpartition(".")[2]
    opening = rf"(?:This (?:module|package|file)|The `?{re.escape(short)}`? (?:module|package))\s+"
    if re.match(opening, parts.summary):
        return re.sub(opening, f"The module `{name}` ", parts.summary, count=1)
    return f"`{name}` is a module. Its documentation says: {parts.summary}"


def arguments(subject: Subject, language: Language) -> str:
    parameters = subject.entry.parameters
    name = subject.name
    if not subject.has_signature or len(parameters) > 7:
        return ""
    if not parameters:
        return f"`{name}` takes no arguments." if language == "en" else f"`{name}` 没有参数。"
    shown = []
    for parameter, _, default in parameters:
        if default is not None and len(default) > 40:
            return ""
        note = "" if default is None or "`" in default else _default(default, language)
        shown.append(f"`{parameter}`{note}")
    if language == "zh":
        return f"`{name}` 有 {len(shown)} 个参数：{'、'.join(shown)}。"
    said = [subject.parts.parameters.get(p[0].lstrip("*"), "") for p in parameters]
    plural = "" if len(shown) == 1 else "s"
    head = f"`{name}` takes {number_word(len(shown))} argument{plural}:"
    if all(said) and len(shown) <= 5:
        lines = [f"- {item}: {lower_first(text)}" for item, text in zip(shown, said, strict=True)]
        text = "\n".join([head, *lines])
        if len(text) <= 480:
            return text
    return f"{head} {join_list(shown)}."


def _default(default: str, language: Language) -> str:
    return f" (default `{default}`)" if language == "en" else f"（默认值 `{default}`）"


def returns(subject: Subject, language: Language) -> str:
    name, parts = subject.name, subject.parts
    if subject.entry.kind not in ("function", "method"):
        return ""
    value = parts.returns
    opening = re.match(r"Returns?\s+(?=\w|`)", parts.summary)
    if not value and opening and as_predicate(parts.summary):
        value = parts.summary[opening.end() :]
    if not value:
        return _returned_type(subject, language)
    if language == "zh":
        return f"`{name}` 的返回值：{lower_first(value)}"
    if re.match(r"(?:Returns?|The return value is)\s", value):
        value = value.split(" ", 1)[1]
    lowered = lower_first(value)
    if lowered[0].islower() or lowered.startswith(("True", "False", "None", "`")):
        return f"`{name}` returns {lowered}"
    return f"The return value of `{name}`: {value}"


def _returned_type(subject: Subject, language: Language) -> str:
    annotation = (subject.entry.returns or "").strip("\"'")
    if not re.fullmatch(r"[\w.\[\], |]{2,40}", annotation) or annotation in (
        "Any",
        "NoReturn",
        "Self",
    ):
        return ""
    if annotation == "None":
        return (
            f"`{subject.name}` returns nothing."
            if language == "en"
            else f"`{subject.name}` 没有返回值。"
        )
    if language == "zh":
        return f"`{subject.name}` 返回值的类型是 `{annotation}`。"
    return f"`{subject.name}` returns a value of the type `{annotation}`."


def raises(subject: Subject, language: Language) -> str:
    name, found = subject.name, subject.parts.raises[:3]
    if not found:
        return ""
    conditions = [(error, lower_first(text)) for error, text in found]
    if not all(re.match(r"(?:if|when|in case|on) ", text) for _, text in conditions):
        return ""
    if language == "zh":
        return (
            f"`{name}` 可能引发 "
            + "；".join(f"`{error}`（{text.rstrip('.')}）" for error, text in conditions)
            + "。"
        )
    listed = [f"`{error}` {text.rstrip('.')}" for error, text in conditions]
    return f"`{name}` raises {join_list(listed, last=', and ')}."


def example(subject: Subject, language: Language) -> str:
    code = subject.parts.example
    if not code or subject.entry.name not in code:
        return ""
    head = f"Here is `{subject.name}` in use:" if language == "en" else f"`{subject.name}` 的例子："
    return f"{head}\n```python\n{code}\n```"


def signature(subject: Subject, language: Language) -> str:
    text = subject.entry.signature
    if not subject.has_signature or len(text) > _MAX_CODE or "`" in text or "\n" in text:
        return ""
    if language == "zh":
        return f"`{subject.name}` 的签名是 `{text}`。"
    return f"The signature of `{subject.name}` is `{text}`."


def importing(subject: Subject, language: Language) -> str:
    entry, name = subject.entry, subject.name
    english = language == "en"
    if entry.kind == "module":
        return f"Import it with `import {name}`." if english else f"用 `import {name}` 导入。"
    inner = entry.qualified_name.removeprefix(f"{entry.module}.").split(".")
    if entry.module == "builtins":
        if english:
            return f"`{name}` is built into Python, so no import is needed."
        return f"`{name}` 是 Python 内置的，不需要导入。"
    line = f"from {entry.module} import {inner[0]}"
    if len(inner) == 1:
        thing = THINGS[language][entry.kind]
        if english:
            return f"`{name}` is a {thing} of the module `{entry.module}`. Import it with `{line}`."
        return f"`{name}` 是模块 `{entry.module}` 的{thing}，用 `{line}` 导入。"
    if len(inner) != 2 or entry.kind not in ("method", "property"):
        return ""
    thing, owner = THINGS[language][entry.kind], f"{entry.module}.{inner[0]}"
    if english:
        return f"`{inner[1]}` is a {thing} of the class `{owner}`. Import the class with `{line}`."
    return f"`{inner[1]}` 是类 `{owner}` 的{thing}，用 `{line}` 导入这个类。"


def parameter(subject: Subject, language: Language, which: str) -> str:
    """The answer about one parameter, named without stars."""
    said = subject.parts.parameters.get(which, "")
    default = next((d for p, _, d in subject.entry.parameters if p.lstrip("*") == which), None)
    if not said or (default is not None and (len(default) > 40 or "`" in default)):
        return ""
    if language == "zh":
        tail = f" 默认值是 `{default}`。" if default is not None else ""
        return f"`{which}` 是 `{subject.name}` 的参数。文档的说明是：{said}{tail}"
    tail = "" if default is None or "efault" in said else f" Its default is `{default}`."
    return f"`{which}` is an argument of `{subject.name}`: {lower_first(said)}{tail}"


def find(subject: Subject, language: Language) -> str:
    entry, name = subject.entry, subject.name
    owner, _, _ = name.rpartition(".")
    thing = THINGS[language][entry.kind]
    if not owner:
        return f"That is the built-in `{name}`." if language == "en" else f"是内置的 `{name}`。"
    place = "module" if entry.kind in ("function", "class") else "class"
    if language == "en":
        return f"That is `{name}`, a {thing} of the {place} `{owner}`."
    return f"是 `{name}`，它是{THINGS['zh'][place]} `{owner}` 的{thing}。"


_ANSWERS: dict[str, Callable[[Subject, Language], str]] = {
    "describe": describe,
    "module": describe_module,
    "args": arguments,
    "returns": returns,
    "raises": raises,
    "example": example,
    "signature": signature,
    "import": importing,
    "find": find,
}
