"""What staff and the owner read of the days' comparison with WeChat's bill: statements, days, differences."""

import csv
import io
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from functions.back_office.app import DIFFERENCES, HEADER
from payments.domain.bill import MEANS, UNASSIGNED, DayOfBills, Difference, DifferenceKind, Statement
from payments.domain.times import BEIJING, beijing_day, utc_now
from payments.edge.tokens import EVERY_BUSINESS
from tests.examples import HOME
from tests.shop import Shop

ELSEWHERE = "b-elsewhere"


@pytest.fixture
def midday(shop: Shop) -> Shop:
    """It is noon of tomorrow: no test of a day runs into midnight. A function has 15 minutes."""
    shop.context.remaining_ms = 900_000
    shop.janitor.move_to(datetime.combine(beijing_day(utc_now()) + timedelta(days=1), time(12), BEIJING))
    return shop


def next_day(shop: Shop, hour: int = 10, minute: int = 30) -> date:
    """It is that hour of the day after; gives the day that has just ended."""
    day = beijing_day(utc_now())
    shop.janitor.move_to(datetime.combine(day + timedelta(days=1), time(hour, minute), BEIJING))
    return day


def compared(shop: Shop, **event: Any) -> date:
    """The day that has just ended, after the next morning's run."""
    day = next_day(shop)
    shop.run("reconcile_bill", event)
    shop.events.settle()
    return day


def kept(shop: Shop, day: date, *lines: Statement, differences: tuple[Difference, ...] = ()) -> None:
    """A day is closed with these results, as the comparison writes them."""
    shop.store.bills.first(day)
    shop.store.bills.keep_results(day, differences, lines)
    shop.store.bills.keep(
        DayOfBills(
            day=day,
            closed=True,
            read_at=utc_now(),
            closed_at=utc_now(),
            paid_fen=sum(line.sold_fen for line in lines),
            refunded_fen=sum(line.refunded_fen for line in lines),
            fees=sum(line.fees for line in lines),
            differences=len(differences),
        )
    )


def kind(reply: Any) -> str:
    return str(reply.json["type"]).removeprefix("urn:wxpay:")


def difference(kind: DifferenceKind, number: str, wechat_no: str = "") -> Difference:
    trade = number.partition("_")
    out_trade_no = "_".join((trade[0], trade[2].partition("_")[0]))
    return Difference(
        kind=kind, number=number, out_trade_no=out_trade_no, wechat_no=wechat_no, wechat_fen=100, ours_fen=None
    )


# --- statements


def test_staff_read_what_their_business_sold_and_when_it_is_due(midday: Shop) -> None:
    midday.guest.settled_order()
    day = compared(midday)
    reply = midday.staff.statements(day, day)
    assert reply.status == 200, reply
    (line,) = reply.json["lines"]
    (later,) = line.pop("due_later")
    assert date.fromisoformat(later["date"]) > day
    assert later["fen"] == 89062
    assert line == {
        "date": day.isoformat(),
        "of": "business",
        "business_id": HOME.business_id,
        "sold": 1,
        "sold_fen": 89600,
        "used": 0,
        "used_fen": 0,
        "refunded": 0,
        "refunded_fen": 0,
        "discounts_fen": 0,
        "fees_fen": 538,
        "net_fen": 89062,
        "due_now_fen": 0,
    }
    assert (reply.json["missing"], reply.json["due_by"]) == ([], f"{beijing_day(utc_now())}")


def test_what_was_sold_is_due_from_the_last_day_of_its_use_on(midday: Shop) -> None:
    midday.guest.settled_order()
    day = compared(midday)
    (later,) = midday.staff.statements(day, day).json["total"]["due_later"]
    midday.janitor.move_to(datetime.combine(date.fromisoformat(later["date"]), time(0, 1), BEIJING))
    total = midday.staff.statements(day, day).json["total"]
    assert (total["due_now_fen"], total["due_later"]) == (89062, [])


def test_the_total_is_the_sum_of_the_lines_of_several_days(midday: Shop) -> None:
    day = next_day(midday)
    before = day - timedelta(days=1)
    later = (day + timedelta(days=9)).isoformat()
    owed = {before.isoformat(): 60, later: 39}
    kept(midday, before, Statement(business_id=ELSEWHERE, sold=1, sold_fen=100, fees=1, due_fen=owed))
    back = Statement(business_id=ELSEWHERE, refunded=1, refunded_fen=50, fees=-1, due_fen={later: -49}, used=2)
    kept(midday, day, back, Statement(business_id=HOME.business_id, sold=1, sold_fen=7, due_fen={day.isoformat(): 7}))
    total = midday.staff.statements(before, day, ELSEWHERE).json["total"]
    assert (total["sold_fen"], total["refunded_fen"], total["fees_fen"], total["used"]) == (100, 50, 0, 2)
    assert (total["net_fen"], total["due_now_fen"]) == (50, 60)
    assert total["due_later"] == [{"date": later, "fen": -10}]
    every = midday.staff.statements(before, day, EVERY_BUSINESS).json
    assert [line["business_id"] for line in every["lines"]] == [ELSEWHERE, ELSEWHERE, HOME.business_id]
    assert every["total"]["net_fen"] == 57


def test_the_owner_reads_all_and_staff_nothing_of_others(midday: Shop) -> None:
    """Beside a business's order the bill has a row of another system; and there is money that pays no order."""
    _, order_sn = midday.guest.settled_order()
    _, mispaid = midday.guest.pays()
    trade = midday.wechat.world.trades[f"{mispaid}_1"]
    trade.request["appid"] = "wx-other"  # the guest paid in another mini-program: no order's
    _, foreign = midday.guest.pays()
    midday.wechat.world.trades[f"{foreign}_1"].request["out_trade_no"] = "till-7"
    midday.janitor.come_to_rest()
    day = compared(midday)
    every = midday.staff.statements(day, day, EVERY_BUSINESS).json
    assert not every["missing"], every
    shown = {(line["of"], line["business_id"]): line["sold_fen"] for line in every["lines"]}
    assert shown == {("business", HOME.business_id): 89600, ("not_ours", None): 89600, ("unassigned", None): 89600}
    assert every["total"]["sold_fen"] == 3 * 89600
    own = midday.staff.statements(day, day).json
    assert [line["sold_fen"] for line in own["lines"]] == [89600]
    other = midday.staff.statements(day, day, ELSEWHERE).json
    assert (other["lines"], other["missing"], other["total"]["sold_fen"]) == ([], [], 0)
    assert midday.items.collection(order_sn).order.business_id == HOME.business_id


def test_days_of_which_nothing_can_be_said_are_listed_with_why(midday: Shop) -> None:
    first = compared(midday)
    second = next_day(midday, 9, 30)
    asked = (first - timedelta(days=1), second + timedelta(days=1))

    def missing() -> dict[str, str]:
        return {one["date"]: one["why"] for one in midday.staff.statements(*asked).json["missing"]}

    always = {asked[0].isoformat(): "before_first", asked[1].isoformat(): "not_over"}
    assert missing() == always | {second.isoformat(): "not_ready"}
    midday.run("reconcile_bill", {})  # someone could not wait
    assert missing() == always | {second.isoformat(): "STATEMENT_CREATING"}
    midday.janitor.move_to(datetime.combine(second + timedelta(days=1), time(11), BEIJING))
    midday.run("reconcile_bill", {})
    assert missing() == always
    assert midday.staff.statements(*asked).json["lines"] == []


def test_before_the_first_comparison_no_day_is_told_as_zero(midday: Shop) -> None:
    day = next_day(midday)
    found = midday.staff.statements(day - timedelta(days=1), day).json
    assert [one["why"] for one in found["missing"]] == ["not_compared", "not_compared"]
    assert found["lines"] == []


@pytest.mark.parametrize("who", [EVERY_BUSINESS, HOME.business_id])
def test_a_day_one_of_whose_lines_cannot_be_read_is_missing_and_not_less(midday: Shop, who: str) -> None:
    day = next_day(midday)
    kept(midday, day, Statement(business_id=HOME.business_id, sold=1, sold_fen=100, due_fen={day.isoformat(): 100}))
    midday.items.change_raw(f"BILL#{day}", f"STATEMENT#{HOME.business_id}", sold_fen="a hundred")
    found = midday.staff.statements(day, day, who).json
    assert (found["lines"], found["missing"]) == ([], [{"date": day.isoformat(), "why": "lines"}])


@pytest.mark.parametrize(("first", "last"), [("2026-11-02", "2026-11-01"), ("2026-10-01", "2026-11-01")])
def test_a_range_that_cannot_be_is_422_with_the_limit(shop: Shop, first: str, last: str) -> None:
    reply = shop.staff.statements(first, last)
    assert (reply.status, reply.json["field"], reply.json["limit"]) == (422, "query.to", 31)
    assert "at most 31 days" in reply.json["detail"]
    reply = shop.staff.days(first, first.replace("2026", "2025"))
    assert (reply.status, reply.json["field"], reply.json["limit"]) == (422, "query.to", 92)


@pytest.mark.parametrize("text", ["2026-02-30", "20261101", "", "tomorrow", "0001-01-01", "9999-12-31"])
def test_what_is_no_day_is_422_with_the_field_and_what_it_must_be(shop: Shop, text: str) -> None:
    for reply, field in (
        (shop.staff.statements(text, "2026-11-01"), "query.from"),
        (shop.staff.statements("2026-11-01", text), "query.to"),
        (shop.staff.days(text, "2026-11-01"), "query.from"),
    ):
        assert reply.status == 422
        ((name, why),) = ((one["field"], one["why"]) for one in reply.json["errors"])
        assert name == field
        assert "a day as in 2026-12-01, from the year 2000 to 2999" in why
    assert shop.call("GET /merchant/statements", token=shop.staff.token()).json["field"] == "query.from, query.to"


# --- as a file


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_the_file_opens_in_excel_and_says_yuan(midday: Shop) -> None:
    midday.guest.settled_order()
    day = compared(midday)
    today = day + timedelta(days=1)
    reply = midday.staff.statements(day, today, accept="text/csv")
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/csv")
    assert f"statements-{day}-{today}.csv" in reply.headers["content-disposition"]
    assert reply.text.startswith("\ufeff日期,商家,")
    assert reply.text.count("\r\n") == reply.text.count("\n") == 4
    line, missing, total = read(reply.text)
    assert tuple(line) == HEADER
    assert (line["日期"], line["商家"], line["销售金额(元)"]) == (day.isoformat(), HOME.business_id, "896.00")
    assert (line["微信手续费(元)"], line["净额(元)"], line["已到期(元)"]) == ("5.38", "890.62", "0.00")
    assert (line["未到期(元)"], line["未到期明细"].partition(" ")[2]) == ("890.62", "890.62")
    assert (missing["日期"], missing["销售金额(元)"], missing["备注"]) == (today.isoformat(), "", "当天还没有结束")
    assert (total["日期"], total["净额(元)"]) == ("合计", "890.62")


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@sum", "\tx", 'a"b,c', "b-1"])
def test_no_cell_of_the_file_is_a_formula(midday: Shop, name: str) -> None:
    day = next_day(midday)
    line = Statement(business_id=name, refunded=1, refunded_fen=5, due_fen={day.isoformat(): -5})
    kept(midday, day, line, Statement(business_id=UNASSIGNED, sold=1, sold_fen=1, due_fen={day.isoformat(): 1}))
    own, none, _ = read(midday.staff.statements(day, day, EVERY_BUSINESS, accept="text/csv").text)
    assert own["商家"] == (name if name[0] in "ab" else f"'{name}")
    assert (own["净额(元)"], none["商家"]) == ("-0.05", "不属于任何订单")


# --- days


def test_the_owner_sees_each_day_with_both_sides(midday: Shop) -> None:
    midday.guest.settled_order()
    day = compared(midday)
    reply = midday.staff.days(day - timedelta(days=1), day + timedelta(days=1))
    today, yesterday, before = reply.json["days"]
    sums = {"payments": 1, "paid_fen": 89600, "refunds": 0, "refunded_fen": 0}
    assert (yesterday["state"], yesterday["why"], yesterday["date"]) == ("closed", "", day.isoformat())
    assert (yesterday["wechat"], yesterday["ours"], yesterday["difference_count"]) == (sums, sums, 0)
    assert (yesterday["fees_fen"], yesterday["other_rows"]) == (538, 0)
    assert (today["state"], today["why"], today["wechat"]) == ("not_yet", "not_over", None)
    assert (before["state"], before["why"]) == ("not_yet", "before_first")


def test_a_day_whose_bill_cannot_be_had_is_open_with_why_and_without_sums(midday: Shop) -> None:
    midday.guest.settled_order()
    day = next_day(midday, 9, 30)
    midday.run("reconcile_bill", {})
    found = midday.staff.day(day).json
    assert (found["state"], found["why"], found["wechat"]) == ("open", "STATEMENT_CREATING", None)
    assert found["read_at"]
    assert (found["differences"], found["lines"]) == ([], [])


def test_a_day_that_is_not_over_is_compared_for_who_asks_and_stays_open(midday: Shop) -> None:
    """WeChat's clock is a day ahead of ours and has its bill: more may come, so no statement counts it."""
    midday.guest.settled_order()
    day, early = beijing_day(utc_now()), utc_now()
    midday.run("reconcile_bill", {})
    next_day(midday)
    ours = replace(midday.parts, clock=lambda: early)
    (told,) = midday.run("reconcile_bill", {"date": f"{day}"}, ours)["days"]
    assert (told["closed"], told["why"], told["paid_fen"], told["our_paid_fen"]) == (False, "not_over", 89600, 89600)
    found = midday.staff.day(day).json
    assert (found["state"], found["why"], found["wechat"]["paid_fen"]) == ("open", "not_over", 89600)
    assert [one["why"] for one in midday.staff.statements(day, day).json["missing"]] == ["not_over"]
    midday.guest.pays()
    tomorrow = day + timedelta(days=1)
    assert compared(midday) == tomorrow  # the next morning's run takes it up again
    assert {one["state"] for one in midday.staff.days(day, tomorrow).json["days"]} == {"closed"}


def test_days_are_the_owners_alone(midday: Shop) -> None:
    day = compared(midday)
    for reply in (midday.staff.days(day, day, HOME.business_id), midday.staff.day(day, HOME.business_id)):
        assert (reply.status, kind(reply)) == (403, "owner-only")
    guest = midday.guest.login()
    for route in ("GET /merchant/statements", "GET /merchant/days"):
        query = {"from": f"{day}", "to": f"{day}"}
        reply = midday.call(route, token=guest, queryStringParameters=query, rawQueryString=f"from={day}&to={day}")
        assert (reply.status, kind(reply)) == (403, "staff-only")


def test_a_difference_leads_to_its_order_and_its_case(midday: Shop) -> None:
    """WeChat's bill lacks a payment of ours."""
    _, order_sn = midday.guest.settled_order()
    kept_trade = midday.wechat.world.trades.pop(f"{order_sn}_1")
    midday.guest.pays()  # a bill there is
    day = compared(midday)
    midday.wechat.world.trades[f"{order_sn}_1"] = kept_trade
    found = midday.staff.day(day).json
    (one,) = found["differences"]
    assert (found["state"], found["difference_count"]) == ("closed", 1)
    assert (one["kind"], one["means"]) == ("payment_not_in_bill", MEANS[DifferenceKind.PAYMENT_NOT_IN_BILL])
    assert (one["number"], one["order_sn"]) == (f"{order_sn}_1", order_sn)
    assert (one["wechat_fen"], one["ours_fen"], one["case_open"]) == (None, 89600, True)
    case = midday.call("GET /merchant/cases/{case_id}", token=midday.staff.token(), case=one["case"])
    assert (case.status, case.json["kind"], case.json["amount_fen"]) == (200, "payment_not_in_bill", 89600)
    assert midday.staff.close_case(one["case"], "kept", "asked WeChat by phone").status == 200
    (one,) = midday.staff.day(day).json["differences"]
    assert (one["case_open"], bool(one["case"])) == (False, True)


def test_a_refund_that_cannot_be_recorded_leads_to_its_case_too(midday: Shop) -> None:
    """A refund in WeChat's console of a trade that is not in our books: its case is one of WeChat's report."""
    _, order_sn = midday.guest.pays()
    trade = midday.wechat.world.trades[f"{order_sn}_1"]
    trade.request["out_trade_no"] = f"HSO{'1' * 22}_1"
    midday.wechat.world.trades[trade.out_trade_no] = midday.wechat.world.trades.pop(f"{order_sn}_1")
    midday.wechat.driver(f"trades/{trade.out_trade_no}/refund", amount=600)
    day = compared(midday)
    found = {one["kind"]: one for one in midday.staff.day(day).json["differences"]}
    assert set(found) == {"unknown_trade", "unknown_refund"}
    for one in found.values():
        case = midday.call("GET /merchant/cases/{case_id}", token=midday.staff.token(EVERY_BUSINESS), case=one["case"])
        assert (case.status, case.json["kind"]) == (200, one["kind"])
        assert one["case_open"]
    assert found["unknown_refund"]["wechat_fen"] == 600


def test_many_differences_come_in_pages(midday: Shop) -> None:
    day, unknown = next_day(midday), DifferenceKind.UNKNOWN_TRADE
    number = DIFFERENCES + 1
    numbers = [f"HSO{n:022}_1" for n in range(number)]
    kept(midday, day, differences=tuple(difference(unknown, one) for one in numbers))
    first = midday.staff.day(day).json
    rest = midday.staff.day(day, after=first["next"]).json
    assert (first["difference_count"], len(first["differences"]), rest["next"]) == (number, DIFFERENCES, None)
    assert [one["number"] for one in first["differences"] + rest["differences"]] == numbers
    assert first["differences"][0]["case"] is None
    assert midday.staff.day(day, after="A").status == 422


def test_a_day_that_is_none_is_422_and_one_to_come_is_not_yet(shop: Shop) -> None:
    assert shop.staff.day("2026-02-30").json["field"] == "path.day"
    later = shop.staff.day("2999-12-31").json
    assert (later["state"], later["why"], later["differences"], later["lines"]) == ("not_yet", "not_over", [], [])
