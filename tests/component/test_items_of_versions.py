"""What each released version has written into the table is kept in tests/items, and read for ever.

A change of an item's shape makes the first test fail: raise the version in pyproject.toml, then write its file with
`WRITE_ITEMS=1 ./dev test -- tests/component/test_items_of_versions.py`. The files of versions before stay as they are.
"""

import json
import os
import re
import tomllib
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from payments.domain.case import Case
from payments.domain.guest_messages import GuestMessages
from payments.domain.order import Order, OrderStatus
from payments.domain.payment import Payment
from payments.domain.refund import Refund, RefundStatus
from payments.domain.shipping import Shipping
from payments.domain.times import BEIJING, beijing_day, utc_now
from payments.products import PRODUCTS
from payments.store.dynamodb import plain, typed, unwire, wire
from payments.store.purchase import bought
from payments.store.stocks import read_block
from tests.examples import HOME
from tests.shop import Shop
from tests.shop.aws import all_items
from tests.shop.guest import new_booking, new_order

FOLDER = Path("tests/items")
VERSION = tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]
FILES = sorted(FOLDER.glob("*.json"))

OF = {
    "ORDER": Order,
    "PAYMENT": Payment,
    "REFUND": Refund,
    "NOTICE": GuestMessages,
    "SHIPPING": Shipping,
    "CASE": Case,
}
"""What reads an item, by how its sort key begins."""


def number(value: object) -> int:
    assert isinstance(value, Decimal)
    assert value == int(value)
    return int(value)


def written(shop: Shop) -> list[dict[str, Any]]:
    """Every kind of item, as the functions of this version write them."""
    shop.records_shipping("on_redemption")
    shop.context.remaining_ms = 900_000
    shop.run("reconcile_bill", {"plan": True})  # from here on days are compared
    token = shop.guest.login()
    shop.guest.place(token, new_booking(seats=2))
    assert shop.staff.block(nights=[new_order()["start_date"]], reason="在别处卖了").status == 201
    order = new_order(remark="晚到一点")
    reply = shop.call("POST /orders", order, token=token, headers={"idempotency-key": "items-of-a-version"})
    order_sn = str(reply.json["order_sn"])
    assert shop.guest.cashier(shop.guest.prepay(token, order_sn)) == "requestPayment:ok"
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    shop.events.settle()
    assert shop.staff.redeem("ABCDEFGHJK").status == 404
    assert shop.staff.redeem(str(shop.items.collection(order_sn).order.redeem_code)).status == 200
    assert len(shop.events.deliver_all()) == 1  # WeChat's order management does not know the payment at once
    shop.janitor.come_to_rest()
    assert shop.staff.refund(order_sn, 1000, key="first-part").status == 201
    shop.janitor.come_to_rest()
    shop.wechat.fault("refund_end", "ABNORMAL", times=1)
    given_up = {"nights": [order["start_date"]]}
    assert shop.staff.refund(order_sn, 2000, key="second-part", gives_up=given_up).status == 201
    shop.janitor.come_to_rest()
    foreign = shop.wechat.notice(f"{order_sn}_1", plaintext={"out_trade_no": "OTHER_0001", "transaction_id": "4200"})
    assert shop.wechat.notify(foreign).status == 204
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=1), time(10, 30), BEIJING))
    shop.run("reconcile_bill", {})
    shop.wechat.fault("tradebill", "empty", times=1)  # of a day on which a refund of ours is booked
    shop.run("reconcile_bill", {"date": f"{beijing_day(utc_now()) - timedelta(days=1)}"})
    return sorted((unwire(item) for item in all_items()), key=lambda item: (item["pk"], item["sk"]))


def shape(item: dict[str, Any]) -> dict[str, str]:
    """Which attributes an item has, and of which type each is. A night that is held (`d12`) is one like any other."""
    return {re.sub(r"^d[0-9]{2}$", "d..", name): type(value).__name__ for name, value in sorted(item.items())}


def shapes(items: list[dict[str, Any]]) -> dict[str, list[dict[str, str]]]:
    """By entity: partition and sort key without the names in them, every digit a 0 (a month of the stock)."""
    found: dict[str, list[dict[str, str]]] = {}
    for item in items:
        entity = re.sub("[0-9]", "0", f"{item['pk'].partition('#')[0]}/{item['sk'].partition('#')[0]}")
        if shape(item) not in found.setdefault(entity, []):
            found[entity].append(shape(item))
    return {entity: sorted(each, key=str) for entity, each in sorted(found.items())}


def test_this_version_writes_items_of_the_shape_that_its_file_has(shop: Shop) -> None:
    items, path = written(shop), FOLDER / f"{VERSION}.json"
    if os.environ.get("WRITE_ITEMS"):
        path.write_text(json.dumps(items, default=number, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    kept = [dict(item) for item in json.loads(path.read_text(), parse_int=Decimal)]
    assert shapes(items) == shapes(kept), f"the items of {VERSION} have another shape: see the top of this file"
    assert {entity.partition("/")[2] for entity in shapes(kept)} >= {*OF, "USER", "OFFER", "TOKEN", "IDEMPOTENCY"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_items_of_every_version_are_read_as_they_were_written(shop: Shop, path: Path) -> None:
    items = json.loads(path.read_text(), parse_int=Decimal)
    shop.items.restore([wire(item) for item in items])
    for item in items:
        if (cls := OF.get(item["sk"].partition("#")[0])) is not None:
            read = plain(typed(cls, item))
            assert {name: value for name, value in read.items() if name in item} == {
                name: value for name, value in item.items() if name in read
            }
    (order_sn,) = {item["order_sn"] for item in items if item["sk"] == "ORDER" and item["status"] == "USED"}
    collection = shop.items.collection(order_sn)
    assert collection.order.status is OrderStatus.USED
    assert bought(collection.order, PRODUCTS)[1].title == HOME.title
    assert [payment.n for payment in collection.payments] == [collection.order.paid_by]
    assert {refund.status for refund in collection.refunds} == {RefundStatus.SUCCESS, RefundStatus.ABNORMAL}
    assert collection.guest_messages["order.paid"].messages
    cases = [item for item in items if item["sk"].startswith("CASE#")]
    assert len(cases) >= 2
    assert len(collection.cases) == sum(item["pk"] == f"ORDER#{order_sn}" for item in cases)
    assert len(shop.store.cases.all_open()) == sum("case_open" in item for item in cases)
    assert collection.shippings
    user = shop.store.users.get(collection.order.user_id)
    assert user is not None
    assert user.openid == collection.order.openid
    (offer,) = shop.store.catalogue.on_sale(PRODUCTS["homestay"].catalogue)  # type: ignore[arg-type]
    kept = next(item for item in items if item["sk"] == "OFFER" and "homestay_id" in item)
    assert offer == replace(HOME, rooms=int(kept.get("rooms", 1)))
    days = {date.fromisoformat(item["day"]) for item in items if item["sk"] == "SUMMARY"}
    assert {*shop.store.bills.days(days)} == days
    for day in days:
        kinds = {item["kind"] for item in items if item["pk"] == f"BILL#{day}" and item["sk"].startswith("DIFF#")}
        assert {difference.kind.value for difference in shop.store.bills.differences(day)} == kinds
    assert any(shop.store.bills.statements(day) for day in days) is any(
        item["sk"].startswith("STATEMENT#") for item in items
    )
    for item in items:
        if item["sk"] == "ORDER":
            assert bought(typed(Order, item), PRODUCTS)
        if item["sk"].startswith("BLOCK#"):
            assert shop.store.stocks.blocks("homestay", HOME.homestay_id) == [read_block(item)]
    shop.items.spoilt.add(order_sn)


def test_there_is_a_file_of_this_version() -> None:
    assert FOLDER / f"{VERSION}.json" in FILES
