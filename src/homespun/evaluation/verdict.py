"""What the numbers mean, in plain words, and what to do next: rules with written thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Differences below this share of the compared number are called "about as good as".
TIE = 0.01
# A lead over the 5-gram from which a model is called clearly better.
CLEAR_LEAD = 0.10
# Gap of bits per byte between validation and training text, as a share of the training's, above
# which the model overfits (with intervals apart where there are any).
OVERFITTING_GAP = 0.10
# Shares of samples with a loop: below the first is good, above the second is bad.
FEW_LOOPS, MANY_LOOPS = 0.05, 0.20
# Characters in runs of 50 or more that stand in the training text.
SOME_COPYING, MUCH_COPYING = 0.05, 0.30
# Share of U+FFFD among the characters written.
BROKEN = 0.002
# Answers that stopped by themselves.
FINISHED = 0.9
# Fewer than this many items make a number a rough one.
FEW_SAMPLES, FEW_QUESTIONS, FEW_BYTES = 10, 20, 20_000


@dataclass(slots=True)
class _Findings:
    points: list[dict[str, str]] = field(default_factory=list)
    next: list[str] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)

    def add(self, kind: str, text: str, *, clause: str = "", advice: str = "") -> None:
        self.points.append({"kind": kind, "text": text})
        if clause:
            self.clauses.append(clause)
        if advice and advice not in self.next:
            self.next.append(advice)


def overfits(validation: Mapping[str, Any], train: Mapping[str, Any]) -> bool:
    """Whether validation text costs over a tenth more than training text, beyond chance."""
    gap = validation["bits_per_byte"] - train["bits_per_byte"]
    if not train["bytes"] or gap <= OVERFITTING_GAP * train["bits_per_byte"]:
        return False
    low, high = validation.get("interval"), train.get("interval")
    return not (low and high) or bool(low[0] > high[1])


def verdict(evaluation: Mapping[str, Any], baselines: Mapping[str, Any] | None) -> dict[str, Any]:
    """Judge a run by what was measured of it.

    Args:
        evaluation: eval.json (its own "verdict" is not needed).
        baselines: baselines.json; None leaves the comparison out and says so.

    Returns:
        `{"summary": one or two sentences, "points": [{"kind": "good" | "bad" | "note", "text"}],
        "next": [concrete steps, the most useful first]}`.
    """
    found = _Findings()
    overfitting = bool(evaluation["gap"]["overfitting"])
    _judge_language(found, evaluation, baselines, overfitting=overfitting)
    _judge_gap(found, evaluation)
    _judge_samples(found, evaluation["diversity"], evaluation["memorised"], overfitting=overfitting)
    if evaluation.get("chat"):
        _judge_chat(found, evaluation["chat"])
    validation = evaluation["validation"]
    if not validation.get("complete", True):
        found.add("note", f"In the time there was, {validation['bytes']:,} bytes were scored.")
    if validation["bytes"] < FEW_BYTES:
        found.add("note", f"{validation['bytes']:,} bytes are few: the numbers are rough.")
    if not found.next:
        found.next.append(
            "More minutes with a larger model (`--minutes`) is what helps next, and more text of "
            "the same kind."
        )
    summary = "; ".join(found.clauses) + "."
    return {"summary": summary[0].upper() + summary[1:], "points": found.points, "next": found.next}


def _judge_language(
    found: _Findings,
    evaluation: Mapping[str, Any],
    baselines: Mapping[str, Any] | None,
    *,
    overfitting: bool,
) -> None:
    own = evaluation["validation"]["bits_per_byte"]
    leads = _leads(evaluation, baselines)
    if not leads:
        found.add(
            "note",
            f"{own:.3f} bits per byte on validation text; there are no baselines to compare with.",
            clause=f"{own:.3f} bits per byte",
            advice="Measure the baselines too, so that the number can be judged.",
        )
        return
    ngram = next((name for name in leads if name.endswith("-gram")), next(iter(leads)))
    for name in sorted(leads, key=lambda name: (name != ngram, leads[name].other)):
        kind, outcome, amount = _outcome(name, leads[name])
        numbers = f"{own:.3f} against {leads[name].other:.3f} bits per byte"
        found.add(
            kind,
            f"{outcome[0].upper()}{outcome[1:]}{f': {amount}' if amount else ''} ({numbers}).",
            # The summary names the 5-gram, and whatever else the model loses to.
            clause=f"{outcome} ({amount})" if kind == "bad" else outcome if name == ngram else "",
        )
    if "unigram" in leads and leads["unigram"].lead <= 0:
        found.next.append(
            "It has learnt less than how often each token occurs: the training stopped far too "
            "early or went wrong. Look at the loss curve, and give it more minutes."
        )
    elif overfitting and leads[ngram].lead < CLEAR_LEAD:
        found.next.append(
            f"It is not clearly ahead of {_the(ngram)} and overfits: it needs more text."
        )
    elif leads[ngram].lead < CLEAR_LEAD:
        found.next.append(
            f"It is not clearly ahead of {_the(ngram)}: give it more minutes (`--minutes`)."
        )


@dataclass(frozen=True, slots=True)
class _Lead:
    """Share of a baseline's bits that the model saves, with its interval where known."""

    other: float
    lead: float
    low: float
    high: float


def _leads(evaluation: Mapping[str, Any], baselines: Mapping[str, Any] | None) -> dict[str, _Lead]:
    own = evaluation["validation"]["bits_per_byte"]
    leads: dict[str, _Lead] = {}
    for name, entry in evaluation["validation"].get("against", {}).items():
        low, high = entry.get("interval") or (entry["lead"],) * 2
        leads[name] = _Lead(entry["bits_per_byte"], entry["lead"], low, high)
    # Comparing part of the text with a baseline on all of it would not be fair.
    if baselines and evaluation["validation"].get("complete", True):
        for model in baselines["models"]:
            lead = 1 - own / max(model["bits_per_byte"], 1e-9)
            leads.setdefault(model["name"], _Lead(model["bits_per_byte"], lead, lead, lead))
    return leads


def _outcome(name: str, found: _Lead) -> tuple[str, str, str]:
    """Kind of point, what happened, and where that is bad by how much."""
    if abs(found.lead) <= TIE or found.low <= 0 <= found.high:
        return "note", f"is about as good as {_the(name)}", ""
    if found.lead > 0:
        return "good", f"beats {_the(name)} by {found.lead:.0%}", ""
    more = -found.lead
    amount = f"{more:.0%} worse" if more < 1 else f"{1 + more:.1f} times its bits"
    return "bad", f"does not beat {_the(name)}", amount


def _the(name: str) -> str:
    return name if name == "xz" else f"the {name}"


def _judge_gap(found: _Findings, evaluation: Mapping[str, Any]) -> None:
    share = evaluation["gap"]["bits_per_byte"] / max(evaluation["train"]["bits_per_byte"], 1e-9)
    costs = f"unseen text costs {abs(share):.0%} {'more' if share >= 0 else 'less'} than training"
    if evaluation["gap"]["overfitting"]:
        found.add(
            "bad",
            f"Overfits: {costs} text.",
            clause=f"overfits ({costs} text)",
            advice="Give it more text, or fewer passes: a smaller model or fewer minutes.",
        )
    elif any(point["kind"] == "good" for point in found.points) or not any(
        point["kind"] == "bad" for point in found.points
    ):
        found.add("good", f"Does not overfit: {costs} text.", clause="not overfitting")
    else:
        # Not praise where the model has beaten nothing yet: it has hardly learnt its text.
        found.add("note", f"Does not overfit, but has yet to learn its text: {costs} text.")


def _judge_samples(
    found: _Findings,
    diversity: Mapping[str, Any],
    memorised: Mapping[str, Any],
    *,
    overfitting: bool,
) -> None:
    loops = diversity["repeating_samples"]
    number = diversity["num_samples"]
    if number < FEW_SAMPLES:
        found.add(
            "note", f"{_count(number, 'sample')} in the time there was: too few to judge its text."
        )
        return
    text = f"{loops:.0%} of {number} samples repeat themselves."
    clause = f"repeats itself in {loops:.0%} of samples"
    if loops > MANY_LOOPS:
        found.add(
            "bad",
            text,
            clause=clause,
            advice="Against loops: a higher temperature or a repetition penalty of 1.1; "
            "more training helps too.",
        )
    else:
        found.add("good" if loops <= FEW_LOOPS else "note", text, clause=clause)
    broken = diversity.get("broken_characters", 0.0)
    if broken > BROKEN:
        found.add(
            "bad",
            f"{broken:.1%} of the characters it writes are broken UTF-8.",
            clause=f"{broken:.1%} broken characters",
            advice="Broken characters go away with more training; a larger vocabulary splits "
            "fewer characters.",
        )
    _judge_copies(found, memorised, overfitting=overfitting)


def _judge_copies(found: _Findings, memorised: Mapping[str, Any], *, overfitting: bool) -> None:
    share = memorised["share_copied_50"]
    longest = memorised["longest_copied_characters"]
    text = (
        f"{share:.0%} of what it writes stands in runs of 50 or more characters copied from the "
        f"training text; the longest is {longest} characters."
    )
    if share > MUCH_COPYING:
        found.add(
            "bad",
            text,
            clause=f"copies {share:.0%} of its text from the training text",
            advice="It recites: give it more text, remove duplicates, or train fewer passes.",
        )
    else:
        found.add("note" if share > SOME_COPYING else "good", text)
    if not memorised.get("complete", True):
        megabytes = memorised["searched_bytes"] / 1e6
        found.add("note", f"Only {megabytes:.0f} MB of training text were searched for copies.")
    if overfitting and share <= SOME_COPYING:
        found.add("note", "It overfits without reciting: the gap is in the numbers, not the text.")


def _judge_chat(found: _Findings, chat: Mapping[str, Any]) -> None:
    number = chat["num_questions"]
    own, nearest = chat["rouge_l"], chat["rouge_l_nearest_question"]
    interval = chat.get("interval")
    if number < FEW_QUESTIONS or not interval:
        asked = _count(number, "chat question")
        found.add("note", f"{asked} in the time there was: too few to judge its answers.")
        return
    numbers = f"ROUGE-L {own:.2f} against {nearest:.2f} on {number} unseen conversations"
    if interval[0] <= nearest <= interval[1]:
        found.add(
            "note",
            f"Answers about as well as looking up the nearest training question ({numbers}).",
            clause="answers about as well as a nearest-question search",
        )
    elif own > nearest:
        found.add(
            "good",
            f"Answers better than looking up the nearest training question ({numbers}).",
            clause="answers better than a nearest-question search",
        )
    else:
        found.add(
            "bad",
            f"Answers worse than looking up the nearest training question ({numbers}).",
            clause="answers worse than a nearest-question search",
            advice="Its answers are those of a small model: give the chat stage more "
            "conversations, or the whole run more minutes.",
        )
    finished = chat.get("finished_answers", 1.0)
    if finished < FINISHED:
        found.add(
            "bad",
            f"Only {finished:.0%} of its answers end by themselves.",
            advice="Answers that do not end: train the chat stage longer.",
        )
    if chat.get("seen_questions", 0.0) > 0.1:
        found.add(
            "note",
            f"{chat['seen_questions']:.0%} of the validation questions also stand in the training "
            "conversations, which favours the search.",
        )


def _count(number: int, noun: str) -> str:
    return f"{number or 'No'} {noun}{'' if number == 1 else 's'}"
