"""The verdict on chat answers: against looking up the nearest question, and what to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homespun.evaluation.findings import Findings, count, share_of

# Fewer questions than this make a number a rough one.
FEW_QUESTIONS = 20
# Answers that stopped by themselves.
FINISHED = 0.9
# Share of questions that stand in the training conversations from which it is said.
SEEN = 0.01


def judge_chat(found: Findings, chat: Mapping[str, Any]) -> None:
    number = chat["num_questions"]
    own, nearest = chat["rouge_l"], chat["rouge_l_nearest_question"]
    paired = chat.get("difference_interval")
    too_long = chat.get("num_too_long", 0)
    if too_long:
        found.add("note", f"Left out as too long for the model: {count(too_long, 'question')}.")
    if number < FEW_QUESTIONS or not paired:
        asked = count(number, "chat question")
        found.add(
            "note",
            f"{asked} in the time there was: too few to judge its answers.",
            section="chat",
        )
        return
    what = "questions about itself" if chat.get("only_identity") else "held-out questions"
    numbers = (
        f"ROUGE-L {own:.2f} against {nearest:.2f} on {number} {what}, "
        f"a difference of {paired[0]:.2f} to {paired[1]:.2f} with 95% confidence"
    )
    search = "looking up the nearest training question"
    if paired[0] > 0:
        found.add(
            "good",
            f"Its answers are nearer to the references than those of {search} ({numbers}).",
            clause="comes nearer to the reference answers than a nearest-question search",
            section="chat",
        )
    elif paired[1] < 0:
        found.add(
            "bad",
            f"Its answers are further from the references than those of {search} ({numbers}).",
            clause="stays further from the reference answers than a nearest-question search",
            advice="Its answers are those of a small model: give the chat stage more "
            "conversations, or the whole run more minutes.",
            section="chat",
        )
    else:
        found.add(
            "note",
            f"Whether its answers are nearer to the references than those of {search} cannot be "
            f"told ({numbers}).",
            clause="is not shown to answer better than a nearest-question search",
            section="chat",
        )
    exact, searched = chat.get("exact_answers"), chat.get("exact_answers_nearest_question")
    alike = (
        f"{share_of(exact)} of its answers {'is' if exact < 0.005 else 'are'} the reference word "
        f"for word (looking up: {searched:.0%}). "
        if exact is not None and searched is not None
        else ""
    )
    found.add(
        "note",
        f"{alike}ROUGE-L counts words in common, those that only repeat the question among them; "
        "it does not say that an answer is true.",
    )
    _judge_questions(found, chat)


def _judge_questions(found: Findings, chat: Mapping[str, Any]) -> None:
    """What has to be known of the questions to read the number above, and whether answers end."""
    finished = chat.get("finished_answers", 1.0)
    if finished < FINISHED:
        found.add(
            "bad",
            f"Only {finished:.0%} of its answers end by themselves."
            if finished
            else "None of its answers ended by itself.",
            advice="Answers that do not end: train the chat stage longer.",
        )
    seen = chat.get("seen_questions", 0.0)
    if seen >= SEEN:
        found.add(
            "note",
            f"{seen:.0%} of these questions also stand in the training conversations: the model "
            "was trained on their answers and the search finds them word for word, so both "
            "numbers are higher than for new questions.",
        )
    if any(name.startswith("python.") for name in chat.get("by_category", {})):
        found.add(
            "note",
            "The functions asked about were held out of the fine-tuning only; their documentation "
            "may have been read in pretraining.",
        )
    identity = chat.get("identity") or {}
    if identity.get("num_questions") and not chat.get("only_identity"):
        found.add(
            "note",
            f"{count(identity['num_questions'], 'question')} about the model itself "
            f"{'is' if identity['num_questions'] == 1 else 'are'} not counted there: "
            f"ROUGE-L {identity['rouge_l']:.2f} against "
            f"{identity['rouge_l_nearest_question']:.2f}.",
        )
