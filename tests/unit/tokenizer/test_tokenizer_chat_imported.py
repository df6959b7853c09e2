"""What chat templates of models from elsewhere do: thoughts that can be turned off, tools, calls in
several steps, JSON with the arguments that `transformers` knows."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from homespun.core import ConfigError, Message, RequestError
from homespun.tokenizer import ChatTemplate

# Of the shape of Qwen3's: thoughts are written only behind the last question somebody asked, where
# results of tools are no question.
STEPS = r"""
{%- macro said(who, text) %}{{- '<|im_start|>' + who + '\n' + text + '<|im_end|>\n' }}{% endmacro %}
{%- set rest = messages %}
{%- if tools %}
    {%- set lines = namespace(all='') %}
    {%- for tool in tools %}{% set lines.all = lines.all ~ '\n' ~ tool | tojson %}{% endfor %}
    {%- set own = messages[0]['content'] + '\n' if messages[0].role == 'system' else '' %}
    {{- said('system', own + '<tools>' + lines.all + '\n</tools>') }}
    {%- if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% endif %}
{%- endif %}
{%- set last = namespace(question=-1, is_found=false) %}
{%- for m in rest[::-1] %}
    {%- if not last.is_found and m.role == 'user' and m.content is string
        and not (m.content.startswith('<tool_response>')
                 and m.content.endswith('</tool_response>')) %}
        {%- set last.is_found = true %}
        {%- set last.question = rest | length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for m in rest %}
    {%- if m.role != 'assistant' %}
        {{- said(m.role, m.content) }}
    {%- else %}
        {%- set thought, text = '', m.content %}
        {%- if m.reasoning_content is defined and m.reasoning_content is not none %}
            {%- set thought = m.reasoning_content %}
        {%- elif '</think>' in text %}
            {%- set thought = text.split('</think>')[0].rstrip('\n').split('<think>')[-1] %}
            {%- set thought = thought.lstrip('\n') %}
            {%- set text = text.split('</think>')[-1].lstrip('\n') %}
        {%- endif %}
        {%- if loop.index0 > last.question and (loop.last or thought) %}
            {%- set text = '<think>\n' + thought.strip('\n') + '\n</think>\n\n' + text %}
        {%- endif %}
        {%- for call in m.tool_calls or [] %}
            {%- set text = text + call.function.name %}
        {%- endfor %}
        {{- said('assistant', text) }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""
TOOL = {"type": "function", "function": {"name": "add", "description": "größer <&>"}}
CALL = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'
RESULT = "<tool_response>\n4\n</tool_response>"


def made(source: str = STEPS) -> ChatTemplate:
    controls = ["<|im_start|>", "<|im_end|>"]
    return ChatTemplate(source, controls=controls, roles={}, parted=None, must_mark=False)


def written(messages: list[Message], **wish: object) -> str:
    pieces = made().render(messages, add_generation_prompt=True, **wish)  # type: ignore[arg-type]
    return "".join(piece.text for piece in pieces)


def test_thoughts_are_kept_through_several_steps_with_tools_and_left_out_of_older_turns() -> None:
    conversation = [
        Message("system", "Be kind."),
        Message("user", "1+1?"),
        Message("assistant", "<think>\nold\n</think>\n\n2"),
        Message("user", "2+2?"),
        Message("assistant", CALL, "I shall add."),
        Message("user", RESULT),
    ]
    told = json.dumps(TOOL, ensure_ascii=False)
    assert written(conversation, tools=[TOOL]) == (
        f"<|im_start|>system\nBe kind.\n<tools>\n{told}\n</tools><|im_end|>\n"
        "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n"
        "<|im_start|>user\n2+2?<|im_end|>\n"
        f"<|im_start|>assistant\n<think>\nI shall add.\n</think>\n\n{CALL}<|im_end|>\n"
        f"<|im_start|>user\n{RESULT}<|im_end|>\n<|im_start|>assistant\n"
    )
    template = made()
    assert template.knows_tools
    assert template.knows_reasoning
    assert template.thinks


def test_thoughts_can_be_turned_off_where_the_template_asks_for_it() -> None:
    ask = [Message("user", "Hi")]
    assert made().options == {"enable_thinking"}
    plain = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert written(ask, options={"enable_thinking": True}) == plain == written(ask)
    assert written(ask, options={"enable_thinking": False}) == f"{plain}<think>\n\n</think>\n\n"
    for name in ("thinking", "messages", "tools", "namespace", "eos_token", "strftime_now"):
        with pytest.raises(RequestError, match="does not ask for this option"):
            written(ask, options={name: False})


def test_names_that_a_template_sets_itself_are_no_options_unless_it_asks_first() -> None:
    source = (
        "{% if date is not defined %}{% set date = 'May' %}{% endif %}{% for m in messages %}"
        "{% set word = m.content %}{{ word }}{% endfor %}{{ word }}{{ date }}"
    )
    assert made(source).options == {"date"}
    (piece,) = made(source).render([Message("user", "a")], options={"date": "June"})
    assert piece.text == "aJune"


def test_nobody_writes_control_tokens_by_an_option() -> None:
    template = made("{{ style }}{{ messages[0].content }}")
    pieces = template.render(
        [Message("user", "\ue000\ue001")], options={"style": "<|im_end|>\ue002"}
    )
    assert [(piece.text, piece.is_control) for piece in pieces] == [
        ("<|im_end|>\ue002\ue000\ue001", False)
    ]


def test_json_is_written_with_the_arguments_that_transformers_knows() -> None:
    source = (
        "{{ messages[0] | tojson(ensure_ascii=False) }}\n"
        "{{ messages[0] | tojson(separators=(',', ':'), sort_keys=True) }}"
    )
    (piece,) = made(source).render([Message("user", "é")])
    assert piece.text == '{"role": "user", "content": "é"}\n{"content":"é","role":"user"}'


@pytest.mark.parametrize("how", ["ensure_ascii=True", "separators=('x' * 99, ':')"])
def test_json_that_would_spell_marks_or_grow_without_end_is_refused(how: str) -> None:
    with pytest.raises(ConfigError, match=r"not supported|too long"):
        made(f"{{{{ messages | tojson({how}) }}}}").render([Message("user", "é")])


def test_the_date_is_there_for_templates_that_cannot_do_without() -> None:
    def day(source: str, *, has_clock: bool = True) -> str:
        now = (lambda: datetime(2026, 1, 2)) if has_clock else None
        template = ChatTemplate(source, must_mark=False, now=now)
        assert not template.options
        return template.render([Message("user", "x")])[0].text

    plain = "{% set today = strftime_now('%d %b %Y') %}{{ today }}"
    assert day(plain) == "02 Jan 2026"
    asked = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}2024{% endif %}"
    assert day(asked) == "2024"  # always the same, since the template knows what to do
    for source, has_clock in ((plain, False), ("{{ strftime_now('%Y' * 99) }}", True)):
        with pytest.raises(ConfigError, match="failed"):
            day(source, has_clock=has_clock)
