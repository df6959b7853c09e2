import time

import numpy as np
import pytest
import torch

from homespun.core import Conversation, Message, SamplingSettings
from homespun.evaluation import answer_loss, evaluate_chat
from homespun.evaluation.bits_per_byte import evaluating
from homespun.evaluation.chat_eval import NearestQuestion, RougeL, question_of

SETTINGS = SamplingSettings(temperature=0.0)


def talk(*contents: str, category: str = "") -> Conversation:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[i % 2], content) for i, content in enumerate(contents))
    return Conversation(messages, category=category)


TRAINING = [
    talk("How do I open a file?", "Use open(path)."),
    talk("What is a list?", "A list holds items in order.", "And a set?", "A set has no order."),
    talk("怎么打开文件？", "用 open 函数。"),
]


def test_the_question_is_the_last_exchange_with_all_before_it() -> None:
    question = question_of(talk("a", "b", "c", "d", category="x"))
    assert question is not None
    assert [m.content for m in question.prompt] == ["a", "b", "c"]
    assert (question.text, question.reference, question.category) == ("c", "d", "x")
    assert question_of(talk("only a question")) is None
    unanswered = question_of(talk("a", "b", "c"))
    assert unanswered is not None
    assert unanswered.text == "a"


def test_rouge_counts_chinese_characters() -> None:
    rouge = RougeL()
    assert rouge("用 open 函数。", "用 open 函数") == 1.0
    # 3 of 4 units of the reference, 3 of 5 of the answer: F = 2PR/(P+R).
    assert rouge("你好世界", "你好大世间") == pytest.approx(2 * 0.6 * 0.75 / 1.35)
    assert rouge("abc", "") == 0.0


def test_the_nearest_question_knows_every_exchange() -> None:
    nearest = NearestQuestion(TRAINING)
    assert nearest.answer("What is a list?\nand what about a set?") == "A set has no order."
    assert nearest.answer("请问怎么打开文件") == "用 open 函数。"
    assert nearest.has_seen("  what  is a LIST ")
    assert nearest.has_seen("what is a list\nAnd a set")
    assert not nearest.has_seen("And a set?")
    assert not nearest.has_seen("what is a tuple?")
    assert NearestQuestion([]).answer("x") == ""


def test_the_search_sees_the_turns_the_model_sees(byte_tokenizer, make_parrot) -> None:
    training = [
        talk("Tell me about cats.", "They purr.", "How long do they live?", "Fifteen years."),
        talk("Tell me about flies.", "They buzz.", "How long do they live?", "A month."),
    ]
    question = question_of(
        talk("Tell me about flies!", "Gladly.", "How long do they live?", "A month.")
    )
    assert question is not None
    assert question.asked == "Tell me about flies!\nHow long do they live?"
    found = evaluate_chat(
        make_parrot("x"), byte_tokenizer, [question], NearestQuestion(training), settings=SETTINGS
    )
    assert found["examples"][0]["nearest"] == "A month."
    assert found["seen_questions"] == 1.0  # marks at the end of a line aside


def test_questions_about_the_model_have_means_of_their_own(byte_tokenizer, make_parrot) -> None:
    questions = [
        question_of(talk("Who are you?", "A small model.", category="identity.name")),
        question_of(talk("What is a tuple?", "A fixed list.", category="types")),
    ]
    nearest = NearestQuestion([])
    parrot = make_parrot("A small model.", "No idea")
    found = evaluate_chat(parrot, byte_tokenizer, questions, nearest, settings=SETTINGS)
    assert (found["rouge_l"], found["num_questions"]) == (0.0, 1)
    assert (found["identity"]["rouge_l"], found["identity"]["num_questions"]) == (1.0, 1)
    assert not found["only_identity"]
    only = evaluate_chat(
        make_parrot("x"), byte_tokenizer, questions[:1], nearest, settings=SETTINGS
    )
    assert only["only_identity"]
    assert only["num_questions"] == 1


def test_the_difference_to_the_search_is_paired(byte_tokenizer, make_parrot) -> None:
    """Hard and easy questions widen both means, and leave the difference alone."""
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    training = [talk(f"say {word} {n}", " ".join(words[:n])) for word in words for n in range(1, 9)]
    questions = [
        question_of(talk(f"say {word} 1 {n}", " ".join(words))) for word in words for n in (2, 8)
    ]
    nearest = NearestQuestion(training)
    answers = [nearest.answer(question.asked) for question in questions]
    found = evaluate_chat(
        make_parrot(*answers), byte_tokenizer, questions, nearest, settings=SETTINGS
    )
    assert found["difference"] == 0.0
    assert found["difference_interval"] == [0.0, 0.0]
    assert found["interval"][1] >= found["interval"][0]


def test_answer_loss_is_that_of_the_assistants_tokens(wide_decoder, byte_tokenizer) -> None:
    conversations = [talk("Hi", "Yo", "是", "好"), talk("Bye", "So soon?")]
    with evaluating(wide_decoder):
        loss = answer_loss(wide_decoder, byte_tokenizer, conversations)
    expected = 0.0
    num_targets = 0
    for conversation in conversations:
        chat = byte_tokenizer.encode_chat(conversation.messages)
        assert len(chat.ids) <= wide_decoder.context
        for place in np.flatnonzero(chat.is_target):
            with torch.no_grad():
                hidden = wide_decoder(torch.tensor([chat.ids[:place]]))
                logits_V = wide_decoder.head(hidden)[0, -1]
            expected -= float(logits_V.log_softmax(-1)[chat.ids[place]])
            num_targets += 1
    assert loss.nats == pytest.approx(expected, rel=1e-5)
    assert loss.num_targets == num_targets
    assert loss.num_bytes == len("Yo好So soon?".encode())
    assert loss.num_conversations == 2


def test_conversations_beyond_the_context_count_every_answer_token(
    tiny_decoder, byte_tokenizer
) -> None:
    conversation = talk("A question of some length?", "An answer of some length.")
    loss = answer_loss(tiny_decoder, byte_tokenizer, [conversation, talk("unanswered")])
    chat = byte_tokenizer.encode_chat(conversation.messages)
    assert len(chat.ids) > tiny_decoder.context + 1
    assert loss.num_targets == sum(chat.is_target)
    assert loss.nats > 0
    assert loss.num_conversations == 2


def test_answer_loss_stops_with_the_time(tiny_decoder, byte_tokenizer) -> None:
    conversations = [talk("Hi", "Yo")] * 100
    loss = answer_loss(tiny_decoder, byte_tokenizer, conversations, deadline=time.monotonic() - 1)
    assert 0 < loss.num_conversations < 100
    assert answer_loss(tiny_decoder, byte_tokenizer, []).num_targets == 0


def test_answers_are_compared_with_the_references_and_the_search(
    byte_tokenizer, make_parrot
) -> None:
    questions = [
        question_of(talk("How do I open this file?", "Use open(path).", category="files")),
        question_of(talk("What is a tuple?", "A fixed list.", category="types")),
    ]
    parrot = make_parrot(" Use open(path).", "No idea")
    found = evaluate_chat(
        parrot, byte_tokenizer, questions, NearestQuestion(TRAINING), settings=SETTINGS
    )
    assert found["num_questions"] == 2
    assert found["by_category"]["files"]["rouge_l"] == 1.0
    assert found["by_category"]["files"]["rouge_l_nearest_question"] == 1.0
    assert found["by_category"]["types"]["rouge_l"] == 0.0
    assert found["rouge_l"] == 0.5
    assert found["exact_answers"] == found["exact_answers_nearest_question"] == 0.5
    assert found["finished_answers"] == 1.0
    assert found["interval"] is None
    example = found["examples"][0]
    assert example["answer"] == "Use open(path)."
    assert example["nearest"] == "Use open(path)."
    prompt = byte_tokenizer.encode_chat(questions[0].prompt, add_generation_prompt=True)
    assert parrot.prompts[0] == list(prompt.ids)


def test_examples_take_turns_over_the_categories(byte_tokenizer, make_parrot) -> None:
    questions = [
        question_of(talk(f"q{i}", "r", category=category))
        for i, category in enumerate(["a", "a", "a", "b", "c"])
    ]
    found = evaluate_chat(
        make_parrot("x"),
        byte_tokenizer,
        questions,
        NearestQuestion([]),
        settings=SETTINGS,
        num_examples=4,
    )
    assert [example["category"] for example in found["examples"]] == ["a", "b", "c", "a"]


def test_questions_stop_with_the_time_and_long_ones_are_counted(
    byte_tokenizer, make_parrot
) -> None:
    questions = [question_of(talk("q" * length, "r")) for length in (5000, 2, 2)]
    found = evaluate_chat(
        make_parrot("x", window=1000),
        byte_tokenizer,
        questions,
        NearestQuestion([]),
        settings=SETTINGS,
        deadline=time.monotonic() - 1,
    )
    assert found["num_too_long"] == 1
    assert found["num_questions"] == 1
    nothing = evaluate_chat(
        make_parrot("x"), byte_tokenizer, [], NearestQuestion([]), settings=SETTINGS
    )
    assert nothing["num_questions"] == 0
    assert np.isfinite(nothing["rouge_l"])
