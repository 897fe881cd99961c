"""Notices to the merchant: built and signed as WeChat does, delivered with WeChat's plan of repeats."""

import asyncio
import json
import secrets
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulator import pay, refunds
from simulator.clock import rfc3339
from simulator.faults import due
from simulator.signing import lines, seal, sign
from simulator.world import Fault, Notice, Refund, Trade, World

MINUTE, HOUR = 60, 3600
RETRY_AFTER_S = (
    *(15, 15, 30, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE),
    *(60 * MINUTE, 3 * HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR),
)
"""At most fifteen repeats, about a day in all."""

ANSWER_WITHIN_S = 5
ACKNOWLEDGED = {200, 204}
SUMMARY = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
}


@dataclass(frozen=True, slots=True)
class Signed:
    """One notice on the wire."""

    headers: dict[str, str]
    body: bytes


def build(
    world: World,
    about: Trade | Refund,
    *,
    notice_id: str = "",
    plaintext: dict[str, Any] | None = None,
    event_type: str = "",
    serial: str = "",
    private_key: str = "",
) -> Signed:
    """A signed and encrypted notice of a paid trade or a finished refund.

    `plaintext` changes or adds fields of the resource; `serial` and `private_key` sign with another key.
    """
    if isinstance(about, Trade):
        told, kind, aad = pay.describe(about), "transaction", "transaction"
        event_type = event_type or "TRANSACTION.SUCCESS"
    else:
        told, kind, aad = refunds.notice_of(about), "refund", world.switches.refund_associated_data
        event_type = event_type or refunds.EVENT[about.status]
    sealed = seal(world.credentials.apiv3_key, json.dumps(told | (plaintext or {}), ensure_ascii=False).encode(), aad)
    envelope = {
        "id": notice_id or str(uuid.uuid4()),
        "create_time": rfc3339(world.clock.now()),
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": SUMMARY.get(event_type, ""),
        "resource": {"original_type": kind, "algorithm": "AEAD_AES_256_GCM", **sealed},
    }
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return Signed(signature_headers(world, body, serial=serial, private_key=private_key), body)


def signature_headers(
    world: World, body: bytes, *, timestamp: int | None = None, serial: str = "", private_key: str = ""
) -> dict[str, str]:
    """The five headers with which WeChat signs a reply or a notice, in real time; the overrides forge them."""
    stamp = str(int(world.clock.real()) if timestamp is None else timestamp)
    nonce = secrets.token_hex(16)
    signature = sign(private_key or world.credentials.platform_private_key, lines(stamp, nonce, body))
    return {
        "Wechatpay-Timestamp": stamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": signature,
        "Wechatpay-Serial": serial or world.credentials.platform_key_id,
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }


def probe(headers: dict[str, str]) -> dict[str, str]:
    """The headers with a signature that is deliberately wrong, as WeChat sends it to see whether anyone looks."""
    return headers | {"Wechatpay-Signature": "WECHATPAY/SIGNTEST/" + headers["Wechatpay-Signature"][19:]}


class Courier:
    """Delivers notices in the background; lives as long as the app."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: list[asyncio.Event] = []
        self._client: aiohttp.ClientSession | None = None

    def notify(self, trade: Trade) -> None:
        """Starts delivering the notice of a paid trade."""
        self._start(self._deliver(trade, self._notice(trade)))

    def follow(self, refund: Refund) -> None:
        """Brings an accepted refund to its end when its time has come, and tells of it."""
        self._start(self._finish(refund))

    async def tell_first(self, trade: Trade) -> None:
        """One attempt now, before anything else happens; the repeats follow if it fails."""
        notice = self._notice(trade)
        if await self._attempt(trade, notice) not in ACKNOWLEDGED:
            self._start(self._deliver(trade, notice, first=1))

    async def send_copies(self, trade: Trade, times: int, *, at_once: bool) -> list[int]:
        """Sends the same notice so many times now, in a row or at once; the answers' statuses."""
        notice = self._notice(trade)
        if at_once:
            return list(await asyncio.gather(*(self._attempt(trade, notice) for _ in range(times))))
        return [await self._attempt(trade, notice) for _ in range(times)]

    def forget(self) -> None:
        """Nothing that waits is delivered or brought to its end any more."""
        for task in self._tasks:
            task.cancel()
        self._held.clear()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client:
            await self._client.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _notice(self, about: Trade | Refund) -> Notice:
        if isinstance(about, Trade):
            number, event, url = about.out_trade_no, "TRANSACTION.SUCCESS", about.request["notify_url"]
        else:
            number, event, url = about.trade.out_trade_no, refunds.EVENT[about.status], about.request["notify_url"]
        notice = Notice(id=str(uuid.uuid4()), out_trade_no=number, event_type=event, notify_url=url)
        self._world.notices.append(notice)
        return notice

    async def _finish(self, refund: Refund) -> None:
        """A refund without a notify_url of its own causes no notice."""
        clock = self._world.clock
        while refund.status == "PROCESSING":
            await clock.wait_until(refund.due_at)
            refunds.progress(self._world, refund)
        if refund.request.get("notify_url"):
            await self._deliver(refund, self._notice(refund))

    async def _deliver(self, about: Trade | Refund, notice: Notice, first: int = 0) -> None:
        for pause in (0, *RETRY_AFTER_S)[first:]:
            await self._world.clock.wait_until(self._world.clock.now() + pause)
            if await self._attempt(about, notice) in ACKNOWLEDGED:
                return
        notice.state = "given_up"

    async def _attempt(self, about: Trade | Refund, notice: Notice) -> int:
        """One attempt, with the trouble that was asked for; 0 when no answer came in time."""
        fault = due(self._world, "callback", out_trade_no=notice.out_trade_no)
        if fault is None:
            status = await self._post(about, notice, {})
            for held in self._held:
                held.set()
            self._held.clear()
            return status
        copies, world = max(int(fault.value), 1), self._world
        match fault.answer:
            case "drop":
                with world.watched("callback", notice.out_trade_no, notice.event_type) as seen:
                    seen.fault = fault.answer
                notice.attempts.append({"at": rfc3339(world.clock.now()), "status": 0, "error": "lost"})
                return 0
            case "late":
                await world.clock.wait_until(world.clock.now() + fault.value)
            case "out_of_order":
                held = asyncio.Event()
                self._held.append(held)
                await held.wait()
            case "duplicate":
                return [await self._post(about, notice, {}, fault.answer) for _ in range(copies)][-1]
            case "at_once":
                posts = (self._post(about, notice, {}, fault.answer) for _ in range(copies))
                return (await asyncio.gather(*posts))[-1]
            case "signtest":
                await self._post(about, notice, {}, fault.answer, as_probe=True)
                return await self._post(about, notice, {})
        return await self._post(about, notice, self._forgery(fault), fault.answer)

    def _forgery(self, fault: Fault) -> dict[str, Any]:
        """What `build` is told, so that the notice is wrong as asked for."""
        credentials = self._world.credentials
        total = int(fault.value)
        amount = {"total": total, "payer_total": total, "currency": "CNY", "payer_currency": "CNY"}
        forgeries: dict[str, dict[str, Any]] = {
            "old_certificate": {
                "serial": credentials.certificate_serial_no,
                "private_key": credentials.certificate_private_key,
            },
            "next_key": {"serial": credentials.next_key_id, "private_key": credentials.next_private_key},
            "wrong_amount": {"plaintext": {"amount": amount}},
            "wrong_mchid": {"plaintext": {"mchid": "1900009999"}},
            "unknown_trade": {"plaintext": {"out_trade_no": f"NOBODY{secrets.randbelow(10**8):08d}"}},
            "unknown_fields": {"plaintext": {"brand_new": {"x": [1]}, "ab_test": "b"}},
        }
        return forgeries.get(fault.answer, {})

    async def _post(
        self,
        about: Trade | Refund,
        notice: Notice,
        changes: dict[str, Any],
        fault: str = "",
        *,
        as_probe: bool = False,
    ) -> int:
        """Freshly signed; the answer and how long it took stand in the notice."""
        notice_id = notice.id if self._world.switches.same_notice_id else str(uuid.uuid4())
        signed = build(self._world, about, notice_id=notice_id, event_type=notice.event_type, **changes)
        headers = probe(signed.headers) if as_probe else signed.headers
        attempt: dict[str, Any] = {"at": rfc3339(self._world.clock.now()), "status": 0}
        notice.attempts.append(attempt)
        with self._world.watched("callback", notice.out_trade_no, notice.event_type) as seen:
            seen.fault = fault
            try:
                async with self._session().post(
                    notice.notify_url,
                    data=signed.body,
                    headers={"Content-Type": "application/json", "User-Agent": "Mozilla/4.0", **headers},
                    allow_redirects=False,
                ) as reply:
                    attempt["answer"] = (await reply.content.read(1024)).decode(errors="replace")
                    attempt["status"] = seen.status = reply.status
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                attempt["error"] = seen.code = type(error).__name__
        attempt["ms"] = seen.ms
        if attempt["status"] in ACKNOWLEDGED:
            notice.state = "delivered"
        return int(attempt["status"])

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S))
        return self._client
