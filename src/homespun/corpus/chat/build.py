"""The chat stage: conversations to fine-tune on, from the best material there is for a corpus."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from homespun.core import Config, Conversation, Progress, Silent, derive_seed, permutation
from homespun.core.files import atomic_path, os_error, sha256_file, write_json
from homespun.corpus.api_entries import ENTRIES_NAME, read_api_entries
from homespun.corpus.chat.choices import share
from homespun.corpus.chat.identity import (
    language_of,
    load_identity,
    repeat_to_share,
    split_identity,
)
from homespun.corpus.chat.python.questions import python_conversations
from homespun.corpus.chat.read import ReadCounts, read_conversations
from homespun.corpus.chat.sentences import Language
from homespun.corpus.chat.texts import text_conversations
from homespun.corpus.clean import normal_form
from homespun.corpus.documents import iter_documents
from homespun.corpus.sources.files import printable
from homespun.corpus.sources.python_docs import iter_api_entries

FORMAT = 1


class ChatConfig(Config):
    """How the conversations are made.

    Attributes:
        max_train, max_validation: conversations at most, identity not counted.
        validation_share: of a user's own conversations (at most 200 are held out).
        identity_share: of the training conversations are about the assistant itself.
        chinese_share: of the questions about Python are in Chinese.
        max_errors: wrong rows of a user's file that are left out before one is an error.
    """

    max_train: int = Field(default=16_000, ge=1)
    max_validation: int = Field(default=1_000, ge=1)
    validation_share: float = Field(default=0.05, gt=0, lt=0.5)
    identity_share: float = Field(default=0.12, ge=0, lt=0.5)
    chinese_share: float = Field(default=0.2, ge=0, le=1)
    max_errors: int = Field(default=0, ge=0)


@dataclass(slots=True)
class _Made:
    """Conversations of both splits, and what the card says of how they came to be."""

    train: list[Conversation]
    validation: list[Conversation]
    left_out: Counter[str] = field(default_factory=Counter)
    notes: dict[str, Any] = field(default_factory=dict)


def build_chat(
    out: Path,
    *,
    corpus_dir: Path,
    source: str,
    chat_file: Path | None,
    seed: int,
    config: ChatConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write `train.jsonl`, `validation.jsonl` and, last, `card.json` into `out`.

    The same inputs and seed give the same files, byte for byte.

    Args:
        out: the folder, made if need be.
        corpus_dir: the finished corpus; read where conversations are made from its documents or
            from the entries it keeps of the Python documentation.
        source: what the corpus was made from; "python" is asked about by name, any other text is
            continued and completed.
        chat_file: the user's own conversations, which then replace made ones.
        seed: of every choice.

    Returns:
        The card.

    Raises:
        DataError: the chat file or the corpus cannot be read; see `read_conversations`.
    """
    config = config or ChatConfig()
    progress = progress or Silent()
    task = progress.task("conversations")
    if chat_file is not None:
        made = _from_file(chat_file, seed=seed, config=config)
    elif source == "python":
        made = _from_python(corpus_dir, seed=seed, config=config)
    else:
        made = _from_documents(corpus_dir, seed=seed, config=config)
    _drop_repeats(made)
    if chat_file is None:
        made.train = _sample(made.train, config.max_train, seed)
        made.validation = _sample(made.validation, config.max_validation, seed)
    num_identity = _add_identity(made, seed=seed, config=config)
    train = _shuffle(made.train, derive_seed(seed, "chat train"))
    validation = _shuffle(made.validation, derive_seed(seed, "chat validation"))
    card = {
        "format": FORMAT,
        "source": source,
        "made_from": made.notes.pop("made_from"),
        "seed": seed,
        "splits": {"train": _count(train), "validation": _count(validation)},
        "categories": _categories(train, validation),
        "identity": {"train": num_identity, "share": round(num_identity / max(1, len(train)), 4)},
        "left_out": dict(sorted(made.left_out.items())),
        "input": made.notes.pop("input", None),
        **made.notes,
        "examples": _examples(train, validation),
        "config": config.model_dump(),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "card.json").unlink(missing_ok=True)  # while the others change, nothing is finished
    except OSError as error:
        raise os_error(error, f"writing {out}") from error
    _write(out / "train.jsonl", train)
    _write(out / "validation.jsonl", validation)
    write_json(out / "card.json", card)
    task.finish(f"{len(train):,} to learn from, {len(validation):,} held out")
    return card


def _from_file(path: Path, *, seed: int, config: ChatConfig) -> _Made:
    counts = ReadCounts()
    read = read_conversations(path, max_errors=config.max_errors, counts=counts)
    name = printable(path.name)
    label = name.split(".")[0] or "chat"
    listed = [
        Conversation(c.messages, source=c.source or label, category=c.category or "own")
        for c in read
    ]
    unique = list({c.messages: c for c in reversed(listed)}.values())[::-1]
    train, validation = _split(unique, seed=seed, wanted=config.validation_share)
    made = _Made(train, validation)
    made.left_out["exact repeats"] = len(listed) - len(unique)
    made.left_out["wrong rows"] = counts.wrong_rows
    made.notes["made_from"] = "file"
    made.notes["input"] = {
        "name": name,
        "sha256": sha256_file(path),
        "conversations": counts.conversations,
        "forms": dict(sorted(counts.forms.items())),
        "unanswered_turns_cut": counts.cut_turns,
        "wrong_rows": counts.wrong_rows,
        "first_errors": counts.first_errors,
    }
    return made


def _split(
    conversations: list[Conversation], *, seed: int, wanted: float
) -> tuple[list[Conversation], list[Conversation]]:
    """(train, validation) by hash of the first question, so that one question is in one split.

    However it is written: case, width, spacing and marks at the end make no other question.

    Held out: `wanted` of all, at most 200; at least 1 of 10 or more, none of fewer.
    """
    groups: dict[str, list[Conversation]] = defaultdict(list)
    for conversation in conversations:
        question = next(m.content for m in conversation.messages if m.role == "user")
        groups[_asked(question)].append(conversation)
    total = len(conversations)
    number = 0 if total < 10 else min(200, max(1, round(total * wanted)))
    held_out: list[Conversation] = []
    for question in sorted(groups, key=lambda text: share(seed, "chat split", text)):
        if len(held_out) + len(groups[question]) <= number:
            held_out += groups[question]
    chosen = {id(conversation) for conversation in held_out}
    return [c for c in conversations if id(c) not in chosen], held_out


def _asked(question: str) -> str:
    """The question as it is compared with others."""
    form = normal_form(unicodedata.normalize("NFKC", question))
    return form.rstrip(" ?!.。…") or form


def _from_python(corpus_dir: Path, *, seed: int, config: ChatConfig) -> _Made:
    is_kept = (corpus_dir / ENTRIES_NAME).is_file()
    entries = list(read_api_entries(corpus_dir)) if is_kept else []
    if not entries:  # another corpus, or one too short for any page
        entries = list(iter_api_entries())
    chat = python_conversations(entries, seed=seed, chinese_share=config.chinese_share)
    made = _Made(chat.train, chat.validation, chat.left_out)
    made.notes["made_from"] = "python"
    made.notes["held_out_names"] = chat.num_held_out
    return made


def _from_documents(corpus_dir: Path, *, seed: int, config: ChatConfig) -> _Made:
    made = _Made(
        text_conversations(iter_documents(corpus_dir, "train"), seed=seed, limit=config.max_train),
        text_conversations(
            iter_documents(corpus_dir, "validation"), seed=seed, limit=config.max_validation
        ),
    )
    made.notes["made_from"] = "documents"
    return made


def _drop_repeats(made: _Made) -> None:
    """Leave out repeats, and from training whatever would give a validation answer away."""
    validation = list({c.messages: c for c in reversed(made.validation)}.values())[::-1]
    answers = {c.messages[-1].content for c in validation}
    questions = {c.messages[0].content for c in validation}
    train: dict[object, Conversation] = {}
    for conversation in made.train:
        if conversation.messages in train:
            made.left_out["exact repeats"] += 1
        elif made.notes["made_from"] != "file" and (
            conversation.messages[0].content in questions
            or any(m.content in answers for m in conversation.messages if m.role == "assistant")
        ):
            made.left_out["same as a validation question or answer"] += 1
        else:
            train[conversation.messages] = conversation
    made.train, made.validation = list(train.values()), validation


def _sample(conversations: list[Conversation], limit: int, seed: int) -> list[Conversation]:
    if len(conversations) <= limit:
        return conversations
    order = permutation(derive_seed(seed, "chat sample"), 0, len(conversations))
    return [conversations[index] for index in sorted(order[:limit].tolist())]


def _add_identity(made: _Made, *, seed: int, config: ChatConfig) -> int:
    """Add conversations about the assistant, in the languages of the rest. Returns how many."""
    if config.identity_share == 0:
        return 0
    num_chinese = sum(language_of(c) == "zh" for c in made.train)
    languages: list[Language] = []
    if num_chinese <= 0.95 * len(made.train):
        languages.append("en")
    if num_chinese >= 0.05 * len(made.train) and made.train:
        languages.append("zh")
    train, validation = split_identity(load_identity(languages), seed=seed)
    added = repeat_to_share(train, len(made.train), wanted=config.identity_share, seed=seed)
    most = max(2, len(made.validation) // 10)
    made.train += added
    made.validation += _sample(validation, most, seed)
    return len(added)


def _shuffle(conversations: list[Conversation], seed: int) -> list[Conversation]:
    return [conversations[i] for i in permutation(seed, 0, len(conversations)).tolist()]


def _count(conversations: Iterable[Conversation]) -> dict[str, int]:
    counts = {"conversations": 0, "turns": 0, "characters": 0, "chinese": 0}
    for conversation in conversations:
        counts["conversations"] += 1
        counts["turns"] += sum(m.role == "assistant" for m in conversation.messages)
        counts["characters"] += sum(len(m.content) for m in conversation.messages)
        counts["chinese"] += language_of(conversation) == "zh"
    return counts


def _categories(
    train: list[Conversation], validation: list[Conversation]
) -> dict[str, dict[str, int]]:
    num_train = Counter(c.category for c in train)
    num_validation = Counter(c.category for c in validation)
    return {
        category: {"train": num_train[category], "validation": num_validation[category]}
        for category in sorted(num_train | num_validation)
    }


def _examples(*splits: list[Conversation]) -> list[dict[str, Any]]:
    """The first conversation of each category."""
    first: dict[str, Conversation] = {}
    for conversation in (c for split in splits for c in split):
        first.setdefault(conversation.category, conversation)
    return [to_row(first[category]) for category in sorted(first)]


def to_row(conversation: Conversation) -> dict[str, Any]:
    """The OpenAI form, with "category" and "source"."""
    return {
        "messages": [{"role": m.role, "content": m.content} for m in conversation.messages],
        "category": conversation.category,
        "source": conversation.source,
    }


def _write(path: Path, conversations: Iterable[Conversation]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
        for conversation in conversations:
            handle.write(json.dumps(to_row(conversation), ensure_ascii=False) + "\n")
