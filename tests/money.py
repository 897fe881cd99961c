"""The promise as one check: no fen goes missing. Every test of trouble ends with it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from payments.domain.trade_number import TradeNumber

MONEY_CASES = {"mispaid", "second_transaction", "unknown_trade", "unreadable"}
"""Cases that hold a payment which no order has."""

REFUND_CASES = {"refund_abnormal", "refund_closed", "refund_refused", "refund_stalled"}
ELSEWHERE = "refunded_elsewhere"
"""The case of a trade that WeChat calls refunded although no refund of it is known here."""

GIVEN_UP = {"CLOSED", "REFUSED", "WITHDRAWN"}


def assert_no_fen_missing(
    wechat: Mapping[str, Any],
    items: Iterable[Mapping[str, Any]],
    *,
    waiting: int = 0,
    dead: int = 0,
    poison: int = 0,
) -> None:
    """For every trade that WeChat counts as paid: paid = the order's payment + refunds + open cases, to the fen.

    `wechat` is the simulator's truth (`GET /_sim/state`), `items` the table, as plain values; `waiting` and `dead`
    count the messages in queues and in dead-letter queues. Besides: no order is paid twice, what went back is what
    WeChat gave back, no message is sent twice, and nothing lies around but `poison`.
    """
    table: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for item in items:
        table[item["pk"]][item["sk"]] = item
    given_back: dict[str, Counter[str]] = defaultdict(Counter)
    for refund in wechat["refunds"]:
        given_back[refund["out_trade_no"]][refund["status"]] += refund["amount"]["refund"]
    kept: Counter[str] = Counter()
    for trade in wechat["trades"]:
        if trade["trade_state"] in {"SUCCESS", "REFUND"}:
            kept.update(_account(trade, table, given_back[trade["out_trade_no"]]))
    twice = [order_sn for order_sn, payments in kept.items() if payments > 1]
    assert not twice, f"paid twice: {twice}"
    for partition in table.values():
        _agrees_with_wechat(partition, wechat)
    sent = Counter((m["user"], m["template_id"], str(sorted(m["data"].items()))) for m in wechat["messages"])
    assert not [message for message, times in sent.items() if times > 1], "a message was sent twice"
    assert waiting == 0, f"{waiting} messages wait"
    assert dead == poison, f"{dead} dead letters, {poison} were poison"


def _account(trade: Mapping[str, Any], table: Mapping[str, Any], back: Counter[str]) -> list[str]:
    """Finds the money of one paid trade; the order that it pays, if it does."""
    number, total = trade["out_trade_no"], trade["amount"]["total"]
    parsed = TradeNumber.parse(number)
    assert parsed, f"a trade that is not ours: {number}"
    partition = table[f"ORDER#{parsed.order_sn}"]
    order, payment = partition["ORDER"], partition[f"PAYMENT#{parsed.n}"]
    refunds = [i for sk, i in partition.items() if sk.startswith("REFUND#") and i["out_trade_no"] == number]
    cases = [i for sk, i in partition.items() if sk.startswith("CASE#") and i["out_trade_no"] == number]
    opened = [case for case in cases if "case_open" in case]
    if payment["status"] == "SUCCESS" and order.get("paid_by") == parsed.n:
        assert payment["transaction_id"] == trade["transaction_id"], f"{number} is booked under another transaction"
        assert order["status"] in {"WAIT_USE", "USED", "EXPIRED", "REFUNDED"}, f"{number} paid, order {order['status']}"
        success = sum(int(r["amount_fen"]) for r in refunds if r["status"] == "SUCCESS")
        asked = sum(int(r["amount_fen"]) for r in refunds if r["status"] not in GIVEN_UP)
        asked += sum(int(case["amount_fen"]) for case in cases if _by_hand(case, refunds))
        held = any(case["kind"] == ELSEWHERE for case in opened)
        assert bool(order.get("on_hold")) == held, f"{number}: its case and the order's hold differ"
        if held:  # a person finds out what went back: no refund is known here, and nothing is given out meanwhile
            assert sum(back.values()) > success, f"{number}: on hold, and WeChat gave nothing back that is not known"
            return [parsed.order_sn]
        assert int(order["refunded_fen"]) == success == back["SUCCESS"], f"{number}: sums do not agree"
        assert int(order["refundable_fen"]) == max(total - asked, 0), f"{number}: refundable_fen is wrong"
        assert sum(back.values()) <= total, f"{number}: more went back than was paid"
        assert (order["status"] == "REFUNDED") == (success == total), f"{number}: {success} back, {order['status']}"
        return [parsed.order_sn]
    if any(case["kind"] == ELSEWHERE for case in opened):
        assert not any(r["status"] == "REQUESTED" for r in refunds), f"{number}: a person looks into what went back"
        return []
    elsewhere = sum(int(r["amount_fen"]) for r in refunds if r["status"] not in {"ABNORMAL", *GIVEN_UP})
    in_cases = sum(int(case["amount_fen"]) for case in opened if case["kind"] in MONEY_CASES | REFUND_CASES)
    resolved = sum(int(case["amount_fen"]) for case in cases if "resolution" in case and case["kind"] in MONEY_CASES)
    found = elsewhere + (in_cases or (resolved if not elsewhere else 0))
    assert found == total, f"{number}: {total} fen paid, {elsewhere} going back, {in_cases} in open cases"
    return []


def _agrees_with_wechat(partition: Mapping[str, Mapping[str, Any]], wechat: Mapping[str, Any]) -> None:
    """Every refund here stands at WeChat as it stands here, once it has come to its end."""
    known = {refund["out_refund_no"]: refund for refund in wechat["refunds"]}
    for sk, item in partition.items():
        if sk.startswith("REFUND#") and item["status"] in {"SUCCESS", "ABNORMAL", "CLOSED"}:
            refund = known[item["out_refund_no"]]
            assert (refund["status"], refund["amount"]["refund"]) == (item["status"], int(item["amount_fen"])), sk
        if sk.startswith("REFUND#") and item["status"] in {"REFUSED", "WITHDRAWN"}:
            assert item["out_refund_no"] not in known, f"{sk} is {item['status']} here and stands at WeChat"


def _by_hand(case: Mapping[str, Any], refunds: Iterable[Mapping[str, Any]]) -> bool:
    """Money that people gave back outside of WeChat, after a refund that does not hold its sum any more."""
    given_up = {r["out_refund_no"] for r in refunds if r["status"] in GIVEN_UP}
    return case.get("resolution") == "settled_by_hand" and case["case_id"] in given_up
