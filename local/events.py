"""Events for `sam local invoke` that do what their names say: made from the running laptop cloud.

A function's event is only half of what it needs; the other half is in the table and at WeChat. So each event is made
with an order of its own that waits for it: the trade is paid and its callback did not come, the refund is asked for and
the message to execute-refund got lost, and so on. Messages are the very ones that the cloud sent: the consumer's queue
is paused while they are caught. The janitor, who would find and mend all of it within minutes, is put off for LASTS.

The files of `events/` give the shapes.
"""

import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from local.home import PROJECT, Home, State
from local.shopper import Purchase, ShopFailed, Shopper
from local.stack import local
from local.topology import whole
from payments.domain.collection import ItemRef
from payments.domain.janitor import Due
from payments.domain.order import Order
from payments.domain.payment import Payment
from payments.domain.refund import Refund, RefundStatus
from payments.domain.times import beijing_day, iso, millis, utc_now
from payments.edge.tokens import Identity, Role, issue, verify
from payments.store.dynamodb import wire
from payments.store.keys import PAYMENT, entity

SHAPES = PROJECT / "events"
LASTS = timedelta(minutes=30)
CATCH_WITHIN_S = 20
BUSINESS = "b-hangzhou"

STAFF = {
    "order": "GET /merchant/orders/{order_sn}",
    "cases": "GET /merchant/cases",
    "redemption": "POST /merchant/redemptions",
    "refund": "POST /merchant/orders/{order_sn}/refunds",
    "arrivals": "GET /merchant/arrivals",
    "month": "GET /merchant/stock/{service_type}/{offer_id}",
    "block": "POST /merchant/stock/{service_type}/{offer_id}/blocks",
}


def of_staff(case: str) -> str:
    """The name of an event that staff cause, with the function that answers its route."""
    return f"{whole().routes[STAFF[case]]}/{case}"


SAYS = {
    "authorizer/request": "a guest's token: isAuthorized",
    "create_prepay/first": "an open order: 200, the fields of wx.requestPayment",
    "execute_refund/refund_requested": "staff asked for a refund: WeChat takes it, PROCESSING",
    "login/code": "a code of wx.login, good for five minutes and once: 200, a token",
    of_staff("cases"): "staff: 200, the open cases",
    of_staff("order"): "staff: 200, a paid order with its payment",
    of_staff("redemption"): "staff: 200, the order is USED",
    of_staff("refund"): "staff: 201, a refund of 300.00 yuan is on its way",
    of_staff("arrivals"): "staff: 200, the orders whose use begins on the day of a paid one",
    of_staff("month"): "staff: 200, who holds which night of a home",
    of_staff("block"): "staff: 201, a night of a home is held back from sale",
    "notify_user/order_paid": "a paid order: both messages go to the guest",
    "notify_user/refund_succeeded": "a refund has arrived: the message goes to the guest",
    "order_update/payment_succeeded": "a payment: its order is WAIT_USE",
    "order_update/refund_succeeded": "a refund: the order counts it",
    "orders/cancel": "an open order: 200, CANCELLED",
    "orders/availability": "200, what each night of a home costs, and how many rooms are free",
    "orders/create": "201, a new order",
    "orders/create_course": "201, a new order of a seat in a course",
    "orders/refund_request": "a paid order: 200, what would come back, and nothing is done",
    "orders/get": "200, a paid order",
    "orders/catalogue": "200, the catalogue",
    "orders/list": "200, the guest's orders",
    "publish_events/payment_succeeded": "a payment's two images: published, and its order becomes WAIT_USE",
    "status_poll/waiting": "an order with an open trade: 200, WAIT_PAY NOTPAY",
    "sweep/every_minute": "the janitor comes: how many orders it looked at",
    "reconcile_bill/every_morning": "how each day stands that is compared with WeChat's bill",
    "upload_shipping/order_used": "a redeemed order: WeChat has its shipping record",
    "wx_callback/forged": "a notice with a wrong signature: 401, on purpose",
    "wx_callback/paid": "WeChat's notice of a payment, good for five minutes: 204, the payment is SUCCESS",
    "wx_callback/refunded": "WeChat's notice of a refund, good for five minutes: 204, the refund is SUCCESS",
}
"""What each event does, by function and case."""

PAID, REFUNDED, USED = {"payment_succeeded", "order_paid"}, {"refund_requested", "refund_succeeded"}, {"order_used"}
CAUSES = PAID | REFUNDED | USED
"""What a consumer's file in events/ may be called for a message of that type to be made."""

Event = dict[str, Any]


class EventsFailed(Exception):
    """They cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """`about`: the order that the event works on; empty where it is none in particular."""

    path: Path
    about: str


def make(home: Home, state: State) -> dict[str, Made]:
    """Writes all of them into the cloud's folder, `events/<function>/<case>.json`. Raises EventsFailed."""
    folder = home.folder / "events"
    shutil.rmtree(folder, ignore_errors=True)
    made = {}
    try:
        with _Maker(state) as maker:
            for name, (event, about) in maker.all():
                path = folder / f"{name}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(event, indent=2, ensure_ascii=False) + "\n")
                made[name] = Made(path, about)
    except (ShopFailed, httpx.HTTPError) as error:
        why = " ".join(str(error).split())
        raise EventsFailed(f"the events cannot be made: {why}; ./dev pay says what is wrong") from None
    return made


class _Maker:
    """One guest with a good dozen of orders, and a member of staff."""

    def __init__(self, state: State) -> None:
        self._state, self._stack = state, local(state)
        self._store = self._stack.store
        self._sqs, self._lambda = self._stack.client("sqs"), self._stack.client("lambda")
        self._wechat = httpx.Client(base_url=state.wechat_url, timeout=10, trust_env=False)
        self._api = httpx.Client(base_url=state.api_url, timeout=30, trust_env=False)
        self._shopper = Shopper(state.api_url, state.wechat_url, state.appid, f"sam-local-{secrets.token_hex(4)}")
        keys = self._stack.token_keys()
        self._staff = Identity("staff-1", Role.STAFF, BUSINESS)
        self._staff_token = issue(self._staff, keys, utc_now())
        self._keys = keys
        self._refunded = ("", "")
        self._held: dict[str, list[dict[str, Any]]] = {}

    def __enter__(self) -> "_Maker":
        return self

    def __exit__(self, *_: object) -> None:
        self._shopper.__exit__()
        self._api.close()
        self._wechat.close()

    def all(self) -> Iterator[tuple[str, tuple[Event, str]]]:
        """Each by its name, with its order. Those that age come last."""
        shopper = self._shopper
        shopper.login()
        guest = verify(shopper.token, self._keys)
        read, redeemed = self._buy(), self._buy()
        order, code = read.order_sn, redeemed.redeem_code
        opened, cancelled, waits = self._open(), self._open(), self._open()
        shopper.prepay(waits)
        self._postpone(waits)

        def asks(name: str, about: str = "", body: Any = None, who: Identity = guest) -> tuple[str, tuple[Event, str]]:
            return name, (self._request(name, about, body, who), about)

        yield "authorizer/request", (self._authorizer(), "")
        yield asks("orders/catalogue")
        today = beijing_day(utc_now())
        month = {"from": f"{today}", "to": f"{today + timedelta(days=30)}"}
        yield "orders/availability", (_asking(self._request("orders/availability", "", None, guest), month), "")
        yield asks("orders/create", body=shopper.body())
        yield asks("orders/create_course", body=shopper.body(service_type="course"))
        yield asks("orders/refund_request", order, {"dry_run": True})
        yield asks("orders/get", order)
        yield asks("orders/list")
        yield asks("orders/cancel", cancelled)
        yield asks("create_prepay/first", opened, {})
        yield asks("status_poll/waiting", waits)
        yield asks(of_staff("order"), order, who=self._staff)
        yield asks(of_staff("cases"), who=self._staff)
        yield (
            of_staff("redemption"),
            (self._request(of_staff("redemption"), "", {"code": code}, self._staff), redeemed.order_sn),
        )
        first_day = self._store.orders.get(order)
        arrives = {"date": first_day.holds.arrival if first_day and first_day.holds else f"{today}"}
        for name, query in (("arrivals", arrives), ("month", {"month": f"{today:%Y-%m}"})):
            event = self._request(of_staff(name), "", None, self._staff)
            yield of_staff(name), (_asking(event, query), order if name == "arrivals" else "")
        free = shopper.body("tea-garden")["start_date"]
        yield asks(of_staff("block"), body={"nights": [free], "reason": "在别处卖了"}, who=self._staff)
        yield asks(of_staff("refund"), order, {"reason": "客人改期", "amount_fen": 30000}, self._staff)
        for name in ("sweep/every_minute", "reconcile_bill/every_morning"):
            yield name, (_shape(name) | {"time": iso(utc_now())}, "")
        yield from self._lost_messages()
        paid, _ = self._pay_and_see_before(told=False)
        refunded, out_refund_no = self._refunded
        self._await_its_end(refunded, out_refund_no)
        yield "wx_callback/paid", (self._notice(f"{paid}_1"), paid)
        yield "wx_callback/forged", (self._forged(f"{paid}_1"), "")
        yield "wx_callback/refunded", (self._notice(f"{refunded}_1", out_refund_no), refunded)
        login = self._wechat.post("/_sim/login", json={"user": shopper.user}).raise_for_status().json()
        yield "login/code", (self._request("login/code", "", {"code": login["code"]}, None), "")

    # --- what came before

    def _buy(self) -> Purchase:
        bought = self._shopper.buy()
        if not bought.complete:
            raise EventsFailed(f"order {bought.order_sn} is not paid and told of in time; ./dev trace shows it")
        return bought

    def _open(self) -> str:
        return str(self._shopper.order()["order_sn"])

    def _pay_and_see_before(self, *, told: bool = True) -> tuple[str, dict[str, Any]]:
        """An order that is paid, and its payment as the stream showed it before. What happens then is not waited for;
        not `told`: WeChat's notice does not come."""
        order_sn = self._open()
        fields = self._shopper.prepay(order_sn)
        out_trade_no, old = fields.pop("out_trade_no"), self._image(order_sn)
        if not told:
            self._lose_notices(out_trade_no)
        self._shopper.pay(fields)
        self._postpone(order_sn)
        return order_sn, old

    def _refund(self, order_sn: str, fen: int = 30000) -> str:
        headers = {"Authorization": f"Bearer {self._staff_token}", "Idempotency-Key": secrets.token_hex(8)}
        body = {"reason": "客人改期", "amount_fen": fen}
        reply = self._api.post(f"/merchant/orders/{order_sn}/refunds", json=body, headers=headers).raise_for_status()
        return str(reply.json()["out_refund_no"])

    def _redeem(self, code: str) -> None:
        headers = {"Authorization": f"Bearer {self._staff_token}"}
        self._api.post("/merchant/redemptions", json={"code": code}, headers=headers).raise_for_status()

    def _refund_and_not_told(self, bought: Purchase) -> str:
        """A refund on its way, of which WeChat will not tell."""
        self._lose_notices(bought.out_trade_no)
        return self._refund(bought.order_sn)

    def _await_its_end(self, order_sn: str, out_refund_no: str) -> None:
        """At WeChat; here it is still on its way."""
        _await(
            f"the end of {out_refund_no}",
            lambda: self._on_its_way(order_sn, out_refund_no) and self._ended(out_refund_no),
        )
        self._postpone(order_sn)

    def _on_its_way(self, order_sn: str, out_refund_no: str) -> bool:
        refund = self._store.refunds.get(order_sn, out_refund_no)
        return refund is not None and refund.status is RefundStatus.PROCESSING

    def _ended(self, out_refund_no: str) -> bool:
        refunds = self._wechat.get("/_sim/state").raise_for_status().json()["refunds"]
        return any(one["out_refund_no"] == out_refund_no and one["status"] == "SUCCESS" for one in refunds)

    def _lose_notices(self, out_trade_no: str) -> None:
        fault = {"call": "callback", "answer": "drop", "times": 100, "out_trade_no": out_trade_no}
        self._wechat.post("/_sim/faults", json=fault).raise_for_status()

    def _lost_messages(self) -> Iterator[tuple[str, tuple[Event, str]]]:
        """Messages that were sent and did not arrive, each of an order of its own. Refunds take WeChat some seconds:
        they all begin together."""
        made = {"order_update/payment_succeeded", "order_update/refund_succeeded", "notify_user/refund_succeeded"}
        counted, told, refunded = (self._buy() for _ in range(3))
        with self._paused("order_update"), self._paused("notify_user"):
            for one in (counted, told):
                self._refund(one.order_sn)
            self._refunded = refunded.order_sn, self._refund_and_not_told(refunded)
            order_sn, old = self._pay_and_see_before()
            self._caught("order_update", order_sn, "payment.succeeded")
            yield "publish_events/payment_succeeded", (self._change(order_sn, old), order_sn)
            order_sn, _ = self._pay_and_see_before()
            yield "order_update/payment_succeeded", self._caught("order_update", order_sn, "payment.succeeded")
            for function, one in (("order_update", counted), ("notify_user", told)):
                yield f"{function}/refund_succeeded", self._caught(function, one.order_sn, "refund.succeeded")
        shapes = [(name, path.stem) for name in whole().consumers for path in sorted((SHAPES / name).glob("*.json"))]
        for function, case in shapes:
            if f"{function}/{case}" not in made and case in CAUSES:
                bought = self._buy()
                with self._paused(function):
                    order_sn = self._cause(case, bought)
                    yield f"{function}/{case}", self._caught(function, order_sn, case.replace("_", ".", 1))

    def _cause(self, case: str, bought: Purchase) -> str:
        """Lets one of CAUSES happen: to a new order if it is the payment, else to the one that is bought."""
        if case in PAID:
            return self._pay_and_see_before()[0]
        if case in REFUNDED:
            self._refund(bought.order_sn)
        else:
            self._redeem(bought.redeem_code)
        return bought.order_sn

    @contextlib.contextmanager
    def _paused(self, function: str) -> Iterator[None]:
        """The function gets nothing from its queue meanwhile."""
        arn = self._sqs.get_queue_attributes(QueueUrl=self._state.queues[function], AttributeNames=["QueueArn"])
        source = arn["Attributes"]["QueueArn"]
        (mapping,) = self._lambda.list_event_source_mappings(EventSourceArn=source)["EventSourceMappings"]
        self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        self._held[function] = []
        try:
            yield
        finally:
            url = self._state.queues[function]
            for message in self._held.pop(function):  # anew, as one that was never received
                self._sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            self._lambda.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)

    def _caught(self, function: str, order_sn: str, kind: str) -> tuple[Event, str]:
        """The event of a message that it takes out of the paused function's queue. What else comes is held until
        the function goes on, and goes to it as a new one: a message that is received too often is a dead letter."""
        url, held = self._state.queues[function], self._held[function]

        def wanted(message: Mapping[str, Any]) -> bool:
            told = json.loads(message["Body"])
            return (told.get("order_sn"), told.get("type")) == (order_sn, kind)

        def look() -> bool:
            received = self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60, MessageSystemAttributeNames=["All"]
            )
            held.extend(received.get("Messages", []))
            return any(map(wanted, held))

        _await(f"{kind} of {order_sn}", look)
        message = next(filter(wanted, held))
        for lost in [one for one in held if json.loads(one["Body"]).get("order_sn") == order_sn]:
            held.remove(lost)  # what the same order sent before would do the same work
            self._sqs.delete_message(QueueUrl=url, ReceiptHandle=lost["ReceiptHandle"])
        self._postpone(order_sn)
        (record,) = _shape(f"{function}/{kind.replace('.', '_')}")["Records"]
        record |= {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "md5OfBody": message["MD5OfBody"],
        }
        record["attributes"] |= {n: v for n, v in message["Attributes"].items() if n in record["attributes"]}
        return {"Records": [record]}, order_sn

    def _postpone(self, order_sn: str) -> None:
        """The janitor would mend what was lost here: it comes later to this order."""
        later, found = utc_now() + LASTS, self._store.collection(order_sn, consistent=True)
        waiting: list[Order | Payment | Refund] = [found.order, *found.payments, *found.refunds] if found else []
        for item in waiting:
            if item.due_at is not None and item.due_at < later:
                self._store.looks.move(Due(order_sn, ItemRef.of(item), item.due_at), later)

    # --- shapes, filled

    def _request(self, name: str, about: str, body: Any, who: Identity | None) -> Event:
        """An HTTP API request; what the authorizer said of the caller stands in it."""
        event = _shape(name)
        context, now = event["requestContext"], utc_now()
        if about:
            path = event["routeKey"].split(" ")[1].replace("{order_sn}", about)
            event |= {"rawPath": path, "pathParameters": {"order_sn": about}}
            context["http"]["path"] = path
        context |= {
            "time": f"{now:%d/%b/%Y:%H:%M:%S} +0000",
            "timeEpoch": millis(now),
            "requestId": secrets.token_hex(8),
        }
        if who is not None:
            said = {"user_id": who.user_id, "role": who.role, "business_id": who.business_id}
            context["authorizer"] = {"lambda": said}
            token = self._staff_token if who is self._staff else self._shopper.token
            event["headers"]["authorization"] = f"Bearer {token}"
        if "idempotency-key" in event["headers"]:
            event["headers"]["idempotency-key"] = secrets.token_hex(16)
        if body is not None:
            event["body"] = json.dumps(body, ensure_ascii=False)
        return event

    def _authorizer(self) -> Event:
        event, bearer = _shape("authorizer/request"), f"Bearer {self._shopper.token}"
        event["identitySource"] = [bearer]
        event["headers"]["authorization"] = bearer
        return event

    def _notice(self, out_trade_no: str, out_refund_no: str = "") -> Event:
        asked = f"/_sim/notifications/{out_trade_no}/signed"
        parameters = {"out_refund_no": out_refund_no} if out_refund_no else {}
        signed = self._wechat.get(asked, params=parameters).raise_for_status().json()
        event = _shape("wx_callback/forged")
        event["headers"] |= {name.lower(): value for name, value in signed["headers"].items()}
        return event | {"body": signed["body"]}

    def _forged(self, out_trade_no: str) -> Event:
        """Today's headers with a signature that is nobody's; the body opens with none of our keys."""
        event, shape = self._notice(out_trade_no), _shape("wx_callback/forged")
        event["headers"]["wechatpay-signature"] = shape["headers"]["wechatpay-signature"]
        return event | {"body": shape["body"]}

    def _change(self, order_sn: str, old: Mapping[str, Any]) -> Event:
        event = _shape("publish_events/payment_succeeded")
        stream = event["Records"][0]["dynamodb"]
        new = self._image(order_sn)
        stream |= {"Keys": {"pk": new["pk"], "sk": new["sk"]}, "OldImage": old, "NewImage": new}
        stream["ApproximateCreationDateTime"] = int(time.time())
        return event

    def _image(self, order_sn: str) -> dict[str, Any]:
        """The payment as the stream shows it."""
        return next(wire(item) for item in self._store.items(order_sn) if entity(item["sk"]) == PAYMENT)


def _asking(event: Event, query: Mapping[str, str]) -> Event:
    """The request with this query."""
    raw = "&".join(f"{name}={value}" for name, value in query.items())
    return event | {"queryStringParameters": dict(query), "rawQueryString": raw}


def _shape(name: str) -> Event:
    return dict(json.loads((SHAPES / f"{name}.json").read_text()))


def _await(what: str, look: Callable[[], bool]) -> None:
    """Until it is there. Raises EventsFailed."""
    until = time.monotonic() + CATCH_WITHIN_S
    while not look():
        if time.monotonic() > until:
            raise EventsFailed(f"{what} did not come within {CATCH_WITHIN_S} s; ./dev status shows what waits")
        time.sleep(0.02)
