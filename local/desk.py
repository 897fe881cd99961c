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
    owner = Identity(f"cli-{getpass.getuser()}"[:27], Role.STAFF, EVERY_BUSINESS)
    headers = {"Authorization": f"Bearer {issue(owner, on.token_keys(), utc_now(), LIFE)}"}
    try:
        reply = httpx.request(
            method, f"{on.api_url}/merchant/{path}", json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
    except httpx.HTTPError as error:
        away = f"{on.api_url} does not answer ({type(error).__name__})"
        raise DeskFailed(f"{away}: what was asked may or may not be done") from None
    try:
        told = reply.json()
    except ValueError:
        told = {}
    if reply.is_success:
        return told
    why = " ".join(text for text in (told.get("title"), told.get("detail")) if text)
    raise DeskFailed(why or f"{on.api_url} answered {reply.status_code}")
