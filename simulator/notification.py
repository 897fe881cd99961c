"""Payment notices: built and signed as WeChat does, delivered with WeChat's plan of repeats."""

import asyncio
import json
import secrets
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp

from simulator.clock import rfc3339
from simulator.faults import due
from simulator.pay import describe
from simulator.signing import lines, seal, sign
from simulator.world import Notice, Trade, World

MINUTE, HOUR = 60, 3600
RETRY_AFTER_S = (
    *(15, 15, 30, 3 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, 30 * MINUTE, 30 * MINUTE),
    *(60 * MINUTE, 3 * HOUR, 3 * HOUR, 3 * HOUR, 6 * HOUR, 6 * HOUR),
)
"""At most fifteen repeats, about a day in all."""

ANSWER_WITHIN_S = 5


@dataclass(frozen=True, slots=True)
class Signed:
    """One notice on the wire."""

    headers: dict[str, str]
    body: bytes


def build(
    world: World,
    trade: Trade,
    *,
    notice_id: str = "",
    plaintext: dict[str, Any] | None = None,
    event_type: str = "TRANSACTION.SUCCESS",
) -> Signed:
    """A signed and encrypted notice of a paid trade; `plaintext` changes or adds fields of the resource."""
    told = describe(trade) | (plaintext or {})
    sealed = seal(world.credentials.apiv3_key, json.dumps(told, ensure_ascii=False).encode(), "transaction")
    envelope = {
        "id": notice_id or str(uuid.uuid4()),
        "create_time": rfc3339(world.clock.now()),
        "resource_type": "encrypt-resource",
        "event_type": event_type,
        "summary": "支付成功",
        "resource": {"original_type": "transaction", "algorithm": "AEAD_AES_256_GCM", **sealed},
    }
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    return Signed(signature_headers(world, body), body)


def signature_headers(
    world: World, body: bytes, *, timestamp: int | None = None, serial: str = "", private_key: str = ""
) -> dict[str, str]:
    """The five headers with which WeChat signs a reply or a notice; the overrides forge them."""
    stamp = str(int(world.clock.now()) if timestamp is None else timestamp)
    nonce = secrets.token_hex(16)
    signature = sign(private_key or world.credentials.platform_private_key, lines(stamp, nonce, body))
    return {
        "Wechatpay-Timestamp": stamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": signature,
        "Wechatpay-Serial": serial or world.credentials.platform_key_id,
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }


class Courier:
    """Delivers notices in the background; lives as long as the app."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: set[asyncio.Task[None]] = set()
        self._client: aiohttp.ClientSession | None = None

    def notify(self, trade: Trade) -> None:
        """Starts delivering the notice of a paid trade."""
        notice = Notice(id=str(uuid.uuid4()), out_trade_no=trade.out_trade_no, notify_url=trade.request["notify_url"])
        self._world.notices.append(notice)
        task = asyncio.create_task(self._deliver(trade, notice))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def send_copies(self, trade: Trade, times: int, *, at_once: bool) -> list[int]:
        """Sends the same notice so many times now, in a row or at once; the answers' statuses."""
        notice = Notice(id=str(uuid.uuid4()), out_trade_no=trade.out_trade_no, notify_url=trade.request["notify_url"])
        self._world.notices.append(notice)
        if at_once:
            return list(await asyncio.gather(*(self._attempt(trade, notice) for _ in range(times))))
        return [await self._attempt(trade, notice) for _ in range(times)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client:
            await self._client.close()

    async def _deliver(self, trade: Trade, notice: Notice) -> None:
        for pause in (0, *RETRY_AFTER_S):
            await self._world.clock.wait_until(self._world.clock.now() + pause)
            if await self._attempt(trade, notice) in {200, 204}:
                return
        notice.state = "given_up"

    async def _attempt(self, trade: Trade, notice: Notice) -> int:
        """One attempt, freshly signed; 0 when no answer came in time."""
        signed = build(self._world, trade, notice_id=notice.id)
        attempt: dict[str, Any] = {"at": rfc3339(self._world.clock.now()), "status": 0}
        notice.attempts.append(attempt)
        if due(self._world, "callback"):
            attempt["error"] = "lost"
            return 0
        started = asyncio.get_running_loop().time()
        try:
            async with self._session().post(
                notice.notify_url,
                data=signed.body,
                headers={"Content-Type": "application/json", "User-Agent": "Mozilla/4.0", **signed.headers},
                allow_redirects=False,
            ) as reply:
                attempt["answer"] = (await reply.content.read(1024)).decode(errors="replace")
                attempt["status"] = reply.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            attempt["error"] = type(error).__name__
        attempt["ms"] = round((asyncio.get_running_loop().time() - started) * 1000, 1)
        if attempt["status"] in {200, 204}:
            notice.state = "delivered"
        return int(attempt["status"])

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S))
        return self._client
