"""The chat template: from messages to pieces of text and control tokens, with a training mask.

One Jinja template, the same that is exported for `transformers`, says how a conversation is
written, and its `{% generation %}` blocks say which part of it the model is trained to produce.
Two things must hold whatever the messages contain:

- nobody can write a control token: every `<|` and `|>` inside a message (of an imported model: the
  string of every control token) is parted by a character that occurs nowhere in the conversation or
  the template, and joined again after control tokens have been found; one of a single character
  has another in its place meanwhile;
- nobody can move the mask: blocks are marked in the rendered text by two further such characters.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib import resources
from typing import Any, NamedTuple, get_args

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.meta import find_undeclared_variables
from jinja2.parser import Parser
from jinja2.runtime import Context

from homespun.core import ConfigError, Message, RequestError, Role
from homespun.tokenizer.bounded import BoundedEnvironment
from homespun.tokenizer.special import SPECIAL_ROLES, SPECIAL_TOKENS

_MARKS = "homespun_marks"
_GIVEN = ("messages", "add_generation_prompt", "tools", "documents", "strftime_now", _MARKS)
"""Names that a template may ask for, and that are no options."""
_LONGEST_DATE = 64
"""Characters of the form of a date."""
# All of our control tokens begin and end so, and a template may write either end itself.
_ENDS_OF_CONTROL = ("<|", "|>")


class ChatPiece(NamedTuple):
    """A stretch of a written conversation.

    Attributes:
        text: ordinary text, or the string of one control token.
        is_control: whether `text` is a control token.
        is_target: whether the model is trained to say it.
    """

    text: str
    is_control: bool
    is_target: bool


class _Parting(NamedTuple):
    """How control tokens inside messages are made others for a while.

    Attributes:
        inserted: goes between the first and the second character.
        stand_ins: stand for those of a single character.
    """

    inserted: str
    stand_ins: Mapping[str, str]

    def joined(self, text: str) -> str:
        text = text.replace(self.inserted, "")
        for single, stand_in in self.stand_ins.items():
            text = text.replace(stand_in, single)
        return text


def default_chat_template() -> str:
    """The ChatML template that trained tokenizers carry."""
    return resources.files("homespun.tokenizer").joinpath("chatml.jinja").read_text("utf-8")


def check_options(names: Iterable[str], known: Collection[str]) -> None:
    """Raises RequestError for a name that a template, which asks for those `known`, does not."""
    for name in names:
        if name not in known:
            raise RequestError(
                "the chat template does not ask for this option",
                got=name,
                remedy="it asks for: " + (", ".join(sorted(known)) or "none"),
            )


class ChatTemplate:
    """A compiled chat template.

    The template sees what it sees in `transformers`: `messages` (each with `role` and `content`),
    `add_generation_prompt`, `bos_token`, `eos_token` …, `raise_exception(text)`, and loop controls.
    `strftime_now(format)` is there only with a clock, and where the template calls it without
    asking first whether there is one (as Mistral's): a conversation is always written the same
    where that can be.

    Args:
        source: Jinja text. The assistant's words, and the token that ends them, must stand in
            `{% generation %} … {% endgeneration %}`.
        controls: strings of the control tokens.
        roles: what the template calls some of them, such as `bos_token`.
        parted: what is parted inside messages; the control tokens themselves where None.
        must_mark: a template without generation blocks is an error.
        now: the clock; none where None.

    Attributes:
        source: as given.
        knows_tools: it writes what tools there are by itself.
        knows_reasoning: it speaks of what the assistant thought (`reasoning_content`).
        thinks: it speaks of thoughts between `<think>` and `</think>`: answers begin with them.
        options: names of its own that whoever renders may give values, such as `enable_thinking`.
        looks_for: texts that it compares with others or searches others for.

    Raises:
        ConfigError: it is not valid Jinja, or marks nothing for training.
    """

    def __init__(
        self,
        source: str,
        *,
        controls: Sequence[str] = SPECIAL_TOKENS,
        roles: Mapping[str, str] = SPECIAL_ROLES,
        parted: Sequence[str] | None = _ENDS_OF_CONTROL,
        must_mark: bool = True,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.source = source
        self._roles = roles
        self._controls = frozenset(controls)
        # The longest first, where one begins with another.
        every = sorted(controls if parted is None else parted, key=len, reverse=True)
        self._parted = [text for text in every if len(text) > 1]
        self._single = [text for text in every if len(text) == 1]
        longest_first = sorted(controls, key=len, reverse=True)
        self._control_pattern = "".join(f"{re.escape(token)}|" for token in longest_first)
        self._environment = environment = BoundedEnvironment(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[_Generation, "jinja2.ext.loopcontrols"],
        )
        environment.globals["raise_exception"] = _raise_exception
        try:
            tree = environment.parse(source)
            marked = tree.find(nodes.ExtensionAttribute) is not None
            asked = find_undeclared_variables(tree)
            self.knows_tools = "tools" in asked
            doubtful = _doubtful_names(tree)
            known = {*_GIVEN, *environment.globals, *roles, *(_stored_names(tree) - doubtful)}
            self.options = frozenset(name for name in asked - known if name[-6:] != "_token")
            self.knows_reasoning = _speaks_of(tree, "reasoning_content")
            self.thinks = "</think>" in source
            self.looks_for = _sought_texts(tree)
            if now is not None and "strftime_now" not in doubtful:
                environment.globals["strftime_now"] = _strftime(now)
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ConfigError(
                f"the chat template is not valid Jinja: line {error.lineno}: {error.message}",
                remedy="mend the template",
            ) from error
        except (RecursionError, SyntaxError, MemoryError) as error:  # too deep for Python
            raise ConfigError(
                "the chat template is too deep", got=str(error)[:80], remedy="mend the template"
            ) from error
        if must_mark and not marked:
            raise ConfigError(
                "the chat template does not say what the model is trained to answer",
                remedy="put {% generation %} and {% endgeneration %} around the assistant's "
                "content and its end token",
            )

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = False,
        tools: Sequence[Mapping[str, Any]] = (),
        options: Mapping[str, bool | str] | None = None,
    ) -> list[ChatPiece]:
        """Write a conversation.

        Args:
            messages: at least one, oldest first.
            add_generation_prompt: end with the opening of the assistant's next message.
            tools: in OpenAI's shape, for a template that `knows_tools`.
            options: values of names among `self.options`.

        Raises:
            RequestError: there are no messages, one has an unknown role, or the template does not
                ask for an option.
            ConfigError: the template failed or refused these messages.
        """
        _check(messages)
        contents = [message.content + message.reasoning for message in messages]
        contents += [json.dumps(tool, ensure_ascii=False) for tool in tools]
        chosen = options or {}
        check_options(chosen, self.options)
        contents += [value for value in chosen.values() if isinstance(value, str)]
        unused = _unused_characters([self.source, *contents])
        begin, end, inserted = itertools.islice(unused, 3)
        parting = _Parting(inserted, dict(zip(self._single, unused, strict=False)))
        written = self._run(
            {
                "messages": [
                    {
                        "role": message.role,
                        "content": self._part(message.content, parting),
                    }
                    | (
                        {"reasoning_content": self._part(message.reasoning, parting)}
                        if message.reasoning
                        else {}
                    )
                    for message in messages
                ],
                "add_generation_prompt": add_generation_prompt,
                "tools": [self._parted_within(tool, parting) for tool in tools] or None,
                "documents": None,
                **{name: self._parted_within(value, parting) for name, value in chosen.items()},
                **self._roles,
                _MARKS: (begin, end),
            }
        )
        pieces: list[ChatPiece] = []
        is_target = False
        for text in re.split(f"({self._control_pattern}[{begin}{end}])", written):
            if text in (begin, end):
                if is_target == (text == begin):
                    raise ConfigError(
                        "generation blocks of the chat template stand inside one another",
                        remedy="close each before opening the next",
                    )
                is_target = text == begin
            elif text in self._controls:
                pieces.append(ChatPiece(text, True, is_target))
            elif text:
                pieces.append(ChatPiece(parting.joined(text), False, is_target))
        return pieces

    def _part(self, content: str, parting: _Parting) -> str:
        for text in self._parted:
            content = content.replace(text, f"{text[:1]}{parting.inserted}{text[1:]}")
        for single, stand_in in parting.stand_ins.items():
            content = content.replace(single, stand_in)
        return content

    def _parted_within(self, value: Any, parting: _Parting) -> Any:
        """A JSON value all of whose texts are parted."""
        if isinstance(value, str):
            return self._part(value, parting)
        if isinstance(value, Mapping):
            return {
                self._part(key, parting): self._parted_within(item, parting)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._parted_within(item, parting) for item in value]
        return value

    def _run(self, context: dict[str, Any]) -> str:
        try:
            self._environment.begin()
            return self._template.render(context)
        # A template is a program of its own and can fail in any way a program can.
        except Exception as error:
            raise ConfigError(
                f"the chat template failed on this conversation: {error}",
                remedy="change the messages or the template",
            ) from error


class _Generation(Extension):
    """`{% generation %}…{% endgeneration %}`: writes its body between the two marks."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> nodes.CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body, lineno=line)

    def _mark(self, context: Context, caller: Any) -> str:
        begin, end = context[_MARKS]
        return f"{begin}{caller()}{end}"


def _speaks_of(tree: nodes.Template, name: str) -> bool:
    """Whether a template asks anything for a part of that name."""
    parts = [node.attr for node in tree.find_all(nodes.Getattr)]
    return name in parts or any(node.value == name for node in tree.find_all(nodes.Const))


def _sought_texts(tree: nodes.Template) -> frozenset[str]:
    """Constants that a template compares, or hands to methods and filters of texts."""
    parts: list[nodes.Node] = list(tree.find_all(nodes.Compare))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr):
            parts += call.args
    for part in tree.find_all(nodes.Filter):
        parts += part.args
    found = [part for part in parts if isinstance(part, nodes.Const)]
    found += [const for part in parts for const in part.find_all(nodes.Const)]
    return frozenset(const.value for const in found if isinstance(const.value, str))


def _stored_names(tree: nodes.Template) -> set[str]:
    """Names that a template gives values itself."""
    return {node.name for node in tree.find_all(nodes.Name) if node.ctx == "store"}


def _doubtful_names(tree: nodes.Template) -> set[str]:
    """Names of which a template asks whether they have values."""
    tests = [node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    return {test.node.name for test in tests if isinstance(test.node, nodes.Name)}


def _strftime(now: Callable[[], datetime]) -> Callable[[str], str]:
    def strftime_now(form: str) -> str:
        if len(form) > _LONGEST_DATE:
            raise jinja2.TemplateError("a form of dates is too long")
        return now().strftime(form)

    return strftime_now


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _check(messages: Sequence[Message]) -> None:
    if not messages:
        raise RequestError("a conversation needs at least one message", remedy="add a message")
    for message in messages:
        if message.role not in get_args(Role):
            raise RequestError(
                "a message has an unknown role",
                got=message.role,
                remedy="use one of: " + ", ".join(get_args(Role)),
            )


def _unused_characters(texts: Sequence[str]) -> Iterator[str]:
    """Characters that occur in none of `texts`, from the private-use area."""
    used = set().union(*texts)
    free = (chr(code) for code in range(0xE000, 0xF900) if chr(code) not in used)
    yield from free
    raise RequestError(
        "a message holds every private-use character of Unicode", remedy="remove some of them"
    )
