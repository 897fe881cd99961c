"""./dev reconcile and ./dev statements against the running stack."""

import csv
import json
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from local.home import State
from local.stack import local
from payments.domain.bill import NOT_OURS, DayOfBills, Statement
from payments.domain.times import beijing_day, utc_now
from payments.store.dynamodb import wire
from tests.local.conftest import Cloud, dev


@pytest.fixture
def day(cloud: Cloud) -> Iterator[date]:
    """A day of last month that is closed: two businesses sold something, and another system did."""
    day, bills = beijing_day(utc_now()).replace(day=1) - timedelta(days=3), local(cloud.state).store.bills
    lines = [
        Statement(business_id=name, sold=1, sold_fen=fen, fees=fees, due_fen={day.isoformat(): fen - fees})
        for name, fen, fees in (("b-hangzhou", 89600, 538), ("b-suzhou", 100, 1), (NOT_OURS, 5, 0))
    ]
    bills.keep_results(day, (), lines)
    found = DayOfBills(day=day, closed=True, read_at=utc_now(), closed_at=utc_now(), paid_fen=89705, fees=539)
    bills.keep(found)
    yield day
    for sk in cloud.items(f"BILL#{day}"):
        cloud.dynamodb.delete_item(TableName=cloud.state.table, Key=wire({"pk": f"BILL#{day}", "sk": sk}))


def ran(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    done = dev(folder, *words)
    assert done.returncode == 0, done.stderr
    return done


def test_statements_are_told_to_people_scripts_and_spreadsheets(folder: Path, day: date) -> None:
    of_day = ("statements", "--from", f"{day}", "--to", f"{day + timedelta(days=1)}")
    told = ran(folder, *of_day).stdout
    assert "(other systems)" in told
    (total,) = (line for line in told.splitlines() if "total" in line)
    assert "897.05" in total
    assert "5.39" in total
    assert f"{day + timedelta(days=1)} is missing:" in told
    own = json.loads(ran(folder, *of_day, "--business", "b-suzhou", "--json").stdout)
    assert [(line["business_id"], line["net_fen"]) for line in own["lines"]] == [("b-suzhou", 99)]
    file = ran(folder, *of_day, "--csv").stdout
    rows = list(csv.DictReader(file.removeprefix("\ufeff").splitlines()))
    assert [row["商家"] for row in rows] == ["b-hangzhou", "b-suzhou", "其他系统", "", ""]
    refused = dev(folder, "statements", "--from", f"{day}", "--to", f"{day + timedelta(days=31)}")
    assert (refused.returncode, refused.stderr.strip().count("\n")) == (1, 0)
    assert "at most 31 days" in refused.stderr


def test_yesterday_of_which_wechat_has_no_bill_stays_open_and_is_named(
    folder: Path, running: State, cloud: Cloud
) -> None:
    """Our books have a payment on it: the deployed function says so, and the command with it."""
    with cloud.shopper("guest-of-yesterday") as shopper:
        order_sn = shopper.buy().order_sn
    yesterday = beijing_day(utc_now()) - timedelta(days=1)
    key = wire({"pk": f"ORDER#{order_sn}", "sk": "PAYMENT#1"})
    booked = cloud.order(order_sn)["PAYMENT#1"]["booked_on"]

    def book(on: str) -> None:
        values = wire({":on": on})
        change = {"UpdateExpression": "SET booked_on = :on", "ExpressionAttributeValues": values}
        cloud.dynamodb.update_item(TableName=cloud.state.table, Key=key, **change)

    book(f"{yesterday}#{order_sn[-1]}")
    try:
        done = dev(folder, "reconcile", "--date", f"{yesterday}", "--json")
    finally:
        book(booked)
    assert done.returncode == 1, done.stderr
    (one,) = json.loads(done.stdout)["days"]
    assert (one["day"], one["closed"]) == (f"{yesterday}", False)
    assert one["why"] in {"NO_STATEMENT_EXIST", "STATEMENT_CREATING"}  # the second between 9 and 10 in Beijing
    assert f"1 of 1  {yesterday}  open: {one['why']}" in done.stderr
    today = dev(folder, "reconcile", "--date", f"{yesterday + timedelta(days=1)}")
    assert today.returncode == 1
    assert "-m simulator advance " in today.stderr
    assert running.wechat_url in today.stderr
