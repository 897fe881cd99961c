"""How many prepay + pay + callback cycles a second the simulator makes, and whether its memory grows.

The simulator runs in a process of its own; this process is the merchant and the phone, and signs as they do.
"""

import asyncio
import base64
import json
import multiprocessing
import socket
import time
import uuid
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import uvicorn
from starlette.types import Receive, Scope, Send

from simulator.app import create_app
from simulator.credentials import Credentials
from simulator.signing import lines, sign
from simulator.world import World

REPORTS = 10


def run(cycles: int, parallel: int, keep: int) -> None:
    """Prints the rate and the simulator's memory at ten points, then the rate of all."""
    credentials = Credentials.generate()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(credentials, keep, theirs), daemon=True)
    server.start()
    try:
        asyncio.run(_Merchant(credentials, ours.recv(), server.pid or 0).run(cycles, parallel))
    finally:
        server.terminate()
        server.join()


def _serve(credentials: Credentials, keep: int, ready: Connection) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        ready.send(listener.getsockname()[1])
        app = create_app(World(credentials, keep=keep))
        uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).run([listener])


class _Merchant:
    def __init__(self, credentials: Credentials, port: int, server: int) -> None:
        self._credentials = credentials
        self._base_url = f"http://127.0.0.1:{port}"
        self._server = server
        self._told: dict[str, asyncio.Event] = {}
        self._notify_url = ""
        self._openid = ""

    async def run(self, cycles: int, parallel: int) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._notify_url = f"http://127.0.0.1:{listener.getsockname()[1]}/notify"
            config = uvicorn.Config(self._notified, interface="asgi3", log_level="error", lifespan="off")
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([listener]))
            connector = aiohttp.TCPConnector(limit=parallel)
            async with aiohttp.ClientSession(connector=connector) as client:
                await self._sign_in(client)
                await self._measure(client, cycles, parallel)
            server.should_exit = True
            await serving

    async def _measure(self, client: aiohttp.ClientSession, cycles: int, parallel: int) -> None:
        print(f"{'cycles':>8} {'a second':>9} {'memory MiB':>11}")
        started = last = time.monotonic()
        portion = max(cycles // REPORTS, 1)
        for done in range(portion, portion * REPORTS + 1, portion):
            queue = iter(range(portion))
            await asyncio.gather(*(self._work(client, queue) for _ in range(parallel)))
            now = time.monotonic()
            print(f"{done:>8} {portion / (now - last):>9.0f} {_memory_mib(self._server):>11}", flush=True)
            last = now
        print(f"{portion * REPORTS / (time.monotonic() - started):.0f} cycles a second")

    async def _work(self, client: aiohttp.ClientSession, queue: "object") -> None:
        for _ in queue:  # type: ignore[attr-defined]
            await self._cycle(client)

    async def _sign_in(self, client: aiohttp.ClientSession) -> None:
        for _ in range(100):
            try:
                async with client.post(f"{self._base_url}/_sim/users/bench", json={"refuses_messages": False}) as reply:
                    self._openid = (await reply.json())["openid"]
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
        raise RuntimeError("the simulator did not start")

    async def _cycle(self, client: aiohttp.ClientSession) -> None:
        """Prepay, pay, and the notice that comes back."""
        number, credentials = uuid.uuid4().hex, self._credentials
        self._told[number] = asyncio.Event()
        order = {"appid": credentials.appid, "mchid": credentials.mchid, "description": "bench", "out_trade_no": number}
        order |= {"notify_url": self._notify_url, "amount": {"total": 1}, "payer": {"openid": self._openid}}  # type: ignore[dict-item]
        body, path = json.dumps(order), "/v3/pay/transactions/jsapi"
        stamp = str(int(time.time()))
        signature = sign(credentials.merchant_private_key, lines("POST", path, stamp, number, body))
        fields = {"mchid": credentials.mchid, "nonce_str": number, "timestamp": stamp}
        fields |= {"serial_no": credentials.merchant_serial_no, "signature": signature}
        header = "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{name}="{value}"' for name, value in fields.items())
        headers = {"Authorization": header, "Content-Type": "application/json"}
        async with client.post(self._base_url + path, data=body, headers=headers) as reply:
            package = "prepay_id=" + (await reply.json(content_type=None))["prepay_id"]
        pay_sign = sign(credentials.merchant_private_key, lines(credentials.appid, stamp, number, package))
        request = {"timeStamp": stamp, "nonceStr": number, "package": package, "signType": "RSA", "paySign": pay_sign}
        async with client.post(
            f"{self._base_url}/_sim/cashier/pay", json=request | {"appid": credentials.appid}
        ) as paid:
            answer = (await paid.json())["errMsg"]
        if answer != "requestPayment:ok":
            raise RuntimeError(answer)
        await asyncio.wait_for(self._told[number].wait(), 30)
        del self._told[number]

    async def _notified(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Acknowledges a notice and says whose it was."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        del scope
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        self._heard(json.loads(body)["resource"])

    def _heard(self, resource: dict[str, str]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        aad, sealed = resource["associated_data"].encode(), base64.b64decode(resource["ciphertext"])
        opened = AESGCM(self._credentials.apiv3_key.encode()).decrypt(resource["nonce"].encode(), sealed, aad)
        self._told[json.loads(opened)["out_trade_no"]].set()


def _memory_mib(pid: int) -> str:
    """The resident memory of a process, where the system tells it."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return "-"
    return f"{pages * 4096 / 2**20:.1f}"
