"""What protects pages on a developer's machine from other pages in his browser.

A name that somebody else owns can be made to lead here (DNS rebinding), a page of another origin can send requests here
or frame what it finds, and what people typed may be markup. So only our own hosts are answered, only our own pages may
change something, and the pages run and load nothing but their own files.
"""

import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE = {"GET", "HEAD", "OPTIONS"}
MOST_READ = 1 << 20
"""Bytes of a refused request that are read before it is answered."""

ANY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 - named, not bound

NOTHING_ELSE = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self' data:; media-src 'self' blob:; script-src {scripts}; style-src {styles}"
)
"""A Content-Security-Policy: no file of anybody else's, nothing inline, no frame, no form that leaves the page."""


def inline_policy(page: str) -> str:
    """The policy of a page that is one file: its own script and style, known by their hashes."""

    def hashes(tag: str) -> str:
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inner)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return NOTHING_ELSE.format(scripts=hashes("script"), styles=hashes("style"))


class Guard:
    """Answers 421 to foreign hosts and 403 to changes that a page of another origin asks for; the rest goes to `app`
    and comes back with the headers that make a browser strict."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] = LOOPBACK,
        policy: Callable[[str], str],
        open_to_all: Callable[[str], bool],
        hint: str,
    ) -> None:
        """`policy`: the Content-Security-Policy of a path. `open_to_all`: the paths that prove by themselves who calls
        (a token, a signature). `hint`: how another host is let in."""
        self._app, self._hosts, self._policy, self._open, self._hint = app, hosts, policy, open_to_all, hint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = scope["path"]

        async def strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                told["X-Content-Type-Options"] = "nosniff"
                told["Content-Security-Policy"] = self._policy(path)
                told["X-Frame-Options"] = "DENY"
                told["Referrer-Policy"] = "no-referrer"
                told["Cross-Origin-Opener-Policy"] = "same-origin"
                told["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        host = headers.getlist("host")
        if len(host) != 1 or not self._ours(host[0]):
            await _read(receive)
            await _refuse(strictly, 421, f"This address is not known here. {self._hint}")
        elif scope["method"] not in SAFE and not self._open(path) and _foreign(headers, host[0]):
            await _read(receive)
            await _refuse(strictly, 403, "A page of another origin may not do that.")
        else:
            await self._app(scope, receive, strictly)

    def _ours(self, host: str) -> bool:
        name = _name(host)
        return name in self._hosts or bool(ANY_ADDRESS & set(self._hosts) and name and _is_address(name))


def _name(host: str) -> str | None:
    """The host of a Host header, without its port."""
    try:
        split = urlsplit(f"//{host}")
        _ = split.port
    except ValueError:
        return None
    odd = split.username is not None or split.path or split.query or split.fragment
    return None if odd else split.hostname


def _is_address(name: str) -> bool:
    """A number: nobody's name leads to it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that the request comes from another origin's page; programs say nothing."""
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != host.lower():
        return True
    return headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}


def _netloc(origin: str) -> str:
    """Host and port of an origin; empty for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def _read(receive: Receive) -> None:
    """The body of a request that is refused, the first part of a large one: a client that is still sending when the
    connection closes would see a reset instead of the answer."""
    left = MOST_READ
    while left > 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            return
        left -= len(message.get("body", b""))


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"error": why}).encode()
    start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
