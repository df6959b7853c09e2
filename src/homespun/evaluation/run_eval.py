"""Everything that is measured of a finished run, within a given time: eval.json."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from homespun.core import (
    Conversation,
    DataError,
    Generator,
    Progress,
    SamplingSettings,
    Silent,
    Tokenizer,
    derive_seed,
)
from homespun.core.machine import give_back_memory, peak_memory_bytes
from homespun.evaluation.bits_per_byte import (
    DocumentScores,
    ScoredDecoder,
    WindowScores,
    evaluating,
    score_documents,
)
from homespun.evaluation.chat_eval import (
    NearestQuestion,
    answer_loss,
    evaluate_chat,
    question_of,
)
from homespun.evaluation.intervals import MIN_ITEMS, bootstrap_ratio
from homespun.evaluation.memorised import find_copies
from homespun.evaluation.pieces import cut_documents, digest_of, han_share, sample_like
from homespun.evaluation.samples import choose_prompts, diversity, write_samples
from homespun.evaluation.verdict import gap, verdict

# Shares of the seconds given, by what each tells. What one leaves, the next ones have.
# The validation text comes first: all else is read beside its number, and only where all of it is
# scored can every baseline be compared with.
_SHARES = {"validation": 0.45, "train": 0.12, "samples": 0.15, "copies": 0.08, "chat": 0.20}
_SHARE_OF_ANSWER_LOSS = 0.3  # of the chat's
# Reading the training text for the sample may take so much of the budget, searching it for copies
# has at least so much, however late it is.
_READING = 0.05
# Training and validation text are compared where their shares of Han text are no further apart.
_SAME_MIX = 0.1
_STRETCHES = 24
MAX_SAMPLES = 24
MAX_QUESTIONS = 300
SAMPLE_SETTINGS = SamplingSettings(max_tokens=200, temperature=0.8, top_p=0.95, seed=0)
ANSWER_SETTINGS = SamplingSettings(max_tokens=120, temperature=0.0, seed=0)

TextFactory = Callable[[], Iterable[str]]


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """What a run is measured on.

    Attributes:
        validation_texts: whole documents; long ones are scored in pieces.
        train_texts: gives the training documents from the start, each time it is called.
        conversations: of the validation split; empty where the run has no chat stage.
        train_conversations: for the nearest-question baseline; read once, and no sooner.
        baselines: baselines.json, made on the same `validation_texts` in the same order.
        lowest_last: whether the loss on held-out text was at its lowest when training ended; None
            where nobody looked.
        read_enough: training was to end where its text is read as often as pays, before its time
            was over.
    """

    validation_texts: Sequence[str]
    train_texts: TextFactory
    conversations: Sequence[Conversation] = ()
    train_conversations: Iterable[Conversation] = ()
    baselines: Mapping[str, Any] | None = None
    lowest_last: bool | None = None
    read_enough: bool = False


class ChatSubject(NamedTuple):
    """The chat-tuned model and its generator, where they are not those of the text model."""

    model: ScoredDecoder
    generator: Generator


def evaluate_run(
    model: ScoredDecoder,
    tokenizer: Tokenizer,
    generator: Generator,
    data: EvaluationData,
    *,
    chat: ChatSubject | None = None,
    seconds_budget: float = 45.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure `model` and judge it; returns eval.json as docs/design/spine.md has it.

    Text is scored in float32. Documents, questions and prompts are taken in a fixed order that
    depends on `seed`, as many as fit into the time; how many is in the result. What must be there
    for a verdict is measured at least once, so a budget of seconds is overrun by as much.

    Args:
        model, tokenizer, generator: the text model; `generator` runs the same weights.
        data: see EvaluationData.
        chat: the chat model; None asks the text model the questions.
        seconds_budget: working seconds for all of it.
        seed: of orders, samples and intervals.
        progress: where to say how far it is.

    Raises:
        DataError: there is no validation text.
    """
    progress = progress or Silent()
    task = progress.task("evaluate", total=6)
    started = time.monotonic()

    def until(*parts: str) -> float:
        return started + seconds_budget * sum(_SHARES[part] for part in parts)

    pieces = cut_documents(data.validation_texts)
    if not any(pieces):
        raise DataError("there is no validation text to score", remedy="give a larger corpus")
    order = _order(len(pieces), seed, "validation")
    with evaluating(model, dtype=torch.float32):
        scores = score_documents(
            model,
            tokenizer,
            [pieces[at] for at in order],
            deadline=until("validation"),
            by_window=True,
        )
        validation = _measures(scores, seed)
        validation["complete"] = len(scores.nats) == len(pieces)
        validation["against"] = compare(
            scores, order, data.baselines, pieces_sha256=digest_of(pieces), seed=seed
        )
        task.advance(note=f"{validation['bits_per_byte']:.3f} bits per byte")
        scored = [pieces[at] for at in order[: len(scores.nats)]]
        train_sample = sample_like(
            data.train_texts(),
            scored,
            seed=seed,
            deadline=time.monotonic() + _READING * seconds_budget,
        )
        train_scores = score_documents(
            model,
            tokenizer,
            train_sample,
            deadline=until("validation", "train"),
            by_window=True,
        )
        train = _measures(train_scores, seed)
        train_mix = han_share(train_sample[: len(train_scores.nats)])
        same_mix = abs(train_mix - han_share(scored)) <= _SAME_MIX
        task.advance(note=f"{train['bits_per_byte']:.3f} on training text")
    # What scoring took is in other pieces than writing needs; kept, it would come on top.
    give_back_memory()
    samples = write_samples(
        generator,
        tokenizer,
        choose_prompts(data.validation_texts),
        settings=SAMPLE_SETTINGS,
        num_samples=MAX_SAMPLES,
        deadline=until("validation", "train", "samples"),
    )
    task.advance(note=f"{len(samples)} samples")
    texts = [sample["text"] for sample in samples]
    least = time.monotonic() + _READING * seconds_budget
    memorised = _copies(texts, data, max(least, until("validation", "train", "samples", "copies")))
    task.advance(note=f"longest copy {memorised['longest_copied_characters']} characters")
    give_back_memory()
    described = describe_model(model)
    result: dict[str, Any] = {
        "format": 1,
        "model": described,
        "validation": validation,
        "train": train,
        "gap": gap(
            validation,
            train,
            same_mix=same_mix,
            is_counted=described["table"] is not None,
            lowest_last=data.lowest_last,
        ),
        "read_enough": data.read_enough,
        "samples": samples,
        "diversity": diversity(texts),
        "memorised": memorised,
        "chat": None,
    }
    if data.conversations:
        left = max(0.0, started + seconds_budget - time.monotonic())
        subject = chat or ChatSubject(model, generator)
        result["chat"] = _chat(subject, tokenizer, data, seconds=left, seed=seed)
    task.advance()
    result["seconds"] = round(time.monotonic() - started, 2)
    result["peak_memory_bytes"] = peak_memory_bytes()
    result["verdict"] = verdict(result, data.baselines)
    task.advance(note=result["verdict"]["summary"])
    task.finish()
    return result


def describe_model(model: ScoredDecoder) -> dict[str, Any]:
    """The "model" entry of eval.json, read off the weights and the n-gram table beside them."""
    parts: Any = model
    vocab_size, width = parts.embedding.weight.shape
    prior = getattr(parts, "prior", None)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "layers": len(parts.blocks),
        "width": int(width),
        "vocab_size": int(vocab_size),
        "context": model.context,
        "table": None
        if prior is None
        else {"order": prior.order, "ngrams": prior.num_ngrams, "bytes": prior.num_bytes()},
    }


def _measures(scores: DocumentScores, seed: int) -> dict[str, Any]:
    total = scores.total
    nats_per_token = total.nats / max(1, total.num_tokens)
    nats, num_bytes, over = scores.nats, scores.num_bytes.astype(np.float64), "pieces"
    if len(nats) < MIN_ITEMS and scores.windows:
        (nats, num_bytes), over = stretches(scores.windows), "stretches"
    interval = bootstrap_ratio(nats / math.log(2), num_bytes, seed=seed)
    return {
        "bits_per_byte": total.bits_per_byte,
        "interval": None if interval is None else list(interval),
        "interval_over": None if interval is None else over,
        "nats_per_token": nats_per_token,
        "perplexity": total.perplexity,
        "tokens": total.num_tokens,
        "bytes": total.num_bytes,
        "pieces": len(scores.nats),
    }


def stretches(windows: Sequence[WindowScores]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Nats and bytes of what stands for the pieces of a text that is too short for an interval over
    them: neighbouring windows of a piece together, so that there are about `_STRETCHES` in all.
    Each alone is much like the one before, and many of them would promise too much."""
    size = -(-sum(len(one.nats) for one in windows) // _STRETCHES)
    starts = [np.arange(0, len(one.nats), size) for one in windows]
    pairs = list(zip(windows, starts, strict=True))
    return (
        np.concatenate([np.add.reduceat(one.nats, at) for one, at in pairs]),
        np.concatenate([np.add.reduceat(one.num_bytes, at) for one, at in pairs]),
    )


def compare(
    scores: DocumentScores,
    order: Sequence[int],
    baselines: Mapping[str, Any] | None,
    *,
    pieces_sha256: str,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Each baseline on the very text the model was scored on.

    Args:
        scores: of the first pieces of `order`; fewer than all where time ran out.
        order: the place of each piece among those of `baselines`.
        baselines: baselines.json; None compares with nothing.
        pieces_sha256: of all pieces; baselines of other pieces are not compared with.
        seed: of the intervals.

    Returns:
        By name: `bits_per_byte` of the baseline, `lead` (the share of its bits that the model
        saves, negative where the model needs more) and the lead's 95% `interval`, from redrawing
        pieces for both at once; None where there are too few. A baseline without scores of single
        pieces (xz) is left out where only a part was scored.
    """
    scored = order[: len(scores.nats)]
    total = scores.total
    found: dict[str, dict[str, Any]] = {}
    if not baselines or baselines.get("pieces_sha256") != pieces_sha256:
        return found
    for entry in baselines["models"]:
        nats = entry["detail"].get("piece_nats", [])
        interval = None
        if len(nats) == len(order):
            other = np.array([nats[at] for at in scored])
            bits_per_byte = float(other.sum()) / math.log(2) / max(1, total.num_bytes)
            ratio = bootstrap_ratio(scores.nats, other, seed=seed)
            interval = None if ratio is None else [1 - ratio[1], 1 - ratio[0]]
        elif len(scored) == len(order):
            bits_per_byte = entry["bits_per_byte"]
        else:
            continue
        found[entry["name"]] = {
            "bits_per_byte": bits_per_byte,
            "lead": 1 - total.bits_per_byte / max(bits_per_byte, 1e-9),
            "interval": interval,
        }
    return found


def _chat(
    subject: ChatSubject, tokenizer: Tokenizer, data: EvaluationData, *, seconds: float, seed: int
) -> dict[str, Any]:
    started = time.monotonic()
    order = _order(len(data.conversations), seed, "chat")
    conversations = [data.conversations[at] for at in order]
    with evaluating(subject.model, dtype=torch.float32):
        loss = answer_loss(
            subject.model,
            tokenizer,
            conversations,
            deadline=started + _SHARE_OF_ANSWER_LOSS * seconds,
        )
    questions = [q for q in map(question_of, conversations) if q is not None]
    nearest = NearestQuestion(data.train_conversations)
    give_back_memory()
    answers = evaluate_chat(
        subject.generator,
        tokenizer,
        questions[:MAX_QUESTIONS],
        nearest,
        settings=ANSWER_SETTINGS,
        deadline=started + seconds,
    )
    return {
        "answer_loss": loss.nats / max(1, loss.num_targets),
        "answer_bits_per_byte": loss.nats / math.log(2) / max(1, loss.num_bytes),
        "num_conversations": loss.num_conversations,
        **answers,
    }


def _copies(samples: Sequence[str], data: EvaluationData, deadline: float) -> dict[str, Any]:
    """The "memorised" entry, and how much of the training text was searched for it."""
    num_bytes = 0
    complete = True

    def in_time() -> Iterator[str]:
        nonlocal num_bytes, complete
        for text in data.train_texts():
            if num_bytes and time.monotonic() > deadline:
                complete = False
                return
            num_bytes += len(text.encode("utf-8"))
            yield text

    found = find_copies(samples, in_time())
    return {**found, "searched_bytes": num_bytes, "complete": complete}


def _order(length: int, seed: int, name: str) -> list[int]:
    random = np.random.Generator(np.random.PCG64(derive_seed(seed, "evaluation", name)))
    return [int(at) for at in random.permutation(length)]
