"""Every text that goes to WeChat passes `for_wechat`, which knows each field's limit. Pure.

WeChat refuses a whole request for one character too many or for one that it does not take: a prepay, a refund, a
message. So a text is cleaned before it is stored, and what is stored is sent as it is, at every try.

Cleaning is one rule: the text becomes one line, without what nobody can see (controls, marks of direction, characters
of no width, private ones, halves of a pair, those that Unicode does not have). Where WeChat takes characters of up to
three bytes only, what is not among them goes: letters that have a plain form get that (𝐀 is A), other letters become
〓, the sign for a character that is missing, and pictures go away. A text that is too long is cut between what people
see as characters and ends with an ellipsis. One of which nothing is left becomes the field's own word.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MISSING = "〓"
ELLIPSIS = "…"
MAX_MARKS = 4
"""Accents on one letter; more are no language but a picture."""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Looks like a space, and counts as a letter or a sign."""


_TAGS = "".join(map(chr, range(0xE0020, 0xE0080)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    characters: int
    """In UTF-16, as phones count: WeChat does not say how it counts, and no other way counts more."""
    otherwise: str
    bytes: int = 10_000
    all_planes: bool = False


class Field(Enum):
    """A field of WeChat's that holds a text, with its limit."""

    DESCRIPTION = _Limit(characters=127, otherwise="订单")
    """prepay: what the guest's bill says."""
    ATTACH = _Limit(characters=128, bytes=128, otherwise="-")
    """prepay: comes back in notices. Not sent today."""
    REASON = _Limit(characters=80, bytes=80, otherwise="商家退款")
    """refund: what the guest is told."""
    ITEM_DESC = _Limit(characters=120, otherwise="订单")
    """upload_shipping_info: what was bought."""
    THING = _Limit(characters=20, all_planes=True, otherwise="-")
    """subscription message: a `thing`. Emoji are taken here."""


def for_wechat(field: Field, text: str) -> str:
    """The text as WeChat takes it in this field; never empty. The same again changes nothing."""
    limit: _Limit = field.value
    return _cut(cleaned(text, all_planes=limit.all_planes), limit) or limit.otherwise


def cleaned(text: str, *, all_planes: bool = False) -> str:
    """The text on one line, without what nobody can see; without `all_planes` only characters of up to three bytes."""
    line = "".join(" " if char in _BLANK or unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char for char in text)
    line = "".join(char for char in line if unicodedata.category(char) not in {"Cs", "Co", "Cn"})
    line = _tidy(line)
    if not all_planes:
        line = "".join(each if max(each) <= "\uffff" else _stand_in(each) for each in _characters(line))
    while (tidy := _tidy(line)) != line:  # what stood beside something that went may have nothing to stand on now
        line = tidy
    return line


def _tidy(text: str) -> str:
    """Without marks that stand on nothing, or on too much, and without what only moves or joins the others in vain."""
    line, kept, marks = " ".join(text.split()), "", 0
    for at, char in enumerate(line):
        match unicodedata.category(char):
            case "Cf":
                kept += char if _joins(kept, char, line[at + 1 : at + 2]) else ""
            case "Mn" | "Mc" | "Me":
                marks += 1
                kept += char if kept[-1:].strip() and marks <= MAX_MARKS else ""
            case _:
                kept, marks = kept + char, 0
    return kept


def _joins(before: str, char: str, after: str) -> bool:
    """Whether a character of no width has something to do where it stands."""
    if char in _TAGS:
        return before.rstrip(_TAGS).endswith("\U0001f3f4")  # the letters of a flag
    if char not in "\u200c\u200d" or not before or not after:
        return False
    kinds = {unicodedata.category(before[-1])[0], unicodedata.category(after)[0]}
    if char == "\u200d" and kinds <= {"S", "M"}:
        return True  # a picture of several
    return kinds <= {"L", "M"} and "\u0590" <= before[-1] < "\u1100"  # scripts whose letters join


def _stand_in(character: str) -> str:
    """What is written for a character of which WeChat does not take a part."""
    first, marks = character[0], "".join(char for char in character[1:] if char <= "\uffff")
    kind = unicodedata.category(first)[0]
    if first <= "\uffff":
        return "" if kind == "S" else first + marks
    plain = unicodedata.normalize("NFKC", first)
    if len(plain) == 1 and plain <= "\uffff":
        return plain + marks
    return MISSING if kind in "LN" else ""


def _cut(line: str, limit: _Limit) -> str:
    """The line within its limit; one that is cut ends with an ellipsis."""
    if _fits(line, limit):
        return line
    kept = ""
    for character in _characters(line):
        if not _fits(kept + character + ELLIPSIS, limit):
            break
        kept += character
    kept = kept.rstrip(" \u200c\u200d")
    return kept + ELLIPSIS if kept else ""


def _fits(text: str, limit: _Limit) -> bool:
    return sum(2 if char > "\uffff" else 1 for char in text) <= limit.characters and len(text.encode()) <= limit.bytes


def _characters(text: str) -> Iterator[str]:
    """What people see as one character each (grapheme clusters)."""
    cluster = ""
    for char in text:
        if cluster and not _belongs(cluster, char):
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


def _belongs(cluster: str, char: str) -> bool:
    """Whether a character goes with those before it. Rather too often than too seldom: then a little more is cut."""
    last = cluster[-1]
    return (
        unicodedata.category(char) in {"Mn", "Mc", "Me", "Cf"}  # accents, variants, joiners, tags
        or last == "\u200d"  # what a joiner joins
        or unicodedata.combining(last) == 9  # what a virama joins
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones
        or "\u1160" <= char <= "\u11ff"  # the later letters of a Korean syllable
        or "\u1100" <= last <= "\u115f"  # and what follows its first
        or char in "\u0e33\u0eb3\uff9e\uff9f"  # Thai and Lao vowels, Japanese voice marks
        or re.search(_FLAG, cluster + char) is not None
    )


_FLAG = "(?<![\U0001f1e6-\U0001f1ff])[\U0001f1e6-\U0001f1ff]{2}$"
"""Two of these letters are one flag."""
