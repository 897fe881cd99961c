"""sweep: the janitor. Every minute it looks at what is due and brings it to its end (R10).

Any event, callback or answer may be lost at any time; an item's `due_at` is when the janitor re-checks it, and only the
janitor takes it away, after a consistent read in which nothing is left to do. What to do is decided in
`payments.domain.janitor`; here it is done: WeChat is asked, an order's time ends, a lost event is published again with
the same id.

Before anything is done for an item its due_at moves on by two minutes, under the condition that it is still the one
that was seen: so two runs never work on one item, and an item whose run dies is due again.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from payments.calls import seconds_left
from payments.cancellation import Paid, close_order, close_trade
from payments.domain.collection import Collection
from payments.domain.janitor import (
    Announce,
    Ask,
    AskRefund,
    Close,
    Due,
    End,
    Expire,
    OpenCase,
    Release,
    Step,
    StockDue,
    Withdraw,
    next_look,
    next_step,
)
from payments.domain.payment import Payment
from payments.domain.refund import second_no
from payments.edge.events import again
from payments.edge.observability import came_from, count, described, freed, gauge, logger, oversold, unreadable
from payments.parts import LambdaFunction, Parts
from payments.recording import record_answer, record_refund_report
from payments.store.dynamodb import UnreadableItem
from payments.wechat.errors import WechatError

SHARDS = "0123456789"
AT_ONCE = 25
"""Items per shard and run; those that are left are the longest overdue of the next run."""

LEASE = timedelta(minutes=2)
LAST_S = 15
"""With less time left than one order may take at worst, the next one is left to the next run."""


def handle(_event: dict[str, Any], parts: Parts) -> dict[str, int]:
    """Takes a schedule's event; gives how many orders were looked at, failed, and left to the next run."""
    now = parts.clock()
    due = sorted(chain(*(parts.store.looks.due(shard, now, AT_ONCE) for shard in SHARDS)), key=lambda one: one.due_at)
    orders: dict[str, list[Due]] = {}
    for one in due:
        if isinstance(one, StockDue):
            _look_at_stock(parts, one, now)
        else:
            orders.setdefault(one.order_sn, []).append(one)
    counts = {"orders": 0, "failed": 0, "left": 0}
    for order_sn, items in orders.items():
        if seconds_left() < LAST_S:
            counts["left"] = len(orders) - counts["orders"] - counts["failed"]
            break
        try:
            _bring_to_rest(parts, order_sn, items, parts.clock())
            counts["orders"] += 1
        except Exception as error:  # noqa: BLE001  # one order must not keep the others waiting
            if isinstance(error, UnreadableItem):
                unreadable(error)
            logger.error("sweep.failed", order_sn=order_sn, why=described(error), came_from=came_from(error))
            count("SweepFailed")
            counts["failed"] += 1
            for one in items:
                parts.store.looks.move(one, now + LEASE)
    gauge("OpenCases", parts.store.cases.count_open())
    logger.info("sweep.done", counts=counts)
    return counts


def _look_at_stock(parts: Parts, due: StockDue, now: datetime) -> None:
    """An offer was edited a minute ago: is more held of it than there is (R15)?"""
    try:
        found = parts.store.catalogue.find(parts.products, due.service_type, due.offer_id)
        held = parts.store.stocks.over(found.product, due.offer_id, found.offer, now) if found else None
        if held:
            oversold(due.service_type, due.offer_id, held)
        parts.store.looks.move(due, None)
    except Exception as error:  # noqa: BLE001  # it must not keep orders waiting
        if isinstance(error, UnreadableItem):
            unreadable(error)
        logger.error("sweep.stock_failed", offer_id=due.offer_id, why=described(error), came_from=came_from(error))
        count("SweepFailed")
        parts.store.looks.move(due, now + LEASE)


def _bring_to_rest(parts: Parts, order_sn: str, items: list[Due], now: datetime) -> None:
    """Does what is left to do for one order, then writes when to look at its items next, or that no look is needed."""
    collection = parts.store.collection(order_sn, consistent=True)
    if collection is None:
        raise LookupError(f"no order {order_sn}")
    due, tried, record, unanswered = {one.item for one in items}, set[Step](), parts.settings.shipping_record, False
    while (step := next_step(collection, now, due, tried, record)) is not None:
        if not tried:
            items = [replace(one, due_at=now + LEASE) for one in items if parts.store.looks.move(one, now + LEASE)]
            if not items:
                return  # another janitor has them, or they are due anew
        tried.add(step)
        unanswered = not _do(parts, step, collection, now) or unanswered
        collection = parts.store.collection(order_sn, consistent=True) or collection
    for one in items:
        parts.store.looks.move(one, next_look(collection, one.item, now, record, unanswered=unanswered))


def _do(parts: Parts, step: Step, collection: Collection, now: datetime) -> bool:
    """One step; False where WeChat could not be asked: nothing changes then, and the next look asks again."""
    order_sn = collection.order.order_sn
    logger.info("sweep.step", order_sn=order_sn, step=type(step).__name__)
    count(f"Sweep{type(step).__name__}")
    try:
        match step:
            case Announce(ref):
                item = collection.item(ref)
                event = again(item, now) if item is not None else None
                if event is not None:
                    parts.publish(event)
            case Ask(n):
                payment = _payment(collection, n)
                trade = parts.wechat_pay.query(payment)
                if trade is not None:
                    record_answer(parts.store, payment, trade, now)
            case Close(n):
                close_trade(parts.store, parts.wechat_pay, _payment(collection, n), now)
            case End():
                close_order(parts.store, parts.wechat_pay, order_sn, now, marked=collection.order.closing)
            case Expire():
                parts.store.orders.expire(order_sn)
            case Release():
                if written := parts.store.orders.release(collection.order, now):
                    freed(written, order_sn)
            case AskRefund(out_refund_no):
                report = parts.wechat_pay.query_refund(out_refund_no)
                if report is not None:
                    record_refund_report(parts.store, report, now)
            case Withdraw(out_refund_no):
                _withdraw(parts, collection, out_refund_no, now)
            case OpenCase(case):
                parts.store.cases.open(case)
                count("CaseOpened")
    except Paid:
        logger.info("sweep.paid", order_sn=order_sn)  # its event is on the way to the order
    except WechatError as error:
        logger.warning("sweep.unknown", order_sn=order_sn, step=type(step).__name__, why=str(error))
        return False
    return True


def _withdraw(parts: Parts, collection: Collection, out_refund_no: str, now: datetime) -> None:
    """WeChat does not know a refund that staff take back: noted the first time, WITHDRAWN the second (R7)."""
    refund, report = collection.refund(out_refund_no), parts.wechat_pay.query_refund(out_refund_no)
    if report is not None:
        record_refund_report(parts.store, report, now)
    elif refund is not None and refund.first_no_at is None:
        parts.store.refunds.note_first_no(refund, now)
    elif refund is not None and second_no(refund, now) and parts.store.refunds.withdraw(refund, now):
        logger.info("refund.withdrawn", out_refund_no=out_refund_no)
        count("RefundWithdrawn")


def _payment(collection: Collection, n: int) -> Payment:
    return next(payment for payment in collection.payments if payment.n == n)


handler = LambdaFunction(handle, "store", "wechat_pay", "publish", "products")
