"""Who the assistant is and what it cannot do: a small hand-written set, told often enough to stick.

The conversations are in `identity.jsonl` beside this file, in the same form as users' own files.
Each says what is true of any model made here, and nothing of data or dates it cannot know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from importlib import resources

from homespun.core import Conversation
from homespun.corpus.chat.choices import share
from homespun.corpus.chat.read import read_conversations
from homespun.corpus.chat.sentences import Language, has_chinese

# One phrasing in so many is kept for validation, of groups that have at least this many.
_HELD_OUT_ONE_IN = 5


def load_identity(languages: Collection[Language] = ("en", "zh")) -> list[Conversation]:
    """The hand-written conversations in `languages`, in their order in the file."""
    file = resources.files("homespun.corpus.chat") / "identity.jsonl"
    with resources.as_file(file) as path:
        return [
            Conversation(conversation.messages, source="identity", category=conversation.category)
            for conversation in read_conversations(path)
            if language_of(conversation) in languages
        ]


def language_of(conversation: Conversation) -> Language:
    """By the assistant's first answer."""
    answer = next(m.content for m in conversation.messages if m.role == "assistant")
    return "zh" if has_chinese(answer) else "en"


def split_identity(
    conversations: list[Conversation], *, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """(train, validation): from each category and language, one phrasing in five is held out.

    A phrasing is held out only where others in training have the same answer, so that validation
    asks what was taught, in words that were not. The first of them in the file, the plainest, is
    always taught.
    """
    groups: dict[tuple[str, ...], list[Conversation]] = defaultdict(list)
    for conversation in conversations:
        answers = (m.content for m in conversation.messages if m.role == "assistant")
        groups[conversation.category, *answers].append(conversation)
    held_out: set[int] = set()
    for group in groups.values():
        rest = sorted(
            group[1:], key=lambda c: share(seed, "identity held out", c.messages[0].content)
        )
        held_out.update(id(c) for c in rest[: len(group) // _HELD_OUT_ONE_IN])
    train = [c for c in conversations if id(c) not in held_out]
    return train, [c for c in conversations if id(c) in held_out]


def repeat_to_share(
    identity: list[Conversation], num_others: int, *, wanted: float, seed: int
) -> list[Conversation]:
    """Identity conversations so often that they are `wanted` of the whole.

    Where one copy of all is already more than that, some of each category in turn.
    """
    if not identity:
        return []
    number = max(1, round(num_others * wanted / (1 - wanted))) if num_others else len(identity)
    by_category: dict[str, list[Conversation]] = defaultdict(list)
    for conversation in identity:
        by_category[conversation.category].append(conversation)
    for group in by_category.values():
        group.sort(key=lambda c: share(seed, "identity order", c.messages[0].content))
    longest = max(map(len, by_category.values()))
    in_turn = [
        group[turn]
        for turn in range(longest)
        for group in by_category.values()
        if turn < len(group)
    ]
    copies, rest = divmod(number, len(in_turn))
    return in_turn * copies + in_turn[:rest]
