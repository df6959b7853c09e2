"""WordPiece, the tokenizer of BERT and its kin, with the place of every token in its text; and
byte-level BPE, that of RoBERTa and of `byte_pieces`.

Wu et al. 2016 (arXiv 1609.08144, section 4.1) and Devlin et al. 2019 (arXiv 1810.04805). A word is
cut into the longest pieces the vocabulary has, `un ##believ ##able`; a Chinese character is a word.
What encoders are asked (which word is a name, where the answer stands) is asked of words and places
of a text, so every token says which ones are its own.
"""

from __future__ import annotations

import itertools
import json
import string
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as HuggingFaceTokenizer

from homespun.core import ConfigError, DataError
from homespun.core.files import os_error, write_json, write_text
from homespun.tokenizer.encoders import whole
from homespun.tokenizer.imported.vocabulary import VOCABULARY_FILE, vocabulary_document

PIECES_FILE, CONFIG_FILE = "tokenizer.json", "tokenizer_config.json"
PADDING, UNKNOWN, START, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
_MARKS = (PADDING, UNKNOWN, START, END, MASK)
_BYTE_MARKS = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")
"""RoBERTa's, in the same order."""
OWN_BYTE_MARKS = ("<|pad|>", "<|unused|>", "<|cls|>", "<|sep|>", "<|mask|>")
"""Those of byte-level vocabularies that are learned here. No text has unknown bytes: what stands
for unknown is a mark that nothing else uses."""
_CONTINUES, _SPACE = "##", "Ġ"
"""How a piece that goes on with a word begins, and a byte-level one that begins a word."""
_LONGEST_LEARNED = 512
"""Characters of a word that is learned from; of a longer one as many at a time."""


class Pieces(NamedTuple):
    """Tokens of a text or of a pair, marks included.

    Attributes:
        ids: of each token.
        types: 0 in the first text and its marks, 1 in the second.
        offsets: where each stands in its own text, in code points, from … up to; (0, 0) of marks.
        words: number of the word each belongs to, counted in its own text; -1 of marks.
    """

    ids: list[int]
    types: list[int]
    offsets: list[tuple[int, int]]
    words: list[int]


class PieceTokenizer:
    """Texts, lists of words and pairs of texts to tokens.

    What is spelt like a mark in them is text: nobody ends a text, or begins the second of a pair,
    by writing `[SEP]`.

    Args:
        document: of a `tokenizer.json` whose model is WordPiece, or BPE over bytes with RoBERTa's
            marks or our own.
        where: the file it is from, for messages.
        reads_marks: what is spelt like a mark is one, as `transformers` has it unless it is told
            `split_special_tokens`.

    Raises:
        ConfigError: it is another kind of tokenizer, or lacks a mark.
    """

    def __init__(
        self, document: str, *, where: str = "the tokenizer", reads_marks: bool = False
    ) -> None:
        try:
            self._tokenizer = HuggingFaceTokenizer.from_str(document)
        except Exception as error:  # the library raises bare Exception
            raise ConfigError(f"{where} is not a tokenizer: {error}") from error
        self._is_bytes = _is_byte_level(document)
        if not self._is_bytes and not isinstance(self._tokenizer.model, models.WordPiece):
            raise ConfigError(
                f"{where} is neither a WordPiece tokenizer nor a byte-level BPE",
                got=type(self._tokenizer.model).__name__,
                remedy="choose a BERT, MiniLM or RoBERTa model",
            )
        # What files bring along is for other uses: nothing is cut, filled up or put around a text.
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        ids: list[int] = []
        self._is_own = self._is_bytes and self._tokenizer.token_to_id(OWN_BYTE_MARKS[0]) is not None
        self._tokenizer.encode_special_tokens = not reads_marks
        self._marks = _MARKS
        if self._is_bytes:
            self._marks = OWN_BYTE_MARKS if self._is_own else _BYTE_MARKS
        for mark in self._marks:
            number = self._tokenizer.token_to_id(mark)
            if number is None:
                raise ConfigError(f"{where} has no token {mark}", remedy="restore the file")
            ids.append(number)
        self.padding_id, self.unknown_id, self.start_id, self.end_id, self.mask_id = ids
        # A file may have marks that it does not call so, or take them for words of the text.
        self._never = frozenset[int]() if reads_marks else frozenset(ids) - {self.unknown_id}
        # What stands between the mark behind the first text of a pair and the second text.
        self.between = (self.end_id,) if self._is_bytes and not self._is_own else ()
        self.vocab_size: int = self._tokenizer.get_vocab_size()

    @classmethod
    def load(cls, folder: Path, *, reads_marks: bool = False) -> PieceTokenizer:
        """That of `folder/tokenizer.json`, or where there is none of BERT's vocab.txt. Raises
        DataError where there is neither."""
        path, older = folder / PIECES_FILE, folder / VOCABULARY_FILE
        if older.is_file() and not path.is_file():
            return cls(vocabulary_document(folder), where=str(older), reads_marks=reads_marks)
        try:
            return cls(path.read_text("utf-8"), where=str(path), reads_marks=reads_marks)
        except FileNotFoundError as error:
            raise DataError(
                f"there is no {PIECES_FILE} in {folder}, and no {VOCABULARY_FILE}",
                remedy="name the model's folder",
            ) from error
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not UTF-8 text", remedy="restore the file") from error
        except OSError as error:
            raise os_error(error, f"reading {path}") from error

    def save(self, folder: Path) -> None:
        write_text(folder / PIECES_FILE, self._tokenizer.to_str(pretty=True) + "\n")

    def save_for_transformers(self, folder: Path, *, context: int) -> None:
        """As `save`, and so that `AutoTokenizer.from_pretrained(folder)` puts the same marks around
        texts and pairs and gives the same ids and types; for a vocabulary that is learned here.

        Args:
            context: tokens that the model reads at most.
        """
        document = json.loads(self._tokenizer.to_str())
        document["post_processor"] = self._around()
        if self._is_own:
            kind: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
            kind["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        else:
            normalizer = document["normalizer"]
            kind = {
                "tokenizer_class": "BertTokenizer",
                "do_lower_case": normalizer["lowercase"],
                "strip_accents": normalizer["strip_accents"],
                "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
            }
        names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        marks = dict(zip(names, self._marks, strict=True))
        write_json(folder / CONFIG_FILE, {**kind, "model_max_length": context, **marks})
        write_text(folder / PIECES_FILE, json.dumps(document, ensure_ascii=False, indent=2) + "\n")

    def encode(self, text: str, *, most: int | None = None) -> Pieces:
        """`[CLS] text [SEP]`; of a longer text the beginning, `most` tokens with marks."""
        return self.encode_batch([text], most=most)[0]

    def encode_batch(self, texts: Sequence[str], *, most: int | None = None) -> list[Pieces]:
        """Of each text; see `encode`."""
        room = None if most is None else max(1, most - 2)
        return [self._marked(_cut(pieces, room)) for pieces in self._bare(texts)]

    def encode_words(self, words: Sequence[str], *, most: int | None = None) -> Pieces:
        """Of a text that is cut into words already; `words` of the result are numbers of these.
        A word that leaves nothing (a control character) is an unknown one."""
        inner = Pieces([], [], [], [])
        spaces = [self._num_ahead(word) for word in words]
        texts = [" " * num + word for num, word in zip(spaces, words, strict=True)]
        for number, (ahead, piece) in enumerate(zip(spaces, self._bare(texts), strict=True)):
            ids = piece.ids or [self.unknown_id]
            places = piece.offsets or [(ahead, len(words[number]) + ahead)]
            offsets = [(max(0, a - ahead), max(0, b - ahead)) for a, b in places]
            inner.ids.extend(ids)
            inner.types.extend([0] * len(ids))
            inner.offsets.extend(offsets)
            inner.words.extend([number] * len(ids))
        return self._marked(_cut(inner, None if most is None else max(1, most - 2)))

    def encode_pair(self, first: str, second: str, *, most: int | None = None) -> Pieces:
        """`[CLS] first [SEP] second [SEP]`, of RoBERTa `<s> first </s></s> second </s>`; where that
        is longer than `most`, the longer of the two is cut at its end, token by token, until it
        fits."""
        one, two = self._bare([first, second])
        if most is not None:
            room = max(2, most - 3 - len(self.between))
            over = len(one.ids) + len(two.ids) - room
            if over > 0:
                longest = _fair(len(one.ids), len(two.ids), room)
                one, two = _cut(one, longest[0]), _cut(two, longest[1])
        head, num = self._marked(one), len(self.between)
        return Pieces(
            [*head.ids, *self.between, *two.ids, self.end_id],
            [*head.types, *([0] * num), *([1] * (len(two.ids) + 1))],
            [*head.offsets, *([(0, 0)] * num), *two.offsets, (0, 0)],
            [*head.words, *([-1] * num), *two.words, -1],
        )

    def decode(self, ids: Sequence[int]) -> str:
        """Text without marks; spaces and case are as the vocabulary has them."""
        return str(self._tokenizer.decode(list(ids)))

    def token(self, token_id: int) -> str:
        """How the vocabulary writes it."""
        return str(self._tokenizer.id_to_token(token_id))

    def token_text(self, token_id: int) -> str:
        """The letters it stands for; of a piece of a character what cannot be told otherwise."""
        if self._is_bytes:
            return str(self._tokenizer.decode([token_id]))
        return self.token(token_id).removeprefix(_CONTINUES)

    def word_beginnings(self) -> NDArray[np.bool_]:
        """Of each id whether a word begins with it."""
        tokens = [self.token(number) for number in range(self.vocab_size)]
        if self._is_own:
            letters = [self.token_text(number)[:1] for number in range(self.vocab_size)]
            begins = [bool(one) and (one == " " or is_han(one)) for one in letters]
            return np.array(begins)
        if self._is_bytes:
            return np.array([token.startswith(_SPACE) for token in tokens])
        return np.array([not token.startswith(_CONTINUES) for token in tokens])

    def mark_flags(self) -> NDArray[np.bool_]:
        """Of each id whether it is a mark, which is no word."""
        marks = {self.padding_id, self.unknown_id, self.start_id, self.end_id, self.mask_id}
        if self._is_own:  # those of conversations, which no text has
            marks |= set(self._tokenizer.get_added_tokens_decoder())
        return np.array([number in marks for number in range(self.vocab_size)])

    def _bare(self, texts: Sequence[str]) -> list[Pieces]:
        """Of each text, without marks. Lone surrogates count as U+FFFD, as everywhere."""
        texts = [whole(text) for text in texts]
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        bare = [self._without_marks(_pieces(encoding)) for encoding in found]
        if not self._is_bytes:
            return bare
        return [_without_spaces(pieces, text) for pieces, text in zip(bare, texts, strict=True)]

    def _without_marks(self, pieces: Pieces) -> Pieces:
        if self._never.isdisjoint(pieces.ids):
            return pieces
        ids = [self.unknown_id if number in self._never else number for number in pieces.ids]
        return pieces._replace(ids=ids)

    def _num_ahead(self, word: str) -> int:
        """Spaces before a word: to byte-level BPE it is another one without. Ours has them in the
        tokens of words of letters alone, and Chinese and kana are written without."""
        if not self._is_own:
            return int(self._is_bytes)
        return int(word[:1].isalpha() and not is_han(word[0]) and not is_kana(word[0]))

    def _around(self) -> dict[str, Any]:
        """The entry of the file that says which marks stand around a text and a pair."""

        def mark(name: str, kind: int) -> dict[str, Any]:
            return {"SpecialToken": {"id": name, "type_id": kind}}

        def text(name: str, kind: int) -> dict[str, Any]:
            return {"Sequence": {"id": name, "type_id": kind}}

        start, end = self._marks[2:4]
        single = [mark(start, 0), text("A", 0), mark(end, 0)]
        ids = {start: self.start_id, end: self.end_id}
        return {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, text("B", 1), mark(end, 1)],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]}
                for name, number in ids.items()
            },
        }

    def _marked(self, inner: Pieces) -> Pieces:
        return Pieces(
            [self.start_id, *inner.ids, self.end_id],
            [0, *inner.types, 0],
            [(0, 0), *inner.offsets, (0, 0)],
            [-1, *inner.words, -1],
        )


def train_pieces(
    texts: Iterable[str], *, vocab_size: int, lowercase: bool = False
) -> PieceTokenizer:
    """Learn a WordPiece vocabulary. The same texts give the same tokenizer.

    Args:
        texts: English, Chinese or both; read once, and held in memory.
        vocab_size: the most ids, marks included.
        lowercase: do not tell capitals from small letters, nor letters with accents from others.
    """
    trainee = HuggingFaceTokenizer(models.WordPiece({}, unk_token=UNKNOWN))
    trainee.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=lowercase)
    # Learning takes the square of a word's length: 400,000 unbroken letters half a minute.
    cut = pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{_LONGEST_LEARNED}}}"), "isolated")
    words = pre_tokenizers.BertPreTokenizer()
    trainee.pre_tokenizer = pre_tokenizers.Sequence([words, cut])
    trainee.decoder = decoders.WordPiece()
    texts = [whole(text) for text in texts]
    # The library numbers the first pieces in the order of a hash map with a random seed, and takes
    # the lower number where two pairs are equally frequent: two trainings would differ. Pieces
    # that are named as marks are numbered in the order given; they lose that name below.
    first = [_CONTINUES + letter for letter in _inner_letters(map(_normal(trainee), texts))]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=[*_MARKS, *first],
        continuing_subword_prefix=_CONTINUES,
        show_progress=False,
    )
    trainee.train_from_iterator(texts, trainer)
    trainee.pre_tokenizer = words
    document = json.loads(trainee.to_str())
    document["added_tokens"] = [
        token for token in document["added_tokens"] if token["content"] in _MARKS
    ]
    return PieceTokenizer(json.dumps(document, ensure_ascii=False))


def _normal(tokenizer: HuggingFaceTokenizer) -> Callable[[str], str]:
    normal: Callable[[str], str] = tokenizer.normalizer.normalize_str
    return normal


def _inner_letters(texts: Iterable[str]) -> list[str]:
    """Letters that stand inside a word, or at its end, in the order of their code points. Words are
    parted by space and by punctuation, each of which is a word."""
    pairs: set[tuple[str, str]] = set()
    for text in texts:
        pairs.update(itertools.pairwise(text))
    return sorted({second for first, second in pairs if _is_letter(first) and _is_letter(second)})


def is_han(character: str) -> bool:
    """Whether it is a Chinese character."""
    return unicodedata.name(character, "").startswith("CJK ")


def is_kana(character: str) -> bool:
    """Whether it is of the Japanese syllabaries."""
    return "\u3040" <= character <= "\u30ff"


def _is_letter(character: str) -> bool:
    return not (
        character.isspace()
        or character in string.punctuation
        or unicodedata.category(character).startswith("P")
    )


def _pieces(encoding: Any) -> Pieces:
    words = [-1 if word is None else word for word in encoding.word_ids]
    return Pieces(list(encoding.ids), [0] * len(encoding.ids), list(encoding.offsets), words)


def _is_byte_level(document: str) -> bool:
    """Whether a tokenizer's file is of a BPE over bytes."""
    told = json.loads(document)
    if told["model"].get("type") != "BPE":
        return False
    before = told.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    return any(step.get("type") == "ByteLevel" for step in steps)


def _without_spaces(pieces: Pieces, text: str) -> Pieces:
    """A byte-level token has the space before its word: that is no place of an answer or a name."""
    offsets = []
    for start, stop in pieces.offsets:
        while start < stop and text[start].isspace():
            start += 1
        while stop > start and text[stop - 1].isspace():
            stop -= 1
        offsets.append((start, stop))
    return pieces._replace(offsets=offsets)


def _cut(pieces: Pieces, room: int | None) -> Pieces:
    if room is None or len(pieces.ids) <= room:
        return pieces
    return Pieces(
        pieces.ids[:room], pieces.types[:room], pieces.offsets[:room], pieces.words[:room]
    )


def _fair(first: int, second: int, room: int) -> tuple[int, int]:
    """Lengths when the longer of the two loses its last token until both fit into `room`."""
    short = min(first, second)
    if 2 * short >= room:
        larger = room - room // 2
        return (larger, room // 2) if first >= second else (room // 2, larger)
    return (room - short, short) if first >= second else (short, room - short)
