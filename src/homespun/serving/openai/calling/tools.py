"""Tools a model may call: what it is told of them, and what it must keep to where it has to call.

Models learn to call tools in many forms. Here it is the one that most open models were taught, with
the tags `<tool_call>` and `<tool_response>`. Where a call is required, the answer is bound to the
tool's schema, so that any model calls well; where it is free, `calls` reads what came.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from homespun.core import Constraint
from homespun.core.sampling import LONGEST_CONSTRAINT
from homespun.serving.errors import ApiError
from homespun.serving.openai.fields import Strict, json_constraint

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Function(Strict):
    """A function: its name, what it does, and a JSON schema of its arguments."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @property
    def schema_of_arguments(self) -> dict[str, Any]:
        return self.parameters or {"type": "object", "properties": {}}


class Tool(Strict):
    type: Literal["function"]
    function: Function


class NamedFunction(Strict):
    name: Name


class NamedTool(Strict):
    type: Literal["function"]
    function: NamedFunction


ToolChoice = Literal["none", "auto", "required"] | NamedTool


class Toolbox:
    """The tools of a request, and which of them may or must be called.

    Args:
        tools: at most `most`.
        choice: "auto" where None.
        parallel: whether one answer may have several calls.

    Raises:
        ApiError: two have one name, a tool is chosen that is not there, or there are too many.
    """

    def __init__(
        self,
        tools: Sequence[Tool],
        choice: ToolChoice | None,
        *,
        parallel: bool = True,
        most: int = 64,
    ) -> None:
        if len(tools) > most:
            told = f"there are {len(tools)} tools, and {most} are the most"
            raise ApiError(400, told, param="tools")
        if any(_has_key(tool.function.parameters, "patternProperties") for tool in tools):
            # The library that checks arguments would match them without a time limit.
            told = "patternProperties are not supported in a tool's parameters"
            raise ApiError(400, told, param="tools")
        self.functions = {tool.function.name: tool.function for tool in tools}
        if len(self.functions) < len(tools):
            raise ApiError(400, "two tools have the same name", param="tools")
        if choice is not None and not tools:
            raise ApiError(400, "tool_choice goes with tools", param="tool_choice")
        self.parallel = parallel
        self.named = choice.function.name if isinstance(choice, NamedTool) else None
        if self.named is not None and self.named not in self.functions:
            raise ApiError(400, f"there is no tool '{self.named}'", param="tool_choice")
        self.must_call = self.named is not None or choice == "required"
        self.may_call = bool(tools) and choice != "none"

    @property
    def described(self) -> list[dict[str, Any]]:
        """The tools as chat templates know them; none where none may be called."""
        if not self.may_call:
            return []
        return [_described(function) for function in self.functions.values()]

    def told(self) -> str:
        """What a system message says of the tools."""
        lines = [json.dumps(tool, ensure_ascii=False) for tool in self.described]
        return "\n".join(
            (
                "These tools can be called, each a function described in JSON:",
                "<tools>",
                *lines,
                "</tools>",
                "A call is written as its name and its arguments in JSON between two tags:",
                "<tool_call>",
                '{"name": "the function", "arguments": {"its": "arguments"}}',
                "</tool_call>",
            )
        )

    def constraint(self) -> Constraint | None:
        """What an answer that has to call must look like; None where it is free."""
        if not self.must_call:
            return None
        if self.named is not None:
            return json_constraint(self.functions[self.named].schema_of_arguments)
        return json_constraint(self._schema_of_calls)

    def either(self, form: dict[str, Any]) -> Constraint:
        """What an answer must look like that is JSON of the schema `form`, or calls between their
        tags and nothing else."""
        one, white = f"call: {_embedded(self._schema_of_calls)}", "[ \\n]{0,4}"
        more = "(MORE call CLOSE)* " if self.parallel else ""
        lines = (
            "start: content | calls",
            f"content: {_embedded(form)}",
            f"calls: OPEN call CLOSE {more}TAIL?",
            one,
            f"OPEN: /<tool_call>{white}/",
            f"CLOSE: /{white}<\\/tool_call>/",
            f"MORE: /{white}<tool_call>{white}/" if more else "",
            "TAIL: /[ \\n]{1,4}/",
        )
        text = "\n".join(filter(None, lines))
        if len(text) > LONGEST_CONSTRAINT:
            many = "the format and the parameters of the tools are too long together"
            raise ApiError(400, f"{many}; send fewer tools, or shorter ones", param="tools")
        return Constraint(kind="grammar", text=text)

    @property
    def _schema_of_calls(self) -> dict[str, Any]:
        forms = [
            {
                "type": "object",
                "properties": {
                    "name": {"const": name},
                    "arguments": _moved(
                        function.schema_of_arguments, f"#/anyOf/{at}/properties/arguments"
                    ),
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
            for at, (name, function) in enumerate(self.functions.items())
        ]
        return {"anyOf": forms}


def _embedded(schema: dict[str, Any]) -> str:
    """A schema within a grammar, with as much white space between its parts as alone: without a
    limit small models would go on for ever."""
    bound = {**schema, "x-guidance": {"whitespace_pattern": r"[\x20\x0A\x0D\x09]{1,16}"}}
    return f"%json {json.dumps(bound, ensure_ascii=False)}"


def _described(function: Function) -> dict[str, Any]:
    told: dict[str, Any] = {"name": function.name}
    if function.description is not None:
        told["description"] = function.description
    told["parameters"] = function.schema_of_arguments
    return {"type": "function", "function": told}


def _has_key(value: Any, key: str) -> bool:
    if isinstance(value, dict):
        return key in value or any(_has_key(item, key) for item in value.values())
    return isinstance(value, list) and any(_has_key(item, key) for item in value)


def _moved(schema: Any, place: str) -> Any:
    """A schema whose references to its own root lead to its new place."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for key, value in schema.items()
    }
