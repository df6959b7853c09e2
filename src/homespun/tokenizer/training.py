"""Learn a vocabulary from text."""

from __future__ import annotations

import heapq
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field
from tokenizers import Tokenizer as HuggingFaceTokenizer
from tokenizers import pre_tokenizers
from tokenizers.trainers import BpeTrainer

from homespun.core import Config, Progress, Silent, derive_seed
from homespun.tokenizer.encoders import normalise
from homespun.tokenizer.encoding import ByteLevelTokenizer
from homespun.tokenizer.layout import Kind, Merge, build_document, dump_document, read_token
from homespun.tokenizer.special import SPECIAL_TOKENS

_BYTES = [bytes([byte]) for byte in range(256)]
_SMALLEST = len(_BYTES) + len(SPECIAL_TOKENS)
_CHUNK = 1 << 18
_MANY_CHARACTERS = frozenset({"zh", "yue", "ja", "ko"})


class TokenizerConfig(Config):
    """How to train a tokenizer.

    Attributes:
        kind: "bpe" words and their parts, "char" single characters, "byte" UTF-8 bytes.
        vocab_size: the most ids there may be, control tokens included; a small corpus gives fewer.
            "byte" does not use it.
        max_sample_bytes: the most UTF-8 bytes to learn from; a larger corpus is sampled. Little is
            lost: 4 MB in place of 8 gives 0.3 % more tokens on English, 0.6 % on Chinese, in a
            third to a half of the time.
        max_token_bytes: the longest token "bpe" may learn. Ten Chinese characters; it keeps ruled
            lines and book titles from taking a place each.
        seed: of the sample.
        chat_template: Jinja text that replaces the default template.
    """

    kind: Kind = "bpe"
    vocab_size: int = Field(default=4096, ge=_SMALLEST, le=1 << 20)
    max_sample_bytes: int = Field(default=16_000_000, ge=1)
    max_token_bytes: int = Field(default=32, ge=2)
    seed: int = 0
    chat_template: str | None = None


def choose_vocab_size(num_bytes: int, language: str) -> int:
    """A vocabulary size for a corpus, control tokens included.

    The rule: `2048 (MB / 4) ^ 0.4`, twice that for a language written with thousands of
    characters, rounded to a multiple of 64, between 512 and 32768:

        20 KB  1 MB  4 MB  20 MB  100 MB  1 GB
    en    512  1152  2048   3904    7424  18624
    zh    512  2368  4096   7808   14848  32768

    Why: a token is learned only if it is seen often. Distinct words grow with text as a power of
    about a half (Heaps' law), and at a fixed least count the useful vocabulary grows with it, a
    little slower because the large models that large corpora can feed pay for each id twice, in
    the embedding and in the softmax. The anchor, 2048 at 4 MB, gives the rarest English token some
    hundred occurrences. Chinese must hold the characters themselves first: four novels of 9 MB use
    some 4500, of which the commonest 3000 cover 99 % of the text. Below 512 nothing is gained: the
    256 bytes are there in any case, and training stops by itself when no pair occurs twice.

    Args:
        num_bytes: UTF-8 bytes of the training text.
        language: ISO 639-1 code of most of it.
    """
    size = 2048 * math.pow(max(num_bytes, 1) / 4e6, 0.4)
    if language in _MANY_CHARACTERS:
        size *= 2
    return min(32768, max(512, round(size / 64) * 64))


def sample_texts(texts: Iterable[str], max_bytes: int, *, seed: int) -> list[str]:
    """An even sample of at most `max_bytes` UTF-8 bytes, in order; all of it if it fits.

    Long texts are cut into pieces of at most 256 KB, at line ends where there are any, so that a
    few large books are all represented. Each piece has a random rank that depends on `seed` and
    its place alone; those of lowest rank are kept. Memory holds the sample and one text, no more.

    Args:
        texts: read once.
        max_bytes: if even one piece is larger, that piece is cut to size.
        seed: another seed gives another sample.
    """
    kept: list[tuple[int, int, str, int]] = []
    total = 0
    place = 0
    for text in texts:
        for piece in _pieces(text, min(_CHUNK, max_bytes)):
            size = len(piece.encode("utf-8"))
            rank = derive_seed(seed, "tokenizer sample", place)
            heapq.heappush(kept, (-rank, place, piece, size))
            total += size
            place += 1
            while total > max_bytes:
                total -= heapq.heappop(kept)[3]
    return [piece for _, _, piece, _ in sorted(kept, key=lambda entry: entry[1])]


def _pieces(text: str, max_bytes: int) -> Iterator[str]:
    # A character is at most 4 bytes, so this many characters always fit.
    num_characters = max(1, max_bytes // 4)
    start = 0
    while start < len(text):
        stop = start + num_characters
        if stop < len(text):
            stop = text.rfind("\n", start + num_characters // 2, stop) + 1 or stop
        yield text[start:stop]
        start = stop


def train_tokenizer(
    texts: Iterable[str], *, config: TokenizerConfig, progress: Progress | None = None
) -> ByteLevelTokenizer:
    """Learn a tokenizer. The same texts and config give the same file, byte for byte.

    BPE is trained by the `tokenizers` library on the word split that encoding uses. The
    trainer of `gigatoken` takes half the time, but knows only the split of GPT-2: given words
    already split it splits them further, the vocabulary it learns needs 1.4 % more tokens on
    English and 0.3 % more on Chinese (4096 ids, 8 MB), and it writes to the terminal.

    Args:
        texts: documents, read once; nothing is needed of them, an empty corpus gives the bytes.
        config: see TokenizerConfig.
        progress: where to say how far it is.

    Raises:
        ConfigError: the chat template of `config` is not valid.
    """
    progress = progress or Silent()
    task = progress.task("reading a sample for the tokenizer", unit="documents")

    def counted() -> Iterator[str]:
        for text in texts:
            yield normalise(text)
            task.advance()

    tokens, merges = list(_BYTES), list[Merge]()
    if config.kind != "byte":
        sample = sample_texts(counted(), config.max_sample_bytes, seed=config.seed)
        task.finish()
        task = progress.task("learning the vocabulary")
        if config.kind == "bpe":
            merges = _learn_merges(sample, config)
            tokens += dict.fromkeys(left + right for left, right in merges)
        else:
            tokens += _learn_characters(sample, config.vocab_size - _SMALLEST)
    task.finish(f"{len(tokens) + len(SPECIAL_TOKENS)} tokens")
    document = dump_document(build_document(config.kind, tokens, merges))
    return ByteLevelTokenizer(document, chat_template=config.chat_template)


def splitter(kind: Kind) -> HuggingFaceTokenizer:
    """A tokenizer of bytes that cuts texts into the words that merges are learned from: those of
    `kind`, but of 512 characters at most. Learning from longer ones is slow (2 MB of unbroken
    letters: 29 s, so cut 3 s)."""
    empty = build_document(kind, _BYTES) | {"added_tokens": []}
    cut = {"type": "Split", "pattern": {"Regex": r"[\s\S]{1,512}"}, "behavior": "Isolated"}
    empty["pre_tokenizer"]["pretokenizers"].insert(-1, cut | {"invert": False})
    return HuggingFaceTokenizer.from_str(json.dumps(empty))


def _learn_merges(sample: list[str], config: TokenizerConfig) -> list[Merge]:
    trainee = splitter(config.kind)
    trainee.train_from_iterator(
        sample,
        BpeTrainer(
            vocab_size=config.vocab_size - len(SPECIAL_TOKENS),
            # A pair seen once saves one token once; it is not worth an id.
            min_frequency=2,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            max_token_length=config.max_token_bytes + 1,  # the library's bound is exclusive
            show_progress=False,
        ),
    )
    trained: dict[str, Any] = json.loads(trainee.to_str())
    return [(read_token(left), read_token(right)) for left, right in trained["model"]["merges"]]


def _learn_characters(sample: list[str], room: int) -> list[bytes]:
    """The commonest characters beyond ASCII (whose bytes are tokens already), ties by code."""
    counts: Counter[str] = Counter()
    for text in sample:
        counts.update(text)
    characters = [character for character in counts if character >= "\x80"]
    characters.sort(key=lambda character: (-counts[character], character))
    return [character.encode("utf-8") for character in characters[:room]]
