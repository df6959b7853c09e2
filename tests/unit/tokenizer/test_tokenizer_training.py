from __future__ import annotations

from collections.abc import Iterator

import pytest

from homespun.core import ConfigError
from homespun.tokenizer import (
    TokenizerConfig,
    choose_vocab_size,
    reference,
    sample_texts,
    train_tokenizer,
)
from homespun.tokenizer.layout import parse_document
from homespun.tokenizer.reference import split_words, train_merges

ENGLISH = "The cat sat on the mat; the cat's hat wasn't flat. \"That,\" said the cat, 'is that.'\n"
CHINESE = "话说天下大势，分久必合，合久必分。宝玉笑道：“天下大势，宝玉不知。”\n"
CODE = "for i in range(1000):\n\tprint(i, 123456)\r\n\r\n    # ==============================\n"
TEXTS = [ENGLISH * 3, CHINESE * 3, CODE * 3, ENGLISH + CHINESE + CODE, "aaaa aaaaaaa aaa " * 3]


def vocabulary_of(tokenizer, tmp_path):  # type: ignore[no-untyped-def]
    tokenizer.save(tmp_path)
    return parse_document((tmp_path / "tokenizer.json").read_text("utf-8"), where="test")


@pytest.mark.parametrize("max_token_bytes", [4, 32])
@pytest.mark.parametrize("texts", [TEXTS[:1], TEXTS[1:2], TEXTS[2:3], TEXTS])
def test_merges_are_those_of_the_plain_trainer(texts, max_token_bytes, tmp_path):  # type: ignore[no-untyped-def]
    config = TokenizerConfig(vocab_size=264 + 120, max_token_bytes=max_token_bytes)
    vocabulary = vocabulary_of(train_tokenizer(texts, config=config), tmp_path)
    plain = train_merges(texts, num_tokens=120, max_token_bytes=max_token_bytes)
    assert list(vocabulary.merges) == plain


@pytest.mark.parametrize("text", [*TEXTS, "", "a", "你", "e\u0301 12345 \n\n　x", "龘😀"])
def test_ids_are_those_of_the_plain_encoder(text, tmp_path):  # type: ignore[no-untyped-def]
    tokenizer = train_tokenizer(TEXTS, config=TokenizerConfig(vocab_size=400))
    vocabulary = vocabulary_of(tokenizer, tmp_path)
    plain = reference.encode(text, tokens=vocabulary.tokens, merges=vocabulary.merges)
    assert tokenizer.encode(text).tolist() == plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't say it 12345 times", ["Don", "'t", " say", " it", " ", "123", "45", " times"]),
        ("用Python写AI程序", ["用", "Python", "写", "AI", "程序"]),
        ("宝玉道：“你好。”", ["宝玉道", "：“", "你好", "。”"]),
        ("a\r\n\r\n  b", ["a", "\r\n\r\n", " ", " b"]),
        ("he\u0301llo", ["h\u00e9llo"]),
        ("x\u0323\u0301y z", ["x\u0323\u0301y", " z"]),
        ("ひらがなカナ漢字", ["ひらがなカナ漢字"]),
    ],
)
def test_words_keep_their_borders(text: str, words: list[str]) -> None:
    assert split_words(text) == words


def test_no_token_crosses_from_chinese_to_anything_else() -> None:
    texts = ["宝玉hello宝玉，宝玉123宝玉 宝玉\n" * 200]
    tokenizer = train_tokenizer(texts, config=TokenizerConfig(vocab_size=400))
    tokens = [
        tokenizer.token_bytes(i).decode("utf-8", "ignore") for i in range(tokenizer.vocab_size)
    ]
    assert {"宝玉", "hello"} <= set(tokens)
    assert [token for token in tokens if "玉" in token and token.strip("宝玉")] == []


def test_a_tiny_corpus_gives_fewer_tokens_than_asked() -> None:
    tokenizer = train_tokenizer(["abab"], config=TokenizerConfig(vocab_size=4096))
    assert tokenizer.vocab_size == 256 + 1 + 8
    assert tokenizer.encode("abab").tolist() == [256, 256]


def test_no_token_is_longer_than_asked() -> None:
    config = TokenizerConfig(vocab_size=1024, max_token_bytes=9)
    tokenizer = train_tokenizer(["天下大势分久必合" * 50, "=" * 500, "word" * 99], config=config)
    assert max(len(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)) == 9


def test_characters_are_tokens_commonest_first() -> None:
    config = TokenizerConfig(kind="char", vocab_size=264 + 2)
    tokenizer = train_tokenizer(["éé你你你😀 plain"], config=config)
    assert [tokenizer.token_bytes(i).decode() for i in (256, 257)] == ["你", "é"]
    assert tokenizer.encode("你é").tolist() == [256, 257]
    assert tokenizer.encode("😀").tolist() == list("😀".encode())


def test_decomposed_text_trains_like_composed_text() -> None:
    config = TokenizerConfig(kind="char")
    assert (
        train_tokenizer(["cafe\u0301"], config=config).sha256
        == train_tokenizer(["caf\u00e9"], config=config).sha256
    )


def test_lone_surrogates_do_not_stop_training() -> None:
    for kind in ("bpe", "char"):
        tokenizer = train_tokenizer(["ab\udc80ab"] * 3, config=TokenizerConfig(kind=kind))
        assert tokenizer.decode(tokenizer.encode("ab")) == "ab"


def test_a_template_that_is_wrong_is_refused() -> None:
    with pytest.raises(ConfigError, match="not valid Jinja"):
        train_tokenizer([], config=TokenizerConfig(chat_template="{% if %}"))


class TestSample:
    def test_is_everything_in_order_where_it_fits(self) -> None:
        texts = ["one\n", "", "two\n", "你好" * 100_000]
        assert "".join(sample_texts(iter(texts), 10**7, seed=0)) == "".join(texts)

    def test_keeps_to_its_size(self) -> None:
        sample = sample_texts(["你好abc\n" * 1000] * 50, 100_000, seed=0)
        assert 0 < sum(len(text.encode()) for text in sample) <= 100_000

    def test_is_a_matter_of_the_seed_alone(self) -> None:
        texts = [f"{number} " * 100 for number in range(500)]
        first = sample_texts(texts, 20_000, seed=1)
        assert sample_texts(iter(texts), 20_000, seed=1) == first
        assert sample_texts(texts, 20_000, seed=2) != first

    def test_comes_from_everywhere(self) -> None:
        texts = [f"{number:04} " * 20 for number in range(1000)]
        places = [int(text[:4]) for text in sample_texts(texts, 20_000, seed=0)]
        assert places == sorted(places)
        assert min(places) < 50
        assert max(places) > 950

    def test_holds_no_more_than_asked_in_memory(self) -> None:
        alive = 0
        most = 0

        class Text(str):
            def __new__(cls, *args: object) -> Text:
                nonlocal alive, most
                alive += 1
                most = max(most, alive)
                return super().__new__(cls, *args)

            def __getitem__(self, key: object) -> Text:
                return Text(super().__getitem__(key))  # type: ignore[index]

            def __del__(self) -> None:
                nonlocal alive
                alive -= 1

        def texts() -> Iterator[str]:
            for _ in range(300):
                yield Text("x" * 1000)

        assert len(sample_texts(texts(), 10_000, seed=0)) == 10
        assert most <= 14

    def test_cuts_long_texts_at_line_ends(self) -> None:
        sample = sample_texts(["a line of some length\n" * 100_000], 10**7, seed=0)
        assert len(sample) > 10
        assert all(text.endswith("\n") for text in sample)


class TestChooseVocabSize:
    @pytest.mark.parametrize(
        ("num_bytes", "language", "size"),
        [
            (0, "en", 512),
            (20_000, "en", 512),
            (20_000, "zh", 512),
            (4_000_000, "en", 2048),
            (20_000_000, "en", 3904),
            (9_000_000, "zh", 5696),
            (10**15, "en", 32768),
        ],
    )
    def test_follows_its_rule(self, num_bytes: int, language: str, size: int) -> None:
        assert choose_vocab_size(num_bytes, language) == size

    def test_grows_in_steps_of_64(self) -> None:
        sizes = [choose_vocab_size(1000 * 2**k, "en") for k in range(40)]
        assert sizes == sorted(sizes)
        assert all(size % 64 == 0 for size in sizes)
