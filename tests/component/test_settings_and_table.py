"""What a deployment can get wrong, and what the table does when DynamoDB is in the way."""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from payments.domain.case import Resolution, elsewhere_case
from payments.domain.payment import CALL_PAUSE, PaymentStatus
from payments.domain.refund import RefundOrigin, Sums, automatic_refund
from payments.domain.times import utc_now
from payments.products.homestay.offer import HOMESTAY
from payments.recording import Recorded, record_payment
from payments.settings import Misconfigured, Settings
from payments.store.dynamodb import Conflict
from payments.store.items import Standing
from payments.store.store import Store
from tests.examples import HOME, NOW, ORDER_SN, order, payment, trade

if TYPE_CHECKING:
    from tests.shop import Shop


@pytest.mark.parametrize("variables", [{}, {"MCHID": ""}])
def test_a_variable_that_is_not_set_is_named(variables: dict[str, str]) -> None:
    with pytest.raises(Misconfigured, match="MCHID"):
        Settings(variables)["MCHID"]


def test_a_function_that_is_misconfigured_answers_500_and_logs_why(
    shop: "Shop", caplog: pytest.LogCaptureFixture
) -> None:
    shop.deploy(MINI_PROGRAM_BASE_URL="")
    reply = shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")})
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


def over(client: Any) -> Store:
    return Store(client, "table", utc_now)


def test_a_write_in_conflict_with_a_transaction_is_tried_again(store: Store, dynamodb: Any) -> None:
    store.payments.put(payment())
    assert over(Conflicting(dynamodb, 3)).payments.store_prepay_id(payment(), "wx1", NOW)
    with pytest.raises(Conflict):
        over(Conflicting(dynamodb, 4)).payments.store_prepay_id(payment(), "wx1", NOW)


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


def test_a_trade_whose_put_or_claim_was_repeated_is_mine_to_call(store: Store, dynamodb: Any) -> None:
    repeating = over(Repeating(dynamodb))
    mine, now = payment(attempt="mine"), NOW + CALL_PAUSE
    assert repeating.payments.put(mine)
    assert not store.payments.put(payment(attempt="another"))
    assert not store.payments.claim_prepay(mine, "another", now - timedelta(milliseconds=1), CALL_PAUSE)
    assert repeating.payments.claim_prepay(mine, "mine again", now, CALL_PAUSE)
    assert not store.payments.claim_prepay(mine, "another", now, CALL_PAUSE)


def test_an_order_whose_put_was_repeated_is_mine(store: Store, dynamodb: Any) -> None:
    assert over(Repeating(dynamodb)).orders.put(order())
    match store.orders.put(order(attempt="another")):
        case Standing(item):
            assert item == order()
        case other:
            raise AssertionError(other)


def test_a_close_of_a_case_that_was_repeated_is_mine_and_another_meets_what_stands(store: Store, dynamodb: Any) -> None:
    case, why = elsewhere_case(trade(), NOW), "agreed with the guest by phone"
    store.cases.open(case)
    assert over(Repeating(dynamodb)).cases.close(case, Resolution.KEPT, why, "anna", "hers", NOW)
    result = store.cases.close(case, Resolution.KEPT, why, "ben", "his", NOW)
    assert not result
    assert result.item == replace(
        case, resolution=Resolution.KEPT, reference=why, closed_by="anna", closed_at=NOW, closing_attempt="hers"
    )


def test_a_case_closed_with_its_order_is_closed_once_and_its_own_repeat_is_told_so(store: Store) -> None:
    case, why = elsewhere_case(trade(), NOW), "no refund in the console"
    store.orders.put(order())
    store.cases.open(case)
    seen = store.collection(ORDER_SN, consistent=True)
    assert seen is not None
    for by, attempt, written in (("anna", "hers", True), ("anna", "hers", True), ("ben", "his", False)):
        result = store.cases.close_with_order(seen, case, Resolution.KEPT, why, by, attempt, NOW)
        assert bool(result) is written
        assert result or (result.item is not None and result.item.closed_by == "anna")


def test_a_payment_goes_through_the_table_unchanged(store: Store) -> None:
    full = payment(prepay_id="wx1", prepay_expires_at=NOW, asked_at=NOW)
    assert store.payments.put(full)
    assert not store.payments.put(full)  # it names no attempt: it may be anyone's
    assert store.payments.get(ORDER_SN, 1) == full
    assert store.payments.get(ORDER_SN, 2) is None


def test_closing_an_unused_payment_leaves_one_with_a_prepay_id_alone(store: Store) -> None:
    store.payments.put(payment(prepay_id="wx1"))
    assert not store.payments.close(payment(), unused=True)
    assert store.payments.close(payment(), unused=False)
    assert not store.payments.close(payment(), unused=False)


def test_nothing_closes_or_prepays_a_paid_trade(store: Store) -> None:
    store.payments.put(payment())
    assert record_payment(store, trade(), NOW) is Recorded.BOOKED
    assert not store.payments.close(payment(), unused=False)
    assert not store.payments.store_prepay_id(payment(), "wx2", NOW)
    stored = store.payments.get(ORDER_SN, 1)
    assert stored is not None
    assert (stored.status, stored.prepay_id) == (PaymentStatus.SUCCESS, None)


def test_a_success_that_races_with_a_close_is_booked_from_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed between the first write's failure and the second: R3's second try."""
    store.payments.put(payment(status=PaymentStatus.CLOSED))
    assert record_payment(store, trade(), NOW) is Recorded.BOOKED
    assert record_payment(store, trade(), NOW) is Recorded.DUPLICATE


def test_a_success_without_a_number_of_ours_never_reaches_a_payment(store: Store) -> None:
    store.orders.put(order())
    store.payments.put(payment())
    assert record_payment(store, trade(number="PMT20261123"), NOW) is Recorded.CASE
    assert store.payments.get(ORDER_SN, 1) == payment()
    (case,) = store.cases.all_open()
    assert (case.kind, case.out_trade_no, case.number) == ("unknown_trade", "PMT20261123", None)


def test_an_order_that_has_changed_since_it_was_read_is_not_marked_as_paid(store: Store) -> None:
    made = order()
    drawn = Sums(refunded=0, refundable=made.total_fen)
    assert not store.orders.mark_paid(made, 1, drawn, "CODE", NOW)  # not there at all
    store.orders.put(made)
    assert not store.orders.mark_paid(replace(made, version=7), 1, drawn, "CODE", NOW)
    assert store.orders.mark_paid(made, 1, drawn, "CODE", NOW)
    assert not store.orders.mark_paid(made, 1, drawn, "CODE", NOW)


def test_another_failure_of_a_transaction_is_not_taken_for_a_lost_race(store: Store, dynamodb: Any) -> None:
    from payments.store.dynamodb import transact

    put = {"Put": {"TableName": "no-such-table", "Item": {"pk": {"S": "a"}, "sk": {"S": "b"}}}}
    with pytest.raises(ClientError):
        transact(dynamodb, put)


def test_a_refund_request_exists_once_and_is_never_overwritten(store: Store, dynamodb: Any) -> None:
    refund = automatic_refund(payment(), RefundOrigin.LATE, NOW)
    store.orders.put(order())
    for amount_fen, written in ((refund.amount_fen, True), (1, False)):
        seen = store.collection(ORDER_SN, consistent=True)
        assert seen is not None
        assert bool(store.refunds.add(seen, replace(refund, amount_fen=amount_fen), NOW)) is written
    key = {"pk": {"S": f"ORDER#{ORDER_SN}"}, "sk": {"S": f"REFUND#{refund.out_refund_no}"}}
    assert dynamodb.get_item(TableName="table", Key=key)["Item"]["amount_fen"] == {"N": str(refund.amount_fen)}


def test_the_catalogue_is_read_by_its_index(store: Store) -> None:
    store.catalogue.put(HOMESTAY.catalogue, HOME)
    assert store.catalogue.on_sale(HOMESTAY.catalogue) == [HOME]
    assert store.catalogue.get(HOMESTAY.catalogue, "nowhere") is None
