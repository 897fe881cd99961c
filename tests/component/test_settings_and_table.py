"""What a deployment can get wrong, and what the table does when DynamoDB is in the way."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from payments import settings
from payments.domain.payment import (
    CALL_PAUSE,
    PaymentStatus,
    TradeReport,
)
from payments.domain.refund import (
    RefundOrigin,
    Sums,
    automatic_refund,
)
from payments.products.homestay.offer import HOMESTAY
from payments.recording import Recorded, record_payment
from payments.settings import Misconfigured
from payments.store.dynamodb import Conflict
from payments.store.table import Table
from tests.examples import HOME, NOW, ORDER_SN, order, payment, trade

if TYPE_CHECKING:
    from tests.component.conftest import Shop


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCHID", "")
    with pytest.raises(Misconfigured, match="MCHID"):
        settings.setting("MCHID")


def test_a_function_that_is_misconfigured_answers_500_and_logs_why(
    shop: "Shop", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MINI_PROGRAM_BASE_URL", "")
    reply = shop.call("POST /login", {"code": shop.world.login_code("guest-1")})
    assert reply.status == 500
    assert "MINI_PROGRAM_BASE_URL" not in str(reply.json)
    assert "MINI_PROGRAM_BASE_URL" in str([vars(record) for record in caplog.records])


# --- the table


class Conflicting:
    """The real client, in whose way another transaction is a few times."""

    def __init__(self, client: Any, times: int) -> None:
        self._client = client
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def update_item(self, **arguments: Any) -> Any:
        if self.times:
            self.times -= 1
            raise self._client.exceptions.TransactionConflictException(
                {"Error": {"Code": "TransactionConflictException", "Message": ""}}, "UpdateItem"
            )
        return self._client.update_item(**arguments)


def test_a_write_in_conflict_with_a_transaction_is_tried_again(table: Table, dynamodb: Any) -> None:
    table.put_payment(payment())
    assert Table(Conflicting(dynamodb, 3), "table").store_prepay_id(payment(), "wx1", NOW)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        Table(Conflicting(dynamodb, 4), "table").store_prepay_id(payment(), "wx1", NOW)  # type: ignore[arg-type]


class Repeating:
    """The real client, whose answer gets lost once: botocore sends the write again (R11)."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def put_item(self, **arguments: Any) -> Any:
        self._client.put_item(**arguments)
        return self._client.put_item(**arguments)

    def update_item(self, **arguments: Any) -> Any:
        self._client.update_item(**arguments)
        return self._client.update_item(**arguments)


def test_a_trade_whose_put_or_claim_was_repeated_is_mine_to_call(table: Table, dynamodb: Any) -> None:
    repeating = Table(Repeating(dynamodb), "table")  # type: ignore[arg-type]
    mine, now = payment(attempt="mine"), NOW + CALL_PAUSE
    assert repeating.put_payment(mine)
    assert not table.put_payment(payment(attempt="another"))
    assert not table.claim_prepay(mine, "another", now - timedelta(milliseconds=1), CALL_PAUSE)
    assert repeating.claim_prepay(mine, "mine again", now, CALL_PAUSE)
    assert not table.claim_prepay(mine, "another", now, CALL_PAUSE)


def test_an_order_whose_put_was_repeated_is_mine(table: Table, dynamodb: Any) -> None:
    assert Table(Repeating(dynamodb), "table").put_order(order()) is None  # type: ignore[arg-type]
    assert table.put_order(order(attempt="another")) == order()


def test_a_payment_goes_through_the_table_unchanged(table: Table) -> None:
    full = payment(prepay_id="wx1", prepay_expires_at=NOW, asked_at=NOW)
    assert table.put_payment(full)
    assert not table.put_payment(full)  # it names no attempt: it may be anyone's
    assert table.payment(ORDER_SN, 1) == full
    assert table.payment(ORDER_SN, 2) is None


def test_closing_an_unused_payment_leaves_one_with_a_prepay_id_alone(table: Table) -> None:
    table.put_payment(payment(prepay_id="wx1"))
    assert not table.close_payment(payment(), unused=True)
    assert table.close_payment(payment(), unused=False)
    assert not table.close_payment(payment(), unused=False)


def test_nothing_closes_or_prepays_a_paid_trade(table: Table) -> None:
    table.put_payment(payment())
    assert record_payment(table, trade(), NOW) is Recorded.BOOKED
    assert not table.close_payment(payment(), unused=False)
    assert not table.store_prepay_id(payment(), "wx2", NOW)
    stored = table.payment(ORDER_SN, 1)
    assert stored is not None
    assert (stored.status, stored.prepay_id) == (PaymentStatus.SUCCESS, None)


def test_a_success_that_races_with_a_close_is_booked_from_there(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed between the first write's failure and the second: R3's second try."""
    table.put_payment(payment(status=PaymentStatus.CLOSED))
    assert record_payment(table, trade(), NOW) is Recorded.BOOKED
    assert record_payment(table, trade(), NOW) is Recorded.DUPLICATE


def test_a_success_without_a_number_of_ours_never_reaches_a_payment(table: Table) -> None:
    foreign = trade(out_trade_no="PMT20261123")
    with pytest.raises(ValueError, match="not of our form"):
        table.record_success(foreign, PaymentStatus.NOTPAY, NOW)
    assert record_payment(table, foreign, NOW) is Recorded.CASE
    assert isinstance(foreign, TradeReport)


def test_an_order_that_has_changed_since_it_was_read_is_not_marked_as_paid(table: Table) -> None:
    made = order()
    drawn = Sums(refunded=0, refundable=made.total_fen)
    assert not table.mark_order_paid(made, 1, drawn, "CODE", NOW)  # not there at all
    table.put_order(made)
    assert not table.mark_order_paid(replace(made, version=7), 1, drawn, "CODE", NOW)
    assert table.mark_order_paid(made, 1, drawn, "CODE", NOW)
    assert not table.mark_order_paid(made, 1, drawn, "CODE", NOW)


def test_another_failure_of_a_transaction_is_not_taken_for_a_lost_race(table: Table, dynamodb: Any) -> None:
    from payments.store.dynamodb import transact

    put = {"Put": {"TableName": "no-such-table", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}}
    with pytest.raises(ClientError):
        transact(dynamodb, put)


def test_a_refund_request_exists_once_and_is_never_overwritten(table: Table, dynamodb: Any) -> None:
    refund = automatic_refund(payment(), RefundOrigin.LATE, NOW)
    table.put_order(order())
    for amount_fen, written in ((refund.amount_fen, True), (1, False)):
        seen = table.collection(ORDER_SN, consistent=True)
        assert seen is not None
        assert table.add_refund(seen, replace(refund, amount_fen=amount_fen), NOW) is written
    key = {"pk": {"S": f"ORDER#{ORDER_SN}"}, "sk": {"S": f"REFUND#{refund.out_refund_no}"}}
    assert dynamodb.get_item(TableName="table", Key=key)["Item"]["amount_fen"] == {"N": str(refund.amount_fen)}


def test_the_catalogue_is_read_by_its_index(table: Table) -> None:
    table.put_offer(HOMESTAY.catalogue, HOME)
    assert table.offers_on_sale(HOMESTAY.catalogue) == [HOME]
    assert table.offer(HOMESTAY.catalogue, "nowhere") is None
