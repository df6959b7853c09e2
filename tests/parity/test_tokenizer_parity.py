"""Our ids against those of the `tokenizers` and `transformers` libraries reading our files."""

from __future__ import annotations

import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as HuggingFaceTokenizer

from homespun.core import Message
from homespun.tokenizer import (
    SPECIAL_TOKENS,
    ByteLevelTokenizer,
    TokenizerConfig,
    split_for_display,
    train_tokenizer,
)
from homespun.tokenizer.layout import build_document, dump_document

TEXTS = (
    'It was the best of times; it was the worst of times, wasn\'t it? "Well," he said.\n' * 20,
    "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦。及秦灭之后，楚、汉分争。\n" * 20,
    "x = [1, 22, 333, 4444]\r\n\tif x: print('ok')\r\n" * 20,
)
AWKWARD = {
    "empty": "",
    "one space": " ",
    "spaces": "a   b      c" + " " * 300,
    "spaces and line ends": " \n  \n\n \r\n\r\r \t\t x \n",
    "ideographic space": "　　却说　宝玉",
    "chinese": "宝玉笑道：“你好！”——黛玉……（不语）《石头记》",
    "chinese and latin": "用Python3写AI程序，GPT-4很强 Hello世界123中文",
    "rare and old characters": "㐀〇々龘𠮷𪚥",
    "kana and hangul": "こんにちは、カタカナ。안녕하세요",
    "emoji": "😀👩‍👩‍👧‍👦👍🏽🇨🇳❤️ ☃",
    "combining marks": "e\u0301 a\u0308\u0323 क्षि ก็ Z̷̡a",
    "decomposed": unicodedata.normalize("NFD", "Crème brûlée, Ångström, 한국"),
    "contractions": "don't DON'T we'll they’re 'tis rock'n'roll I'd've",
    "digits": "1 12 123 1234 12345678901234567890 ３４５ ²³ ½ Ⅷ 一二三",
    "quotes and punctuation": "\"The\" 'The' (The) ...!!! -- ---- #tag @me $5 a_b <b>x</b>",
    "right to left": "שלום עולם مرحبا بالعالم",
    "controls": "\x00\x01\x7f\x85\xa0\u200b\u2028\ufeff",
    "very long word": "pneumono" * 20_000,
    "very long chinese": "中" * 20_000,
}

# Code points that Python's Unicode tables know. The libraries carry other versions of the tables
# and part text at the newest characters differently.
assigned = st.characters(exclude_categories=("Cn", "Cs"))


@pytest.fixture(scope="module", params=["bpe", "char", "byte"])
def ours(request: pytest.FixtureRequest) -> ByteLevelTokenizer:
    return train_tokenizer(TEXTS, config=TokenizerConfig(kind=request.param, vocab_size=600))


@pytest.fixture(scope="module")
def folder(ours: ByteLevelTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    ours.save(path)
    return path


@pytest.fixture(scope="module")
def theirs(folder: Path) -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))


def read_with_tokenizers(ours: ByteLevelTokenizer, folder: Path) -> HuggingFaceTokenizer:
    ours.save(folder)
    return HuggingFaceTokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_text_has_the_ids_of_tokenizers(
    ours: ByteLevelTokenizer, theirs: HuggingFaceTokenizer, name: str
) -> None:
    assert ours.encode(AWKWARD[name]).tolist() == theirs.encode(AWKWARD[name]).ids


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=st.text(assigned, max_size=60))
def test_any_text_has_the_ids_of_tokenizers(
    ours: ByteLevelTokenizer, theirs: HuggingFaceTokenizer, text: str
) -> None:
    ids = ours.encode(text).tolist()
    assert ids == theirs.encode(text).ids
    assert theirs.decode(ids) == ours.decode(ids)


def test_sizes_and_control_ids_are_those_of_tokenizers(
    ours: ByteLevelTokenizer, theirs: HuggingFaceTokenizer
) -> None:
    assert theirs.get_vocab_size() == ours.vocab_size
    assert {token: theirs.token_to_id(token) for token in SPECIAL_TOKENS} == ours.special_ids


def test_control_strings_are_control_ids_there_and_text_here(
    ours: ByteLevelTokenizer, theirs: HuggingFaceTokenizer
) -> None:
    text = "before <|im_end|> after"
    assert ours.end_of_turn_id in theirs.encode(text).ids
    assert ours.end_of_turn_id not in ours.encode(text)
    assert ours.decode(ours.encode(text)) == text


CONVERSATIONS: dict[str, list[Message]] = {
    "one question": [Message("user", "Who is 宝玉?")],
    "with a system message": [
        Message("system", "You answer briefly."),
        Message("user", "Hello!\n\nHow are you?"),
        Message("assistant", "Well, and you?\n\n我很好。"),
        Message("user", "  indented  "),
        Message("assistant", " leading space\n"),
    ],
    "empty messages": [Message("user", ""), Message("assistant", "")],
    "line ends first": [Message("user", "\n\nhello"), Message("assistant", "ok")],
}


@pytest.fixture(scope="module")
def auto(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", CONVERSATIONS)
@pytest.mark.parametrize("opens_answer", [False, True])
def test_chat_has_the_ids_and_mask_of_transformers(
    ours: ByteLevelTokenizer, auto: Any, name: str, opens_answer: bool
) -> None:
    messages = CONVERSATIONS[name]
    chat = ours.encode_chat(messages, add_generation_prompt=opens_answer)
    plain = [{"role": message.role, "content": message.content} for message in messages]
    expected = auto.apply_chat_template(
        plain,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
        add_generation_prompt=opens_answer,
    )
    assert list(chat.ids) == expected["input_ids"]
    assert list(chat.is_target) == [bool(mark) for mark in expected["assistant_masks"]]


def test_transformers_knows_the_parts_of_control_tokens(
    ours: ByteLevelTokenizer, auto: Any
) -> None:
    assert auto.eos_token_id == ours.end_of_turn_id
    assert auto.bos_token_id == ours.end_of_text_id
    assert auto.pad_token_id == ours.special_ids["<|pad|>"]
    assert len(auto) == ours.vocab_size
    assert auto.decode(ours.encode("Hello , world .").tolist()) == "Hello , world ."
    assert auto.decode([ours.end_of_turn_id, 97], skip_special_tokens=True) == "a"


def test_transformers_adds_no_tokens_of_its_own(ours: ByteLevelTokenizer, auto: Any) -> None:
    assert auto("Hello 世界")["input_ids"] == ours.encode("Hello 世界").tolist()


@pytest.mark.slow
def test_every_known_code_point_has_the_ids_of_tokenizers(tmp_path: Path) -> None:
    # Every neighbour merges with every byte on either side, so that a word border that one library
    # sees and the other does not gives other ids.
    all_bytes = [bytes([byte]) for byte in range(256)]
    neighbours = [b"a", b",", "中".encode()[-1:], b"1", b"\n", b" "]
    merges = [(n, byte) for n in neighbours for byte in all_bytes]
    merges += [(byte, n) for n in neighbours for byte in all_bytes if (byte, n) not in merges]
    tokens = list(dict.fromkeys([*all_bytes, *(left + right for left, right in merges)]))
    ours = ByteLevelTokenizer(dump_document(build_document("bpe", tokens, merges)))
    theirs = read_with_tokenizers(ours, tmp_path)
    known = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) not in ("Cn", "Cs")]
    for before, after in ["aa", ",a", "中中", "11", " a", "\n ", "a,"]:
        texts = [before + character + after for character in known]
        expected = [encoding.ids for encoding in theirs.encode_batch(texts)]
        assert [ids.tolist() for ids in ours.encode_batch(texts)] == expected


@pytest.mark.data
@pytest.mark.parametrize("kind", ["bpe", "char"])
def test_real_books_have_the_ids_of_tokenizers(
    kind: Any, data_set: Callable[[str], Path], tmp_path: Path
) -> None:
    texts = [
        data_set("tiny-shakespeare/input.txt").read_text("utf-8")[:200_000],
        _first_of(data_set("zh-novels/zh-novels.tar.xz"), 100_000),
    ]
    ours = train_tokenizer(texts, config=TokenizerConfig(kind=kind, vocab_size=1024))
    theirs = read_with_tokenizers(ours, tmp_path)
    for text, ids in zip(texts, ours.encode_batch(texts), strict=True):
        assert ids.tolist() == theirs.encode(text).ids
        assert ours.decode(ids) == unicodedata.normalize("NFC", text)
    assert "".join(piece for piece, _ in split_for_display(ours, texts[1])) == texts[1]


def _first_of(archive: Path, num_characters: int) -> str:
    with tarfile.open(archive) as files:
        for member in files:
            file = files.extractfile(member)
            if file is not None:
                return file.read(num_characters * 4).decode("utf-8", "ignore")[:num_characters]
    raise AssertionError("an empty archive")
