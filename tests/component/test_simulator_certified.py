"""The simulator, certified by clients that nobody here wrote: wechatpay-axios-plugin (Node), wechatpayv3.

They run unmodified but for base URL and keys. What they refuse of others they must refuse of the simulator, and the
simulator must refuse what WeChat refuses.
"""

import asyncio
import gzip
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.async_ import AsyncWeChatPay
from wechatpayv3.async_ import WeChatPayType as AsyncType

from local import javascript
from simulator.clock import BEIJING
from simulator.credentials import key_pair
from simulator.notification import build
from simulator.world import Fault, Trade, World

NOTIFY = "https://shop.example.com/wxpay/notify"


def paid_trade(world: World, number: str = "PAID0001", days_ago: int = 2) -> Trade:
    """A trade of 1.00 yuan that was paid some days ago."""
    credentials = world.credentials
    request: dict[str, Any] = {"appid": credentials.appid, "mchid": credentials.mchid, "description": "一间房,带早餐"}
    request |= {"out_trade_no": number, "notify_url": NOTIFY, "amount": {"total": 100, "currency": "CNY"}}
    request["payer"] = {"openid": world.user("guest-1").openid}
    trade = Trade(request=request, created_at=0, time_expire=0)
    world.add(trade)
    world.pay(trade)
    trade.success_time -= days_ago * 86400
    return trade


def bill_day(trade: Trade) -> str:
    return datetime.fromtimestamp(trade.success_time, UTC).astimezone(BEIJING).date().isoformat()


@pytest.fixture(scope="session")
def node_modules() -> None:
    if not shutil.which("npm"):
        pytest.skip("Node.js is not installed: wechatpay-axios-plugin cannot certify the simulator here")
    javascript.install()


@pytest.mark.usefixtures("node_modules")
def test_wechatpay_axios_plugin_passes_unmodified(world: World, wechat_url: str) -> None:
    trade, credentials = paid_trade(world), world.credentials
    other_private, other_public = key_pair()
    notice = build(world, trade)
    world.faults.append(Fault(call="query", answer="stale", out_trade_no="STALE001"))
    stale = Trade(request=trade.request | {"out_trade_no": "STALE001"}, created_at=world.clock.now(), time_expire=0)
    world.add(stale)
    given = {
        "baseUrl": wechat_url,
        "mchid": credentials.mchid,
        "serial": credentials.merchant_serial_no,
        "privateKey": credentials.merchant_private_key,
        "certs": {credentials.platform_key_id: credentials.platform_public_key},
        "appid": credentials.appid,
        "openid": trade.openid,
        "apiv3Key": credentials.apiv3_key,
        "paid": trade.out_trade_no,
        "billDate": bill_day(trade),
        "notice": {"headers": notice.headers, "body": notice.body.decode()},
        "otherPrivateKey": other_private,
        "otherPublicKey": other_public,
    }
    certify = ["node", str(javascript.FOLDER / "certify.mjs")]
    done = subprocess.run(certify, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["prepay"]["data"]["prepay_id"].startswith("wx"), told["prepay"]
    assert told["query"]["data"]["trade_state"] == "NOTPAY"
    assert told["close"]["status"] == 204
    assert told["refund"]["data"]["status"] == "PROCESSING"
    assert told["refundQuery"]["data"]["amount"]["refund"] == 40
    assert (told["bill"]["hash"], told["bill"]["rows"]) == (True, 1)
    assert "一间房,带早餐" in json.dumps(told["bill"]["first"], ensure_ascii=False)
    assert told["notice"]["verified"]
    assert not told["notice"]["tampered"]
    assert told["notice"]["plaintext"]["transaction_id"] == trade.transaction_id
    assert (told["wrongSerial"]["status"], told["wrongSerial"]["code"]) == (401, "SIGN_ERROR")
    assert (told["wrongKey"]["status"], told["wrongKey"]["code"]) == (401, "SIGN_ERROR")
    assert "data" not in told["distrusted"]
    assert "data" not in told["stale"]


def arguments(world: World) -> dict[str, Any]:
    credentials = world.credentials
    return {
        "mchid": credentials.mchid,
        "private_key": credentials.merchant_private_key,
        "cert_serial_no": credentials.merchant_serial_no,
        "appid": credentials.appid,
        "apiv3_key": credentials.apiv3_key,
        "notify_url": NOTIFY,
        "public_key": credentials.platform_public_key,
        "public_key_id": credentials.platform_key_id,
    }


ORDER: dict[str, Any] = {"description": "一间房", "amount": {"total": 100, "currency": "CNY"}}
REFUND: dict[str, Any] = {"refund": 40, "total": 100, "currency": "CNY"}


def test_wechatpayv3_passes_whole(world: World, wechat_url: str) -> None:
    trade = paid_trade(world)
    client = WeChatPay(WeChatPayType.MINIPROG, timeout=(2, 5), **arguments(world))
    client._core._gate_way = wechat_url
    payer = {"openid": trade.openid}
    assert client.pay(out_trade_no="LIBR0001", payer=payer, **ORDER)[0] == 200
    assert json.loads(client.query(out_trade_no="LIBR0001")[1])["trade_state"] == "NOTPAY"
    assert client.close("LIBR0001") == (204, b"")
    refunded = json.loads(client.refund("R1", REFUND, out_trade_no=trade.out_trade_no)[1])
    assert refunded["status"] == "PROCESSING"
    assert json.loads(client.query_refund("R1")[1])["refund_id"] == refunded["refund_id"]
    bill = json.loads(client.trade_bill(bill_day(trade))[1])
    status, zipped = client.download_bill(bill["download_url"])
    plain = gzip.decompress(zipped)
    assert (status, hashlib.sha1(plain).hexdigest()) == (200, bill["hash_value"])
    notice = build(world, trade)
    read = client.callback(notice.headers, notice.body)
    assert read["resource"]["out_trade_no"] == trade.out_trade_no
    for answer in ("signtest", "wrong_key"):
        world.faults.append(Fault(call="query", answer=answer))
        with pytest.raises(Exception, match="failed to verify the signature"):
            client.query(out_trade_no=trade.out_trade_no)


def test_wechatpayv3_passes_in_certificate_mode(world: World, wechat_url: str, tmp_path: Path) -> None:
    """A merchant from before the public keys: the platform certificate is downloaded, and signs replies and notices."""
    world.switches.certificate_mode = True
    trade = paid_trade(world)
    (tmp_path / "platform.pem").write_text(world.credentials.certificate)
    given = {name: value for name, value in arguments(world).items() if not name.startswith("public_key")}
    client = WeChatPay(WeChatPayType.MINIPROG, timeout=(2, 5), cert_dir=str(tmp_path), **given)
    client._core._gate_way = wechat_url
    assert json.loads(client.query(out_trade_no=trade.out_trade_no)[1])["trade_state"] == "SUCCESS"
    client._core._update_certificates()
    assert [certificate.serial_number for certificate in client._core._certificates] == [
        int(world.credentials.certificate_serial_no, 16)
    ]
    credentials = world.credentials
    notice = build(
        world, trade, serial=credentials.certificate_serial_no, private_key=credentials.certificate_private_key
    )
    assert client.callback(notice.headers, notice.body)["resource"]["out_trade_no"] == trade.out_trade_no


def test_without_certificate_mode_there_are_no_certificates(world: World, wechat_url: str) -> None:
    client = WeChatPay(WeChatPayType.MINIPROG, timeout=(2, 5), **arguments(world))
    client._core._gate_way = wechat_url
    status, text = client._core.request("/v3/certificates", skip_verify=True)
    assert (status, json.loads(text)["code"]) == (404, "RESOURCE_NOT_EXISTS")


def test_wechatpayv3_async_passes_whole(world: World, wechat_url: str) -> None:
    trade = paid_trade(world)

    async def everything() -> None:
        async with AsyncWeChatPay(AsyncType.MINIPROG, timeout=5, **arguments(world)) as client:
            client._core._gate_way = wechat_url
            assert (await client.pay(out_trade_no="ASYN0001", payer={"openid": trade.openid}, **ORDER))[0] == 200
            assert json.loads((await client.query(out_trade_no="ASYN0001"))[1])["trade_state"] == "NOTPAY"
            assert (await client.close("ASYN0001"))[0] == 204
            assert (await client.refund("R2", REFUND, out_trade_no=trade.out_trade_no))[0] == 200
            assert json.loads((await client.query_refund("R2"))[1])["out_refund_no"] == "R2"
            bill = json.loads((await client.trade_bill(bill_day(trade)))[1])
            status, zipped = await client.download_bill(bill["download_url"])
            assert (status, hashlib.sha1(gzip.decompress(zipped)).hexdigest()) == (200, bill["hash_value"])
            notice = build(world, trade)
            assert client.callback(notice.headers, notice.body)["resource"]["mchid"] == world.credentials.mchid

    asyncio.run(everything())
