"""Languages are named by script or by the bundled model, without a network."""

from __future__ import annotations

import socket

import pytest

from homespun.corpus.language import LanguageDetector, language_by_script


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The quick brown fox jumps over the lazy dog and runs away into the forest.", "en"),
        ("Le petit prince regarda longtemps la rose qui poussait dans son jardin.", "fr"),
        ("滚滚长江东逝水，浪花淘尽英雄。是非成败转头空。", "zh"),
        ("秦川雄帝宅，函谷壯皇居。綺殿千尋起，離宮百雉餘。", "zh"),
        ("学而时习之", "zh"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。", "ja"),
        ("나는 오늘 학교에 갔다. 날씨가 아주 좋았다.", "ko"),
        ("12345 67890 !!!", "und"),
    ],
)
def test_languages_are_recognised(text: str, language: str) -> None:
    assert LanguageDetector().detect(text) == language


def test_english_that_quotes_chinese_is_english() -> None:
    text = "The word 学 means to learn, and it is used in many compounds of the modern language."
    assert language_by_script(text) == ""
    assert LanguageDetector().detect(text) == "en"


def test_no_connection_is_ever_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert LanguageDetector().detect("Dies ist ein deutscher Satz über das Wetter.") == "de"
