"""The users of the mini-program."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payments.store import keys
from payments.store.dynamodb import plain, typed
from payments.store.items import NEW, Items, Put, Standing, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A mini-program user; user_id derives from appid and openid."""

    user_id: str
    openid: str
    unionid: str | None = None
    created_at: datetime


class Users:
    def __init__(self, items: Items) -> None:
        self._items = items

    def put(self, user: User) -> Written | Standing[User | None]:
        """Puts a new user. Standing: the user who is stored already; he stays as he is."""
        return self._items.write(Put(user_item(user), NEW), lambda item: typed(User, {**item, "user_id": user.user_id}))

    def get(self, user_id: str) -> User | None:
        return self._items.get(User, keys.user(user_id), consistent=False, also={"user_id": user_id})


def user_item(user: User) -> dict[str, Any]:
    """Its user_id stands in its key alone: the index `user` holds orders and nothing else."""
    return {**keys.user(user.user_id), **{name: value for name, value in plain(user).items() if name != "user_id"}}
