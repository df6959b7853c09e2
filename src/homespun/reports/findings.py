"""What each section of the page shows, as plain values: the side of the results.

Each function returns None where nothing was measured; the template then says so.
"""

from __future__ import annotations

from typing import Any

from homespun.reports import wording
from homespun.reports.collect import RunFiles, dig, listing, number, table
from homespun.reports.views import View

MAX_SAMPLES = 24
MAX_SAMPLE_CHARACTERS = 1500
MAX_EXAMPLES = 40
# As in the verdict: fewer questions give no number worth a headline.
FEW_QUESTIONS = 20
_BASELINES = {
    "xz": "a general file compressor that has read {read} first",
    "unigram": "how often each token occurs, whatever stands before it",
    "5-gram": "counts of up to five tokens in a row in {read}, Kneser–Ney smoothed",
}
_COLUMNS = {
    "num_questions": "Questions",
    "rouge_l": "ROUGE-L",
    "rouge_l_nearest_question": "Looking up",
    "exact_answers": "Word for word",
    "finished_answers": "Ended by itself",
    "seen_questions": "Trained on",
}
_KINDS = {"good": ("✓", "good"), "bad": ("✗", "bad"), "note": ("·", "note")}


def verdict_view(files: RunFiles) -> View:
    """The run in a sentence, a few numbers, and what speaks for and against it."""
    verdict = table(files.evaluation, "verdict")
    return {
        "summary": dig(verdict, "summary") or _state(files),
        "points": [
            {
                "mark": _KINDS.get(dig(point, "kind"), _KINDS["note"])[0],
                "kind": _KINDS.get(dig(point, "kind"), _KINDS["note"])[1],
                "text": str(dig(point, "text") or ""),
            }
            for point in listing(verdict, "points")
        ],
        "next": [str(advice) for advice in listing(verdict, "next")],
        "figures": _figures(files),
    }


def _state(files: RunFiles) -> str:
    if files.is_imported:
        return "The model came from elsewhere and has not been evaluated yet."
    if files.done["sft"] or files.done["pretrain"]:
        return "The model is trained and has not been evaluated yet."
    if files.rows["pretrain"]:
        return "The model is still being trained."
    if files.corpus_card is not None:
        return "The text is ready; no model has been trained on it yet."
    return "This run has only just begun."


def _figures(files: RunFiles) -> list[tuple[str, str]]:
    """(value, what it is) of the few numbers that stand at the top."""
    evaluation = files.evaluation
    interval = listing(evaluation, "validation", "interval")
    bits = "bits per byte"
    if len(interval) == 2:
        bits += f" ({wording.decimal(interval[0], 2)} to {wording.decimal(interval[1], 2)})"
    found = [
        (number(evaluation, "validation", "bits_per_byte"), wording.decimal, bits),
        (number(evaluation, "model", "parameters"), wording.short_count, "parameters"),
        (number(files.done["pretrain"], "result", "tokens"), wording.short_count, "tokens read"),
    ]
    chat = table(evaluation, "chat")
    nearest = number(chat, "rouge_l_nearest_question")
    if _has_interval(chat) and nearest is not None:
        what = f"ROUGE-L in chat (looking up: {wording.decimal(nearest, 2)})"
        found.append((number(chat, "rouge_l"), _two_digits, what))
    return [(show(value), name) for value, show, name in found if value is not None]


def _has_interval(chat: Any) -> bool:
    """Whether there were questions enough for a headline."""
    is_known = len(listing(chat, "difference_interval")) == 2
    return is_known and (number(chat, "num_questions") or 0) >= FEW_QUESTIONS


def _two_digits(value: float | None) -> str:
    return wording.decimal(value, 2)


def baselines_view(files: RunFiles) -> View | None:
    """Bars of bits per byte on the same text, the worst first."""
    against = table(files.evaluation, "validation", "against")
    own = number(files.evaluation, "validation", "bits_per_byte")
    bars: list[View] = []
    left_out: list[str] = []
    for entry in listing(files.baselines, "models"):
        name = str(dig(entry, "name"))
        # Beside the model stands what was scored on the very same text, or else says that it
        # was scored on all of it.
        on_all = False
        value = number(entry, "bits_per_byte")
        if own is not None:
            whole_value, value = value, number(against, name, "bits_per_byte")
            if value is None and against and whole_value is not None:
                # It is named all the same, lest one that wins disappear.
                value, on_all = whole_value, True
            elif value is None:
                left_out.append(name)
        if value is not None:
            what = _BASELINES.get(name, "").format(read=_training_text(entry))
            if on_all:
                what = f"{what}; on all of the held-out text".removeprefix("; ")
            bars.append({"name": name, "value": value, "what": what, "own": False})
    if not bars and not left_out:
        return None
    if own is not None:
        bars.append({"name": "this model", "value": own, "what": "", "own": True})
    bars.sort(key=lambda bar: -float(bar["value"]))
    for bar in bars:
        bar["share"] = bar["value"] / bars[0]["value"] if bars[0]["value"] else 0.0
    interval = listing(files.evaluation, "validation", "interval")
    scored, whole = (
        number(files.evaluation, "validation", "bytes"),
        number(files.baselines, "num_bytes"),
    )
    return {
        "bars": bars,
        "own": own,
        "sentence": _sentence(files, "baselines"),
        "interval": interval if len(interval) == 2 else None,
        "num_bytes": scored or whole,
        "whole_bytes": whole if scored and whole and scored < whole else None,
        "left_out": left_out,
    }


def _training_text(entry: Any) -> str:
    """ "the training text", or how much of it."""
    detail = table(entry, "detail")
    if dig(detail, "all_training_text") is not False:
        return "the training text"
    read = number(detail, "training_bytes")
    if read is not None:
        return f"{wording.size(read)} of the training text"
    tokens = number(detail, "training_tokens")
    return f"{wording.short_count(tokens)} tokens of the training text"


def _sentence(files: RunFiles, section: str) -> str:
    """What the verdict says of a section: the page draws no conclusions of its own."""
    return str(dig(files.evaluation, "verdict", "sections", section) or "")


def overfitting_view(files: RunFiles) -> View | None:
    """Bits per byte on text that was trained on, beside text that was not; of the latter alone
    where none of the former was scored, whose 0 is no measurement."""
    train = number(files.evaluation, "train", "bits_per_byte")
    validation = number(files.evaluation, "validation", "bits_per_byte")
    if train is None or validation is None:
        return None
    was_scored = number(files.evaluation, "train", "bytes") != 0
    values = {"text it was trained on": train} if was_scored else {}
    values["text it has never seen"] = validation
    longest = max(values.values())
    around = listing(files.evaluation, "gap", "interval") if was_scored else []
    return {
        "bars": [
            {"name": name, "value": value, "share": value / longest if longest else 0.0}
            for name, value in values.items()
        ],
        "gap": validation - train if was_scored else None,
        "interval": around if len(around) == 2 else None,
        "relative": (validation - train) / train if train else None,
        "sentence": _sentence(files, "overfitting"),
        "perplexity": number(files.evaluation, "validation", "perplexity"),
    }


def samples_view(files: RunFiles) -> View | None:
    """What the model writes by itself, and what was counted in it."""
    samples = listing(files.evaluation, "samples")
    diversity = table(files.evaluation, "diversity")
    memorised = table(files.evaluation, "memorised")
    if not samples and not diversity and not memorised:
        return None
    copied = str(dig(memorised, "longest_copied_text") or "")
    text, left_out = wording.shortened(copied, MAX_SAMPLE_CHARACTERS)
    return {
        "samples": [_sample(sample) for sample in samples[:MAX_SAMPLES]],
        "num_left_out": max(0, len(samples) - MAX_SAMPLES),
        "distinct": [number(diversity, f"distinct_{n}") for n in (1, 2, 3)],
        "repeating": number(diversity, "repeating_samples"),
        "num_samples": number(diversity, "num_samples"),
        "has_diversity": bool(diversity),
        "has_memorised": bool(memorised),
        "copied_characters": number(memorised, "longest_copied_characters"),
        "copied_share": number(memorised, "share_copied_50"),
        "copied_text": text,
        "copied_left_out": left_out,
        "copied_lang": wording.text_language(copied),
    }


def _sample(sample: Any) -> View:
    prompt, text = str(dig(sample, "prompt") or ""), str(dig(sample, "text") or "")
    shown, left_out = wording.shortened(text, MAX_SAMPLE_CHARACTERS)
    settings = table(sample, "settings")
    told = [
        f"{word} {settings[key]:g}"
        for key, word, off in (
            ("temperature", "temperature", None),
            ("top_k", "top-k", 0),
            ("top_p", "top-p", 1),
            ("min_p", "min-p", 0),
            ("repetition_penalty", "repetition penalty", 1),
            ("seed", "seed", None),
        )
        if number(settings, key) is not None and settings[key] != off
    ]
    return {
        "prompt": prompt,
        "text": shown,
        "left_out": left_out,
        "settings": ", ".join(told),
        "lang": wording.text_language(prompt + text),
    }


def chat_view(files: RunFiles) -> View | None:
    """Answers beside the reference and beside the answer to the most similar known question."""
    chat = dig(files.evaluation, "chat")
    if not isinstance(chat, dict):
        return None
    examples = listing(chat, "examples")
    categories: list[View] = [
        {"name": name, "entry": _category(entry)}
        for name, entry in sorted(table(chat, "by_category").items())
    ]
    return {
        "rouge": number(chat, "rouge_l"),
        "rouge_nearest": number(chat, "rouge_l_nearest_question"),
        "loss": number(chat, "answer_loss"),
        "bits": number(chat, "answer_bits_per_byte"),
        "num_questions": number(chat, "num_questions"),
        "sentence": _sentence(files, "chat"),
        "has_interval": _has_interval(chat),
        "identity": number(chat, "identity", "num_questions"),
        "identity_rouge": number(chat, "identity", "rouge_l"),
        "categories": categories,
        "columns": [
            (key, what)
            for key, what in _COLUMNS.items()
            if any(key in row["entry"] for row in categories)
        ],
        "examples": [_example(example) for example in examples[:MAX_EXAMPLES]],
    }


def _category(entry: Any) -> View:
    """by_category holds a number or an object with several."""
    if number(entry) is not None:
        return {"rouge_l": number(entry)}
    return {key: number(value) for key, value in table(entry).items()}


def _example(example: Any) -> View:
    texts = {
        key: wording.shortened(str(dig(example, key) or ""), MAX_SAMPLE_CHARACTERS)[0]
        for key in ("question", "answer", "reference", "nearest")
    }
    return {**texts, "lang": wording.text_language("".join(texts.values()))}
