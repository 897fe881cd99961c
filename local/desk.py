"""What commands do about money, through the API like any member of staff: one way in, with the same checks."""

import getpass
from datetime import timedelta
from typing import Any

import httpx

from local.stack import Stack
from payments.domain.times import utc_now
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue

TIMEOUT_S = 30
LIFE = timedelta(minutes=5)


class DeskFailed(Exception):
    """The API said no, or nothing; the text says why, and what to do."""


def ask(on: Stack, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON of an answer below /merchant, asked as the owner under this machine's user. Raises DeskFailed."""
    return _told(_reply(on, method, path, body))


def read(on: Stack, path: str, business: str = EVERY_BUSINESS) -> Any:
    """The JSON of what a business, or the owner, reads below /merchant. Raises DeskFailed."""
    return _told(_reply(on, "GET", path, business=business))


def read_file(on: Stack, path: str, business: str = EVERY_BUSINESS) -> bytes:
    """The same as a file of CSV, byte for byte. Raises DeskFailed."""
    return _reply(on, "GET", path, business=business, accept="text/csv").content


def _reply(
    on: Stack,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    business: str = EVERY_BUSINESS,
    accept: str = "application/json",
) -> httpx.Response:
    """An answer that says yes. Raises DeskFailed."""
    caller = Identity(f"cli-{getpass.getuser()}"[:27], Role.STAFF, business)
    headers = {"Authorization": f"Bearer {issue(caller, on.token_keys(), utc_now(), LIFE)}", "Accept": accept}
    try:
        reply = httpx.request(
            method, f"{on.api_url}/merchant/{path}", json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
    except httpx.HTTPError as error:
        away = f"{on.api_url} does not answer ({type(error).__name__})"
        raise DeskFailed(f"{away}: what was asked may or may not be done") from None
    if reply.is_success:
        return reply
    told = _told(reply)
    why = " ".join(text for text in (told.get("title"), told.get("detail")) if text)
    raise DeskFailed(why or f"{on.api_url} answered {reply.status_code}")


def _told(reply: httpx.Response) -> Any:
    try:
        return reply.json()
    except ValueError:
        return {}
