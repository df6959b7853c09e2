"""What the numbers mean, in plain words, and what to do next: rules with written thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from homespun.evaluation.chat_verdict import judge_chat
from homespun.evaluation.findings import Findings, and_list, count, share_of, the_name
from homespun.evaluation.intervals import difference_interval

# Differences below this share of the compared number are called "about as good as".
TIE = 0.01
# A lead over the 5-gram from which a model is called clearly better.
CLEAR_LEAD = 0.10
# Bits per byte that validation text costs more than training text, as a share of the latter's:
# above the first the model overfits (where the intervals are apart too), below the second it does
# as well on both.
OVERFITTING_GAP, TINY_GAP = 0.10, 0.02
# Shares of samples with a loop: below the first is good, above the second is bad.
FEW_LOOPS, MANY_LOOPS = 0.05, 0.20
# Share of characters in passages of 50 or more (25 Chinese ones) that stand in the training text.
SOME_COPYING, MUCH_COPYING = 0.05, 0.30
# Share of U+FFFD among the characters written.
BROKEN = 0.002
# Fewer than this many items make a number a rough one.
FEW_SAMPLES, FEW_BYTES = 10, 20_000
_TOO_LITTLE = " There is too little text to say how much of that may be chance."


Outcome = Literal["overfits", "not yet", "unclear", "does not"]


def gap(
    validation: Mapping[str, Any],
    train: Mapping[str, Any],
    *,
    same_mix: bool = True,
    is_counted: bool = False,
    lowest_last: bool | None = None,
) -> dict[str, Any]:
    """The "gap" entry of eval.json: what unseen text costs more than training text.

    `share` is the gap over the training text's bits per byte. It `overfits` where that is over a
    tenth and the intervals are apart, and `not yet` where for all that the loss on held-out text
    fell until training ended (`lowest_last`; None where nobody looked): every model
    that reads a text again knows it better than others, and that alone makes it no worse. With
    intervals that overlap it is `unclear`, as it is where the two texts are not of the `same_mix`
    of languages. Without intervals (too little text of one of them) the tenth alone decides.
    `interval` is that of the gap in bits. Where an n-gram table beside the model has counted the
    training text (`is_counted`), there is no share: the table alone makes that text easy, however
    little the network has learnt by heart.
    """
    bits = validation["bits_per_byte"] - train["bits_per_byte"]
    share = bits / train["bits_per_byte"] if train["bytes"] and train["bits_per_byte"] else None
    if is_counted:
        share = None
    own, other = validation.get("interval"), train.get("interval")
    around = difference_interval(validation["bits_per_byte"], own, train["bits_per_byte"], other)
    outcome: Outcome = "overfits"
    if share is None or not same_mix:
        outcome = "unclear"
    elif share <= OVERFITTING_GAP:
        outcome = "does not"
    elif own and other and own[0] <= other[1]:
        outcome = "unclear"
    elif lowest_last:
        outcome = "not yet"
    return {
        "bits_per_byte": bits,
        "interval": None if around is None else list(around),
        "share": share,
        "outcome": outcome,
        "same_mix": same_mix,
        "is_counted": is_counted,
        "lowest_last": lowest_last,
        "overfitting": outcome == "overfits",
    }


def verdict(evaluation: Mapping[str, Any], baselines: Mapping[str, Any] | None) -> dict[str, Any]:
    """Judge a run by what was measured of it.

    Args:
        evaluation: eval.json (its own "verdict" is not needed).
        baselines: baselines.json; None leaves the comparison out and says so.

    Returns:
        `{"summary": one or two sentences, "points": [{"kind": "good" | "bad" | "note", "text"}],
        "sections": {"baselines" | "overfitting" | "chat": the sentence a page may lead with},
        "next": [concrete steps, the most useful first]}`.
    """
    found = Findings()
    overfitting = evaluation["gap"]["outcome"] == "overfits"
    _judge_language(found, evaluation, baselines, overfitting=overfitting)
    found.num_about_language = len(found.clauses)
    _judge_gap(found, evaluation)
    _judge_samples(
        found,
        evaluation["diversity"],
        evaluation["memorised"],
        overfitting=overfitting,
        has_table=bool(evaluation.get("model", {}).get("table")),
    )
    if evaluation.get("chat"):
        judge_chat(found, evaluation["chat"])
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
    return {
        "summary": found.summary(),
        "points": found.points,
        "sections": found.sections,
        "next": found.next,
    }


def _judge_language(
    found: Findings,
    evaluation: Mapping[str, Any],
    baselines: Mapping[str, Any] | None,
    *,
    overfitting: bool,
) -> None:
    own = evaluation["validation"]["bits_per_byte"]
    leads = _leads(evaluation, baselines)
    if not leads:
        why = (
            "what the baselines need for just this text is not known, so there is no comparison"
            if baselines
            else "there are no baselines to compare with"
        )
        found.add(
            "note",
            f"{own:.3f} bits per byte on validation text; {why}.",
            clause=f"needs {own:.3f} bits per byte",
            advice="Give the evaluation more time, so that all of the text is scored."
            if baselines
            else "Measure the baselines too, so that the number can be judged.",
            section="baselines",
        )
        return
    missing = {
        model["name"]: model["bits_per_byte"]
        for model in (baselines or {}).get("models", [])
        if model["name"] not in leads
    }
    found.sections["baselines"] = _against_the_best(leads, all_known=not missing)
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
    for name, bits in missing.items():
        _judge_beside_a_part(found, name, bits, own)
    _say_what_was_read(found, baselines)
    if "unigram" in leads and leads["unigram"].lead <= 0:
        found.next.append(
            "It has learnt less than how often each token occurs: the training stopped far too "
            "early or went wrong. Look at the loss curve, and give it more minutes."
        )
    elif overfitting and leads[ngram].lead < CLEAR_LEAD:
        found.next.append(
            f"It is not clearly ahead of {the_name(ngram)} and overfits: it needs more text."
        )
    elif evaluation.get("read_enough") and leads[ngram].lead < CLEAR_LEAD:
        found.next.append(
            f"It is not clearly ahead of {the_name(ngram)}, and has read its text as often as "
            "pays: it needs more text, not more minutes."
        )
    elif leads[ngram].lead < CLEAR_LEAD:
        found.next.append(
            f"It is not clearly ahead of {the_name(ngram)}: give it more minutes (`--minutes`)."
        )


def _judge_beside_a_part(found: Findings, name: str, bits: float, own: float) -> None:
    """A baseline whose number is for all of the text, where the model's is for a part."""
    reaches = f"{the_name(name)} reaches {bits:.2f} on all of the held-out text"
    reaches = reaches[0].upper() + reaches[1:] if name != "xz" else reaches
    part = f"the model's {own:.2f} on the part that was scored"
    lead = 1 - own / max(bits, 1e-9)
    if lead >= -TIE:
        word = "about as good as" if lead <= TIE else "not as good as"
        found.add("note", f"{reaches}, {word} {part}.")
        return
    found.add(
        "bad",
        f"{reaches}, better than {part}.",
        clause=f"does not reach {the_name(name)} ({own:.2f} on a part of the text against "
        f"{bits:.2f} on all of it)",
    )
    found.sections["baselines"] += f" But {reaches}, better than {part}."


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
    # `compare` has seen to it that the text is the same; without it there is nothing to go by but
    # whether all was scored.
    validation = evaluation["validation"]
    if baselines and "against" not in validation and validation.get("complete", True):
        for model in baselines["models"]:
            lead = 1 - own / max(model["bits_per_byte"], 1e-9)
            leads.setdefault(model["name"], _Lead(model["bits_per_byte"], lead, lead, lead))
    return leads


def _outcome(name: str, found: _Lead) -> tuple[str, str, str]:
    """Kind of point, what happened, and where that is bad by how much."""
    if abs(found.lead) <= TIE or found.low <= 0 <= found.high:
        return "note", f"is about as good as {the_name(name)}", ""
    if found.lead > 0:
        return "good", f"beats {the_name(name)} by {found.lead:.0%}", ""
    more = -found.lead
    amount = f"{more:.0%} worse" if more < 1 else f"{1 + more:.1f} times its bits"
    return "bad", f"does not beat {the_name(name)}", amount


def _against_the_best(leads: Mapping[str, _Lead], *, all_known: bool) -> str:
    known = "" if all_known else " that is known for this text"
    best = min(leads, key=lambda name: leads[name].other)
    kind, _, _ = _outcome(best, leads[best])
    if kind == "note":
        return f"The model needs about as many bits as the best baseline{known}, {the_name(best)}."
    word = "fewer" if kind == "good" else "more"
    amount = f"{abs(leads[best].lead):.0%} {word}"
    return f"The model needs {amount} bits than the best baseline{known}, {the_name(best)}."


def _say_what_was_read(found: Findings, baselines: Mapping[str, Any] | None) -> None:
    """A baseline that has read less than the model could is a weaker one: say so."""
    read = []
    for model in (baselines or {}).get("models", []):
        detail = model.get("detail", {})
        if detail.get("all_training_text", True) or model["name"] == "unigram":
            continue
        if "training_bytes" in detail:
            amount = f"{detail['training_bytes'] / 1e6:.1f} MB"
        else:
            amount = f"{detail['training_tokens'] / 1e6:.1f} million tokens"
        read.append(f"{the_name(model['name'])} has read only {amount}")
    if read:
        found.add(
            "note",
            f"Of the training text {and_list(read)}, drawn from all over it; the whole of it would "
            "have made the comparison harder.",
        )


def _judge_gap(found: Findings, evaluation: Mapping[str, Any]) -> None:
    share, outcome = evaluation["gap"]["share"], evaluation["gap"]["outcome"]
    if share is None:
        why = "no training text was scored"
        if evaluation["gap"].get("is_counted"):
            why = "its n-gram table has counted the training text and knows it"
        found.add("note", f"Whether it overfits cannot be told: {why}.", section="overfitting")
        return
    if not evaluation["gap"].get("same_mix", True):
        found.add(
            "note",
            "Whether it overfits cannot be told: the training text that was scored has another "
            "mix of languages than the validation text.",
            section="overfitting",
        )
        return
    costs = (
        f"unseen text costs {abs(share):.0%} {'more' if share >= 0 else 'fewer'} bits than "
        "training text"
    )
    # Files of before there were intervals of it name none.
    unsure = _TOO_LITTLE if evaluation["gap"].get("interval", "unknown") is None else ""
    if outcome == "overfits":
        found.add(
            "bad",
            f"Overfits: {costs}.{unsure}",
            clause=f"overfits ({costs})",
            advice="Give it more text, or fewer passes: a smaller model or fewer minutes.",
            section="overfitting",
        )
    elif outcome == "not yet":
        found.add(
            "note",
            f"Knows its training text better, but does not overfit yet: {costs}, and cost least "
            f"when training ended.{unsure}",
            advice="More text of the same kind helps most, and more minutes still do: the loss on "
            "unseen text was at its lowest when training ended.",
            section="overfitting",
        )
    elif outcome == "unclear":
        found.add(
            "note",
            f"Whether it overfits cannot be told: {costs}, but the 95% intervals overlap.",
            section="overfitting",
        )
    elif any(point["kind"] == "good" for point in found.points) or not any(
        point["kind"] == "bad" for point in found.points
    ):
        word = "Does not overfit" if share <= TINY_GAP else "Overfits little"
        found.add("good", f"{word}: {costs}.{unsure}", clause=word.lower(), section="overfitting")
    else:
        # Not praise where the model has beaten nothing yet: it has hardly learnt its text.
        found.add(
            "note",
            f"Has yet to learn its text, so there is little to overfit: {costs}.{unsure}",
            section="overfitting",
        )


def _judge_samples(
    found: Findings,
    diversity: Mapping[str, Any],
    memorised: Mapping[str, Any],
    *,
    overfitting: bool,
    has_table: bool,
) -> None:
    number = diversity["num_samples"]
    if number < FEW_SAMPLES:
        found.add(
            "note",
            f"{count(number, 'sample')} in the time there was: too few to judge how often it "
            "repeats itself.",
        )
        if not number:
            return
    else:
        _judge_loops(found, diversity["repeating_samples"], number)
    broken = diversity.get("broken_characters", 0.0)
    if broken > BROKEN:
        found.add(
            "bad",
            f"{broken:.1%} of the characters it writes are broken UTF-8.",
            clause=f"writes broken characters ({broken:.1%} of all)",
            advice="Broken characters go away with more training; a larger vocabulary splits "
            "fewer characters.",
        )
    _judge_copies(
        found, memorised, overfitting=overfitting, few=number < FEW_SAMPLES, has_table=has_table
    )


def _judge_loops(found: Findings, loops: float, number: int) -> None:
    if not loops:
        text, clause = f"None of {number} samples repeats itself.", "does not repeat itself"
    else:
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


def _judge_copies(
    found: Findings,
    memorised: Mapping[str, Any],
    *,
    overfitting: bool,
    few: bool,
    has_table: bool,
) -> None:
    share = memorised["share_copied_50"]
    longest = memorised["longest_copied_characters"]
    text = (
        f"{share_of(share)} of what it writes stands word for word in the training text, in "
        "passages of 50 characters or more (25 Chinese ones); the longest copy is "
        f"{longest} characters."
    )
    if share > MUCH_COPYING:
        found.add(
            "bad",
            text,
            clause=f"copies {share:.0%} of its text from the training text",
            advice="It recites, and its n-gram table helps it to: give it more text, remove "
            "duplicates, or train without a table (`spin --portable`)."
            if has_table
            else "It recites: give it more text, remove duplicates, or train fewer passes.",
        )
    else:
        # A few samples without copies prove little.
        found.add("note" if share > SOME_COPYING or few else "good", text)
    if not memorised.get("complete", True):
        megabytes = memorised["searched_bytes"] / 1e6
        found.add("note", f"Only {megabytes:.0f} MB of training text were searched for copies.")
    if overfitting and share <= SOME_COPYING:
        found.add("note", "It overfits, though these samples recite little.")
