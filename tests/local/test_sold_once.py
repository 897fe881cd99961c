"""Two hundred guests at once want the last seat, and one night: through the running stack."""

import concurrent.futures
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.stack import local
from payments.domain.times import beijing_day, utc_now
from payments.edge.tokens import Identity, Role, issue
from payments.store.users import User
from tests.local.conftest import Cloud

GUESTS = 200


def guests(cloud: Cloud, name: str) -> list[dict[str, str]]:
    """The headers of each: signed in, as login would have it."""
    store, keys = local(cloud.state).store, cloud.token_keys()
    made = []
    for n in range(GUESTS):
        user_id = f"{name}-{n}"
        store.users.put(User(user_id=user_id, openid=f"o-{user_id}", created_at=utc_now()))
        made.append({"Authorization": f"Bearer {issue(Identity(user_id, Role.USER), keys, utc_now())}"})
    return made


def last_seat(cloud: Cloud, headers: dict[str, str]) -> dict[str, Any]:
    today = beijing_day(utc_now())
    days = {"from": f"{today}", "to": f"{today + timedelta(days=60)}"}
    told = cloud.api.get("/catalogue/course/kite/availability", params=days, headers=headers).json()
    session = next(one["session"] for one in told["sessions"] if one["free"] == 1)
    return {"service_type": "course", "course_id": "kite", "session": session, "seats": 1}


def one_night(_: Cloud, __: dict[str, str]) -> dict[str, Any]:
    start = beijing_day(utc_now()) + timedelta(days=120)
    return {
        "service_type": "homestay",
        "homestay_id": "sea-view",
        "start_date": f"{start}",
        "end_date": f"{start + timedelta(days=1)}",
        "people": 1,
        "need_food": False,
    }


@pytest.mark.parametrize("wanted", [last_seat, one_night])
def test_two_hundred_guests_at_once_are_one_order_and_the_others_are_told_that_it_is_sold_out(
    cloud: Cloud, wanted: Any
) -> None:
    everyone = guests(cloud, f"crowd-{wanted.__name__}")
    body = wanted(cloud, everyone[0])
    limits = httpx.Limits(max_connections=GUESTS)
    with (
        httpx.Client(base_url=cloud.state.api_url, timeout=120, trust_env=False, limits=limits) as api,
        concurrent.futures.ThreadPoolExecutor(GUESTS) as pool,
    ):
        replies = list(pool.map(lambda headers: api.post("/orders", json=body, headers=headers), everyone))
    other = {reply.text[:300] for reply in replies if reply.status_code not in (201, 409)}
    assert Counter(reply.status_code for reply in replies) == {201: 1, 409: GUESTS - 1}, other
    refused = [reply.json() for reply in replies if reply.status_code == 409]
    assert {told["type"] for told in refused} == {"urn:wxpay:sold-out"}
    assert all(list(told["free"].values()) == [0] for told in refused)
    cloud.check()
