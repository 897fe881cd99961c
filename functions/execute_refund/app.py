"""execute_refund: a refund was asked for, so WeChat is asked to do it, under the same number for ever.

The number refunds once at WeChat, so whoever is unsure repeats the same call. A lost answer is looked up at once; what
WeChat will not do now (frequency, an empty balance) the janitor brings here again, daily at last, for as long as it
takes. A final no counts when WeChat says it twice, a minute apart, and both times does not know the number: then the
refund is REFUSED, and a person gets a case (R1). Parts of one trade are asked for a minute apart; one that staff take
back is left alone (R7).
"""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse

from payments.domain.refund import Refund, RefundReport, RefundStatus, may_be_asked_for, second_no
from payments.edge.events import Event
from payments.edge.observability import count, logger
from payments.edge.queues import consume
from payments.parts import LambdaFunction, Parts
from payments.recording import record_refund_report
from payments.wechat.codes import Meaning
from payments.wechat.errors import OutcomeUnknown, Refused
from payments.wechat.pay import WechatPay

WAITS = {Meaning.LATER, Meaning.NOT_ENOUGH, Meaning.US}
"""Refusals that are no final no: the refund is asked for again, once somebody has mended what it waits for."""


def handle(event: dict[str, Any], parts: Parts) -> PartialItemFailureResponse:
    """Takes a batch of queue messages; those that failed come again, and at last to the dead-letter queue."""
    return consume(event, partial(_handle, parts))


def _handle(parts: Parts, event: Event) -> None:
    if event.type != "refund.requested":
        return
    collection, now = parts.store.collection(event.order_sn, consistent=True), parts.clock()
    refund = collection.refund(event.state.out_refund_no) if collection else None
    if collection is None or refund is None:
        raise LookupError(f"{event.id} is of no refund")
    if refund.status is not RefundStatus.REQUESTED or refund.withdrawing_at is not None:
        return
    earliest = may_be_asked_for(refund, collection.refunds, now)
    if earliest is not None:
        parts.store.refunds.postpone(refund, earliest)
        return
    try:
        report = _asked(parts.wechat_pay, refund)
    except Refused as refused:
        logger.warning("refund.waits", out_refund_no=refund.out_refund_no, code=refused.code, status=refused.status)
        count("RefundNotEnough" if refused.meaning is Meaning.NOT_ENOUGH else "RefundWaits")
        return  # at its due_at the janitor publishes its event again
    if report is not None:
        record_refund_report(parts.store, report, parts.clock())
    elif refund.first_no_at is None:
        parts.store.refunds.note_first_no(refund, parts.clock())
    elif second_no(refund, parts.clock()) and parts.store.refunds.refuse(refund):
        logger.error("refund.refused", out_refund_no=refund.out_refund_no)
        count("RefundRefused")


def _asked(client: WechatPay, refund: Refund) -> RefundReport | None:
    """WeChat's report on the refund; None: it will not do it, and does not know its number.

    Raises Refused when it may do it later, OutcomeUnknown when nothing is known: both must come again (R1).
    """
    try:
        return client.refund(refund)
    except OutcomeUnknown as unknown:
        logger.warning("refund.unknown", out_refund_no=refund.out_refund_no, why=str(unknown))
        count("RefundUnknown")
        report = client.query_refund(refund.out_refund_no)
        if report is None:
            raise  # it has not arrived, or not yet: the same call again
        return report
    except Refused as refused:
        # WeChat's documents differ on whether a refund that met 429 was accepted: ask before anything else.
        report = client.query_refund(refund.out_refund_no)
        if report is None and refused.meaning in WAITS:
            raise
        if report is None:
            logger.error("refund.final_no", out_refund_no=refund.out_refund_no, code=refused.code)
        return report


handler = LambdaFunction(handle, "store", "wechat_pay")
