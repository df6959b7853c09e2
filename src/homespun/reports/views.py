"""What each section of the page shows, as plain values: the text side of a run.

Each function returns None where its stage has not been run; the template then says so.
"""

from __future__ import annotations

from typing import Any

from homespun.reports import wording
from homespun.reports.collect import RunFiles, dig, listing, number, table
from homespun.reports.curves import curves_of
from homespun.reports.health import health_of
from homespun.reports.plots import NARROW, WIDE, draw_curves

View = dict[str, Any]

# Fewer make no curve: they are told in words.
LEAST_POINTS = 3

_STAGE_NAMES = {
    "corpus": "reading and cleaning the text",
    "conversations": "gathering conversations",
    "tokenizer": "tokenizer",
    "baselines": "baselines",
    "plan": "measuring speeds for the plan",
    "pretrain": "pretraining",
    "chat": "chat fine-tune",
    "evaluate": "evaluation",
    "report": "report",
}


def origin(files: RunFiles) -> str:
    """ "import" or "average" where the weights were not learned in this run; else empty."""
    command = files.record["asked"].get("command")
    return str(command) if command in ("import", "average") else ""


def asked_view(files: RunFiles) -> View:
    """The command, and all it takes to repeat the run."""
    record = files.record
    machine = record["machine"]
    facts = [
        ("Begun", record["created"].replace("T", " ").replace("Z", " UTC")),
        ("Seed", str(record["seed"])),
        ("System", machine.get("system")),
        ("Processor", machine.get("processor")),
        ("Cores", machine.get("cores")),
        ("Memory", wording.size(number(machine, "memory_bytes"))),
    ]
    return {
        "command": wording.command_words(record["asked"], seed=record["seed"], name=files.name),
        "facts": [(name, value) for name, value in facts if value not in (None, "")],
        "versions": sorted(record["versions"].items()),
        "versions_by_name": {"homespun": "", **record["versions"]},
    }


def data_view(files: RunFiles) -> View | None:
    """The data card: what was read, what was kept, and what was dropped and why."""
    card = files.corpus_card
    if card is None:
        return None
    kept = {name: table(split) for name, split in table(card, "splits").items()}
    kept_bytes = sum(number(split, "bytes") or 0 for split in kept.values())
    read_bytes = number(card, "read", "bytes")
    dropped: list[View] = []
    for reason, entry in table(card, "dropped").items():
        dropped.append(
            {
                "reason": reason.replace("_", " "),
                "amount": _amounts(entry),
                "bytes": number(entry, "bytes"),
                "explanation": dig(entry, "explanation") or "",
            }
        )
    dropped.sort(key=lambda row: -float(row["bytes"] or 0))
    return {
        "name": dig(card, "name"),
        "read": table(card, "read"),
        "read_bytes": read_bytes,
        "kept_bytes": kept_bytes,
        "kept_documents": sum(number(split, "documents") or 0 for split in kept.values()),
        "kept_share": kept_bytes / read_bytes if read_bytes else None,
        "splits": kept,
        "languages": _shares(table(card, "languages"), wording.language_name),
        "sources": _shares(table(card, "sources"), str, most=12),
        "num_sources": len(table(card, "sources")),
        "encodings": table(card, "encodings"),
        "dropped": dropped,
        "unreadable": listing(card, "unreadable")[:20],
        # The card lists the first of them alone.
        "num_unreadable": number(card, "num_unreadable") or len(listing(card, "unreadable")),
    }


def _amounts(entry: Any) -> str:
    """ "31 documents", "1 document, 4 paragraphs"."""
    found = []
    for word in ("document", "paragraph"):
        amount = number(entry, f"{word}s")
        if amount:
            found.append(f"{wording.count(amount)} {word}{'' if amount == 1 else 's'}")
    return ", ".join(found) or wording.DASH


def _shares(entries: dict[str, Any], name_of: Any, most: int = 30) -> list[View]:
    """Rows with the share of all bytes, largest first; those beyond `most` are left out."""
    total = sum(number(entry, "bytes") or 0 for entry in entries.values())
    rows = [
        {
            "name": name_of(name),
            "documents": number(entry, "documents"),
            "bytes": number(entry, "bytes"),
            "share": (number(entry, "bytes") or 0) / total if total else 0.0,
        }
        for name, entry in entries.items()
    ]
    rows.sort(key=lambda row: (-row["share"], row["name"]))
    return rows[:most]


def tokenizer_view(files: RunFiles) -> View | None:
    """How many bytes a token stands for, by language, and the longest tokens."""
    stats = files.tokenizer_stats
    if stats is None:
        return None
    return {
        "kind": dig(stats, "config", "kind"),
        "vocab_size": number(stats, "vocab_size"),
        "vocabulary_used": number(stats, "vocabulary_used"),
        "languages": [
            {
                "name": wording.language_name(code),
                "bytes_per_token": number(entry, "bytes_per_token"),
                "tokens_per_character": number(entry, "tokens_per_character"),
                "byte_fallback": number(entry, "byte_fallback"),
            }
            for code, entry in table(stats, "languages").items()
        ],
        "longest": [
            {
                "text": wording.visible(str(dig(token, "text") or "")),
                "bytes": number(token, "bytes"),
            }
            for token in listing(stats, "longest_tokens")
        ],
        "train_tokens": number(files.shards, "splits", "train", "tokens"),
        "bytes_per_token": bytes_per_token(files),
    }


def bytes_per_token(files: RunFiles) -> float | None:
    """Of the text the curves are about: validation, or training where there is no other."""
    for split in ("validation", "train"):
        tokens = number(files.shards, "splits", split, "tokens")
        size = number(files.shards, "splits", split, "bytes")
        if tokens and size:
            return size / tokens
    return None


def model_view(files: RunFiles) -> View | None:
    """Shape, and how much it was to read against how much it has read."""
    plan, shape = files.plan, table(files.plan, "model")
    measured = table(files.evaluation, "model")
    if plan is None and not measured:
        return None
    # The last row may be of a look at held-out text, of a sample, of what was off.
    steps = (row for row in reversed(files.rows["pretrain"]) if row.get("kind") == "train")
    last = next(steps, {})
    result = table(files.done["pretrain"], "result") or table(files.done["pretrain"])
    tokens = number(result, "tokens") or number(last, "tokens")
    parameters = number(measured, "parameters") or number(plan, "parameters")
    context = number(shape, "context") or number(measured, "context")
    rows = number(plan, "rows")
    return {
        "size": dig(plan, "size"),
        "reason": dig(plan, "reason"),
        "parameters": parameters,
        "layers": number(shape, "num_layers") or number(measured, "layers"),
        "width": number(shape, "width") or number(measured, "width"),
        "heads": number(shape, "num_heads"),
        "kv_heads": number(shape, "num_kv_heads"),
        "mlp_width": number(shape, "mlp_width"),
        "vocab_size": number(shape, "vocab_size") or number(measured, "vocab_size"),
        "context": context,
        "tied": dig(shape, "tied"),
        "dtype": dig(plan, "compute_dtype"),
        "batch_tokens": rows * context if rows and context and not files.is_imported else None,
        # Of an imported model none are planned.
        "expected_tokens": number(plan, "expected_tokens") or None,
        "expected_epochs": number(plan, "expected_epochs") or None,
        "tokens": tokens,
        "epochs": number(result, "epochs") or number(last, "epoch"),
        "steps": number(result, "steps") or number(last, "step"),
        "skipped": number(result, "skipped_steps"),
        "seconds": number(result, "seconds") or number(last, "seconds"),
        "tokens_per_parameter": tokens / parameters if tokens and parameters else None,
        "speeds": listing(plan, "speeds"),
        "table_order": number(files.prior, "order"),
        "table_ngrams": number(files.prior, "num_ngrams"),
        "table_bytes": number(files.prior, "num_bytes"),
    }


def curve_view(files: RunFiles, stage: str) -> View | None:
    """The drawings of a stage, in two widths, and what they show in words."""
    # A chat answer is other text than what the tokenizer was measured on: its loss stays in nats.
    per_token = bytes_per_token(files) if stage == "pretrain" else None
    curves = curves_of(files.rows[stage], bytes_per_token=per_token)
    if curves is None:
        return None
    name = "pretraining" if stage == "pretrain" else "the chat fine-tune"
    drawn = max(len(curves.train), len(curves.validation)) >= LEAST_POINTS
    steps = "one step" if curves.last_step == 1 else f"{curves.last_step} steps"
    words = f"Loss during {name} in {curves.unit}, {steps}."
    if not drawn:
        words += " There are too few points for a curve."
    if curves.smooth:
        words += f" Training ends at {curves.smooth[-1][1]:.3f}."
    if curves.best is not None:
        step, lowest = curves.best
        words += f" Validation is lowest at step {step:.0f} with {lowest:.3f}"
        words += f" and ends at {curves.validation[-1][1]:.3f}."
    kept = dig(files.done[stage], "result", "weights", "sentence")
    if isinstance(kept, str):
        words += f" {kept}"
    return {
        "words": words,
        "wide": draw_curves(curves, title=words, inches=WIDE, key=f"{stage}-wide") if drawn else "",
        "narrow": draw_curves(curves, title=words, inches=NARROW, key=f"{stage}-narrow")
        if drawn
        else "",
        "span": curves.span,
        "has_train": bool(curves.train),
        "has_validation": bool(curves.validation),
        "best": curves.best,
        "last": curves.validation[-1] if curves.validation else None,
        "unit": curves.unit,
        "health": health_of(files, stage),
    }


def time_view(files: RunFiles) -> View | None:
    """Seconds by stage, from timings.json or else from what the stages say of themselves."""
    seconds: dict[str, float] = {}
    for stage, span in table(files.timings, "stages").items():
        if isinstance(span, list) and len(span) == 2 and all(number(x) is not None for x in span):
            seconds[stage] = max(0.0, span[1] - span[0])
    if not seconds:
        seconds = _seconds_of_files(files)
    total = sum(seconds.values())
    if total <= 0:
        return None
    start = 0.0
    parts = []
    for index, (stage, spent) in enumerate(seconds.items()):
        parts.append(
            {
                "name": _STAGE_NAMES.get(stage, stage),
                "seconds": spent,
                "share": spent / total,
                "start": start / total,
                "colour": index % 9 + 1,
            }
        )
        start += spent
    peaks = [
        number(files.timings, "peak_memory_bytes"),
        number(files.evaluation, "peak_memory_bytes"),
        *(number(done, "result", "peak_memory_bytes") for done in files.done.values()),
    ]
    return {
        "parts": parts,
        "total": total,
        "peak": max((peak for peak in peaks if peak), default=None),
        "unfinished": [
            _STAGE_NAMES.get(stage, stage)
            for stage, span in table(files.timings, "stages").items()
            if isinstance(span, list) and len(span) == 2 and span[1] is None
        ],
    }


def _seconds_of_files(files: RunFiles) -> dict[str, float]:
    baselines = [number(model, "seconds") for model in listing(files.baselines, "models")]
    found = {
        "corpus": number(files.corpus_card, "seconds"),
        "tokenizer": number(files.tokenizer_stats, "seconds"),
        "baselines": sum(value or 0 for value in baselines) or None,
        "pretrain": number(files.done["pretrain"], "result", "seconds"),
        "chat": number(files.done["sft"], "result", "seconds"),
    }
    return {stage: value for stage, value in found.items() if value}
