"""What DynamoDB bills for a call: the emulator's word, and what is added where it says nothing."""

import contextlib
from typing import Any

import pytest
from botocore.stub import Stubber

from local import deploy
from local.bench import BUDGETS, LOOK, PAID, SCENARIOS, Budget, Measured, Result
from local.meter import Meter, Usage, size

KEY = {"pk": {"S": "p"}, "sk": {"S": "s"}}
ITEM = {**KEY, "text": {"S": "x" * 1_500}}
CONDITION = {"TableName": "table", "Item": KEY, "ConditionExpression": "attribute_not_exists(pk)"}
QUERY = {"TableName": "table", "KeyConditionExpression": "pk = :p", "ExpressionAttributeValues": {":p": {"S": "p"}}}


def billed(operation: str, asked: dict[str, Any], reply: dict[str, Any] | str, **more: Any) -> Usage:
    """What is counted for one call; a text as its reply is the code of an error."""
    client = deploy.client("dynamodb", "http://127.0.0.1:9")
    meter, stub = Meter(client), Stubber(client)
    if isinstance(reply, str):
        stub.add_client_error(operation, reply, modeled_fields=more)
    else:
        stub.add_response(operation, reply)
    with stub, contextlib.suppress(client.exceptions.ClientError):
        getattr(client, operation)(**asked)
    stub.assert_no_pending_responses()
    return meter.used


def test_what_the_emulator_tells_is_counted_as_it_is() -> None:
    told = {"ConsumedCapacity": {"TableName": "table", "CapacityUnits": 3.0}}
    assert billed("put_item", {"TableName": "table", "Item": KEY}, told) == Usage(wru=3)
    told = {"ConsumedCapacity": {"TableName": "table", "CapacityUnits": 0.5}}
    assert billed("get_item", {"TableName": "table", "Key": KEY}, told) == Usage(rru=0.5)
    puts = [{"Put": {"TableName": "table", "Item": KEY}}]
    told = {"ConsumedCapacity": [{"TableName": "table", "CapacityUnits": 6.0}]}  # type: ignore[dict-item]
    assert billed("transact_write_items", {"TransactItems": puts}, told) == Usage(wru=6)


def test_a_failed_condition_is_billed_by_what_is_stored() -> None:
    failed = "ConditionalCheckFailedException"
    assert billed("put_item", CONDITION, failed) == Usage(wru=1, added_wru=1)
    assert billed("put_item", CONDITION, failed, Item=ITEM) == Usage(wru=2, added_wru=2)


def test_a_cancelled_transaction_is_billed_twice_per_item() -> None:
    puts = [{"Put": {"TableName": "table", "Item": KEY}}] * 2
    used = billed("transact_write_items", {"TransactItems": puts}, "TransactionCanceledException")
    assert used == Usage(wru=4, added_wru=4)


@pytest.mark.parametrize(("consistent", "units"), [(True, 1.0), (False, 0.5)])
def test_what_a_query_reads_beyond_four_kilobytes_is_added(consistent: bool, units: float) -> None:
    told = {"ConsumedCapacity": {"TableName": "table", "CapacityUnits": units}}
    asked = QUERY | {"ConsistentRead": consistent}
    assert billed("query", asked, told | {"Items": [ITEM] * 2}) == Usage(rru=units)
    assert billed("query", asked, told | {"Items": [ITEM] * 3}) == Usage(rru=2 * units, added_rru=units)


def test_each_item_of_a_batch_is_read_by_itself_also_one_that_is_not_there() -> None:
    asked = {"RequestItems": {"table": {"Keys": [KEY, {"pk": {"S": "p"}, "sk": {"S": "t"}}]}}}
    assert billed("batch_get_item", asked, {"Responses": {"table": [ITEM]}}) == Usage(rru=1, added_rru=1)


def test_a_call_of_which_nothing_is_known_is_not_passed_over() -> None:
    with pytest.raises(NotImplementedError, match="Scan"):
        billed("scan", {"TableName": "table"}, {})


def test_an_item_is_as_large_as_its_names_and_values() -> None:
    item = {"pk": {"S": "西湖"}, "n": {"N": "-12345"}, "m": {"M": {"a": {"BOOL": True}}}, "l": {"L": [{"NULL": True}]}}
    assert size(item) == (2 + 6) + (1 + 3 + 2) + (1 + 3 + 1 + 1 + 1) + (1 + 3 + 1 + 1)


# --- budgets


def life(at: int, **phases: Usage) -> Measured:
    return Measured(SCENARIOS[-1], PAID, at, {"login": Usage(wru=100), "first look": Usage(), **phases})


def test_a_total_leaves_out_the_login_and_the_first_look() -> None:
    whole, look = life(10, order=Usage(wru=3, invocations=2), prepay=Usage(wru=2, rru=2)).totals()
    assert whole == (PAID, Usage(wru=5, rru=2, invocations=2), BUDGETS[""][PAID])
    assert look == (LOOK, Usage(), BUDGETS[""][LOOK])


def test_a_budget_holds_up_to_its_bound_in_all_that_it_bounds() -> None:
    budget = Budget(wru=14, rru=6)
    assert budget.holds(Usage(wru=14, rru=6, invocations=99))
    assert not budget.holds(Usage(wru=14, rru=6.5))
    assert not budget.holds(Usage(wru=15))


def test_a_figure_that_grows_with_the_table_is_named() -> None:
    assert Result([life(10, order=Usage(wru=3)), life(1_000, order=Usage(wru=3))], Usage()).kept
    result = Result([life(10, order=Usage(wru=3)), life(1_000, order=Usage(wru=4))], Usage())
    assert result.grows == ["without stock, paid"]
    assert not result.kept


def test_a_hold_may_cost_more_and_more_over_two_months() -> None:
    paid = [BUDGETS[held][PAID].wru for held in ("", "one month", "two months")]
    assert paid == sorted(set(paid))
    assert {tuple(budgets) for budgets in BUDGETS.values()} == {tuple(BUDGETS[""])}
    assert {scenario.held for scenario in SCENARIOS} <= set(BUDGETS)
