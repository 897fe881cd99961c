"""One order after another through the running stack: deployed functions, stream, topic, queues, a WeChat that signs."""

import concurrent.futures
import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.deploy import client
from local.topology import whole
from payments.domain.times import utc_now
from payments.edge.tokens import Identity, Role, issue
from tests.local.conftest import Cloud, eventually


def test_an_order_goes_from_login_to_both_messages(cloud: Cloud) -> None:
    with cloud.shopper("guest-whole") as shopper:
        purchase = shopper.buy()
    assert purchase.complete, purchase.report()
    life = cloud.order(purchase.order_sn)
    assert set(life) == {"ORDER", "PAYMENT#1", "NOTICE#order.paid"}
    assert (life["ORDER"]["status"], life["ORDER"]["paid_by"]) == ("WAIT_USE", 1)
    assert {message["state"] for message in life["NOTICE#order.paid"]["messages"].values()} == {"sent"}
    code_message = purchase.messages[1]["data"]["character_string4"]["value"]
    assert code_message == purchase.redeem_code == life["ORDER"]["redeem_code"]


def test_a_callback_ten_times_at_once_is_one_change_and_one_pair_of_messages(cloud: Cloud) -> None:
    with cloud.shopper("guest-ten") as shopper:
        purchase = shopper.buy()
        before = cloud.order(purchase.order_sn)
        copies = {"times": 10, "parallel": True}
        reply = cloud.wechat.post(f"/_sim/notifications/{purchase.out_trade_no}/send", json=copies)
        assert reply.json() == {"statuses": [204] * 10}
    assert cloud.order(purchase.order_sn) == before
    assert len(cloud.messages("guest-ten")) == 2


def test_ten_first_callbacks_at_once_book_once(cloud: Cloud) -> None:
    """The callback that WeChat sends at the payment is one of eleven that race for the same write."""
    with cloud.shopper("guest-race") as shopper, concurrent.futures.ThreadPoolExecutor(2) as pool:
        shopper.login()
        order_sn = shopper.order()["order_sn"]
        fields = shopper.prepay(order_sn)
        out_trade_no = fields.pop("out_trade_no")
        shopper.pay(fields)
        copies = {"times": 10, "parallel": True}
        sent = pool.submit(cloud.wechat.post, f"/_sim/notifications/{out_trade_no}/send", json=copies)
        assert sent.result().json() == {"statuses": [204] * 10}
        eventually(lambda: len(cloud.messages("guest-race")) == 2)
        told = eventually(lambda: shopper.poll(order_sn))
    assert told["order_status"] == "WAIT_USE"
    life = cloud.order(order_sn)
    assert (life["PAYMENT#1"]["version"], life["ORDER"]["version"]) == (3, 2)
    assert [sk for sk in life if sk.startswith(("CASE#", "REFUND#"))] == []


def test_a_lost_callback_is_found_by_the_poll(cloud: Cloud) -> None:
    with cloud.shopper("guest-lost") as shopper:
        shopper.login()
        order_sn = shopper.order()["order_sn"]
        fields = shopper.prepay(order_sn)
        cloud.fault(call="callback", answer="drop")
        fields.pop("out_trade_no")
        shopper.pay(fields)
        told = eventually(lambda: (t := shopper.poll(order_sn))["order_status"] == "WAIT_USE" and t)
    assert told["payment_status"] == "SUCCESS"


def test_two_guests_at_once_do_not_meet(cloud: Cloud) -> None:
    def buy(user: str) -> dict[str, Any]:
        with cloud.shopper(user) as shopper:
            return shopper.buy().report()

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(buy, [f"guest-crowd-{n}" for n in range(4)]))
    assert len({report["redeem_code"] for report in reports}) == 4
    for report in reports:
        assert {message["user"] for message in report["messages"]} == {report["messages"][0]["user"]}


def test_refused_messages_do_not_keep_the_order_from_its_guest(cloud: Cloud) -> None:
    cloud.wechat.post("/_sim/users/guest-quiet", json={"refuses_messages": True})
    with cloud.shopper("guest-quiet") as shopper:
        shopper.login()
        order_sn = shopper.order("one-fen")["order_sn"]
        fields = shopper.prepay(order_sn)
        fields.pop("out_trade_no")
        shopper.pay(fields)
        told = eventually(lambda: (t := shopper.poll(order_sn))["redeem_code"] and t)
        assert told["order_status"] == "WAIT_USE"
        notice = eventually(lambda: len(cloud.order(order_sn).get("NOTICE#order.paid", {}).get("messages", {})) == 2)
        assert notice
    assert cloud.messages("guest-quiet") == []
    assert cloud.waiting(cloud.state.dlqs["notify_user"]) == 0


# --- bad input


def test_without_a_token_the_gateway_says_401_and_with_a_bad_one_403(cloud: Cloud) -> None:
    assert cloud.api.get("/orders").status_code == 401
    manager = client("secretsmanager", cloud.state.aws_endpoint_url)
    secret = manager.get_secret_value(SecretId=cloud.state.secrets["token"])["SecretString"]
    manager.close()
    key = json.loads(secret)["token_keys"]
    user = Identity("u1", Role.USER)
    for token, status in (
        ("x.y.z", 403),
        (issue(user, ["another-key-of-thirty-two-bytes-and-more"], utc_now()), 403),
        (issue(user, key, utc_now() - timedelta(hours=3)), 403),
        (issue(user, key, utc_now()), 200),
    ):
        assert cloud.api.get("/orders", headers={"Authorization": f"Bearer {token}"}).status_code == status
        assert cloud.api.get("/catalogue/homestay", headers={"Authorization": f"Bearer {token}"}).status_code == status


def test_a_login_code_works_once(cloud: Cloud) -> None:
    code = cloud.wechat.post("/_sim/login", json={"user": "guest-code"}).json()["code"]
    assert cloud.api.post("/login", json={"code": code}).status_code == 200
    for bad in (code, "never-given-out"):
        reply = cloud.api.post("/login", json={"code": bad})
        assert (reply.status_code, reply.headers["content-type"]) == (401, "application/problem+json")


def test_a_strangers_order_is_404_everywhere(cloud: Cloud) -> None:
    with cloud.shopper("guest-owner") as owner, cloud.shopper("guest-stranger") as stranger:
        owner.login()
        stranger.login()
        order_sn = owner.order("lake-house")["order_sn"]
        headers = {"Authorization": stranger._api.headers["Authorization"]}
        for method, path, body in (
            ("GET", f"/orders/{order_sn}", None),
            ("GET", f"/orders/{order_sn}/payment", None),
            ("POST", f"/orders/{order_sn}/prepay", {}),
        ):
            assert cloud.api.request(method, path, json=body, headers=headers).status_code == 404


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("{", "body"),
        ('{"service_type": "homestay", "people": 2, "total_fen": 1}', "body.total_fen"),
        ('"text"', "body"),
    ],
)
def test_a_body_of_another_shape_is_422_naming_the_field(cloud: Cloud, content: str, field: str) -> None:
    with cloud.shopper("guest-shape") as shopper:
        shopper.login()
        headers = {"Authorization": shopper._api.headers["Authorization"], "Content-Type": "application/json"}
        reply = cloud.api.post("/orders", content=content, headers=headers)
    assert reply.status_code == 422
    assert field in reply.json()["title"]


def test_prepay_of_a_paid_order_is_409_with_its_state(cloud: Cloud) -> None:
    with cloud.shopper("guest-again") as shopper:
        purchase = shopper.buy()
        reply = cloud.api.post(f"/orders/{purchase.order_sn}/prepay", json={}, headers=authorization(shopper))
    assert (reply.status_code, reply.json()["order_status"]) == (409, "WAIT_USE")


@pytest.mark.parametrize(
    "answer", ["500", "timeout", *(pytest.param(a, marks=pytest.mark.long) for a in ("502html", "429", "drop"))]
)
def test_wechat_down_slow_or_talking_html_is_503_and_nothing_is_half_written(cloud: Cloud, answer: str) -> None:
    with cloud.shopper(f"guest-down-{answer}") as shopper:
        shopper.login()
        order_sn = shopper.order()["order_sn"]
        cloud.fault(call="prepay", answer=answer, times=2)
        reply = cloud.api.post(f"/orders/{order_sn}/prepay", json={}, headers=authorization(shopper))
        assert (reply.status_code, 1 <= int(reply.headers["retry-after"]) <= 5) == (503, True)
        life = cloud.order(order_sn)
        assert (life["ORDER"]["status"], life["PAYMENT#1"]["status"]) == ("WAIT_PAY", "NOTPAY")
        assert "prepay_id" not in life["PAYMENT#1"]
        cloud.wechat.delete("/_sim/faults")
        fields = eventually(lambda: prepaid(cloud, shopper, order_sn))
        assert fields.pop("out_trade_no") == f"{order_sn}_1"
        shopper.pay(fields)


def prepaid(cloud: Cloud, shopper: Any, order_sn: str) -> dict[str, str]:
    """The five fields; none while the server says that it is too soon."""
    reply = cloud.api.post(f"/orders/{order_sn}/prepay", json={}, headers=authorization(shopper))
    assert reply.status_code in (200, 429), reply.text
    return dict(reply.json()) if reply.status_code == 200 else {}


def authorization(shopper: Any) -> dict[str, str]:
    return {"Authorization": shopper._api.headers["Authorization"]}


def test_forged_callbacks_get_4xx_through_the_gateway(cloud: Cloud) -> None:
    headers = {
        "Wechatpay-Timestamp": str(int(utc_now().timestamp())),
        "Wechatpay-Nonce": "n",
        "Wechatpay-Signature": "WECHATPAY/SIGNTEST/AAAA",
        "Wechatpay-Serial": "PUB_KEY_ID_0000",
    }
    notify = f"{cloud.state.api_url}/wxpay/notify"
    for missing in (None, *headers):
        sent = {name: value for name, value in headers.items() if name != missing}
        reply = httpx.post(notify, content=b'{"a":1}', headers=sent, trust_env=False)
        assert 400 <= reply.status_code < 500
        assert reply.json()["code"] == "FAIL"
    too_large = httpx.post(notify, content=b"x" * 70_000, headers=headers, trust_env=False)
    assert too_large.status_code == 413


@pytest.mark.parametrize(
    "queue",
    [
        "order_update",
        *(pytest.param(one, marks=pytest.mark.long) for one in whole().consumers if one != "order_update"),
    ],
)
def test_poison_on_a_queue_ends_in_its_dead_letters_and_others_pass(cloud: Cloud, queue: str) -> None:
    dlq = cloud.state.dlqs[queue]
    before = cloud.waiting(dlq)
    cloud.sqs.send_message(QueueUrl=cloud.state.queues[queue], MessageBody="{poison")
    with cloud.shopper(f"guest-beside-{queue}") as shopper:
        assert shopper.buy().complete
    eventually(lambda: cloud.waiting(dlq) == before + 1, within_s=30)
    type(cloud).poison += 1
    cloud.check()
