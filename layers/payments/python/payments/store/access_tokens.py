"""The mini-program's access token, which all functions share."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from boto3.dynamodb.conditions import Attr

from payments.store import keys
from payments.store.dynamodb import plain, typed
from payments.store.items import NEW, Items, Put


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The access token of one mini-program."""

    appid: str
    access_token: str
    expires_at: datetime


class AccessTokens:
    def __init__(self, items: Items) -> None:
        self._items = items

    def get(self, appid: str) -> AccessToken | None:
        return self._items.get(AccessToken, keys.access_token(appid), consistent=False)

    def replace(self, token: AccessToken, failed: str | None) -> AccessToken:
        """Compare-and-swap: puts `token` in the place of the token `failed` (None: of none) and returns the token now
        stored, ours or another process's."""
        when = NEW if failed is None else Attr("access_token").eq(failed)
        result = self._items.write(Put({**keys.access_token(token.appid), **plain(token)}, when), _read)
        return token if result else result.item or token


def _read(item: Mapping[str, Any]) -> AccessToken:
    return typed(AccessToken, item)
