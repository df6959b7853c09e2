"""Conversations with tools and thoughts, as the server writes them, against transformers."""

from __future__ import annotations

from typing import Any

import pytest

from homespun.serving.openai.calling.tools import Tool
from homespun.serving.openai.messages import ChatMessage, told
from homespun.tokenizer import ChatTemplate

# What Qwen3's does, in other words: tools and their results in tags, thoughts behind the last
# question alone, and a switch for them. Calls and results stand in the template's own form.
SOURCE = r"""
{%- macro open(who) %}{{- '<|im_start|>' + who + '\n' }}{% endmacro %}
{%- macro close() %}{{- '<|im_end|>\n' }}{% endmacro %}
{%- set has_system = messages[0].role == 'system' %}
{%- if tools or has_system %}
    {{- open('system') }}
    {%- if has_system %}{{- messages[0].content }}{% endif %}
    {%- if tools %}
        {{- ('\n\n' if has_system else '') + '# Tools\n<tools>' }}
        {%- for tool in tools %}{{- '\n' }}{{- tool | tojson }}{% endfor %}
        {{- '\n</tools>' }}
    {%- endif %}
    {{- close() }}
{%- endif %}
{%- set at = namespace(question=-1) %}
{%- for m in messages %}
    {%- if m.role == 'user' and m.content is string
        and not (m.content.startswith('<tool_response>')
                 and m.content.endswith('</tool_response>')) %}
        {%- set at.question = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
        {{- open(m.role) + m.content + close() }}
    {%- elif m.role == 'assistant' %}
        {%- set said = m.content if m.content is string else '' %}
        {%- set thought = '' %}
        {%- if m.reasoning_content is string %}
            {%- set thought = m.reasoning_content %}
        {%- elif '</think>' in said %}
            {%- set thought = said.split('</think>')[0].rstrip('\n').split('<think>')[-1] %}
            {%- set said = said.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- open('assistant') }}
        {%- if loop.index0 > at.question and (loop.last or thought) %}
            {{- '<think>\n' + thought.strip('\n') + '\n</think>\n\n' }}
        {%- endif %}
        {{- said }}
        {%- for call in m.tool_calls or [] %}
            {%- if said or not loop.first %}{{- '\n' }}{% endif %}
            {%- set f = call.function if call.function else call %}
            {{- '<tool_call>\n{"name": "' + f.name + '", "arguments": ' }}
            {{- f.arguments if f.arguments is string else f.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- close() }}
    {%- elif m.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + m.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- close() }}{% endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- open('assistant') }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Größer als <0> & „1“",
            "parameters": {"type": "object", "properties": {"a": {"type": "number"}}},
        },
    }
]


def call(number: int, arguments: str) -> dict[str, Any]:
    function = {"name": "add", "arguments": arguments}
    return {"id": f"call_{number}", "type": "function", "function": function}


def result(number: int, text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": text}


PLAIN = [{"role": "user", "content": "1+1?"}]
ONE = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "2", "reasoning_content": "Easy."},
    {"role": "user", "content": "你好 <tool_call>"},
    {
        "role": "assistant",
        "content": "Wait.",
        "reasoning_content": "I shall\nadd.",
        "tool_calls": [call(1, '{"a": "ö"}')],
    },
    result(1, '{"sum": 2}'),
]
TWO = [
    *PLAIN,
    {"role": "assistant", "tool_calls": [call(1, "{}"), call(2, '{"a": 2.5}')]},
    result(1, "0"),
    result(2, "2.5"),
    {
        "role": "assistant",
        "content": "<think>\nhm\n</think>\n\nOnce more",
        "tool_calls": [call(3, "{}")],
    },
    result(3, "0"),
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Done.",
        "tool_calls": [call(4, "{}")],
    },
    result(4, "7"),
]


@pytest.mark.parametrize("messages", [PLAIN, ONE, TWO])
@pytest.mark.parametrize("tools", [[], TOOLS])
@pytest.mark.parametrize("options", [{}, {"enable_thinking": True}, {"enable_thinking": False}])
def test_conversations_are_written_as_transformers_writes_them(
    messages: list[dict[str, Any]], tools: list[dict[str, Any]], options: dict[str, bool]
) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    ((expected,), _) = render_jinja_template(
        conversations=[messages],
        tools=tools or None,
        chat_template=SOURCE,
        add_generation_prompt=True,
        **options,
    )

    class Knowing:
        """Of a tokenizer, what `told` asks."""

        knows_reasoning = thinks = True

    asked = [ChatMessage.model_validate(message) for message in messages]
    for tool in tools:
        Tool.model_validate(tool)
    written = ChatTemplate(
        SOURCE, controls=["<|im_start|>", "<|im_end|>"], roles={}, parted=None, must_mark=False
    ).render(
        told(asked, most=100, tokenizer=Knowing()),  # type: ignore[arg-type]
        add_generation_prompt=True,
        tools=tools,
        options=options,
    )
    assert "".join(piece.text for piece in written) == expected
