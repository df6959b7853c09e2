from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.core import ConfigError, Message, RequestError
from homespun.tokenizer import (
    SPECIAL_TOKENS,
    ChatTemplate,
    TokenizerConfig,
    default_chat_template,
    train_tokenizer,
)

ASK = Message("user", "Hello?")
ANSWER = Message("assistant", "Yes.")
INSTRUCT = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content | trim }}{{ eos_token }}{% endgeneration %}\n"
    "{% else %}### {{ m.role }}: {{ m.content | trim }}\n{% endif %}{% endfor %}"
)


def texts(template: str, messages: list[Message], **options: bool) -> list[str]:
    return [piece.text for piece in ChatTemplate(template).render(messages, **options)]


def test_the_default_template_writes_chatml() -> None:
    written = "".join(
        texts(default_chat_template(), [ASK, ANSWER, ASK], add_generation_prompt=True)
    )
    assert written == (
        "<|im_start|>user\nHello?<|im_end|>\n"
        "<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nHello?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_answers_and_their_ends_are_targets() -> None:
    pieces = ChatTemplate(default_chat_template()).render([ASK, ANSWER, ASK, ANSWER])
    assert [p.text for p in pieces if p.is_target] == ["Yes.", "<|im_end|>"] * 2


def test_a_template_of_ones_own_decides_the_text_and_the_mask() -> None:
    pieces = ChatTemplate(INSTRUCT).render([Message("user", " Hello? "), ANSWER])
    assert [tuple(piece) for piece in pieces] == [
        ("<|endoftext|>", True, False),
        ("### user: Hello?\n", False, False),
        ("Yes.", False, True),
        ("<|im_end|>", True, True),
    ]


@pytest.mark.parametrize("control", SPECIAL_TOKENS)
@pytest.mark.parametrize("template", [default_chat_template(), INSTRUCT])
def test_control_strings_in_messages_stay_text(control: str, template: str) -> None:
    content = f"a{control}b <|im_ {control[:-2]}"
    pieces = ChatTemplate(template).render([Message("user", content), Message("assistant", "x")])
    assert content in "".join(piece.text for piece in pieces if not piece.is_control)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(
            st.sampled_from(["<|", "|>", "im_end", "<|im_end|>", "|", "<", ">", "\ue000", "\ue001"])
        ),
        min_size=2,
        max_size=2,
    )
)
def test_messages_side_by_side_cannot_join_to_a_control_token(parts: list[list[str]]) -> None:
    first, second = ("".join(part) for part in parts)
    joined = "{% for m in messages %}{{ m.content }}{% endfor %}{% generation %}{% endgeneration %}"
    pieces = ChatTemplate(joined).render([Message("user", first), Message("user", second)])
    assert not any(piece.is_control for piece in pieces)
    assert "".join(piece.text for piece in pieces) == first + second


def test_messages_that_use_private_characters_come_through() -> None:
    content = "".join(map(chr, range(0xE000, 0xE100))) + "<|im_end|>"
    assert content in "".join(texts(default_chat_template(), [Message("user", content)]))


def test_a_message_of_all_private_characters_is_refused() -> None:
    content = "".join(map(chr, range(0xE000, 0xF900)))
    with pytest.raises(RequestError, match="every private-use character"):
        texts(default_chat_template(), [Message("user", content)])


def test_control_strings_stay_text_through_json() -> None:
    template = "{{ messages[0].content | tojson }}{% generation %}{% endgeneration %}"
    assert texts(template, [Message("user", "你 <|im_end|>")]) == ['"你 <|im_end|>"']


def test_jinja_inside_a_message_is_text() -> None:
    content = "{{ 1 + 1 }} {% generation %}"
    assert content in "".join(texts(default_chat_template(), [Message("user", content)]))


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{% for %}", "not valid Jinja: line 1"),
        ("{% generation %}", "not valid Jinja"),
        ("{{ messages }}", "does not say what the model is trained"),
        (
            "{% macro m() %}{{ caller() }}{% endmacro %}{% call m() %}{% endcall %}",
            "does not say what the model is trained",
        ),
    ],
)
def test_a_template_that_cannot_work_is_refused(template: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ChatTemplate(template)


@pytest.mark.parametrize(
    "body",
    [
        "{{ raise_exception('no system messages') }}",
        "{{ messages[9].content.x }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ 1 / 0 }}",
        "{% generation %}{% generation %}{% endgeneration %}{% endgeneration %}",
    ],
)
def test_a_template_that_fails_or_misbehaves_is_reported(body: str) -> None:
    template = ChatTemplate(body + "{% generation %}{% endgeneration %}")
    with pytest.raises(ConfigError):
        template.render([ASK])


def test_a_template_of_ones_own_is_kept_in_the_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from homespun.tokenizer import load_tokenizer

    train_tokenizer([], config=TokenizerConfig(chat_template=INSTRUCT)).save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.chat_template == INSTRUCT
    assert loaded.encode_chat([ASK, ANSWER]).ids[0] == loaded.end_of_text_id


TOOLS_TEMPLATE = """\
{%- if tools -%}{{ tools | tojson }}{%- endif -%}
{%- for message in messages -%}<|im_start|>{{ message.content }}<|im_end|>{%- endfor -%}
"""


def test_a_template_that_knows_tools_writes_them_and_nobody_writes_controls_into_them() -> None:
    template = ChatTemplate(TOOLS_TEMPLATE, must_mark=False)
    assert template.knows_tools
    assert not ChatTemplate(default_chat_template()).knows_tools
    tool = {"name": "a<|im_end|>b", "parameters": {"<|im_start|>": ["<|endoftext|>", 1, None]}}
    pieces = template.render([Message("user", "hi")], tools=[tool])
    assert [piece.text for piece in pieces if piece.is_control] == ["<|im_start|>", "<|im_end|>"]
    assert json.loads(pieces[0].text) == [tool]


@pytest.mark.parametrize(
    "bomb",
    [
        "{% for i in range(10**9) %}x{% endfor %}",
        "{{ ''.__class__.__mro__ }}",
        "{{ cycler.x() }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}"
        "{{ m(99) }}",
        "{% set t = namespace(x='ab') %}"
        "{% for i in range(60) %}{% set t.x = t.x ~ t.x %}{% endfor %}",
        "{% set t = namespace(x='ab') %}"
        "{% for i in range(60) %}{% set t.x = t.x + t.x %}{% endfor %}",
        "{% set t = namespace(x='aa') %}"
        "{% for i in range(60) %}{% set t.x = t.x.replace('a', 'aa') %}{% endfor %}",
        "{% set t = namespace(x='aa') %}"
        "{% for i in range(60) %}{% set t.x = t.x.join([t.x, t.x]) %}{% endfor %}",
        "{{ ('x' * 9999) | replace('x', 'y' * 9999) }}",
        "{{ range(9999) | join('x' * 9999) }}",
        "{{ ('%s' * 9999) % (('x' * 9999,) * 9999) }}",
        "{{ ('{0}' * 9999).format('x' * 9999) }}",
        "{{ ('\\t' * 9999).expandtabs(9999) }}",
        "{{ 'x'.translate({120: 'y'}) }}",
        "{{ messages | tojson(indent=10**9) }}",
        "{{ lipsum(n=10**6) }}",
        "{% set x = 'x' * 9999999 %}{% for i in range(9999) %}{{ x }}{% endfor %}",
        "{% set t = namespace(l=[]) %}"
        "{% for i in range(9999) %}{% set t.l = t.l + ['x'.ljust(9999999)] %}{% endfor %}",
        "{% for i in range(99999) %}" + "x" * 9999 + "{% endfor %}",
        "{{ 'x' * 10**8 }}",
        "{{ 10**8 * [1] }}",
        "{{ 9 ** (9 ** 9) }}",
        "{{ 'x'.ljust(10**8) }}",
        "{{ '%100000000d' % 1 }}",
        "{{ '%*d' % (10**8, 1) }}",
        "{{ '{:100000000}'.format(1) }}",
        "{% set count_round = 1 %}{% for i in range(9999) %}{% for j in range(9999) %}"
        "{% endfor %}{% endfor %}",
    ],
)
def test_a_template_that_means_harm_fails_at_once(bomb: str) -> None:
    template = ChatTemplate(bomb, must_mark=False)
    with pytest.raises(ConfigError, match="failed"):
        template.render([Message("user", "hi")])


@pytest.mark.parametrize("name", ["batch", "center", "format", "indent", "slice", "wordwrap"])
def test_filters_that_make_as_much_as_they_are_told_are_not_there(name: str) -> None:
    with pytest.raises(ConfigError, match=f"No filter named '{name}'"):
        ChatTemplate("{{ 'x' | " + name + "(10**9) }}", must_mark=False)


def test_what_harmless_templates_do_is_not_refused() -> None:
    body = (
        "{% macro twice(t) %}{{ t ~ t }}{% endmacro %}"
        "{% for m in messages %}{{ loop.index * 2 + 1 }}{{ twice(m.content) }}{{ '-' * 3 }}"
        "{{ '%02d' % 7 }}{{ m.content.replace('i', 'o') }}{{ 2 ** 10 % 7 }}{% endfor %}"
        "{{ messages | map(attribute='role') | join(', ') }}{{ messages | join('', 'content') }}"
        "{{ [1, 'b'] | tojson }}{{ 'abc' | replace('b', '') }}{{ 'x{}'.format(3) }}{{ true }}"
    )
    template = ChatTemplate(body, must_mark=False)
    for _ in range(3):  # rounds are counted for each conversation
        (piece,) = template.render([Message("user", "hi")])
        assert piece.text == '3hihi---07ho2userhi[1, "b"]acx3True'


THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' }}"
    "{% if m.role == 'assistant' %}{% generation %}"
    "{% if m.reasoning_content is string %}"
    "{{ '<think>\n' ~ m.reasoning_content ~ '\n</think>\n\n' }}{% endif %}"
    "{{ m.content ~ '<|im_end|>' }}{% endgeneration %}{% else %}"
    "{{ m.content ~ '<|im_end|>' }}{% endif %}{% endfor %}"
)


def test_a_template_that_speaks_of_thoughts_is_told_them_and_nobody_writes_controls_there() -> None:
    template = ChatTemplate(THINKING)
    assert template.knows_reasoning
    assert template.thinks
    plain = ChatTemplate(default_chat_template())
    assert not plain.knows_reasoning
    assert not plain.thinks
    by_item = THINKING.replace("m.reasoning_content", "m['reasoning_content']")
    assert ChatTemplate(by_item).knows_reasoning
    pieces = template.render([ASK, Message("assistant", "Yes.", "想<|im_end|>"), ASK, ANSWER])
    assert "".join(piece.text for piece in pieces) == (
        "<|im_start|>user\nHello?<|im_end|>"
        "<|im_start|>assistant\n<think>\n想<|im_end|>\n</think>\n\nYes.<|im_end|>"
        "<|im_start|>user\nHello?<|im_end|><|im_start|>assistant\nYes.<|im_end|>"
    )
    assert sum(piece.text == "<|im_end|>" and piece.is_control for piece in pieces) == 4
    for message in (Message("assistant", "Yes.", "想"), ANSWER):
        same = [list(plain.render([ASK, one])) for one in (message, ANSWER)]
        assert same[0] == same[1]
