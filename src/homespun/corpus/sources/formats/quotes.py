"""What somebody wrote in a mail, without the mails answered, signatures and seals around it."""

from __future__ import annotations

import re

# Above what is quoted: "On Monday Ann wrote:", in the languages of the commonest programs.
_WROTE = re.compile(
    r"(?:wrote|writes|said|schrieb.*|schreef.*|a écrit|escribió|escreveu|ha scritto|写道|寫道)"
    r"\s*[:：]\s*$"
)
_WHEN = re.compile(r"\s*(?:(?:On|At|Am|Le|El|Il|Em|Op)\s|在|于|於|\d{4}[-/年])")
_MOST_WROTE_LINES, _LONGEST_WROTE = 3, 300
# What other programs put before a whole mail that is answered.
_ORIGINAL = re.compile(
    r"\s*[-_]{2,}\s*(?:Original (?:Message|Appointment)|原始邮件|原始郵件|原邮件|原郵件|"
    r"Ursprüngliche Nachricht|Message d'origine|Mensaje original)\s*[-_]{2,}\s*",
    re.IGNORECASE,
)
_FORWARDED = re.compile(
    r"\s*(?:-{2,}\s*(?:Forwarded [Mm]essage|转发邮件信息|轉寄郵件).*|Begin forwarded message:\s*)"
)
_HEAD = re.compile(
    r"\s*[*]?(?:From|Sent|Date|To|Cc|Subject|Reply-To|发件人|發件人|寄件者|发送时间|發送時間|发送日期|"
    r"日期|时间|收件人|抄送|副本|主题|主旨|Von|Gesendet|An|Betreff|De|Envoyé|À|Objet)[*]?\s*[:：]"
)
_FEWEST_HEADS = 3
_RULE = re.compile(r"\s*_{10,}\s*")
_SIGNATURE = re.compile(r"-- ?")
_LONGEST_SIGNATURE = 15
_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
_SEAL = re.compile(
    r"^-----BEGIN PGP SIGNATURE-----$.*?(?:^-----END PGP SIGNATURE-----$|\Z)",
    re.MULTILINE | re.DOTALL,
)


def own_words(text: str) -> str:
    """The text without lines that begin with ">" and what introduces them, without a mail that is
    answered and stands below, signatures (from "-- " on) and the seals of PGP.

    A mail of which nothing else is left was passed on: what stands below is its text then.
    """
    lines = _without_answered(_without_seal(text).split("\n"))
    # A signature may stand above what is quoted: so that goes first.
    return "\n".join(_without_signature(_without_quotes(lines))).strip("\n")


def _without_seal(text: str) -> str:
    if _SIGNED in text:
        before, _, after = text.partition(f"{_SIGNED}\n")
        # Its own head ends at a blank line; lines that begin with a dash have another before.
        body = after.partition("\n\n")[2]
        text = before + re.sub(r"^- (?=-)", "", body, flags=re.MULTILINE)
    return _SEAL.sub("", text)


def _without_signature(lines: list[str]) -> list[str]:
    for index in range(len(lines) - 1, -1, -1):
        if _SIGNATURE.fullmatch(lines[index]):
            after = sum(1 for line in lines[index + 1 :] if line.strip())
            return lines[:index] if after <= _LONGEST_SIGNATURE else lines
    return lines


def _without_answered(lines: list[str]) -> list[str]:
    for index, line in enumerate(lines):
        is_forward = _FORWARDED.fullmatch(line) is not None
        is_answer = _ORIGINAL.fullmatch(line) is not None
        if not is_forward and not is_answer and not _is_head(lines, index):
            continue
        end = index + 1 if is_forward or is_answer else index
        while end < len(lines) and (_HEAD.match(lines[end]) or not lines[end].strip()):
            end += 1
        before = lines[:index]
        while before and (not before[-1].strip() or _RULE.fullmatch(before[-1])):
            before.pop()
        if is_forward or not any(before):
            before = _without_signature(before)
            return [*before, *([""] if before else []), *lines[end:]]
        return before
    return lines


def _is_head(lines: list[str], index: int) -> bool:
    """Whether a copy of a mail's head begins in this line: several of its names, one a line."""
    if not _HEAD.match(lines[index]):
        return False
    end = index
    while end < len(lines) and _HEAD.match(lines[end]):
        end += 1
    return end - index >= _FEWEST_HEADS


def _without_quotes(lines: list[str]) -> list[str]:
    kept: list[str] = []
    is_after = False
    for line in lines:
        if line.startswith((">", " >", "＞")):
            if not is_after:
                _drop_introduction(kept)
                # One blank line in its place: what was said before and after it stays parted.
                while kept and not kept[-1].strip():
                    kept.pop()
                if kept:
                    kept.append("")
            is_after = True
        elif line.strip() or not is_after:
            kept.append(line)
            is_after = is_after and not line.strip()
    _drop_introduction(kept)
    return kept


def _drop_introduction(kept: list[str]) -> None:
    """Take "On Monday Ann wrote:" off the end; it may be broken into lines."""
    end = len(kept)
    while end and not kept[end - 1].strip():
        end -= 1
    if not end or not _WROTE.search(kept[end - 1][-_LONGEST_WROTE:]):
        return
    start = end - 1
    for earlier in range(end - 1, max(-1, end - 1 - _MOST_WROTE_LINES), -1):
        if not kept[earlier].strip():
            break
        if _WHEN.match(kept[earlier]):
            start = earlier
            break
    del kept[start:]
