"""notify_user: what a guest is told by subscription message. His order is paid: order confirmed, and the check-in code.
His money is back: how much of it, and why.

WeChat's send has no idempotency. So what is about to be sent is written first, then what became of it: a message that
may have been sent is never sent again, one that surely was not is tried again, and "the guest does not want it" (43101)
is an answer, not a failure. The event carries neither code nor openid: the order is read here.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.events import Event
from payments.mini_program import BAD_TOKEN, ApiRefused, NotReached, PerhapsDone, mini_program
from payments.notice import ORDER_PAID, Delivery, Message, Notice, claim_next, refund_notice
from payments.observability import count, instrumented, logger
from payments.order import Order, OrderStatus
from payments.queues import consume
from payments.refund import Refund, RefundOrigin
from payments.settings import Misconfigured, setting, table
from payments.times import BEIJING, millis, utc_now

USER_REFUSED = 43101
MAX_THING = 20
NO_REASON = "商家退款"
SHOW_TO_NO_ONE = "请不要将验证码告知商家以外人员，以防上当"


class NotSentYet(Exception):
    """A message is known not to be sent: the event must come again."""


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, context, _handle)


def _handle(event: Event) -> None:
    if event.type == "order.paid":
        _order_paid(event)
    elif event.type == "refund.succeeded":
        _refunded(event)


def _order_paid(event: Event) -> None:
    order = _order(event)
    if order.status is not OrderStatus.WAIT_USE:
        logger.info("notice.skipped", order_sn=order.order_sn, status=order.status)
        return
    _notify(order, ORDER_PAID, order_paid_messages(order))


def _refunded(event: Event) -> None:
    refund = table().refund(event.order_sn, event.state.out_refund_no or "")
    if refund is None:
        raise LookupError(f"{event.id} is of no refund")
    if refund.origin is not RefundOrigin.CONSOLE:  # whoever refunds in WeChat's console knows whom to tell what
        _notify(_order(event), refund_notice(refund.out_refund_no), refund_messages(refund))


def _order(event: Event) -> Order:
    order = table().order(event.order_sn)
    if order is None:
        raise LookupError(f"{event.id} is of no order")
    return order


def _notify(order: Order, event: str, messages: Mapping[str, Mapping[str, str]]) -> None:
    """Sends what is not final yet, one message after the other; each step stands in the table before the next."""
    attempt = uuid4().hex[:12]
    stored = Notice(order_sn=order.order_sn, event=event, version=0, attempt=attempt, at=utc_now())
    known = stored
    while True:
        now = utc_now()
        claimed, template = claim_next(known, list(messages), attempt=attempt, now=now)
        if claimed == stored.messages:
            return
        notice = replace(stored, version=stored.version + 1, attempt=attempt, at=now, messages=claimed)
        standing = table().save_notice(notice)
        if standing is not None:
            stored = known = standing
            continue
        stored = notice
        if template is None:
            return
        outcome = replace(_send(order, template, messages[template]), at=millis(utc_now()))
        known = replace(stored, messages={**stored.messages, template: outcome})
        logger.info(
            "message." + outcome.state, order_sn=order.order_sn, event=event, template=template, why=outcome.why
        )
        count("Notify" + outcome.state.title())
        if outcome.state is Delivery.WAITING:
            table().save_notice(replace(known, version=known.version + 1, at=utc_now()))
            raise NotSentYet(f"{order.order_sn}: {template} is not sent: {outcome.why}")


def _send(order: Order, template: str, data: Mapping[str, str]) -> Message:
    """One message to the guest, and what is known of it afterwards."""
    try:
        template_id, state = setting(f"{template.upper()}_TEMPLATE_ID"), setting("MINIPROGRAM_STATE")
        mini_program().send_message(order.openid, template_id, data, state, utc_now())
    except (NotReached, Misconfigured) as error:
        return Message(state=Delivery.WAITING, why=str(error))
    except PerhapsDone as error:
        return Message(state=Delivery.UNKNOWN, why=str(error))
    except ApiRefused as refused:
        why = f"errcode {refused.errcode}"
        if refused.errcode in BAD_TOKEN:
            return Message(state=Delivery.WAITING, why=why)
        return Message(state=Delivery.REFUSED if refused.errcode == USER_REFUSED else Delivery.FAILED, why=why)
    return Message(state=Delivery.SENT)


def refund_messages(refund: Refund) -> dict[str, dict[str, str]]:
    """The message of a refund, field by field."""
    back = (refund.accepted_at or refund.created_at).astimezone(BEIJING)
    return {
        "refund": {
            "character_string1": refund.order_sn,
            "amount2": amount(refund.amount_fen),
            "thing3": thing(refund.reason) or NO_REASON,
            "time4": f"{back.year}年{back.month}月{back.day}日 {back:%H:%M}",
        }
    }


def order_paid_messages(order: Order) -> dict[str, dict[str, str]]:
    """The two messages of a paid order, field by field, within WeChat's limits for each field's type."""
    stay = order.stay
    start, end = (f"{day.year}年{day.month}月{day.day}日" for day in (stay.start_date, stay.end_date))
    return {
        "order_confirmed": {
            "character_string6": order.order_sn,
            "thing1": thing(stay.title),
            "amount2": amount(order.total_fen),
            "date4": start,
            "date5": end,
        },
        "check_in_code": {
            "date2": start,
            "date3": end,
            "character_string4": order.redeem_code or "",
            "thing1": SHOW_TO_NO_ONE,
        },
    }


def amount(sum_fen: int) -> str:
    """An `amount` field: yuan with two decimals."""
    return f"¥{sum_fen // 100}.{sum_fen % 100:02d}"


def thing(text: str) -> str:
    """A `thing` field: 1 to 20 characters on one line."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_THING else line[: MAX_THING - 1] + "…"
