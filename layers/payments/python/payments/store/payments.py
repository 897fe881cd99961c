"""Payments: the WeChat trades of orders."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from boto3.dynamodb.conditions import Attr, ConditionBase

from payments.domain.case import Case
from payments.domain.order import Order
from payments.domain.payment import ENTERED_FROM, Payment, PaymentStatus, TradeReport
from payments.domain.times import iso
from payments.domain.trade_number import TradeNumber
from payments.store import keys
from payments.store.cases import opened
from payments.store.dynamodb import plain, typed
from payments.store.items import NEW, Items, Put, Standing, Update, Written, as_read, status_in
from payments.store.looks import planned


class Payments:
    """Standing: the stored payment that made the condition fail; None: there is no such payment."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def get(self, order_sn: str, n: int) -> Payment | None:
        return self._items.get(Payment, keys.payment(order_sn, n), consistent=True)

    def put(self, payment: Payment) -> Written | Standing[Payment | None]:
        """Puts the n-th payment of an order before WeChat is called (R2). Written: this call may call WeChat for it
        now. Standing: the one that another call has put."""
        item = {**_key(payment), **plain(payment)}
        return self._items.write(Put(item, NEW), read_payment, {"attempt": payment.attempt})

    def claim_prepay(
        self, payment: Payment, attempt: str, now: datetime, pause: timedelta
    ) -> Written | Standing[Payment | None]:
        """Written: this call alone may call WeChat for this open trade's prepay_id now, at most once per `pause`.
        Standing: the payment, which is not NOTPAY any more, or for which another call has called."""
        return self._update(
            payment, {"called_at": now, "attempt": attempt}, _free("called_at", now, pause), {"attempt": attempt}
        )

    def claim_query(self, payment: Payment, now: datetime, pause: timedelta) -> Written | Standing[Payment | None]:
        """Written: this call alone may ask WeChat about this open trade now, at most once per `pause`. Standing: the
        payment, which is not NOTPAY any more, or about which another call has asked."""
        return self._update(payment, {"asked_at": now}, _free("asked_at", now, pause))

    def store_prepay_id(
        self, payment: Payment, prepay_id: str, expires_at: datetime
    ) -> Written | Standing[Payment | None]:
        """Stores the prepay_id while the trade is NOTPAY; only after that may it reach a phone (R2). Standing: the
        payment, which is not NOTPAY any more."""
        changes = {"prepay_id": prepay_id, "prepay_expires_at": expires_at}
        return self._update(payment, changes, Attr("status").eq(PaymentStatus.NOTPAY.value))

    def close(self, payment: Payment, *, unused: bool) -> Written | Standing[Payment | None]:
        """NOTPAY → CLOSED. `unused`: only while no prepay_id is stored, for a trade that WeChat does not know (R2).
        Standing: the payment, which is not NOTPAY any more, or has a prepay_id."""
        when: ConditionBase = status_in(ENTERED_FROM[PaymentStatus.CLOSED])
        if unused:
            when = when & Attr("prepay_id").not_exists()
        return self._update(payment, {"status": PaymentStatus.CLOSED}, when)

    def record_success(
        self, number: TradeNumber, trade: TradeReport, leaves: PaymentStatus, now: datetime
    ) -> Written | Standing[Payment | None]:
        """`leaves` → SUCCESS, if sum, currency, appid and mchid are those that were asked for, and the transaction is
        the one of a refund that was known before (R3, R4). A payment that was CLOSED gets `due_at` in the same write:
        its money finds its way even if every event is lost.

        Standing: the stored payment that made the conditional write fail; None if there is none.
        """
        key, changes = keys.payment(number.order_sn, number.n), self._success(number.order_sn, trade, leaves, now)
        return self._items.write(Update(key, changes, _as_asked(trade, leaves)), read_payment)

    def record_refunded_elsewhere(
        self, order: Order, payment: Payment, trade: TradeReport, case: Case, now: datetime
    ) -> Written | Standing[None]:
        """The case of a trade that WeChat calls refunded although no refund of it is known here, its success if that is
        not written yet, and `on_hold` on the order unless another trade pays it: all or nothing (R4). Standing: one of
        them has changed since it was read."""
        hold = {"on_hold": True} if order.paid_by in (None, payment.n) else {}
        changes: list[Put | Update] = [opened(case), Update(keys.order(order.order_sn), hold, as_read(order))]
        if payment.status is not PaymentStatus.SUCCESS:
            success = self._success(order.order_sn, trade, payment.status, now)
            changes.append(Update(_key(payment), success, _as_asked(trade, payment.status)))
        return self._items.transact(*changes)

    def record_mispaid(self, payment: Payment, trade: TradeReport, case: Case) -> Written | Standing[None]:
        """→ MISPAID with its case, both or neither. Standing: the payment has changed since it was read."""
        when = status_in(ENTERED_FROM[PaymentStatus.MISPAID]) & as_read(payment)
        changes = {"status": PaymentStatus.MISPAID, **_reported(payment.order_sn, trade)}
        return self._items.transact(Update(_key(payment), changes, when), opened(case, None))

    def book(self, payment: Payment, at: datetime) -> Written | Standing[Payment | None]:
        """WeChat's bill shows a paid trade on the day of this instant: its day here from now on (R14). Standing: the
        payment, which is another trade's by now."""
        when = Attr("transaction_id").eq(payment.transaction_id)
        return self._update(payment, {"booked_on": keys.booked(payment.order_sn, at)}, when)

    def _success(self, order_sn: str, trade: TradeReport, leaves: PaymentStatus, now: datetime) -> dict[str, object]:
        changes: dict[str, object] = {"status": PaymentStatus.SUCCESS, "learned_by": self._items.author or None}
        changes |= _reported(order_sn, trade)
        return changes | (planned(order_sn, now) if leaves is PaymentStatus.CLOSED else {})

    def _update(
        self,
        payment: Payment,
        changes: Mapping[str, object],
        when: ConditionBase,
        mine: Mapping[str, object] | None = None,
    ) -> Written | Standing[Payment | None]:
        return self._items.write(Update(_key(payment), changes, when), read_payment, mine)


def read_payment(item: Mapping[str, Any]) -> Payment:
    return typed(Payment, item)


def _key(payment: Payment) -> keys.Key:
    return keys.payment(payment.order_sn, payment.n)


def _reported(order_sn: str, trade: TradeReport) -> dict[str, object]:
    """What an item keeps of WeChat's report on its trade."""
    return {
        "transaction_id": trade.transaction_id,
        "payer_total_fen": trade.payer_total_fen,
        "success_time": trade.success_time,
        "booked_on": None if trade.success_time is None else keys.booked(order_sn, trade.success_time),
    }


def _as_asked(trade: TradeReport, leaves: PaymentStatus) -> ConditionBase:
    """The payment is the one that WeChat's trade says was paid (R4)."""
    when: ConditionBase = Attr("status").eq(leaves.value)
    for name in ("total_fen", "currency", "appid", "mchid"):
        when = when & Attr(name).eq(getattr(trade, name))
    named = Attr("refunded_transaction_id")
    return when & (named.not_exists() | named.eq(trade.transaction_id))


def _free(name: str, now: datetime, pause: timedelta) -> ConditionBase:
    """The trade is open, and the time that stands under this name is a pause ago."""
    ago = Attr(name).not_exists() | Attr(name).lte(iso(now - pause))
    return status_in({PaymentStatus.NOTPAY}) & ago
