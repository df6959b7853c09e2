"""A conversation stays within the window, remembers what fits, and says what it dropped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
from inference_fakes import FakeTokenizer, SayingO

from homespun.core import Message, RequestError, SamplingSettings
from homespun.inference import ChatSession, Engine

TOKENIZER = FakeTokenizer()
SHORT = SamplingSettings(max_tokens=6, temperature=0.0)


def session(context: int = 64, system: str | None = None) -> ChatSession:
    engine = Engine(SayingO(TOKENIZER.vocab_size, context=64), TOKENIZER)
    return ChatSession(engine, TOKENIZER, context=context, system=system)


def say(chat: ChatSession, text: str, settings: SamplingSettings = SHORT) -> str:
    return "".join(chat.ask(text, settings))


def test_a_turn_is_remembered_and_shown_to_the_model() -> None:
    chat = session(system="be kind")
    answer = say(chat, "hello")
    assert chat.messages == [
        Message("system", "be kind"),
        Message("user", "hello"),
        Message("assistant", answer),
    ]
    say(chat, "again")
    assert chat.last is not None
    prompt = [*chat.messages[:3], Message("user", "again")]
    expected = TOKENIZER.encode_chat(prompt, add_generation_prompt=True)
    assert chat.last.num_prompt_tokens == len(expected.ids)


def test_the_template_is_given_the_values_that_it_asks_for() -> None:
    class Asking(FakeTokenizer):
        asked: ClassVar[list[object]] = []

        def encode_chat(self, messages: Any, *, options: object = None, **more: Any) -> Any:
            self.asked.append(options)
            return super().encode_chat(messages, **more)

    tokenizer = Asking()
    engine = Engine(SayingO(tokenizer.vocab_size, context=64), tokenizer)
    chosen: dict[str, bool | str] = {"enable_thinking": False}
    say(ChatSession(engine, tokenizer, context=64, options=chosen), "hello")
    say(ChatSession(engine, tokenizer, context=64), "hello")
    assert Asking.asked == [chosen, None]


def test_the_oldest_turns_are_dropped_to_fit_and_told() -> None:
    # The system message takes 3 tokens, a turn 12 + 8, the last question 12 and a marker, and 6 are
    # reserved for the answer: one turn beside the question fits 50, two do not.
    chat = session(context=50, system="s")
    notices = []
    for number in range(4):
        assert say(chat, f"question {number}") == "oooooo"
        notices.append(chat.notice)
    told = "dropped the oldest turn to fit 50 tokens"
    assert notices == ["", "", told, told]
    assert chat.dropped_turns == 2
    assert [m.content for m in chat.messages if m.role == "user"] == ["question 2", "question 3"]
    assert chat.messages[0] == Message("system", "s")


def test_several_turns_dropped_at_once_are_counted() -> None:
    chat = session(context=64)
    one = replace(SHORT, max_tokens=1)
    for _ in range(3):
        say(chat, "a", one)
    say(chat, "b" * 58, one)
    assert chat.dropped_turns == 3
    assert chat.notice == "dropped the 3 oldest turns to fit 64 tokens"


def test_a_message_that_alone_does_not_fit_is_refused_and_nothing_is_lost() -> None:
    chat = session(context=40)
    say(chat, "hello")
    before = chat.messages
    with pytest.raises(RequestError, match=r"63 tokens.*40 tokens"):
        chat.ask("x" * 60, SHORT)
    assert chat.messages == before
    assert chat.dropped_turns == 0


def test_a_system_prompt_that_is_too_long_is_named() -> None:
    with pytest.raises(RequestError, match="the system prompt and the message take 66 tokens"):
        session(context=40, system="s" * 59).ask("hi", SHORT)


def test_wrong_settings_are_refused_and_nothing_is_lost() -> None:
    chat = session()
    say(chat, "hello")
    with pytest.raises(RequestError, match="max_tokens"):
        chat.ask("more", replace(SHORT, max_tokens=0))
    assert len(chat.messages) == 2


def test_a_message_that_nearly_fills_the_window_gets_what_room_there_is() -> None:
    chat = session(context=40)
    say(chat, "x" * 34, replace(SHORT, max_tokens=30))
    assert chat.last is not None
    assert chat.last.num_prompt_tokens == 37
    assert len(chat.last.token_ids) <= 3


def test_the_answer_stays_within_the_context_even_if_the_model_has_more() -> None:
    chat = session(context=20)
    say(chat, "hi", replace(SHORT, max_tokens=60))
    assert chat.last is not None
    assert chat.last.num_prompt_tokens + len(chat.last.token_ids) <= 20


def test_undo_and_reset() -> None:
    chat = session(system="s")
    assert not chat.undo()
    say(chat, "one")
    say(chat, "two")
    assert chat.undo()
    assert [m.content for m in chat.messages if m.role == "user"] == ["one"]
    chat.reset()
    assert chat.messages == [Message("system", "s")]
    assert chat.last is None


def test_an_answer_cut_short_is_kept_as_far_as_it_was_said() -> None:
    chat = session()
    pieces = chat.ask("hello", replace(SHORT, max_tokens=30, temperature=1.0, top_p=1.0))
    first = next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert chat.last is not None
    assert chat.last.finish_reason == "cancelled"
    assert chat.messages[-1].content.startswith(first)


def test_the_same_question_after_a_reset_gives_the_same_answer() -> None:
    chat = session()
    answer = say(chat, "hello")
    say(chat, "and now")
    chat.reset()
    assert say(chat, "hello") == answer
