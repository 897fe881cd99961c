"""The four secrets as running functions meet them: rotated, broken, out of reach. The clock is moved, AWS is moto's."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from functions.authorizer import app as authorizer
from payments.domain.payment import PaymentStatus
from payments.domain.times import utc_now
from payments.edge import secret, tokens
from payments.edge.tokens import Identity, Role, issue
from payments.settings import Misconfigured, Unavailable
from payments.wechat import keys
from payments.wechat import pay as wechat_pay
from simulator import credentials as simulator_credentials
from simulator.notification import Signed, signature_headers
from tests.component.conftest import forget_secrets

if TYPE_CHECKING:
    from tests.component.conftest import Shop

pytestmark = pytest.mark.usefixtures("clock")

NEW_TOKEN_KEY = "the-new-key-of-our-tokens-is-long-enough"
FORGED = "a-key-of-nobody-that-is-long-enough-too"
ORDERS = "GET /orders"
EVERYONE = (keys.MERCHANT, keys.VERIFICATION, secret.APP, secret.TOKEN)


@pytest.fixture
def paid(shop: "Shop") -> str:
    """The out_trade_no of a trade that WeChat has the money of."""
    return f"{shop.paid_order()[1]}_1"


@pytest.fixture
def reads(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> "Reads":
    counting = Reads(secret.client())
    monkeypatch.setattr(secret, "client", lambda: counting)
    return counting


class Reads:
    """Secrets Manager, its reads counted; `trouble` is what it answers instead."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.made: list[str] = []
        self.trouble: Exception | None = None

    def get_secret_value(self, *, SecretId: str) -> Any:  # noqa: N803
        self.made.append(SecretId.rpartition(":")[2].rpartition("-")[0])
        if self.trouble:
            raise self.trouble
        return self._client.get_secret_value(SecretId=SecretId)


def refusal(code: str, status: int) -> ClientError:
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetSecretValue")  # type: ignore[typeddict-item]


TROUBLES = [
    EndpointConnectionError(endpoint_url="https://secretsmanager"),
    ReadTimeoutError(endpoint_url="https://secretsmanager"),
    refusal("InternalServiceError", 500),
    refusal("ServiceUnavailable", 503),
    refusal("ThrottlingException", 400),
]
DENIALS = [refusal("AccessDeniedException", 400), refusal("ResourceNotFoundException", 400)]


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [vars(record) for record in caplog.records if record.msg == event]


def metrics(capsys: pytest.CaptureFixture[str]) -> str:
    return "".join(line for line in capsys.readouterr().out.splitlines() if '"_aws"' in line)


# --- Secrets Manager is away


@pytest.mark.parametrize("trouble", [*TROUBLES, *DENIALS], ids=str)
def test_the_copy_serves_while_secrets_manager_is_away_and_it_is_logged_and_counted(
    shop: "Shop",
    paid: str,
    reads: Reads,
    trouble: Exception,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    forget_secrets()
    token = shop.login()
    assert shop.call(ORDERS, token=token).status == 200
    assert shop.notify(shop.notice(paid)).status == 204
    reads.trouble = trouble
    for minutes in (6, 60):
        shop.later(minutes=minutes)
        capsys.readouterr()
        caplog.clear()
        assert shop.notify(shop.notice(paid)).status == 204
        assert shop.call(ORDERS, token=shop.login()).status == 200
        events = told(caplog, "secret.stale") or told(caplog, "secret.bad")
        assert {event["secret"] for event in events} >= {
            "VERIFICATION_SECRET_ARN",
            "APP_SECRET_ARN",
            "TOKEN_SECRET_ARN",
        }
        assert ("SecretBad" if trouble in DENIALS else "SecretStale") in metrics(capsys)
    reads.trouble = None
    shop.later(seconds=31)
    caplog.clear()
    assert shop.notify(shop.notice(paid)).status == 204
    assert not told(caplog, "secret.stale")


def test_an_old_copy_is_renewed_at_a_pace_and_not_with_every_call(shop: "Shop", paid: str, reads: Reads) -> None:
    shop.notify(shop.notice(paid))
    shop.later(minutes=6)
    reads.trouble = TROUBLES[0]
    for seconds in (0, 1, 10, 18):
        shop.later(seconds=seconds)
        assert [shop.notify(shop.notice(paid)).status for _ in range(5)] == [204] * 5
    assert reads.made == ["verification"]
    shop.later(seconds=2)
    shop.notify(shop.notice(paid))
    assert reads.made == ["verification"] * 2


def test_a_fresh_copy_is_not_read_again(shop: "Shop", paid: str, reads: Reads) -> None:
    shop.notify(shop.notice(paid))
    shop.later(seconds=298)
    shop.notify(shop.notice(paid))
    assert reads.made == []


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_without_any_copy_the_first_read_is_tried_twice_and_told_as_503(
    shop: "Shop", paid: str, reads: Reads, trouble: Exception
) -> None:
    forget_secrets()
    reads.trouble = trouble
    reply = shop.call("POST /login", {"code": shop.world.login_code("guest-1")})
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert reads.made == ["app", "app"]
    with pytest.raises(Unavailable):
        shop.notify(shop.notice(paid))  # the gateway answers 5xx, WeChat comes again
    with pytest.raises(Unavailable):
        shop.call(ORDERS, token="any.thing.at-all")  # 500 of the gateway, which it does not keep: not a 403
    reads.trouble = None
    assert shop.notify(shop.notice(paid)).status == 204


def test_a_secret_without_a_value_or_a_right_is_told_as_such(shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> None:
    forget_secrets()
    monkeypatch.setenv("MERCHANT_SECRET_ARN", boto3.client("secretsmanager").create_secret(Name="empty")["ARN"])
    with pytest.raises(Misconfigured, match=r"MERCHANT_SECRET_ARN cannot be read .*docs/deploy-aws") as raised:
        keys.merchant_secret()
    assert not isinstance(raised.value, Unavailable)


# --- a secret is put that cannot be used


@pytest.mark.parametrize("name", ["merchant", "verification", "app", "token"])
@pytest.mark.parametrize("bad", ["", "not json", "{}", "[]"])
def test_a_new_secret_that_is_of_no_use_rings_and_the_one_from_before_serves(
    shop: "Shop", name: str, bad: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.paid_order()
    boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=bad or '"x"')
    shop.later(minutes=6)
    capsys.readouterr()
    token, order_sn = shop.paid_order()
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    assert shop.poll(token, order_sn)["payment_status"] == "SUCCESS"
    (event, *_) = told(caplog, "secret.bad")
    assert (event["secret"], event["levelname"]) == (f"{name.upper()}_SECRET_ARN", "ERROR")
    assert "SecretBad" in metrics(capsys)


def test_an_unusable_apiv3_key_is_left_out_and_rings_and_the_good_one_opens(
    shop: "Shop",
    paid: str,
    secrets: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    was = secrets["verification"]
    for unusable in ("n" * 31, 7, "", "n" * 33):
        caplog.clear()
        capsys.readouterr()
        shop.put_secret("verification", **was | {"apiv3_keys": [unusable, *was["apiv3_keys"]]})
        assert shop.notify(shop.notice(paid)).status == 204
        (event,) = told(caplog, "secret.bad")
        assert "apiv3_keys[0]" in event["why"]
        assert "SecretBad" in metrics(capsys)
    shop.put_secret("verification", **was | {"apiv3_keys": ["n" * 32 + "\n", *was["apiv3_keys"]]})
    caplog.clear()
    assert shop.notify(shop.notice(paid)).status == 204
    assert not told(caplog, "secret.bad")


@pytest.mark.parametrize("ends", ["\r\n", "\\n", " ", ""])
def test_keys_pasted_in_another_form_prepay_and_verify_alike(shop: "Shop", secrets: dict[str, Any], ends: str) -> None:
    merchant, verification = secrets["merchant"], secrets["verification"]
    shop.put_secret("merchant", **merchant | {"private_key": merchant["private_key"].replace("\n", ends)})
    pems = {f" {key_id}\n": pem.replace("\n", ends) for key_id, pem in verification["public_keys"].items()}
    shop.put_secret("verification", **verification | {"public_keys": pems})
    token, order_sn = shop.paid_order()
    assert shop.notify(shop.notice(f"{order_sn}_1")).status == 204
    assert shop.poll(token, order_sn)["payment_status"] == "SUCCESS"


def test_an_unusable_merchant_key_is_told_by_its_field_without_a_traceback(
    shop: "Shop", secrets: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    token = shop.login()
    order_sn = shop.order(token)
    shop.put_secret("merchant", **secrets["merchant"] | {"private_key": "-----BEGIN"})
    assert shop.call("POST /orders/{order_sn}/prepay", {}, token=token, order_sn=order_sn).status == 500
    (event,) = told(caplog, "misconfigured")
    assert "private_key" in event["why"]
    assert event["exc_info"] is None
    assert not told(caplog, "request.broken")


def test_keys_are_parsed_once_in_a_process_and_not_with_every_call(
    shop: "Shop", paid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    shop.notify(shop.notice(paid))
    for name in ("load_der_public_key", "load_der_private_key"):
        monkeypatch.setattr(keys, name, lambda *_, name=name: parsed.append(name))
    client = wechat_pay.wechat_pay()
    for minutes in (0, 6, 6):
        shop.later(minutes=minutes)
        assert shop.notify(shop.notice(paid)).status == 204
        assert wechat_pay.wechat_pay() is client
    assert parsed == []


# --- rotation


def test_a_new_apiv3_key_opens_notices_as_soon_as_wechat_uses_it(
    shop: "Shop", paid: str, secrets: dict[str, Any]
) -> None:
    """Put in front first, then set at WeChat: also a process that does not have it yet reads it then."""
    assert shop.notify(shop.notice(paid)).status == 204
    was, new = secrets["verification"], "n" * 32
    shop.put_secret("verification", known=False, **was | {"apiv3_keys": [new, *was["apiv3_keys"]]})
    assert shop.notify(shop.notice(paid)).status == 204
    object.__setattr__(shop.world.credentials, "apiv3_key", new)
    try:
        assert shop.notify(shop.notice(paid)).status == 204
        shop.put_secret("verification", known=False, **was | {"apiv3_keys": [new]})
        shop.later(minutes=6)
        assert shop.notify(shop.notice(paid)).status == 204
    finally:
        object.__setattr__(shop.world.credentials, "apiv3_key", was["apiv3_keys"][0])


def test_a_verified_notice_that_no_key_opens_rings_at_once_and_an_unverified_one_does_not(
    shop: "Shop",
    paid: str,
    reads: Reads,
    secrets: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.put_secret("verification", **secrets["verification"] | {"apiv3_keys": ["n" * 32]})
    good = shop.notice(paid)
    stranger = simulator_credentials.key_pair()[0]
    forged = Signed(signature_headers(shop.world, good.body, private_key=stranger), good.body)
    shop.notify(forged)
    capsys.readouterr()
    reads.made.clear()
    for _ in range(5):
        assert shop.notify(forged).status == 401
    assert "CallbackNotOpened" not in metrics(capsys)
    assert not told(caplog, "callback.not_opened")
    assert reads.made == []
    for _ in range(5):
        assert shop.notify(good).status == 401
    assert metrics(capsys).count('"CallbackNotOpened":') == 5
    assert len(told(caplog, "callback.not_opened")) == 5
    assert reads.made == ["verification"]  # read again once, not with every notice
    assert shop.collection(paid.rpartition("_")[0]).payments[0].status is PaymentStatus.NOTPAY
    shop.put_secret("verification", known=False, **secrets["verification"])
    shop.later(seconds=31)
    assert shop.notify(shop.notice(paid)).status == 204


def test_a_new_public_key_verifies_once_it_is_known_everywhere(
    shop: "Shop", paid: str, secrets: dict[str, Any]
) -> None:
    private, public = simulator_credentials.key_pair()
    body, was = shop.notice(paid).body, secrets["verification"]
    assert shop.notify(shop.notice(paid)).status == 204

    def by_the_new_key() -> Signed:
        body = shop.notice(paid).body
        return Signed(signature_headers(shop.world, body, serial="PUB_KEY_ID_NEXT", private_key=private), body)

    shop.put_secret(
        "verification", known=False, **was | {"public_keys": {**was["public_keys"], "PUB_KEY_ID_NEXT": public}}
    )
    assert shop.notify(by_the_new_key()).status == 401  # nothing is read for what nobody has verified
    shop.later(minutes=5, seconds=1)
    assert shop.notify(by_the_new_key()).status == 204
    assert shop.notify(shop.notice(paid)).status == 204
    assert body


def test_a_new_merchant_key_and_app_secret_are_used_within_five_minutes(shop: "Shop", secrets: dict[str, Any]) -> None:
    shop.paid_order()
    private, public = simulator_credentials.key_pair()
    changed = {
        "merchant_private_key": private,
        "merchant_public_key": public,
        "merchant_serial_no": "F" * 40,
        "app_secret": "b2" * 16,
    }
    known = shop.world.credentials
    before = {name: getattr(known, name) for name in changed}
    shop.put_secret("merchant", known=False, private_key=private, cert_serial_no="f" * 40)
    shop.put_secret("app", known=False, app_secret="b2" * 16)
    shop.later(minutes=5, seconds=1)
    for name, value in changed.items():
        object.__setattr__(known, name, value)
    try:
        shop.paid_order()
    finally:
        for name, value in before.items():
            object.__setattr__(known, name, value)


def test_a_new_token_key_that_signs_at_once_locks_nobody_out(
    shop: "Shop", secrets: dict[str, Any], reads: Reads
) -> None:
    """login has read the new key in front, the authorizer has not: it reads before it refuses."""
    old = shop.login()
    assert shop.call(ORDERS, token=old).status == 200
    shop.put_secret("token", known=False, token_keys=[NEW_TOKEN_KEY, *secrets["token"]["token_keys"]])
    new = issue(Identity("u1", Role.USER), [NEW_TOKEN_KEY], utc_now())
    reads.made.clear()
    assert shop.call(ORDERS, token=new).status == 200
    assert shop.call(ORDERS, token=old).status == 200
    assert reads.made == ["token"]


def test_a_token_key_in_two_steps_never_waits_for_anything(shop: "Shop", secrets: dict[str, Any], reads: Reads) -> None:
    was = secrets["token"]["token_keys"]
    old = shop.login()
    shop.put_secret("token", known=False, token_keys=[*was, NEW_TOKEN_KEY])
    shop.later(minutes=10)
    assert shop.call(ORDERS, token=shop.login()).status == 200
    shop.put_secret("token", known=False, token_keys=[NEW_TOKEN_KEY, *was])
    shop.later(minutes=10)
    new = shop.login()
    reads.made.clear()
    assert [shop.call(ORDERS, token=token).status for token in (old, new)] == [200, 200]
    shop.put_secret("token", known=False, token_keys=[NEW_TOKEN_KEY])
    shop.later(minutes=10)
    assert [shop.call(ORDERS, token=token).status for token in (old, new)] == [403, 200]


def test_forged_tokens_do_not_make_the_authorizer_hammer_secrets_manager(shop: "Shop", reads: Reads) -> None:
    token = shop.login()
    shop.call(ORDERS, token=token)
    reads.made.clear()
    forged = issue(Identity("owner", Role.STAFF, "*"), [FORGED], utc_now())
    for _ in range(3):
        assert [shop.call(ORDERS, token=forged).status for _ in range(20)] == [403] * 20
        shop.later(seconds=31)
    assert reads.made == ["token"] * 3
    for broken in ("", "x", "a.b.c", token[:-2], token + "x"):
        assert not authorizer.handler({"headers": {"authorization": f"Bearer {broken}"}}, shop.context)["isAuthorized"]
    for headers in (None, {}, {"authorization": ""}):
        assert not authorizer.handler({"headers": headers}, shop.context)["isAuthorized"]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_short_key_of_our_tokens_is_refused_and_a_token_by_it_too(shop: "Shop", secrets: dict[str, Any]) -> None:
    forged = issue(Identity("owner", Role.STAFF, "*"), ["x"], utc_now())
    shop.put_secret("token", token_keys=["x"])
    with pytest.raises(Misconfigured, match=r"token_keys\[0\] has 1 bytes"):
        shop.call(ORDERS, token=forged)
    assert shop.call("POST /login", {"code": shop.world.login_code("guest-1")}).status == 500
    shop.put_secret("token", token_keys=["x", *secrets["token"]["token_keys"]])
    assert shop.call(ORDERS, token=forged).status == 403
    assert shop.call(ORDERS, token=shop.login()).status == 200


def test_the_life_of_a_token_is_what_login_says(shop: "Shop") -> None:
    token = shop.login()
    shop.later(seconds=tokens.LIFE.total_seconds() - 5)
    assert shop.call(ORDERS, token=token).status == 200
    shop.later(seconds=6)
    assert shop.call(ORDERS, token=token).status == 403
    assert timedelta(hours=2) == tokens.LIFE


def test_a_secret_put_as_bytes_is_read(shop: "Shop", secrets: dict[str, Any]) -> None:
    client = boto3.client("secretsmanager")
    client.put_secret_value(SecretId="token", SecretBinary=b"\xef\xbb\xbf" + json.dumps(secrets["token"]).encode())
    forget_secrets()
    assert secret.token_keys() == tuple(secrets["token"]["token_keys"])
