"""The four secrets as running functions meet them: rotated, broken, out of reach. The clock is moved, AWS is moto's."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from payments.domain.payment import PaymentStatus
from payments.domain.times import utc_now
from payments.edge import tokens
from payments.edge.tokens import Identity, Role, issue
from payments.settings import Misconfigured, Unavailable
from payments.wechat import keys
from payments.wechat.pay import WechatPay
from simulator import credentials as simulator_credentials
from simulator.notification import Signed, signature_headers
from tests.shop.aws import SecretsManager, client

if TYPE_CHECKING:
    from tests.shop import Shop


NEW_TOKEN_KEY = "the-new-key-of-our-tokens-is-long-enough"
FORGED = "a-key-of-nobody-that-is-long-enough-too"
ORDERS = "GET /orders"


@pytest.fixture
def paid(shop: "Shop") -> str:
    """The out_trade_no of a trade that WeChat has the money of."""
    return f"{shop.guest.pays()[1]}_1"


@pytest.fixture
def reads(shop: "Shop") -> SecretsManager:
    """What is read from now on."""
    shop.secrets_manager.made.clear()
    return shop.secrets_manager


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
    reads: SecretsManager,
    trouble: Exception,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.deploy()
    token = shop.guest.login()
    assert shop.call(ORDERS, token=token).status == 200
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    reads.trouble = trouble
    for minutes in (6, 60):
        shop.janitor.later(minutes=minutes)
        capsys.readouterr()
        caplog.clear()
        assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
        assert shop.call(ORDERS, token=shop.guest.login()).status == 200
        events = told(caplog, "secret.stale") or told(caplog, "secret.bad")
        assert {event["secret"] for event in events} >= {
            "VERIFICATION_SECRET_ARN",
            "APP_SECRET_ARN",
            "TOKEN_SECRET_ARN",
        }
        assert ("SecretBad" if trouble in DENIALS else "SecretStale") in metrics(capsys)
    reads.trouble = None
    shop.janitor.later(seconds=31)
    caplog.clear()
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    assert not told(caplog, "secret.stale")


def test_an_old_copy_is_renewed_at_a_pace_and_not_with_every_call(
    shop: "Shop", paid: str, reads: SecretsManager
) -> None:
    shop.wechat.notify(shop.wechat.notice(paid))
    shop.janitor.later(minutes=6)
    reads.trouble = TROUBLES[0]
    for seconds in (0, 1, 10, 18):
        shop.janitor.later(seconds=seconds)
        assert [shop.wechat.notify(shop.wechat.notice(paid)).status for _ in range(5)] == [204] * 5
    assert reads.made == ["verification"]
    shop.janitor.later(seconds=2)
    shop.wechat.notify(shop.wechat.notice(paid))
    assert reads.made == ["verification"] * 2


def test_a_fresh_copy_is_not_read_again(shop: "Shop", paid: str, reads: SecretsManager) -> None:
    shop.wechat.notify(shop.wechat.notice(paid))
    shop.janitor.later(seconds=298)
    shop.wechat.notify(shop.wechat.notice(paid))
    assert reads.made == []


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_without_any_copy_the_first_read_is_tried_twice_and_told_as_503(
    shop: "Shop", paid: str, reads: SecretsManager, trouble: Exception
) -> None:
    shop.deploy()
    reads.trouble = trouble
    reply = shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")})
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert reads.made == ["app", "app"]
    with pytest.raises(Unavailable):
        shop.wechat.notify(shop.wechat.notice(paid))  # the gateway answers 5xx, WeChat comes again
    with pytest.raises(Unavailable):
        shop.call(ORDERS, token="any.thing.at-all")  # 500 of the gateway, which it does not keep: not a 403
    reads.trouble = None
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204


def test_a_secret_without_a_value_or_a_right_is_told_as_such(shop: "Shop") -> None:
    _, order_sn = shop.guest.paid_order()
    shop.deploy(MERCHANT_SECRET_ARN=client("secretsmanager").create_secret(Name="empty")["ARN"])
    payment = shop.items.collection(order_sn).payments[0]
    with pytest.raises(Misconfigured, match=r"MERCHANT_SECRET_ARN cannot be read .*docs/deploy-aws") as raised:
        shop.parts.wechat_pay.query(payment)
    assert not isinstance(raised.value, Unavailable)


# --- a secret is put that cannot be used


@pytest.mark.parametrize("name", ["merchant", "verification", "app", "token"])
@pytest.mark.parametrize("bad", ["", "not json", "{}", "[]"])
def test_a_new_secret_that_is_of_no_use_rings_and_the_one_from_before_serves(
    shop: "Shop", name: str, bad: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.guest.pays()
    client("secretsmanager").put_secret_value(SecretId=name, SecretString=bad or '"x"')
    shop.janitor.later(minutes=6)
    capsys.readouterr()
    token, order_sn = shop.guest.pays()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert shop.guest.poll(token, order_sn)["payment_status"] == "SUCCESS"
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
        assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
        (event,) = told(caplog, "secret.bad")
        assert "apiv3_keys[0]" in event["why"]
        assert "SecretBad" in metrics(capsys)
    shop.put_secret("verification", **was | {"apiv3_keys": ["n" * 32 + "\n", *was["apiv3_keys"]]})
    caplog.clear()
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    assert not told(caplog, "secret.bad")


@pytest.mark.parametrize("ends", ["\r\n", "\\n", " ", ""])
def test_keys_pasted_in_another_form_prepay_and_verify_alike(shop: "Shop", secrets: dict[str, Any], ends: str) -> None:
    merchant, verification = secrets["merchant"], secrets["verification"]
    shop.put_secret("merchant", **merchant | {"private_key": merchant["private_key"].replace("\n", ends)})
    pems = {f" {key_id}\n": pem.replace("\n", ends) for key_id, pem in verification["public_keys"].items()}
    shop.put_secret("verification", **verification | {"public_keys": pems})
    token, order_sn = shop.guest.pays()
    assert shop.wechat.notify(shop.wechat.notice(f"{order_sn}_1")).status == 204
    assert shop.guest.poll(token, order_sn)["payment_status"] == "SUCCESS"


def test_an_unusable_merchant_key_is_told_by_its_field_without_a_traceback(
    shop: "Shop", secrets: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    token = shop.guest.login()
    order_sn = shop.guest.order(token)
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
    shop.wechat.notify(shop.wechat.notice(paid))
    for name in ("load_der_public_key", "load_der_private_key"):
        monkeypatch.setattr(keys, name, lambda *_, name=name: parsed.append(name))
    for minutes in (0, 6, 6):
        shop.janitor.later(minutes=minutes)
        assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
        assert shop.parts.wechat_pay.query(shop.items.collection(paid.rpartition("_")[0]).payments[0]) is not None
    assert parsed == []


class Looked(dict[str, Any]):
    """WeChat's keys, which a client goes through when it is built."""

    times = 0

    def __iter__(self) -> Any:
        self.times += 1
        return super().__iter__()


def test_wechats_client_is_built_again_only_when_a_secret_has_changed(shop: "Shop", paid: str) -> None:
    credentials = shop.wechat.world.credentials
    merchant = keys.MerchantSecret(keys.private_key(credentials.merchant_private_key), credentials.merchant_serial_no)
    key_id, key = keys.public_key(credentials.platform_key_id, credentials.platform_public_key)
    looked = Looked({key_id: key})
    held = [keys.VerificationSecret(apiv3_keys=(), public_keys=looked)]
    client = WechatPay(lambda: merchant, lambda: held[-1], credentials.mchid, shop.wechat.url)
    payment = shop.items.collection(paid.rpartition("_")[0]).payments[0]
    for _ in range(3):
        assert client.query(payment) is not None
    assert looked.times == 1
    held.append(keys.VerificationSecret(apiv3_keys=(), public_keys=looked))
    for _ in range(3):
        assert client.query(payment) is not None
    assert looked.times == 2


# --- rotation


def test_a_new_apiv3_key_opens_notices_as_soon_as_wechat_uses_it(
    shop: "Shop", paid: str, secrets: dict[str, Any]
) -> None:
    """Put in front first, then set at WeChat: also a process that does not have it yet reads it then."""
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    was, new = secrets["verification"], "n" * 32
    shop.put_secret("verification", known=False, **was | {"apiv3_keys": [new, *was["apiv3_keys"]]})
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    object.__setattr__(shop.wechat.world.credentials, "apiv3_key", new)
    try:
        assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
        shop.put_secret("verification", known=False, **was | {"apiv3_keys": [new]})
        shop.janitor.later(minutes=6)
        assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    finally:
        object.__setattr__(shop.wechat.world.credentials, "apiv3_key", was["apiv3_keys"][0])


def test_a_verified_notice_that_no_key_opens_rings_at_once_and_an_unverified_one_does_not(
    shop: "Shop",
    paid: str,
    reads: SecretsManager,
    secrets: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shop.put_secret("verification", **secrets["verification"] | {"apiv3_keys": ["n" * 32]})
    good = shop.wechat.notice(paid)
    stranger = simulator_credentials.key_pair()[0]
    forged = Signed(signature_headers(shop.wechat.world, good.body, private_key=stranger), good.body)
    shop.wechat.notify(forged)
    capsys.readouterr()
    reads.made.clear()
    for _ in range(5):
        assert shop.wechat.notify(forged).status == 401
    assert "CallbackNotOpened" not in metrics(capsys)
    assert not told(caplog, "callback.not_opened")
    assert reads.made == []
    for _ in range(5):
        assert shop.wechat.notify(good).status == 401
    assert metrics(capsys).count('"CallbackNotOpened":') == 5
    assert len(told(caplog, "callback.not_opened")) == 5
    assert reads.made == ["verification"]  # read again once, not with every notice
    assert shop.items.collection(paid.rpartition("_")[0]).payments[0].status is PaymentStatus.NOTPAY
    shop.put_secret("verification", known=False, **secrets["verification"])
    shop.janitor.later(seconds=31)
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204


def test_a_new_public_key_verifies_once_it_is_known_everywhere(
    shop: "Shop", paid: str, secrets: dict[str, Any]
) -> None:
    private, public = simulator_credentials.key_pair()
    body, was = shop.wechat.notice(paid).body, secrets["verification"]
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204

    def by_the_new_key() -> Signed:
        body = shop.wechat.notice(paid).body
        return Signed(signature_headers(shop.wechat.world, body, serial="PUB_KEY_ID_NEXT", private_key=private), body)

    shop.put_secret(
        "verification", known=False, **was | {"public_keys": {**was["public_keys"], "PUB_KEY_ID_NEXT": public}}
    )
    assert shop.wechat.notify(by_the_new_key()).status == 401  # nothing is read for what nobody has verified
    shop.janitor.later(minutes=5, seconds=1)
    assert shop.wechat.notify(by_the_new_key()).status == 204
    assert shop.wechat.notify(shop.wechat.notice(paid)).status == 204
    assert body


def test_a_new_merchant_key_and_app_secret_are_used_within_five_minutes(shop: "Shop", secrets: dict[str, Any]) -> None:
    shop.guest.pays()
    private, public = simulator_credentials.key_pair()
    changed = {
        "merchant_private_key": private,
        "merchant_public_key": public,
        "merchant_serial_no": "F" * 40,
        "app_secret": "b2" * 16,
    }
    known = shop.wechat.world.credentials
    before = {name: getattr(known, name) for name in changed}
    shop.put_secret("merchant", known=False, private_key=private, cert_serial_no="f" * 40)
    shop.put_secret("app", known=False, app_secret="b2" * 16)
    shop.janitor.later(minutes=5, seconds=1)
    for name, value in changed.items():
        object.__setattr__(known, name, value)
    try:
        shop.guest.pays()
    finally:
        for name, value in before.items():
            object.__setattr__(known, name, value)


def test_a_new_token_key_that_signs_at_once_locks_nobody_out(
    shop: "Shop", secrets: dict[str, Any], reads: SecretsManager
) -> None:
    """login has read the new key in front, the authorizer has not: it reads before it refuses."""
    old = shop.guest.login()
    assert shop.call(ORDERS, token=old).status == 200
    shop.put_secret("token", known=False, token_keys=[NEW_TOKEN_KEY, *secrets["token"]["token_keys"]])
    new = issue(Identity("u1", Role.USER), [NEW_TOKEN_KEY], utc_now())
    reads.made.clear()
    assert shop.call(ORDERS, token=new).status == 200
    assert shop.call(ORDERS, token=old).status == 200
    assert reads.made == ["token"]


def test_a_token_key_in_two_steps_never_waits_for_anything(
    shop: "Shop", secrets: dict[str, Any], reads: SecretsManager
) -> None:
    was = secrets["token"]["token_keys"]
    old = shop.guest.login()
    shop.put_secret("token", known=False, token_keys=[*was, NEW_TOKEN_KEY])
    shop.janitor.later(minutes=10)
    assert shop.call(ORDERS, token=shop.guest.login()).status == 200
    shop.put_secret("token", known=False, token_keys=[NEW_TOKEN_KEY, *was])
    shop.janitor.later(minutes=10)
    new = shop.guest.login()
    reads.made.clear()
    assert [shop.call(ORDERS, token=token).status for token in (old, new)] == [200, 200]
    shop.put_secret("token", known=False, token_keys=[NEW_TOKEN_KEY])
    shop.janitor.later(minutes=10)
    assert [shop.call(ORDERS, token=token).status for token in (old, new)] == [403, 200]


def test_forged_tokens_do_not_make_the_authorizer_hammer_secrets_manager(shop: "Shop", reads: SecretsManager) -> None:
    token = shop.guest.login()
    shop.call(ORDERS, token=token)
    reads.made.clear()
    forged = issue(Identity("owner", Role.STAFF, "*"), [FORGED], utc_now())
    for _ in range(3):
        assert [shop.call(ORDERS, token=forged).status for _ in range(20)] == [403] * 20
        shop.janitor.later(seconds=31)
    assert reads.made == ["token"] * 3
    for broken in ("", "x", "a.b.c", token[:-2], token + "x"):
        assert not shop.run("authorizer", {"headers": {"authorization": f"Bearer {broken}"}})["isAuthorized"]
    for headers in (None, {}, {"authorization": ""}):
        assert not shop.run("authorizer", {"headers": headers})["isAuthorized"]


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_short_key_of_our_tokens_is_refused_and_a_token_by_it_too(shop: "Shop", secrets: dict[str, Any]) -> None:
    forged = issue(Identity("owner", Role.STAFF, "*"), ["x"], utc_now())
    shop.put_secret("token", token_keys=["x"])
    with pytest.raises(Misconfigured, match=r"token_keys\[0\] has 1 bytes"):
        shop.call(ORDERS, token=forged)
    assert shop.call("POST /login", {"code": shop.wechat.world.login_code("guest-1")}).status == 500
    shop.put_secret("token", token_keys=["x", *secrets["token"]["token_keys"]])
    assert shop.call(ORDERS, token=forged).status == 403
    assert shop.call(ORDERS, token=shop.guest.login()).status == 200


def test_the_life_of_a_token_is_what_login_says(shop: "Shop") -> None:
    token = shop.guest.login()
    shop.janitor.later(seconds=tokens.LIFE.total_seconds() - 5)
    assert shop.call(ORDERS, token=token).status == 200
    shop.janitor.later(seconds=6)
    assert shop.call(ORDERS, token=token).status == 403
    assert timedelta(hours=2) == tokens.LIFE


def test_a_secret_put_as_bytes_is_read(shop: "Shop", secrets: dict[str, Any]) -> None:
    client("secretsmanager").put_secret_value(
        SecretId="token", SecretBinary=b"\xef\xbb\xbf" + json.dumps(secrets["token"]).encode()
    )
    shop.deploy()
    assert shop.parts.token_keys.value() == tuple(secrets["token"]["token_keys"])
