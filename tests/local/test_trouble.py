"""Trouble through the running stack: races that need several processes, and what operators do. Every test ends with the
check that no fen is missing."""

import concurrent.futures
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from local.lanes import AT_ONCE
from local.shopper import Shopper
from payments.domain.times import beijing_day, iso, utc_now
from tests.local.conftest import Cloud, dev, eventually


def waiting(cloud: Cloud, user: str) -> tuple[Shopper, str, dict[str, str]]:
    """A guest whose cashier is open: (shopper, order_sn, the five fields)."""
    shopper = cloud.shopper(user)
    shopper.login()
    order_sn = shopper.order("lake-house")["order_sn"]
    fields = shopper.prepay(order_sn)
    fields.pop("out_trade_no")
    return shopper, order_sn, fields


def paid(cloud: Cloud, user: str) -> tuple[str, str]:
    """(order_sn, redeem code)."""
    with cloud.shopper(user) as shopper:
        purchase = shopper.buy()
    assert purchase.complete, purchase.report()
    return purchase.order_sn, purchase.redeem_code


def status(cloud: Cloud, order_sn: str) -> str:
    return str(cloud.order(order_sn)["ORDER"]["status"])


def _is_paid(cloud: Cloud, order_sn: str) -> bool:
    return status(cloud, order_sn) == "WAIT_USE"


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [done.result() for done in [pool.submit(call) for call in calls]]


def test_the_callback_comes_before_our_prepay_write(cloud: Cloud) -> None:
    with cloud.shopper("guest-early") as shopper:
        shopper.login()
        order_sn = shopper.order("lake-house")["order_sn"]
        cloud.fault(call="prepay", answer="paid_first")
        reply = shopper._api.post(f"/orders/{order_sn}/prepay", json={})
        assert reply.status_code in {409, 502, 503}, reply.text
        eventually(lambda: status(cloud, order_sn) == "WAIT_USE")
    cloud.check()


def test_callback_poll_and_janitor_at_the_same_moment(cloud: Cloud) -> None:
    shopper, order_sn, fields = waiting(cloud, "guest-moment")
    with shopper:
        cloud.fault(call="callback", answer="drop")
        shopper.pay(fields)
        cloud.set_due(order_sn)
        copies = {"times": 3, "parallel": True}
        told = at_once(
            lambda: cloud.wechat.post(f"/_sim/notifications/{order_sn}_1/send", json=copies).json()["statuses"],
            lambda: shopper.poll(order_sn)["order_status"],
            cloud.sweep,
            cloud.sweep,
        )
        assert told[0] == [204] * 3
        eventually(lambda: status(cloud, order_sn) == "WAIT_USE")
    life = cloud.order(order_sn)
    assert life["ORDER"]["paid_by"] == 1
    assert [sk for sk in life if sk.startswith(("CASE#", "REFUND#"))] == []
    cloud.check()


def test_ten_parallel_prepays_from_two_phones_open_one_trade(cloud: Cloud) -> None:
    with cloud.shopper("guest-phones") as one, cloud.shopper("guest-phones") as two:
        one.login()
        two.login()
        order_sn = one.order("lake-house")["order_sn"]
        path = f"/orders/{order_sn}/prepay"
        calls = [lambda phone=phone: phone._api.post(path, json={}) for phone in (one, two) * 5]
        replies = at_once(*calls)
        # One calls WeChat; who comes while it waits for the answer is told to come again.
        good = [reply.json() for reply in replies if reply.status_code == 200]
        assert {reply.status_code for reply in replies} <= {200, 429}
        assert {told["out_trade_no"] for told in good} == {f"{order_sn}_1"}
        assert len({told["package"] for told in good}) == 1
        fields = good[-1]
        fields.pop("out_trade_no")
        two.pay(fields)
        eventually(lambda: status(cloud, order_sn) == "WAIT_USE")
    assert [sk for sk in cloud.order(order_sn) if sk.startswith("PAYMENT#")] == ["PAYMENT#1"]
    cloud.check()


def test_ten_orders_at_once_with_one_key_are_one_order(cloud: Cloud) -> None:
    with cloud.shopper("guest-key") as shopper:
        shopper.login()
        start = beijing_day(utc_now()) + timedelta(days=7)
        stay = {"start_date": start.isoformat(), "end_date": (start + timedelta(days=1)).isoformat()}
        body = stay | {"service_type": "homestay", "homestay_id": "lake-house", "people": 1, "need_food": False}
        headers = {"Idempotency-Key": "one-key-for-ten"}
        replies = at_once(*[lambda: shopper._api.post("/orders", json=body, headers=headers)] * 10)
        good = [reply.json()["order_sn"] for reply in replies if reply.status_code == 201]
        assert {reply.status_code for reply in replies} <= {201, 503}  # 503: others were quicker, send it again
        assert len(set(good)) == 1
        assert [order["order_sn"] for order in shopper._api.get("/orders").json()["orders"]] == good[:1]


def test_the_janitor_books_what_no_callback_told_and_ends_what_nobody_paid(cloud: Cloud) -> None:
    shopper, order_sn, fields = waiting(cloud, "guest-janitor")
    other, unpaid, _ = waiting(cloud, "guest-forgets")
    with shopper, other:
        cloud.fault(call="callback", answer="drop", times=2, out_trade_no=f"{order_sn}_1")
        shopper.pay(fields)
        cloud.set_due(order_sn)
        cloud.set_due(unpaid, expires_at=utc_now())
        cloud.sweep()
        eventually(lambda: status(cloud, order_sn) == "WAIT_USE")
        eventually(lambda: status(cloud, unpaid) == "CANCELLED")
    life = cloud.order(order_sn)
    assert life["PAYMENT#1"]["learned_by"] == "sweep"
    assert cloud.wechat.get(f"/_sim/trades/{unpaid}_1").json()["trade_state"] == "CLOSED"
    cloud.check()


def test_cancel_and_pay_at_the_same_moment(cloud: Cloud) -> None:
    shopper, order_sn, fields = waiting(cloud, "guest-torn")
    with shopper:
        request = fields | {"appid": cloud.state.appid, "user": "guest-torn"}
        told, answer = at_once(
            lambda: shopper._api.post(f"/orders/{order_sn}/cancel"),
            lambda: cloud.wechat.post("/_sim/cashier/pay", json=request).json()["errMsg"],
        )
        assert told.status_code in {200, 409}
        wanted = "WAIT_USE" if answer == "requestPayment:ok" else "CANCELLED"
        eventually(lambda: cloud.sweep() and status(cloud, order_sn) == wanted)
    cloud.check()


def test_late_money_goes_back_by_itself_and_the_guest_is_told(cloud: Cloud) -> None:
    shopper, order_sn, fields = waiting(cloud, "guest-late")
    with shopper:
        assert shopper._api.post(f"/orders/{order_sn}/cancel").json()["status"] == "CANCELLED"
        cloud.fault(call="cashier", answer="after_close")
        shopper.pay(fields)
        eventually(lambda: cloud.order(order_sn).get(f"REFUND#{order_sn}_1_R1", {}).get("status") == "PROCESSING")
        cloud.wechat.post("/_sim/clock", json={"advance_s": 5})
        eventually(lambda: len(cloud.messages("guest-late")) == 1)
    assert cloud.messages("guest-late")[0]["data"]["amount2"] == {"value": "¥896.00"}
    cloud.check()


def test_a_code_is_redeemed_once_by_two_at_the_counter_while_a_third_refunds(cloud: Cloud) -> None:
    order_sn, code = paid(cloud, "guest-counter")
    headers = cloud.staff()
    asking, body = headers | {"Idempotency-Key": "counter-1"}, {"reason": "客人改期"}
    first, second, refunded = at_once(
        lambda: cloud.api.post("/merchant/redemptions", json={"code": code.lower()}, headers=headers),
        lambda: cloud.api.post("/merchant/redemptions", json={"code": code}, headers=headers),
        lambda: cloud.api.post(f"/merchant/orders/{order_sn}/refunds", json=body, headers=asking),
    )
    assert sorted([first.status_code, second.status_code])[1] == 409
    assert refunded.status_code == 201
    eventually(lambda: cloud.order(order_sn)[f"REFUND#{refunded.json()['out_refund_no']}"]["status"] == "PROCESSING")
    cloud.wechat.post("/_sim/clock", json={"advance_s": 5})
    eventually(lambda: status(cloud, order_sn) == "REFUNDED")
    cloud.check()


def test_a_redeemed_order_is_recorded_as_shipped(cloud: Cloud, folder: Path) -> None:
    order_sn, code = paid(cloud, "guest-shipped")
    cloud.fault(call="upload_shipping_info", answer="drop", after_effect=True)
    assert cloud.api.post("/merchant/redemptions", json={"code": code}, headers=cloud.staff()).status_code == 200
    eventually(lambda: cloud.order(order_sn).get("SHIPPING#1", {}).get("status") == "UPLOADED")
    told = dev(folder, "trace", order_sn).stdout
    assert "the shipping record is sent" in told
    assert "UPLOADED" in told
    cloud.check()


def test_the_stream_stands_still_for_a_while(cloud: Cloud) -> None:
    mappings = cloud.functions.list_event_source_mappings()["EventSourceMappings"]
    (stream,) = [m["UUID"] for m in mappings if "PublishEvents" in m["FunctionArn"]]
    shopper, order_sn, fields = waiting(cloud, "guest-patient")
    with shopper:
        cloud.functions.update_event_source_mapping(UUID=stream, Enabled=False)
        try:
            shopper.pay(fields)
            eventually(lambda: cloud.order(order_sn)["PAYMENT#1"]["status"] == "SUCCESS")
            cloud.set_due(order_sn)
            cloud.sweep()  # it publishes what the stream does not
            eventually(lambda: status(cloud, order_sn) == "WAIT_USE")
        finally:
            cloud.functions.update_event_source_mapping(UUID=stream, Enabled=True)
        eventually(lambda: len(cloud.messages("guest-patient")) == 2)
    cloud.check()


# --- what operators do


def test_a_dead_letter_is_shown_sent_back_and_poison_thrown_away(cloud: Cloud, folder: Path) -> None:
    shopper, order_sn, _ = waiting(cloud, "guest-dead")
    shopper.__exit__()
    event = {
        "id": f"ORDER#{order_sn}/REFUND#none@1",
        "type": "refund.requested",
        "time": iso(utc_now()),
        "order_sn": order_sn,
        "state": {"status": "REQUESTED", "out_refund_no": "none"},
    }
    queue = cloud.state.queues["execute_refund"]
    before = cloud.waiting(cloud.state.dlqs["execute_refund"])
    cloud.sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    eventually(lambda: cloud.waiting(cloud.state.dlqs["execute_refund"]) == before + 1, within_s=30)
    assert dev(folder, "dlq", "list").returncode == 1
    letters = json.loads(dev(folder, "dlq", "show", "execute_refund", "--json").stdout)
    (letter,) = [one for one in letters if one["order_sn"] == order_sn]
    assert (letter["type"], letter["tried"] >= 3) == ("refund.requested", True)
    dry = dev(folder, "dlq", "redrive", "execute_refund", "--dry-run")
    assert f"would go back: {letter['id']}" in dry.stdout
    assert cloud.waiting(cloud.state.dlqs["execute_refund"]) == before + 1
    assert "1 went back" in dev(folder, "dlq", "redrive", "execute_refund", "--id", letter["id"]).stdout
    eventually(lambda: cloud.waiting(cloud.state.dlqs["execute_refund"]) == before + 1, within_s=30)
    (again,) = [
        one
        for one in json.loads(dev(folder, "dlq", "show", "execute_refund", "--json").stdout)
        if one["order_sn"] == order_sn
    ]
    assert "1 deleted" in dev(folder, "dlq", "delete", "execute_refund", "--id", again["id"]).stdout
    assert "no such function" in dev(folder, "dlq", "show", "nobody").stderr
    assert "pointers into the stream" in dev(folder, "dlq", "redrive", "publish_events").stderr
    cloud.check()


def test_a_case_is_listed_shown_and_closed(cloud: Cloud, folder: Path) -> None:
    shopper, order_sn, fields = waiting(cloud, "guest-case")
    with shopper:
        shopper._api.post(f"/orders/{order_sn}/cancel")
        cloud.fault(call="refund_end", answer="ABNORMAL")
        cloud.fault(call="cashier", answer="after_close")
        shopper.pay(fields)
        eventually(lambda: cloud.order(order_sn).get(f"REFUND#{order_sn}_1_R1", {}).get("status") == "PROCESSING")
        cloud.wechat.post("/_sim/clock", json={"advance_s": 5})
        eventually(lambda: any(sk.startswith("CASE#refund_abnormal") for sk in cloud.order(order_sn)))
    cloud.check()
    trade = f"{order_sn}_1"
    listed = json.loads(dev(folder, "cases", "list", "--json").stdout)
    assert [case["kind"] for case in listed if case["out_trade_no"] == trade] == ["refund_abnormal"]
    assert "send it to another one" in dev(folder, "cases", "show", trade).stdout
    hearsay = dev(folder, "cases", "close", trade, "--resolution", "refunded", "--reference", "bank transfer", "--yes")
    assert (hearsay.returncode, "not an out_refund_no" in hearsay.stderr) == (1, True)
    account = "bank transfer 4711 of today, agreed by phone"
    closing = ["cases", "close", trade, "--resolution", "settled_by_hand", "--reference", account]
    assert "--yes" in dev(folder, *closing).stderr  # nobody can be asked
    closing.append("--yes")
    assert "Closed: refund_abnormal" in dev(folder, *closing).stdout
    assert "no open case" in dev(folder, *closing).stderr
    life = json.loads(dev(folder, "trace", order_sn, "--json").stdout)["life"]
    told = [moment["happened"] for moment in life]
    cancelled = "CANCELLED, holds nothing"
    for expected in ("WAIT_PAY, 89600 fen", cancelled, "ABNORMAL", f"case closed: settled_by_hand, {account}"):
        assert expected in told
    # A person sent the money elsewhere: WeChat tells of it when it has arrived.
    refund = cloud.wechat.get("/_sim/state").json()["refunds"][-1]
    body = {"out_refund_no": refund["out_refund_no"], "type": "MERCHANT_BANK_CARD"}
    assert cloud.wechat.post(f"/_sim/refunds/{refund['refund_id']}/elsewhere", json=body).status_code == 200
    eventually(lambda: cloud.order(order_sn)[f"REFUND#{order_sn}_1_R1"]["status"] == "SUCCESS")
    cloud.check()


def test_trace_tells_the_whole_life_of_an_order(cloud: Cloud, folder: Path) -> None:
    order_sn, code = paid(cloud, "guest-traced")
    cloud.api.post("/merchant/redemptions", json={"code": code}, headers=cloud.staff())
    done = dev(folder, "trace", f"{order_sn}_1")
    assert done.returncode == 0
    for expected in ("WAIT_PAY", "prepay_id", "wx-callback", "WAIT_USE", "check_in_code sent", "redeemed by staff-1"):
        assert expected in done.stdout, expected
    assert code not in done.stdout
    assert "is not an order number" in dev(folder, "trace", "HSO0").stderr
    assert "there is no order" in dev(folder, "trace", f"HSO{0:022}").stderr
    assert "--stack" in dev(folder, "trace", order_sn, "--profile", "x").stderr
    cloud.check()


def test_the_same_commands_work_on_a_deployed_stack(cloud: Cloud, folder: Path, tmp_path: Path) -> None:
    """The emulator stands in for AWS: nothing is known of it but its address, a region and the stack's name."""
    order_sn, _ = paid(cloud, "guest-abroad")
    aws = {
        "AWS_ENDPOINT_URL": cloud.state.aws_endpoint_url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    there = ["--stack", cloud.state.stack, "--region", cloud.state.region]
    assert "WAIT_USE" in dev(tmp_path, "trace", order_sn, *there, **aws).stdout
    assert json.loads(dev(tmp_path, "cases", "list", "--json", *there, **aws).stdout) is not None
    assert set(json.loads(dev(tmp_path, "dlq", "list", "--json", *there, **aws).stdout)) == set(cloud.state.dlqs)
    assert "orders looked at" in dev(tmp_path, "sweep", *there, **aws).stdout
    token = dev(tmp_path, "token", "--business", "b-hangzhou", *there, **aws).stdout.strip()
    reply = cloud.api.get(f"/merchant/orders/{order_sn}", headers={"Authorization": f"Bearer {token}"})
    assert reply.status_code == 200
    missing = dev(tmp_path, "trace", order_sn, "--stack", "wxpay-nowhere", "--region", "us-east-1", **aws)
    assert missing.returncode == 1
    assert "wxpay-nowhere cannot be read" in missing.stderr
    cloud.check()


def test_a_staff_token_opens_the_counter(cloud: Cloud, folder: Path) -> None:
    order_sn, _ = paid(cloud, "guest-token")
    token = dev(folder, "token", "--business", "b-hangzhou", "--user", "anna").stdout.strip()
    reply = cloud.api.get(f"/merchant/orders/{order_sn}", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status_code, reply.json()["status"]) == (200, "WAIT_USE")
    guest = dev(folder, "token", "--role", "user").stdout.strip()
    reply = cloud.api.get(f"/merchant/orders/{order_sn}", headers={"Authorization": f"Bearer {guest}"})
    assert (reply.status_code, reply.json()["type"]) == (403, "urn:wxpay:staff-only")


def test_forty_equal_callbacks_at_once_are_all_answered_in_time_and_change_the_state_once(
    cloud: Cloud, folder: Path
) -> None:
    with cloud.shopper("burst-of-callbacks") as shopper:
        shopper.login()
        order_sn = shopper.order("lake-house")["order_sn"]
        fields = shopper.prepay(order_sn)
        out_trade_no = fields.pop("out_trade_no")
        cloud.fault(call="callback", answer="drop", out_trade_no=out_trade_no)
        shopper.pay(fields)
        burst = {"times": 40, "parallel": True}
        sent = cloud.wechat.post(f"/_sim/notifications/{out_trade_no}/send", json=burst).json()
    assert sent["statuses"] == [204] * 40  # within WeChat's five seconds
    eventually(lambda: cloud.order(order_sn)["ORDER"]["status"] == "WAIT_USE")
    assert set(cloud.order(order_sn)["PAYMENT#1"]["at"]) == {"SUCCESS"}
    assert len(list((folder / "emulator/tmp").glob("*WxCallback*"))) <= AT_ONCE
    cloud.check()


def test_an_order_that_was_refunded_elsewhere_is_on_hold_until_its_case_is_closed(cloud: Cloud, folder: Path) -> None:
    """Refunded in full in WeChat's console, and the notices of payment and refund are lost."""
    shopper, order_sn, fields = waiting(cloud, "guest-elsewhere")
    with shopper:
        cloud.fault(call="callback", answer="drop", times=99)
        shopper.pay(fields)
        made = cloud.wechat.post(f"/_sim/trades/{order_sn}_1/refund", json={"amount": 89600}).json()["out_refund_no"]
        told = eventually(lambda: (poll := shopper.poll(order_sn))["on_hold"] and poll)
        assert (told["payment_status"], told["redeem_code"]) == ("SUCCESS", None)
    cloud.check()
    assert "On hold: no code" in dev(folder, "trace", order_sn).stdout
    trade = f"{order_sn}_1"
    assert "is on hold" in dev(folder, "cases", "show", trade).stdout
    closing = ["cases", "close", trade, "--resolution", "refunded", "--yes", "--reference"]
    assert "WeChat knows no refund" in dev(folder, *closing, "no-such-refund").stderr
    assert "Closed: refunded_elsewhere" in dev(folder, *closing, made).stdout
    cloud.wechat.post("/_sim/clock", json={"advance_s": 5})
    cloud.wechat.delete("/_sim/faults")
    cloud.minutes_ago(order_sn)
    cloud.sweep()
    eventually(lambda: cloud.order(order_sn)["ORDER"]["status"] == "REFUNDED")
    assert "On hold" not in dev(folder, "trace", order_sn).stdout
    cloud.check()


def test_a_refund_that_waits_is_listed_tried_and_withdrawn(cloud: Cloud, folder: Path) -> None:
    order_sn, _ = paid(cloud, "guest-waits")
    cloud.wechat.post("/_sim/balance", json={"fen": 0})
    try:
        headers = cloud.staff() | {"Idempotency-Key": "a-refund-that-waits"}
        asked = cloud.api.post(f"/merchant/orders/{order_sn}/refunds", json={"reason": "改期"}, headers=headers).json()
        number = asked["out_refund_no"]
        (listed,) = json.loads(dev(folder, "refunds", "list", order_sn, "--json").stdout)
        assert (listed["out_refund_no"], listed["status"]) == (number, "REQUESTED")
        assert "within a minute" in dev(folder, "refunds", "try", order_sn, number).stdout
        assert dev(folder, "refunds", "try", order_sn, "no-such-refund").returncode == 1
        assert "--yes" in dev(folder, "refunds", "withdraw", order_sn, number).stderr
        assert "being withdrawn" in dev(folder, "refunds", "withdraw", order_sn, number, "--yes").stdout
        for _ in range(2):  # WeChat is asked twice, a minute apart
            cloud.minutes_ago(order_sn)
            cloud.sweep()
        eventually(lambda: cloud.order(order_sn)[f"REFUND#{number}"]["status"] == "WITHDRAWN")
        assert "WITHDRAWN" in dev(folder, "refunds", "list", order_sn).stdout
        assert "WITHDRAWN" in dev(folder, "trace", order_sn).stdout
    finally:
        cloud.wechat.post("/_sim/balance", json={"fen": None})
    eventually(lambda: cloud.order(order_sn)["ORDER"]["refundable_fen"] == 89600)
    cloud.check()


def test_a_guest_who_cancels_late_asks_and_an_operator_grants_it_or_declines(cloud: Cloud, folder: Path) -> None:
    for ahead, what in ((1, ["grant", "--fen", "10000"]), (2, ["decline", "--reason", "三天内不退"])):
        with cloud.shopper(f"guest-late-{ahead}") as shopper:
            shopper.login()
            start = beijing_day(utc_now()) + timedelta(days=ahead)  # all comes back until three days before
            stay = {"start_date": f"{start}", "end_date": f"{start + timedelta(days=1)}", "people": 1}
            body = stay | {"service_type": "homestay", "homestay_id": "sea-view", "need_food": False}
            order_sn = str(shopper._api.post("/orders", json=body).json()["order_sn"])
            fields = shopper.prepay(order_sn)
            trade = fields.pop("out_trade_no")
            shopper.pay(fields)
            eventually(partial(_is_paid, cloud, order_sn))
            told = shopper._api.post(f"/orders/{order_sn}/refund-request", json={"reason": "改期"}).json()
            assert (told["state"], told["refund_fen"]) == ("asked", 0)
            shown = dev(folder, "cases", "show", trade)
            assert "./dev cases grant TRADE" in shown.stdout, shown.stdout
            refused = dev(folder, "cases", "close", trade, "--resolution", "kept", "--reference", "x" * 20, "--yes")
            assert refused.returncode == 1
            command, *rest = what
            done = dev(folder, "cases", command, trade, *rest, "--yes")
            assert done.returncode == 0, done.stderr
            wish = shopper._api.get(f"/orders/{order_sn}").json()["refund_request"]
            assert wish["state"] == {"grant": "granted", "decline": "declined"}[command]
            assert ("holds" in cloud.order(order_sn)["ORDER"]) is (command == "decline")
    cloud.check()
