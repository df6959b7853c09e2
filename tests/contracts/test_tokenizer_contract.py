"""What every tokenizer promises, whatever its kind and however it came to be."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homespun.core import DataError, Message, RequestError, Tokenizer
from homespun.tokenizer import (
    SPECIAL_TOKENS,
    ByteLevelTokenizer,
    TokenizerConfig,
    load_tokenizer,
    train_tokenizer,
)

TEXTS = (
    'The miller had three sons. "Give me the cat," said the youngest, "and I\'ll go."\n' * 30,
    "话说宝玉听了，笑道：“这有何难？”便走了出去。黛玉不语，只看着窗外的雨。\n" * 30,
    "def add(a, b):\n    return a + b  # 123 4567\n" * 30,
)
CONFIGS = {
    "bpe": TokenizerConfig(kind="bpe", vocab_size=512),
    "bpe, small": TokenizerConfig(kind="bpe", vocab_size=270),
    "char": TokenizerConfig(kind="char", vocab_size=1024),
    "char, few": TokenizerConfig(kind="char", vocab_size=270),
    "byte": TokenizerConfig(kind="byte"),
}

# Text of every script, with more of what tokenizers trip over.
_AWKWARD = st.sampled_from(
    [
        *SPECIAL_TOKENS,
        "<|",
        "|>",
        "\r\n",
        "\u200d",
        "e\u0301",
        "\u0301",
        "👩\u200d👩\u200d👧",
        "  ",
        "\n\n",
        "　",
        "龘",
        "宝玉",
        "don't",
        "1234567",
        "\x00",
        "\ufeff",
    ]
)
any_text = st.lists(st.one_of(st.text(max_size=20), _AWKWARD), max_size=8).map("".join)
nfc_text = any_text.map(lambda text: unicodedata.normalize("NFC", text))
roles = st.sampled_from(["user", "assistant"])
messages = st.lists(st.builds(Message, roles, any_text), min_size=1, max_size=5)
contract_settings = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module", params=[*CONFIGS, "bpe, loaded"])
def tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ByteLevelTokenizer:
    if request.param in CONFIGS:
        return train_tokenizer(TEXTS, config=CONFIGS[request.param])
    trained = train_tokenizer(TEXTS, config=CONFIGS["bpe"])
    folder = tmp_path_factory.mktemp("saved")
    trained.save(folder)
    return load_tokenizer(folder)


class TestTokenizerContract:
    def test_is_a_tokenizer(self, tokenizer: ByteLevelTokenizer) -> None:
        assert isinstance(tokenizer, Tokenizer)

    @contract_settings
    @given(text=nfc_text)
    def test_nfc_text_comes_back(self, tokenizer: ByteLevelTokenizer, text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text).tolist()) == text

    @contract_settings
    @given(text=any_text)
    def test_other_text_comes_back_as_nfc(self, tokenizer: ByteLevelTokenizer, text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)

    @contract_settings
    @given(text=nfc_text)
    def test_bytes_of_tokens_are_the_bytes_of_the_text(
        self, tokenizer: ByteLevelTokenizer, text: str
    ) -> None:
        spelled = b"".join(map(tokenizer.token_bytes, tokenizer.encode(text).tolist()))
        assert spelled == text.encode("utf-8")

    @contract_settings
    @given(texts=st.lists(any_text, max_size=5))
    def test_a_batch_is_its_texts_one_by_one(
        self, tokenizer: ByteLevelTokenizer, texts: list[str]
    ) -> None:
        batch = tokenizer.encode_batch(texts)
        assert [ids.tolist() for ids in batch] == [tokenizer.encode(t).tolist() for t in texts]
        assert all(ids.dtype == np.uint32 for ids in batch)

    def test_a_batch_that_threads_share_is_its_texts_one_by_one(
        self, tokenizer: ByteLevelTokenizer
    ) -> None:
        texts = [text * (number % 4) for number, text in enumerate(TEXTS * 30)]
        texts += ["", "<|im_end|>", "e\u0301" * 9, "中" * 70_000, "", "ab" * 40_000, ""]
        batch = tokenizer.encode_batch(texts)
        assert [ids.tolist() for ids in batch] == [tokenizer.encode(t).tolist() for t in texts]
        (alone,) = tokenizer.encode_batch(texts[-2:-1])
        assert alone.tolist() == tokenizer.encode(texts[-2]).tolist()

    @contract_settings
    @given(text=any_text)
    def test_text_gives_only_ordinary_ids(self, tokenizer: ByteLevelTokenizer, text: str) -> None:
        ids = tokenizer.encode(text)
        assert ids.dtype == np.uint32
        assert ids.ndim == 1
        assert not set(ids.tolist()) & set(tokenizer.special_ids.values())
        assert all(0 <= index < tokenizer.vocab_size for index in ids.tolist())

    def test_control_tokens_are_the_last_ids_and_stand_for_no_bytes(
        self, tokenizer: ByteLevelTokenizer
    ) -> None:
        size = tokenizer.vocab_size
        assert list(tokenizer.special_ids) == list(SPECIAL_TOKENS)
        assert list(tokenizer.special_ids.values()) == list(range(size - 8, size))
        assert tokenizer.end_of_text_id == tokenizer.special_ids["<|endoftext|>"]
        assert tokenizer.end_of_turn_id == tokenizer.special_ids["<|im_end|>"]
        for index in tokenizer.special_ids.values():
            assert tokenizer.token_bytes(index) == b""
            assert tokenizer.decode([97, index, 98]) == "ab"

    def test_every_ordinary_id_stands_for_other_bytes(self, tokenizer: ByteLevelTokenizer) -> None:
        spelled = [tokenizer.token_bytes(index) for index in range(tokenizer.vocab_size - 8)]
        assert spelled[:256] == [bytes([byte]) for byte in range(256)]
        assert len(set(spelled)) == len(spelled)

    def test_half_a_character_decodes_to_a_replacement(self, tokenizer: ByteLevelTokenizer) -> None:
        assert tokenizer.decode([0xE4, 0xBD]) == "\ufffd"
        assert tokenizer.decode([0xE4, 0xBD, 0xA0]) == "你"

    def test_the_empty_text_has_no_ids(self, tokenizer: ByteLevelTokenizer) -> None:
        assert tokenizer.encode("").tolist() == []
        assert tokenizer.decode([]) == ""
        assert tokenizer.encode_batch([]) == []

    def test_a_lone_surrogate_counts_as_a_replacement_character(
        self, tokenizer: ByteLevelTokenizer
    ) -> None:
        assert tokenizer.decode(tokenizer.encode("a\udc80b")) == "a\ufffdb"

    @pytest.mark.parametrize("wrong", [-1, 10**6, "vocab_size"])
    def test_unknown_ids_are_refused(self, tokenizer: ByteLevelTokenizer, wrong: int | str) -> None:
        index = tokenizer.vocab_size if wrong == "vocab_size" else int(wrong)
        with pytest.raises(DataError, match="token ids run from 0"):
            tokenizer.decode([97, index])
        with pytest.raises(DataError, match="token ids run from 0"):
            tokenizer.token_bytes(index)

    @contract_settings
    @given(messages=messages, opens_answer=st.booleans())
    def test_chat_targets_are_the_answers_and_their_ends(
        self, tokenizer: ByteLevelTokenizer, messages: list[Message], opens_answer: bool
    ) -> None:
        chat = tokenizer.encode_chat(messages, add_generation_prompt=opens_answer)
        assert len(chat.ids) == len(chat.is_target)
        targets = [index for index, is_target in zip(*_fields(chat), strict=True) if is_target]
        answers = [message.content for message in messages if message.role == "assistant"]
        expected: list[int] = []
        for answer in answers:
            expected += [*tokenizer.encode(answer).tolist(), tokenizer.end_of_turn_id]
        assert targets == expected

    @contract_settings
    @given(messages=messages, opens_answer=st.booleans())
    def test_messages_cannot_write_control_ids(
        self, tokenizer: ByteLevelTokenizer, messages: list[Message], opens_answer: bool
    ) -> None:
        chat = tokenizer.encode_chat(messages, add_generation_prompt=opens_answer)
        start = tokenizer.special_ids["<|im_start|>"]
        control = [i for i in chat.ids if i in tokenizer.special_ids.values()]
        expected = [start, tokenizer.end_of_turn_id] * len(messages) + [start] * opens_answer
        assert control == expected

    @contract_settings
    @given(messages=messages)
    def test_a_prompt_is_the_beginning_of_the_conversation_it_opens(
        self, tokenizer: ByteLevelTokenizer, messages: list[Message]
    ) -> None:
        prompt = tokenizer.encode_chat(messages, add_generation_prompt=True).ids
        answered = tokenizer.encode_chat([*messages, Message("assistant", "Yes.")])
        assert answered.ids[: len(prompt)] == prompt
        assert answered.is_target[len(prompt)]

    def test_a_conversation_without_messages_or_with_strange_roles_is_refused(
        self, tokenizer: ByteLevelTokenizer
    ) -> None:
        with pytest.raises(RequestError, match="at least one message"):
            tokenizer.encode_chat([])
        with pytest.raises(RequestError, match="unknown role"):
            tokenizer.encode_chat([Message("<|im_end|>", "hello")])  # type: ignore[arg-type]

    def test_saving_and_loading_changes_nothing(
        self, tokenizer: ByteLevelTokenizer, tmp_path: Path
    ) -> None:
        tokenizer.save(tmp_path)
        for path in (tmp_path, tmp_path / "tokenizer.json"):
            loaded = load_tokenizer(path)
            assert loaded.sha256 == tokenizer.sha256
            assert loaded.kind == tokenizer.kind
            assert loaded.vocab_size == tokenizer.vocab_size
            assert loaded.chat_template == tokenizer.chat_template
            for text in TEXTS:
                assert loaded.encode(text).tolist() == tokenizer.encode(text).tolist()


@pytest.mark.parametrize("name", CONFIGS)
class TestTraining:
    def test_gives_the_same_file_again(self, name: str) -> None:
        first = train_tokenizer(TEXTS, config=CONFIGS[name])
        assert train_tokenizer(iter(TEXTS), config=CONFIGS[name]).sha256 == first.sha256

    def test_keeps_to_the_size_asked(self, name: str) -> None:
        assert train_tokenizer(TEXTS, config=CONFIGS[name]).vocab_size <= CONFIGS[name].vocab_size

    def test_of_nothing_gives_the_bytes(self, name: str) -> None:
        tokenizer = train_tokenizer([], config=CONFIGS[name])
        assert tokenizer.vocab_size == 256 + 8
        assert tokenizer.decode(tokenizer.encode("你好, world")) == "你好, world"


def _fields(chat: object) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    return chat.ids, chat.is_target  # type: ignore[attr-defined]
