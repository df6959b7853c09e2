"""Conversations about Python, asked and answered from its documentation.

Every documented name can be asked about in several ways (`phrasings`), and its docstring answers
(`python_answers`). Which questions are asked of a name is drawn by hash, with more for the
standard library than for packages, and more of the kinds that a model of a few million parameters
learns well: copying a name into a frame, and giving a plausible first sentence.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from homespun.core import Conversation, Message
from homespun.corpus.chat.choices import choose, share
from homespun.corpus.chat.python import answers
from homespun.corpus.chat.python.answers import Subject
from homespun.corpus.chat.python.docstrings import parse_docstring
from homespun.corpus.chat.python.held_out import HeldOut
from homespun.corpus.chat.python.phrasings import FOLLOW_UPS, QUESTIONS, THINGS
from homespun.corpus.chat.python.wording import join_list
from homespun.corpus.chat.sentences import Language
from homespun.corpus.sources.python_docs import ApiEntry

# How readily a kind is drawn for a name that it can be asked of.
_WEIGHTS = {
    "describe": 4.0,
    "module": 4.0,
    "list": 3.0,
    "args": 2.0,
    "parameter": 2.0,
    "returns": 2.0,
    "find": 1.5,
    "import": 1.0,
    "example": 3.0,
    "signature": 0.8,
    "raises": 4.0,
}
# Questions per name, and the share of names that are also talked about over several turns.
_NUM_QUESTIONS = {"standard": 3, "package": 1}
_TURNS_SHARE = {"standard": 0.35, "package": 0.1}
# Where the documentation gives no sentence to quote, these would be all there is to say.
_FORMAL = {"args", "signature", "import"}
_MAX_LISTED = 5


@dataclass(slots=True)
class PythonChat:
    """Attributes:
    train, validation: conversations, validation ones only about held-out names.
    left_out: conversations and names not used, by reason.
    """

    train: list[Conversation] = field(default_factory=list)
    validation: list[Conversation] = field(default_factory=list)
    num_held_out: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def python_conversations(
    entries: Iterable[ApiEntry], *, seed: int, chinese_share: float = 0.2
) -> PythonChat:
    """Questions and answers about `entries`.

    Args:
        seed: of the choice of names, questions and phrasings.
        chinese_share: about which share is asked and answered in Chinese.
    """
    asker = _Asker(list(entries), seed=seed, chinese_share=chinese_share)
    chat = PythonChat(num_held_out=len(asker.held_out.names))
    for subject in asker.subjects:
        name = subject.entry.qualified_name
        if name in asker.held_out.copies:
            chat.left_out["another name of something held out"] += 1
            continue
        is_held_out = name in asker.held_out.names
        for conversation in asker.ask(subject):
            texts = [message.content for message in conversation.messages]
            if is_held_out:
                chat.validation.append(conversation)
            elif asker.held_out.mentioned_in(texts):
                chat.left_out["mentions something held out"] += 1
            else:
                chat.train.append(conversation)
    return chat


class _Asker:
    """Draws questions. Knows all subjects, because some questions are about several."""

    def __init__(self, entries: list[ApiEntry], *, seed: int, chinese_share: float) -> None:
        self._seed = seed
        self._chinese_share = chinese_share
        unique = {entry.qualified_name: entry for entry in reversed(entries)}
        kept = [entry for entry in entries if unique.get(entry.qualified_name) is entry]
        self.held_out = HeldOut(kept, seed=seed)
        self.subjects = [
            Subject(
                entry,
                parse_docstring(entry.docstring, [name for name, _, _ in entry.parameters]),
                answers.shown_name(entry),
            )
            for entry in kept
        ]
        self._num_summaries = Counter(subject.parts.summary for subject in self.subjects)
        self._members: dict[tuple[str, str], list[str]] = defaultdict(list)
        for entry in kept:
            hidden = entry.qualified_name in self.held_out.names
            direct = entry.qualified_name == f"{entry.module}.{entry.name}"
            # A module that is not held out lists none of its held-out members.
            if direct and (not hidden or self._whole_module_hidden(entry)):
                self._members[entry.module, entry.kind].append(entry.name)

    def _whole_module_hidden(self, entry: ApiEntry) -> bool:
        return self.held_out.mentioned_in([entry.module])

    def ask(self, subject: Subject) -> Iterator[Conversation]:
        """The conversations drawn for one subject."""
        name = subject.entry.qualified_name
        top = name.partition(".")[0]
        group = "standard" if top in sys.stdlib_module_names else "package"
        language: Language = "zh" if self._draw("language", name) < self._chinese_share else "en"
        possible = self._possible(subject, language)
        # Weighted sampling without replacement: the largest u^(1/weight) win (Efraimidis and
        # Spirakis 2006, algorithm A).
        drawn = sorted(
            possible, key=lambda kind: -(self._draw("kind", kind, name) ** (1 / _WEIGHTS[kind]))
        )
        if group == "package" and _FORMAL.issuperset(possible):
            return
        for kind in drawn[: _NUM_QUESTIONS[group]]:
            question, answer = possible[kind]
            yield _conversation(f"python.{kind}", [(question, answer)])
        if self._draw("turns", name) < _TURNS_SHARE[group]:
            turns = self._turns(subject, language, possible)
            if len(turns) > 1:
                yield _conversation("python.turns", turns)

    def _possible(self, subject: Subject, language: Language) -> dict[str, tuple[str, str]]:
        """kind -> (question, answer) of every question that can be answered well."""
        entry = subject.entry
        kinds = ["describe", "args", "returns", "raises", "example", "signature", "import"]
        found: dict[str, tuple[str, str]] = {}
        for kind in ["module", "import"] if entry.kind == "module" else kinds:
            if text := answers.answer(kind, subject, language):
                found[kind] = (self._question(kind, subject, language), text)
        if entry.kind == "module":
            if listed := self._list(subject, language):
                found["list"] = listed
            return found
        if asked := self._parameter(subject, language):
            found["parameter"] = asked
        if asked := self._find(subject, language):
            found["find"] = asked
        return found

    def _question(self, kind: str, subject: Subject, language: Language, **fields: str) -> str:
        name = subject.entry.qualified_name
        asked = "import_module" if (kind, subject.entry.kind) == ("import", "module") else kind
        phrasing = choose(QUESTIONS[asked][language], self._seed, "phrasing", kind, name)
        return phrasing.format(name=self._written(subject, kind), **fields)

    def _written(self, subject: Subject, kind: str) -> str:
        """The name as an asker writes it: in backticks, plain, or with parentheses."""
        forms = [f"`{subject.name}`", f"`{subject.name}`", subject.name]
        if subject.entry.kind in ("function", "method"):
            forms.append(f"{subject.name}()")
        elif "." not in subject.name:
            forms.pop()  # "What is math?" would be about something else
        return choose(forms, self._seed, "written", kind, subject.entry.qualified_name)

    def _parameter(self, subject: Subject, language: Language) -> tuple[str, str] | None:
        documented = sorted(subject.parts.parameters)
        if not documented:
            return None
        which = choose(documented, self._seed, "parameter", subject.entry.qualified_name)
        text = answers.parameter(subject, language, which)
        if not text or len(text) > answers.MAX_ANSWER:
            return None
        return self._question("parameter", subject, language, parameter=which), text

    def _find(self, subject: Subject, language: Language) -> tuple[str, str] | None:
        summary = subject.parts.summary
        if not summary or self._num_summaries[summary] > 1 or len(summary) < 30:
            return None
        entry = subject.entry
        predicate = answers.predicate_of(subject).removesuffix(".")
        if subject.name in summary or (language == "en" and not predicate):
            return None
        thing = THINGS[language][entry.kind]
        if language == "en" and entry.kind in ("method", "property"):
            thing = f"{thing} of `{subject.name.rpartition('.')[0]}`"
        if language == "zh" and entry.kind in ("method", "property"):
            thing = f" `{subject.name.rpartition('.')[0]}` 的{thing}"
        fields = {"thing": thing, "predicate": predicate, "summary": summary}
        return self._question("find", subject, language, **fields), answers.find(subject, language)

    def _list(self, subject: Subject, language: Language) -> tuple[str, str] | None:
        module = subject.entry.module
        kind = "function" if len(self._members[module, "function"]) >= 2 else "class"
        members = self._members[module, kind]
        if len(members) < 2:
            return None
        shown = [f"`{name}`" for name in members[:_MAX_LISTED]]
        things = THINGS[language][kind]
        is_all = len(shown) == len(members)
        if language == "zh":
            question = self._question("list", subject, language, things=things)
            some = "" if is_all else "部分"
            return question, f"模块 `{module}` 的{some}{things}：{'、'.join(shown)}。"
        things = "classes" if kind == "class" else "functions"
        question = self._question("list", subject, language, things=things)
        some = "The documented" if is_all else "Some"
        return question, f"{some} {things} of `{module}` are {join_list(shown)}."

    def _turns(
        self, subject: Subject, language: Language, possible: dict[str, tuple[str, str]]
    ) -> list[tuple[str, str]]:
        """A first question and one or two follow-ups that name the subject no more."""
        name = subject.entry.qualified_name
        kinds = [kind for kind in possible if kind in FOLLOW_UPS]
        kinds.sort(key=lambda kind: self._draw("turn", kind, name))
        if "describe" in kinds and self._draw("describe first", name) < 0.7:
            kinds.remove("describe")
            kinds.insert(0, "describe")
        if len(kinds) < 2:
            return []
        turns = [possible[kinds[0]]]
        num_turns = 2 if self._draw("number of turns", name) < 0.65 else 3
        for kind in kinds[1:num_turns]:
            if possible[kind][1] == turns[-1][1]:  # "returns the name", asked twice
                continue
            asked = choose(FOLLOW_UPS[kind][language], self._seed, "follow-up", kind, name)
            turns.append((asked, possible[kind][1]))
        return turns

    def _draw(self, *names: str) -> float:
        return share(self._seed, *names)


def _conversation(category: str, turns: list[tuple[str, str]]) -> Conversation:
    messages = [
        message
        for question, answer in turns
        for message in (Message("user", question), Message("assistant", answer))
    ]
    return Conversation(tuple(messages), source="python", category=category)
