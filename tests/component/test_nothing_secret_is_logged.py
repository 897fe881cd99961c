"""At DEBUG, of every logger there is: no key, token, openid, phone number or body leaves a function by its log.

Every function is driven through good, refused, broken and hanging calls, and all that was written is searched.
"""

import io
import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from payments.edge import observability
from payments.edge.observability import LIBRARIES, came_from, described
from tests.component.test_time_limits import Passing, Peer, http
from tests.shop.aws import client
from tests.shop.http import Context

if TYPE_CHECKING:
    from tests.shop import Shop

PHONE = "13800138000"
REMARK = "a-remark-that-only-the-host-may-read"


@pytest.fixture
def output(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """All that is written: standard output and error, and each record of each logger with all its fields."""
    everything = io.StringIO()
    handler = logging.StreamHandler(everything)
    root = logging.getLogger()
    before = root.level, observability.logger.log_level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    observability.logger.setLevel("DEBUG")
    for name in [*logging.root.manager.loggerDict]:  # as by someone who looks for a fault
        if name.partition(".")[0] in LIBRARIES:
            logging.getLogger(name).setLevel(logging.DEBUG)

    def taken() -> str:
        captured = capfd.readouterr()
        # `responses` is moto's, and no part of a function.
        fields = [str(vars(record)) for record in caplog.records if record.name != "responses"]
        return "\n".join([captured.out, captured.err, everything.getvalue(), caplog.text, *fields])

    yield taken
    root.removeHandler(handler)
    root.setLevel(before[0])
    observability.logger.setLevel(before[1])


def broken(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n no header: at all\r\nX Y\r\nContent-Length: 9999\r\n\r\n{")
    connection.close()


def headers_of_a_kind(connection: socket.socket) -> None:
    """urllib3 warns of these, with the address that was asked."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nno colon in this line\r\n\r\n{}")
    connection.shutdown(socket.SHUT_WR)


def hangs_up(connection: socket.socket) -> None:
    connection.close()


def redirects(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/x\r\nContent-Length: 0\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)


def server_error(connection: socket.socket) -> None:
    request = connection.recv(65536)
    body = json.dumps({"code": "SYSTEM_ERROR", "message": request.decode(errors="replace")}).encode()
    connection.sendall(b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    connection.shutdown(socket.SHUT_WR)


def silent(_: socket.socket) -> None: ...


def secrets_of(shop: "Shop", secrets: dict[str, Any], *tokens: str) -> dict[str, str]:
    """What must not be read anywhere, by what it is."""
    known, world = shop.wechat.world.credentials, shop.wechat.world
    pem = known.merchant_private_key.splitlines()[1]
    found = {
        "app secret": known.app_secret,
        "APIv3 key": known.apiv3_key,
        "token key": secrets["token"]["token_keys"][0],
        "merchant's key": pem[:40],
        "access token": str(world.current_token),
        "remark": REMARK,
        "phone": PHONE,
        **{f"token {n}": token for n, token in enumerate(tokens)},
    }
    for item in shop.items.all():
        for name in ("openid", "redeem_code", "access_token"):
            if name in item:
                found[f"{name} {item['pk']['S']}"] = item[name]["S"]
    return {what: value for what, value in found.items() if len(value) > 5}


def test_nothing_secret_is_logged_when_all_goes_well(
    shop: "Shop", secrets: dict[str, Any], output: Callable[[], str]
) -> None:
    token = shop.guest.login()
    shop.records_shipping("on_payment")
    order_sn = shop.guest.order(token, remark=REMARK)
    fields = shop.guest.prepay(token, order_sn)
    shop.guest.cashier(fields)
    signed = shop.wechat.notice(f"{order_sn}_1")
    assert shop.wechat.notify(signed).status == 204
    shop.events.deliver_all()
    shop.guest.poll(token, order_sn)
    code = shop.items.collection(order_sn).order.redeem_code or ""
    staff = shop.staff.token()
    assert shop.staff.redeem(code).status == 200
    shop.janitor.sweep()
    other = shop.guest.order(token)
    shop.guest.prepay(token, other)
    shop.guest.cancel(token, other)
    text = output()
    assert order_sn in text
    values = secrets_of(shop, secrets, token, staff) | {"the notice": signed.body.decode()[:60], "code": code}
    values |= {"paySign": fields["paySign"], "signature": signed.headers["Wechatpay-Signature"]}
    assert {what for what, value in values.items() if value in text} == set()


PEERS = (broken, headers_of_a_kind, hangs_up, redirects, server_error, silent)


@pytest.mark.parametrize("behave", PEERS, ids=lambda behave: behave.__name__)
def test_nothing_secret_is_logged_when_wechat_is_in_trouble(
    shop: "Shop",
    secrets: dict[str, Any],
    output: Callable[[], str],
    behave: Callable[[socket.socket], None],
) -> None:
    token, paid = shop.guest.pays()
    shop.records_shipping("on_payment")
    shop.wechat.notify(shop.wechat.notice(f"{paid}_1"))
    events = shop.events.published()
    for event in events:
        shop.events.deliver("order_update", event)
    paid_event = next(event for event in shop.events.published() if event["type"] == "order.paid")
    open_order = shop.guest.order(token, remark=REMARK)
    shop.guest.prepay(token, open_order)
    assert shop.staff.refund(paid, 100).status == 201
    requested = next(event for event in shop.events.published() if event["type"] == "refund.requested")
    code = shop.wechat.world.login_code("guest-1")
    token_item = shop.store.access_tokens.get(shop.wechat.world.credentials.appid)
    shop.context = Passing() if behave is silent else Context()
    with Peer(behave) as peer:
        shop.deploy(WECHAT_PAY_BASE_URL=peer.url, MINI_PROGRAM_BASE_URL=peer.url)
        shop.call("POST /login", {"code": code})
        if behave is not silent:
            shop.call("POST /orders/{order_sn}/prepay", {"fresh": True}, token=token, order_sn=open_order)
            shop.call("GET /orders/{order_sn}/payment", token=token, order_sn=open_order)
            shop.call("POST /orders/{order_sn}/cancel", token=token, order_sn=open_order)
            shop.events.deliver("execute_refund", requested)
            shop.events.deliver("upload_shipping", paid_event)
            shop.janitor.sweep()
        shop.events.deliver("notify_user", paid_event)
    text = output()
    assert "login.failed" in text
    values = secrets_of(shop, secrets, token) | {"login code": code}
    if token_item:
        values["access token"] = token_item.access_token
    assert {what for what, value in values.items() if value in text} == set()
    assert "secret=" not in text


def test_nothing_secret_is_logged_of_forgeries_and_poison(
    shop: "Shop", secrets: dict[str, Any], output: Callable[[], str]
) -> None:
    token, order_sn = shop.guest.pays()
    openid = shop.items.collection(order_sn).order.openid
    body = json.dumps({"openid": openid, "phone": PHONE, "resource": {"ciphertext": REMARK}})
    for headers in ({}, dict.fromkeys(("wechatpay-timestamp", "wechatpay-nonce", "wechatpay-signature"), REMARK)):
        assert shop.call("POST /wxpay/notify", body, headers=headers | {"wechatpay-serial": PHONE}).status >= 400
    for consumer in ("order_update", "notify_user", "execute_refund", "upload_shipping"):
        assert shop.events.deliver(consumer, body, REMARK, json.dumps([openid] * 9)) == ["m0", "m1", "m2"]
    for bad in (token + "x", token[:-4], REMARK, "a." + token):
        event = {"headers": {"authorization": f"Bearer {bad}"}, "identitySource": [bad]}
        assert not shop.run("authorizer", event)["isAuthorized"]
    assert shop.call("POST /login", {"code": REMARK, "phone": PHONE}).status == 422
    shop.call("POST /orders", {"remark": REMARK, "phone": PHONE}, token=token)
    text = output()
    assert "event.failed" in text
    assert {what for what, value in secrets_of(shop, secrets, token).items() if value in text} == set()


@pytest.mark.parametrize("bad", ["{value}", '{{"{field}": "{value}"}}', '{{"{field}": ["{value}"]}}', '"{value}'])
def test_a_secret_that_cannot_be_used_is_never_shown(shop: "Shop", output: Callable[[], str], bad: str) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
    value = "S3cr3t/value+that-nobody-may-read"
    fields = {"merchant": "private_key", "verification": "public_keys", "app": "app_secret", "token": "token_keys"}
    for name, field in fields.items():
        client("secretsmanager").put_secret_value(
            SecretId=name, SecretString=bad.format(value=value[: 31 if name == "token" else None], field=field)
        )
    shop.deploy()
    raised = ""
    for function, event in (
        ("login", http("POST", "/login", {"code": "code"})),
        ("create_prepay", http("POST", "/orders/{order_sn}/prepay", {}, order_sn=order_sn)),
        ("status_poll", http("GET", "/orders/{order_sn}/payment", order_sn=order_sn)),
        ("wx_callback", http("POST", "/wxpay/notify", {})),
        ("authorizer", {"headers": {"authorization": f"Bearer {token}"}}),
        ("sweep", {}),
    ):
        try:
            shop.run(function, event)
        except Exception as error:  # noqa: BLE001  # Lambda writes its text into the log
            raised += f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert value[:20] not in output() + raised


def test_an_error_that_is_not_ours_is_told_by_its_type_and_place_alone() -> None:
    for foreign in (ValueError(PHONE), KeyError(PHONE), ConnectionError(f"http://x/?secret={PHONE}")):
        assert described(foreign) == type(foreign).__name__
    assert described(LookupError("no order HSO1")) == "LookupError: no order HSO1"
    with pytest.raises(ValueError, match=PHONE) as raised:
        int(PHONE + "x")
    assert described(raised.value) == "ValueError"
    assert re.fullmatch(r"test_nothing_secret_is_logged.py:\d+ test_\w+", came_from(raised.value)[-1])


def test_no_code_of_the_functions_logs_a_traceback() -> None:
    """Its last line would be the error's text, whatever that holds."""
    for path in (*Path("functions").rglob("*.py"), *Path("layers/payments").rglob("*.py")):
        assert not re.search(r"logger\.exception|exc_info|print_exc|format_exc", path.read_text()), path


VARIABLES = ("POWERTOOLS_LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL", "LOG_LEVEL")
SWITCHES = ("POWERTOOLS_DEBUG", "POWERTOOLS_DEV", "POWERTOOLS_LOGGER_LOG_EVENT")


def test_no_variable_of_a_function_makes_it_write_what_it_is_sent() -> None:
    """In a process of its own: Powertools reads these when it is loaded."""
    code = """
import json, logging, sys
sys.path[:0] = ["functions/authorizer", "layers/payments/python", "."]
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
import app
from tests.shop.http import Context
for token in ("Bearer a-token-of-someone.x.y", "a-token-of-someone"):
    try:
        app.handler({"headers": {"authorization": token}, "body": "a-token-of-someone"}, Context())
    except Exception as error:
        print(error)
from payments.edge.http import Api
assert Api()._debug is False
"""
    environment = dict.fromkeys(VARIABLES, "DEBUG") | dict.fromkeys(SWITCHES, "true")
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "TOKEN_SECRET_ARN": "none", "PYTHONWARNINGS": "ignore"}
    environment |= {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}
    environment |= {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "token.refused" in done.stdout  # it did work, and log
    assert "a-token-of-someone" not in done.stdout + done.stderr
    assert "wJalrXUtnFEMI" not in done.stdout + done.stderr
