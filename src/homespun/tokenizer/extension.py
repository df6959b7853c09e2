"""More tokens for a tokenizer that is in use: further merges on top of those it has.

Ordinary ids stay what they are, and new ones follow them. The control tokens take the last ids of
every vocabulary (see `special`), so they move up; they are found by name, never by number, and a
model's rows move with them.

A word is first joined by the merges there are, as encoding does, and then the pair that occurs most
often is joined, again and again: byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909) that
goes on where it stopped.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from homespun.core import ConfigError, Progress, Silent
from homespun.tokenizer.encoders import join_pairs, normalise
from homespun.tokenizer.encoding import ByteLevelTokenizer
from homespun.tokenizer.layout import (
    Merge,
    build_document,
    dump_document,
    parse_document,
    read_token,
)
from homespun.tokenizer.special import SPECIAL_TOKENS
from homespun.tokenizer.training import sample_texts, splitter

Words = dict[tuple[bytes, ...], int]


def extend_tokenizer(
    tokenizer: ByteLevelTokenizer,
    texts: Iterable[str],
    *,
    vocab_size: int,
    max_sample_bytes: int = 4_000_000,
    max_token_bytes: int = 32,
    seed: int = 0,
    progress: Progress | None = None,
) -> ByteLevelTokenizer:
    """The same tokenizer with merges learnt from `texts` until it has `vocab_size` ids, or until no
    pair occurs twice.

    Args:
        tokenizer: of kind "bpe".
        texts: read once.
        vocab_size: control tokens included; more than now.
        max_sample_bytes, max_token_bytes, seed: as in `TokenizerConfig`.
        progress: told when it is done.

    Raises:
        ConfigError: not more ids than now, or another kind of tokenizer.
    """
    check_extension(tokenizer, vocab_size)
    task = (progress or Silent()).task("learning more merges")
    known = parse_document(tokenizer.document, where="the tokenizer")
    sample = sample_texts((normalise(text) for text in texts), max_sample_bytes, seed=seed)
    words = joined_words(sample, known.merges)
    tokens = list(known.tokens)
    room = vocab_size - len(SPECIAL_TOKENS) - len(tokens)
    merges = learn_merges(words, known=tokens, room=room, max_token_bytes=max_token_bytes)
    there = set(tokens)
    tokens += dict.fromkeys(left + right for left, right in merges if left + right not in there)
    task.finish(f"{len(tokens) + len(SPECIAL_TOKENS)} tokens")
    document = dump_document(build_document("bpe", tokens, [*known.merges, *merges]))
    return ByteLevelTokenizer(document, chat_template=tokenizer.chat_template)


def check_extension(tokenizer: ByteLevelTokenizer, vocab_size: int) -> None:
    """Raises ConfigError where `tokenizer` cannot be extended to `vocab_size` ids."""
    if tokenizer.kind != "bpe":
        raise ConfigError(
            "only a vocabulary of merges can be extended",
            got=f"a tokenizer of kind {tokenizer.kind}",
            remedy="begin a new run with `homespun tokenizer train --kind bpe`",
        )
    if vocab_size <= tokenizer.vocab_size:
        raise ConfigError(
            f"the vocabulary has {tokenizer.vocab_size} tokens already",
            got=vocab_size,
            remedy="give --vocab a larger number",
        )


def pieces_of(before: ByteLevelTokenizer, after: ByteLevelTokenizer) -> list[list[int]]:
    """For each id of `after`, an extension of `before`, the ids of `before` it stands for."""
    known = parse_document(before.document, where="the tokenizer")
    ranks = {merge: rank for rank, merge in enumerate(known.merges)}
    ids = {token: index for index, token in enumerate(known.tokens)}
    tokens = parse_document(after.document, where="the tokenizer").tokens
    pieces = [[index] for index in range(len(known.tokens))]
    for token in tokens[len(known.tokens) :]:
        pieces.append([ids[piece] for piece in join_pairs(_bytes(token), ranks)])
    return [*pieces, *([before.special_ids[token]] for token in after.special_ids)]


def joined_words(sample: Sequence[str], merges: Sequence[Merge]) -> Words:
    """How often each word of the sample occurs, as the tokens it is made of."""
    pre_tokenizer = splitter("bpe").pre_tokenizer
    counts: Counter[str] = Counter()
    for text in sample:
        counts.update(word for word, _ in pre_tokenizer.pre_tokenize_str(text))
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    words: Words = {}
    for written, count in sorted(counts.items()):
        pieces = tuple(join_pairs(_bytes(read_token(written)), ranks))
        words[pieces] = words.get(pieces, 0) + count
    return words


def _bytes(word: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in word]


def learn_merges(
    words: Words, *, known: Sequence[bytes], room: int, max_token_bytes: int
) -> list[Merge]:
    """The commonest pair, again and again; of equally common ones the least by its bytes.

    Counts are kept up to date word by word, so that a merge costs as much as the words it is in.

    Args:
        words: tokens of each word, and how often it occurs.
        known: tokens there are; a merge that makes one of these takes no room.
        room: tokens to add.
        max_token_bytes: the longest.
    """
    spelled = [list(word) for word in words]
    times = list(words.values())
    counts: Counter[Merge] = Counter()
    where: dict[Merge, set[int]] = defaultdict(set)
    for number, pieces in enumerate(spelled):
        for pair in pairwise(pieces):
            counts[pair] += times[number]
            where[pair].add(number)
    heap = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(heap)
    there, merges = set(known), list[Merge]()
    while heap and room > 0:
        negative, pair = heapq.heappop(heap)
        if -negative != counts[pair]:  # an older count; the newer one is in the heap too
            continue
        if -negative < 2:  # a pair seen once saves one token once
            break
        if len(pair[0]) + len(pair[1]) > max_token_bytes:
            continue
        merges.append(pair)
        room -= pair[0] + pair[1] not in there
        there.add(pair[0] + pair[1])
        touched: set[Merge] = set()
        for number in where.pop(pair):
            before = Counter(pairwise(spelled[number]))
            spelled[number] = _merged(spelled[number], pair)
            after = Counter(pairwise(spelled[number]))
            for changed in {*before, *after}:
                if before[changed] != after[changed]:
                    counts[changed] += (after[changed] - before[changed]) * times[number]
                    touched.add(changed)
                if after[changed]:
                    where[changed].add(number)
        for changed in touched - {pair}:
            if counts[changed] > 0:
                heapq.heappush(heap, (-counts[changed], changed))
        counts.pop(pair, None)
    return merges


def learn_merges_obvious(
    words: Words, *, known: Sequence[bytes], room: int, max_token_bytes: int
) -> list[Merge]:
    """The slow version: count everything anew for each merge."""
    there, merges = set(known), list[Merge]()
    while room > 0:
        counts: Counter[Merge] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                if len(pair[0]) + len(pair[1]) <= max_token_bytes:
                    counts[pair] += count
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        merges.append(best)
        room -= best[0] + best[1] not in there
        there.add(best[0] + best[1])
        joined: Words = {}
        for word, count in words.items():
            new = tuple(_merged(list(word), best))
            joined[new] = joined.get(new, 0) + count
        words = joined
    return merges


def _merged(pieces: list[bytes], pair: Merge) -> list[bytes]:
    """Every occurrence joined, from the left."""
    found: list[bytes] = []
    place = 0
    while place < len(pieces):
        if place + 1 < len(pieces) and (pieces[place], pieces[place + 1]) == pair:
            found.append(pair[0] + pair[1])
            place += 2
        else:
            found.append(pieces[place])
            place += 1
    return found
