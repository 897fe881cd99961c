"""notify_user: the subscription messages to a guest. His order is paid: order confirmed, and the code, if the product
is redeemed by one. His money is back: how much of it, and why.

WeChat's send has no idempotency. So what is about to be sent is written first, then what became of it: a message that
may have been sent is never sent again, one that surely was not is tried again, and "the guest does not want it" (43101)
is an answer, not a failure. A refusal that is about us (the template, its mapping, a right, the quota) ends no message:
it waits, the event comes again, and an alarm rings. The event carries neither code nor openid: the order is read here.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

from payments.domain.guest_messages import ORDER_PAID, Delivery, GuestMessages, Message, claim_next, messages_of_refund
from payments.domain.message import REFUND, BadMapping, Fields, fill, page_of, parse_fields
from payments.domain.order import Order
from payments.domain.refund import Refund, RefundOrigin
from payments.domain.times import millis
from payments.edge.events import Event
from payments.edge.observability import count, logger
from payments.edge.queues import consume
from payments.parts import LambdaFunction, Parts
from payments.products.product import P, Product
from payments.settings import Misconfigured
from payments.store.items import Standing
from payments.store.purchase import bought
from payments.wechat.codes import Meaning
from payments.wechat.errors import Blocked, NotReached, OutcomeUnknown, Refused

FINAL = {Meaning.GUEST: Delivery.REFUSED, Meaning.OPENID: Delivery.FAILED}
"""What ends a message; all else that WeChat refuses is about us: it waits, comes again, and rings."""

MAX_WHY = 160
"""Bytes: an item of two messages stays within 1 KB."""

PAID, BACK = "支付成功", "退款成功"
NO_REASON = "商家退款"
SHOW_TO_NO_ONE = "请不要将验证码告知商家以外人员，以防上当"


class NotSentYet(Exception):
    """A message is known not to be sent: the event must come again."""


def handle(event: dict[str, Any], parts: Parts) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, partial(_handle, parts))


def _handle(parts: Parts, event: Event) -> None:
    if event.type == "order.paid":
        _order_paid(parts, event)
    elif event.type == "refund.succeeded":
        _refunded(parts, event)


def _order_paid(parts: Parts, event: Event) -> None:
    order = _order(parts, event)
    if not order.usable or order.lacks_code:  # used, on its way back, or on hold: then the event comes again
        logger.info("notice.skipped", order_sn=order.order_sn, status=order.status, on_hold=bool(order.on_hold))
        return
    product, purchase = bought(order, parts.products)
    values = order_paid_values(order, product, purchase)
    _notify(parts, order, product, ORDER_PAID, {name: values for name in product.messages() if name != REFUND})


def _refunded(parts: Parts, event: Event) -> None:
    refund = parts.store.refunds.get(event.order_sn, event.state.out_refund_no or "")
    if refund is None:
        raise LookupError(f"{event.id} is of no refund")
    if refund.origin is not RefundOrigin.CONSOLE:  # whoever refunds in WeChat's console knows whom to tell what
        order = _order(parts, event)
        product, purchase = bought(order, parts.products)
        values = refund_values(order, refund, product.title(purchase))
        _notify(parts, order, product, messages_of_refund(refund.out_refund_no), {REFUND: values})


def _order(parts: Parts, event: Event) -> Order:
    order = parts.store.orders.get(event.order_sn)
    if order is None:
        raise LookupError(f"{event.id} is of no order")
    return order


def _notify(
    parts: Parts, order: Order, product: Product[Any], event: str, messages: Mapping[str, Mapping[str, Any]]
) -> None:
    """Sends what is not final yet, one message after the other; each step stands in the table before the next.

    One that WeChat does not take because of us does not keep the next one. Raises NotSentYet while any is waiting.
    """
    attempt = parts.attempt()
    stored = GuestMessages(order_sn=order.order_sn, event=event, version=0, attempt=attempt, at=parts.clock())
    known, left = stored, list(messages)
    while True:
        now = parts.clock()
        claimed, template = claim_next(known, left, attempt=attempt, now=now)
        if claimed != stored.messages:
            notice = replace(stored, version=stored.version + 1, attempt=attempt, at=now, messages=claimed)
            match parts.store.guest_messages.save(notice):
                case Standing(GuestMessages() as standing):
                    stored = known = standing
                    continue
            stored = known = notice
        if template is None:
            break
        outcome, go_on = _send(parts, order, product, template, messages[template])
        known = replace(stored, messages={**stored.messages, template: replace(outcome, at=millis(parts.clock()))})
        logger.info(
            "message." + outcome.state, order_sn=order.order_sn, event=event, template=template, why=outcome.why
        )
        count("Notify" + outcome.state.title())
        left = [name for name in left if name != template] if go_on else []
    waiting = [f"{name}: {one.why}" for name, one in known.messages.items() if one.state is Delivery.WAITING]
    if waiting:
        raise NotSentYet(f"{order.order_sn}: not sent: {'; '.join(waiting)}")


def _send(
    parts: Parts, order: Order, product: Product[Any], template: str, values: Mapping[str, Any]
) -> tuple[Message, bool]:
    """One message to the guest: what is known of it afterwards, and whether another may be tried now."""
    try:
        template_id = parts.settings[_variable(parts, product, f"{template.upper()}_TEMPLATE_ID")]
        data = fill(product.messages()[template], _fields(parts, product)[template], values)
        page, state = _page(parts, order.order_sn), parts.settings["MINIPROGRAM_STATE"]
        linked = parts.mini_program.send_message(order.openid, template_id, data, state, page, parts.clock())
    except (Misconfigured, Blocked) as error:
        return _blocked(template, str(error)), False
    except NotReached as error:
        return Message(state=Delivery.WAITING, why=_short(str(error))), False
    except OutcomeUnknown as error:
        return Message(state=Delivery.UNKNOWN, why=_short(str(error))), True
    except Refused as refused:
        if refused.meaning in FINAL:
            return Message(state=FINAL[refused.meaning], why=str(refused)), True
        return _blocked(template, str(refused)), True
    return Message(state=Delivery.SENT, why="" if linked else "without its page, which is not released"), True


def _blocked(template: str, why: str) -> Message:
    """A message that cannot go out because of us: surely not sent, so it waits until that is mended."""
    logger.error("message.blocked", template=template, why=why)
    count("NotifyBlocked")
    return Message(state=Delivery.WAITING, why=_short(why))


def _variable(parts: Parts, product: Product[Any], name: str) -> str:
    """The product's own variable of this name (`COURSE_REFUND_FIELDS`) where it is set, else that of all products."""
    own = f"{product.service_type.upper()}_{name}"
    return own if parts.settings.optional(own) else name


def _fields(parts: Parts, product: Product[Any]) -> dict[str, Fields]:
    """The mapping of each template of a product, of all together: a deployment that is wrong in one hears of it at
    once.

    Raises Misconfigured.
    """
    mappings = {}
    for template, kinds in product.messages().items():
        variable = _variable(parts, product, f"{template.upper()}_FIELDS")
        try:
            mappings[template] = parse_fields(kinds, parts.settings[variable])
        except BadMapping as error:
            raise Misconfigured(f"{variable}: {error}; see docs/deploy-aws.md, Messages") from None
    return mappings


def _page(parts: Parts, order_sn: str) -> str:
    """Raises Misconfigured."""
    try:
        return page_of(parts.settings.optional("MESSAGE_PAGE"), order_sn)
    except BadMapping as error:
        raise Misconfigured(f"MESSAGE_PAGE: {error}; see docs/deploy-aws.md, Messages") from None


def _short(why: str) -> str:
    return why.encode()[:MAX_WHY].decode(errors="ignore")


def order_paid_values(order: Order, product: Product[P], purchase: P) -> dict[str, Any]:
    """What the messages of a paid order may say, by the names of `payments.domain.message` and the product's own."""
    return {
        **product.values(purchase),
        "order_sn": order.order_sn,
        "title": product.title(purchase),
        "total": order.total_fen,
        "paid_at": order.paid_at or order.created_at,
        "status": PAID,
        "code": order.redeem_code or "",
        "hint": SHOW_TO_NO_ONE,
    }


def refund_values(order: Order, refund: Refund, title: str) -> dict[str, Any]:
    """What the message of a refund may say."""
    return {
        "order_sn": order.order_sn,
        "title": title,
        "total": order.total_fen,
        "amount": refund.amount_fen,
        "reason": refund.reason or NO_REASON,
        "refunded_at": refund.accepted_at or refund.created_at,
        "status": BACK,
    }


handler = LambdaFunction(handle, "store", "mini_program", "products")
