"""Which bytes are text, and in which encoding: UTF-8, UTF-16, GB18030, Big5 or Western.

The decision is deterministic and made from a sample: marks at the beginning, then whether the bytes
are UTF-8, then how common the characters are that each remaining encoding would give.
"""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

SAMPLE_BYTES = 1 << 20
_ENOUGH_TO_TELL = 20
_BLOCK = 1 << 16

# First bytes of files that are never text, whatever their suffix.
_MAGIC = (
    b"%PDF-",
    b"PK\x03\x04",
    b"\x89PNG",
    b"GIF8",
    b"\xff\xd8\xff",
    b"\x7fELF",
    b"\xd0\xcf\x11\xe0",
    b"7z\xbc\xaf",
    b"Rar!\x1a",
    b"OggS",
    b"fLaC",
    b"RIFF",
    b"SQLite format 3",
    b"\x1f\x8b",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ",
    b"BZh",
    b"PAR1",
    b"\x00\x00\x01\x00",
)
# Those among them that a text may begin with as well: "RIFF", or somebody called "BZhang".
_WORDS = (b"GIF8", b"OggS", b"fLaC", b"RIFF", b"BZh", b"PAR1", b"SQLite format 3")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The commonest characters of written Chinese, in both scripts, commonest first within each line.
# They make up more than half of running text, and a tenth of a percent of a wrong reading.
_COMMON = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过"
    "发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前"
    "开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最重"
    "並這個們來為國說時會對過發後裡種經麼學現當沒動還進樣開從實軍無與長機問關點業將兩間曰吾汝乃"
    "今何见見其言君王子之也者矣乎哉安文女世老头頭手水山风風花月书書话話语語字名白"
    "，。！？、；：“”「」《》（）…—　"
)
_HAN = re.compile("[\u3400-\u9fff]")
_KANA = re.compile("[\u3041-\u30fa]")
# Marks, arrows, circled numbers, boxes, stars: a rule of sixty dashes says nothing of the encoding.
_SYMBOL = re.compile("[\u2010-\u266f]")
# What a page may say of its encoding.
_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([\w-]{2,30})""", re.IGNORECASE)
_DECLARED_AS_XML = re.compile(rb"""^\s*<\?xml[^>]{0,200}encoding\s*=\s*["']([\w-]{2,30})""")
_HEAD = 4096
# Encodings by Python's names, and what reads all of it: many say one and mean a wider one.
WIDE = {
    **dict.fromkeys(("gb2312", "gbk", "gb18030"), "gb18030"),
    **dict.fromkeys(("big5", "big5hkscs"), "big5hkscs"),
    **dict.fromkeys(("shift_jis", "cp932"), "cp932"),
    **dict.fromkeys(("euc_kr", "cp949"), "cp949"),
    "euc_jp": "euc_jp",
}
_WESTERN = ("iso8859-1", "iso8859-15", "cp1252")
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_HIGH_ALONE = re.compile(rb"(?<![\x80-\xff])[\x80-\xff](?![\x80-\xff])")
_STRANGE = frozenset({"Cc", "Cn", "Co", "Cs"})
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27}) + b"\x7f"


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to decode a file.

    Attributes:
        name: for the data card: "utf-8", "utf-16", "gb18030", "big5", "cp1252", or another that
            an HTML page names.
        codec: what Python calls it (differs where a mark has to be taken off).
    """

    name: str
    codec: str


UTF8 = Encoding("utf-8", "utf-8-sig")
# Text in an encoding that is not read here; as Western it would be gibberish.
UNKNOWN = Encoding("unknown", "ascii")


def detect_encoding(sample: bytes) -> Encoding | None:
    """The encoding of a text from its first bytes; None where this is no text, `UNKNOWN` where it
    is text in none of these encodings.

    Args:
        sample: up to a megabyte; it may end in the middle of a character.
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return Encoding(name, "utf-8-sig" if name == "utf-8" else name)
    num_control = len(sample) - len(sample.translate(None, _CONTROL))
    has_control = b"\0" in sample or num_control > 0.03 * len(sample)
    if sample.startswith(_MAGIC) and (has_control or not sample.startswith(_WORDS)):
        return None
    if has_control:
        found = _utf16_without_mark(sample)
        return UTF8 if found is None and _has_stray_nuls(sample) else found
    if is_utf8(sample):
        return UTF8
    return _legacy(sample)


def declared_encoding(sample: bytes, found: Encoding) -> Encoding:
    """What an HTML page says of itself, where that can be; else `found`.

    A page that says it is Western may be anything, and one in UTF-8 shows it. What the bytes cannot
    tell is Japanese from Chinese, and which letters are meant by one byte each.
    """
    said = _DECLARED.search(sample[:_HEAD]) or _DECLARED_AS_XML.search(sample[:_HEAD])
    if said is None or found.name.startswith("utf-"):
        return found
    try:
        name = codecs.lookup(said[1].decode("ascii")).name
    except LookupError:
        return found
    if name in WIDE:
        text = _decode_sample(sample, WIDE[name])
        num_beyond = len(text) - len(text.encode("ascii", "ignore"))
        return found if 50 * text.count("\ufffd") > num_beyond else Encoding(name, WIDE[name])
    is_narrow = name.startswith(("cp125", "iso8859-", "koi8-")) and name not in _WESTERN
    return Encoding(name, name) if is_narrow and found.name in ("cp1252", "unknown") else found


def is_utf8(sample: bytes) -> bool:
    """Whether the bytes are UTF-8; of a long sample the last character may be cut off."""
    try:
        whole = len(sample) < SAMPLE_BYTES // 2
        codecs.getincrementaldecoder("utf-8")().decode(sample, final=whole)
    except UnicodeDecodeError:
        return False
    return True


def _has_stray_nuls(sample: bytes) -> bool:
    """Whether it is UTF-8 with a few NULs: what a crash left at the end of a log, a marker of old
    databases. They are taken out like other control characters."""
    body = sample.rstrip(b"\0\x1a")
    rest = body.translate(None, b"\0")
    num_control = len(rest) - len(rest.translate(None, _CONTROL))
    few = 100 * (len(body) - len(rest)) <= len(body) and 100 * num_control <= len(rest)
    return bool(rest.strip()) and few and is_utf8(rest)


def _utf16_without_mark(sample: bytes) -> Encoding | None:
    """Bytes with NULs or many control codes are UTF-16 if they read as text that way, else none."""
    if len(sample) < 2:
        return None
    for codec in ("utf-16-le", "utf-16-be"):
        text = sample[: min(len(sample), 40_000) & ~1].decode(codec, "replace")
        strange = sum(1 for c in text if unicodedata.category(c) in _STRANGE and c not in "\t\n\r")
        if 20 * strange > len(text):
            continue
        # English bytes read in the wrong order give rare Chinese characters; Chinese ones, others.
        beyond = "".join(c for c in text if c >= "\u0600")
        if 4 * len(beyond) < len(text) or chinese_score(beyond) > 0:
            return Encoding("utf-16", codec)
    return None


def _legacy(sample: bytes) -> Encoding:
    """Of bytes that are not UTF-8 throughout: nearly UTF-8, Chinese, Western or none."""
    sample = _from_first_high(sample)
    decoded = sample.decode("utf-8", "replace")
    num_bad = decoded.count("\ufffd")
    num_good = len(decoded) - len(decoded.encode("ascii", "ignore")) - num_bad
    if num_good > 3 * num_bad:
        return UTF8  # a few bad bytes in a file that is UTF-8 otherwise
    best, best_score = Encoding("cp1252", "cp1252"), 0.0
    if _share_alone(sample) > 0.7:
        return best  # accented letters among plain ones
    for name, codec in (("gb18030", "gb18030"), ("big5", "big5hkscs"), ("big5", "cp950")):
        score = chinese_score(_decode_sample(sample, codec))
        if score > best_score + 1e-9:
            best, best_score = Encoding(name, codec), score
    if best.name == "cp1252":
        # Whole words of high bytes are Cyrillic, Greek, Japanese, …
        return UNKNOWN if _share_in_runs(sample) > 0.5 else best
    return best if _has_common(_decode_sample(sample, best.codec)) else UNKNOWN


def _from_first_high(sample: bytes) -> bytes:
    """From the first line that is not ASCII: pages of English before it tell nothing, and less of
    what does is looked at."""
    first = _HIGH_RUN.search(sample)
    return sample if first is None else sample[sample.rfind(b"\n", 0, first.start()) + 1 :]


def _has_common(text: str) -> bool:
    """Whether some of the Chinese is common: Korean read as Chinese is possible, but rare words."""
    beyond = [character for character in _SYMBOL.sub("", text) if character >= "\x80"]
    num_common = sum(character in _COMMON for character in beyond)
    return len(beyond) < _ENOUGH_TO_TELL or 10 * num_common >= len(beyond)


def _share_in_runs(sample: bytes) -> float:
    """Share of the bytes above 127 that stand three or more together."""
    runs = [len(run) for run in _HIGH_RUN.findall(sample[:200_000])]
    return sum(length for length in runs if length >= 3) / sum(runs) if runs else 0.0


def _share_alone(sample: bytes) -> float:
    """Share of the bytes above 127 that have plain ASCII on both sides; Chinese ones come in runs.

    In Big5 the second byte of two in five characters is ASCII, so some stand alone there too.
    """
    high = sum(map(len, _HIGH_RUN.findall(sample[:200_000])))
    return len(_HIGH_ALONE.findall(sample[:200_000])) / high if high else 0.0


def _decode_sample(sample: bytes, codec: str) -> str:
    """Decoded by `codec` with U+FFFD for what it cannot read, a cut-off end left out."""
    return codecs.getincrementaldecoder(codec)("replace").decode(sample[:200_000])


def chinese_score(text: str) -> float:
    """How much like Chinese the non-ASCII part of a text reads, up to 3; below 0 it does not.

    A common character or punctuation mark counts 3, another one of the 3,755 of GB 2312's first
    level or the 5,401 of Big5's first 1, a rarer character -2, anything else that is not ASCII -3;
    other symbols do not count.
    """
    total, count = 0, 0
    for character in text:
        is_common = character in _COMMON
        if character < "\x80" or (not is_common and _SYMBOL.match(character)):
            continue
        count += 1
        if is_common:
            total += 3
        elif _HAN.match(character):
            total += 1 if _is_first_level(character) else -2
        elif not "\u3000" <= character <= "\u30ff" and not "\uff00" <= character <= "\uffef":
            total -= 3
    return total / count if count else 0.0


def _is_first_level(character: str) -> bool:
    try:
        if 0xB0 <= character.encode("gb2312")[0] <= 0xD7:
            return True
    except UnicodeEncodeError:
        pass
    try:
        return 0xA4 <= character.encode("big5")[0] <= 0xC6
    except UnicodeEncodeError:
        return False


def read_sample(stream: BinaryIO) -> bytes:
    """The bytes to decide by: the first megabyte or, where that is ASCII, the first that is not.

    A long file may begin with pages of English; reading on costs little next to misreading it.
    """
    first = stream.read(SAMPLE_BYTES)
    if not first.isascii() or b"\0" in first:
        return first
    while block := stream.read(SAMPLE_BYTES):
        if not block.isascii():
            start = block.find(b"\n") + 1
            return block[start:] if start < len(block) // 2 else block
    return first


def sure_encoding(stream: BinaryIO) -> Encoding:
    """How a file is to be decoded strictly, for what must not be misread: UTF-16 (and UTF-32) with
    a mark and GB18030, where all of the file can be read so and there is enough to tell it by; else
    `UTF8`, whether the file is that or not.

    Args:
        stream: at its beginning, can be sought in; left anywhere.
    """
    sample = read_sample(stream)
    found = UTF8 if is_utf8(sample) else detect_encoding(sample)
    if found is None or found.codec not in ("utf-16", "utf-32", "gb18030"):
        return UTF8
    if found.codec == "gb18030":
        text = _decode_sample(_from_first_high(sample), found.codec)
        if not _is_surely_chinese(text):
            return UTF8
    stream.seek(0)
    decoder = codecs.getincrementaldecoder(found.codec)()
    try:
        while block := stream.read(_BLOCK):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return UTF8
    return found


def _is_surely_chinese(text: str) -> bool:
    """Whether it is long enough for `_has_common` to have told it from Korean and Cyrillic, and
    not Japanese in EUC, whose kana and marks have the same bytes."""
    num_beyond = len(text) - len(text.encode("ascii", "ignore"))
    return num_beyond >= _ENOUGH_TO_TELL and 5 * len(_KANA.findall(text)) <= num_beyond


def decode_stream(stream: BinaryIO, encoding: Encoding) -> Iterator[str]:
    """The text in blocks, every newline made a line feed; bytes that do not fit become U+FFFD."""
    decoder = io.IncrementalNewlineDecoder(
        codecs.getincrementaldecoder(encoding.codec)("replace"), translate=True
    )
    while block := stream.read(_BLOCK):
        if text := decoder.decode(block):
            yield text
    if rest := decoder.decode(b"", final=True):
        yield rest
