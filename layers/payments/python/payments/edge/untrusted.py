"""Bytes from outside: what a request's body may be before anything looks into it. Standard library alone.

A body is bounded in size, UTF-8, one JSON document of bounded depth whose numbers and texts the table and an answer can
hold. Whatever else comes in is `Unreadable`: the caller's fault, 4xx.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

MAX_BODY = 64 * 1024
"""Bytes; a notice of WeChat's has about 3,000."""

MAX_DEPTH = 32
"""Objects and lists within each other; a notice of WeChat's has five."""

MAX_DIGITS = 18
"""Of a whole number: a sum in fen has ten at most."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


class Unreadable(Exception):
    """The text says what is wrong with the body, and holds none of it."""


class TooLarge(Unreadable):
    """More bytes than anybody has a reason to send."""


def body_bytes(event: Mapping[str, Any]) -> bytes:
    """The body of an HTTP API request (2.0) as it came over the wire: the gateway encodes what it takes for binary.

    Raises Unreadable.
    """
    body = event.get("body") or ""
    if len(body) > MAX_BODY * 4 // 3 + 4:
        raise TooLarge(f"the body has more than {MAX_BODY} bytes")
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError):  # not base64; half a character
        raise Unreadable("the body cannot be decoded") from None
    if len(raw) > MAX_BODY:
        raise TooLarge(f"the body has more than {MAX_BODY} bytes")
    return bytes(raw)


def read_json(raw: bytes) -> Any:
    """The value of a caller's JSON document: no name twice, no number or text that the table cannot hold.

    Raises Unreadable.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Unreadable("the text is not UTF-8") from None
    value = _decoded(_STRICT, text)
    if _HALF_CHARACTER.search(text):
        try:
            _as_utf8(value)
        except UnicodeEncodeError:
            raise Unreadable("a text has half a character (a surrogate without its other)") from None
    return value


def read_notice(raw: bytes) -> dict[str, Any]:
    """The object of a notice of WeChat's. What a field cannot hold spoils that field alone, and none of the others: a
    number beyond all measure is None, half a character is `?` (R4). Raises Unreadable.
    """
    text = raw.decode(errors="replace")
    value = _decoded(_LENIENT, text)
    if _HALF_CHARACTER.search(text):
        value = json.loads(_as_utf8(value, "replace"))
    if not isinstance(value, dict):
        raise Unreadable("not a JSON object")
    return value


def _decoded(decoder: json.JSONDecoder, text: str) -> Any:
    if _depth(text) > MAX_DEPTH:
        raise Unreadable(f"more than {MAX_DEPTH} levels deep")
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):
        raise Unreadable("not one JSON document") from None


def _as_utf8(value: object, errors: str = "strict") -> bytes:
    return json.dumps(value, ensure_ascii=False).encode(errors=errors)


def _depth(text: str) -> int:
    """How deep the document is, at least where it is JSON: what is not is refused by the parser."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for one in _STRING.sub("", text):
        if one in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif one in "]}":
            depth -= 1
    return deepest


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS + digits.startswith("-") else None


def _fraction(digits: str) -> float | None:
    value = float(digits)
    return value if isfinite(value) else None


def _strictly(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def number(digits: str) -> Any:
        value = read(digits)
        if value is None:
            raise Unreadable(f"a number has more than {MAX_DIGITS} digits, is too large, or is none")
        return value

    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Unreadable("a name stands twice in one object")
    return found


_STRICT = json.JSONDecoder(
    parse_int=_strictly(_whole),
    parse_float=_strictly(_fraction),
    parse_constant=_strictly(lambda _: None),
    object_pairs_hook=_object,
)
_LENIENT = json.JSONDecoder(parse_int=_whole, parse_float=_fraction, parse_constant=lambda _: None)
