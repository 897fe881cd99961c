"""WeChat: the simulator, with its faults and its notices."""

import io
from typing import TYPE_CHECKING, Any

import httpx
import requests

from payments.wechat import keys
from payments.wechat.pay import WechatPay
from simulator import notification, refunds
from simulator.faults import parse
from simulator.world import Fault, World
from tests.shop.http import Answer

if TYPE_CHECKING:
    from tests.shop.shop import Shop

HTTP = httpx.Client(trust_env=False)
"""To the simulator's drivers: to make a client takes longer than most calls do."""


class Replying(requests.Session):
    """A connection to a WeChat that answers every request alike; None for headers: signed as WeChat signs."""

    def __init__(self, world: World, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__()
        self.world, self.status, self.body, self.signed_with = world, status, body, headers

    def request(self, *_: Any, **__: Any) -> requests.Response:
        reply = requests.Response()
        reply.status_code, reply.raw = self.status, io.BytesIO(self.body)
        signed = notification.signature_headers(self.world, self.body)
        reply.headers.update(signed if self.signed_with is None else self.signed_with)
        return reply


def client_of(world: World, base_url: str, session: requests.Session | None = None) -> WechatPay:
    """WeChat Pay's client of the world's merchant, over that connection."""
    credentials = world.credentials
    merchant = keys.MerchantSecret(keys.private_key(credentials.merchant_private_key), credentials.merchant_serial_no)
    key_id, key = keys.public_key(credentials.platform_key_id, credentials.platform_public_key)
    verification = keys.VerificationSecret(apiv3_keys=(), public_keys={key_id: key})
    return WechatPay(lambda: merchant, lambda: verification, credentials.mchid, base_url, session)


class Wechat:
    def __init__(self, shop: "Shop", world: World, url: str) -> None:
        self._shop = shop
        self.world = world
        self.url = url
        self._told: set[tuple[str, str]] = set()

    def fault(self, call: str, answer: str, **scope: Any) -> Fault:
        fault = parse({"call": call, "answer": answer, **scope})
        self.world.faults.append(fault)
        return fault

    def driver(self, path: str, **body: Any) -> Any:
        reply = HTTP.post(f"{self.url}/_sim/{path}", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def state(self) -> Any:
        """What WeChat knows: the truth about money."""
        return HTTP.get(f"{self.url}/_sim/state").json()

    def notice(self, out_trade_no: str, **changes: Any) -> notification.Signed:
        return notification.build(self.world, self.world.trades[out_trade_no], **changes)

    def refund_notice(self, out_refund_no: str, **changes: Any) -> notification.Signed:
        return notification.build(self.world, self.world.refunds[out_refund_no], **changes)

    def notify(self, signed: notification.Signed, **changes: Any) -> Answer:
        headers = {name.lower(): value for name, value in signed.headers.items()} | changes.pop("headers", {})
        body = changes.pop("body", signed.body.decode(errors="replace"))
        return self._shop.call("POST /wxpay/notify", body, headers=headers, **changes)

    def told(self) -> set[tuple[str, str]]:
        """The refunds, with their states, that `refunds_end` has told of: for a snapshot."""
        return set(self._told)

    def tell(self, told: set[tuple[str, str]]) -> None:
        """What a snapshot's WeChat had told of."""
        self._told |= told

    def refunds_end(self) -> None:
        """WeChat brings what it has accepted to its end, and tells of it."""
        for made in list(self.world.refunds.values()):
            made.due_at = min(made.due_at, self.world.clock.now())
            refunds.progress(self.world, made)
            told = (made.out_refund_no, made.status)
            if made.status != "PROCESSING" and told not in self._told:
                assert self.notify(self.refund_notice(made.out_refund_no)).status == 204
                self._told.add(told)
