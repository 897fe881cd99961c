"""Our own bearer tokens."""

import base64
import hmac
import json
from datetime import timedelta
from typing import Any

import jwt
import pytest

from payments.domain.times import utc_now
from payments.edge.tokens import LEEWAY_S, BadToken, Identity, Role, UnknownKey, issue, verify

OLD, NEW = "old-key-of-at-least-thirty-two-bytes", "new-key-of-at-least-thirty-two-bytes"
USER = Identity("u1", Role.USER)


def test_a_token_says_who_calls_and_in_which_role() -> None:
    staff = Identity("s1", Role.STAFF, "b-hangzhou")
    assert verify(issue(USER, [NEW], utc_now()), [NEW]) == USER
    assert verify(issue(staff, [NEW], utc_now()), [NEW]) == staff


def test_tokens_signed_with_the_key_before_still_hold_while_it_is_listed() -> None:
    token = issue(USER, [OLD], utc_now())
    assert verify(token, [NEW, OLD]) == USER
    with pytest.raises(BadToken):
        verify(token, [NEW])


def test_an_expired_token_is_refused() -> None:
    with pytest.raises(BadToken):
        verify(issue(USER, [NEW], utc_now() - timedelta(hours=3)), [NEW])


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30."])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        verify(token, [NEW])


def test_an_unsigned_token_is_refused() -> None:
    claims = {"sub": "u1", "role": "staff", "iss": "wxpay-serverless", "exp": utc_now() + timedelta(hours=1)}
    with pytest.raises(BadToken):
        verify(jwt.encode(claims, "", algorithm="none"), [NEW])


@pytest.mark.parametrize("missing", ["sub", "role", "iss", "exp"])
def test_a_token_that_lacks_a_claim_is_refused(missing: str) -> None:
    claims = {"sub": "u1", "role": "user", "iss": "wxpay-serverless", "exp": utc_now() + timedelta(hours=1)}
    del claims[missing]
    with pytest.raises(BadToken):
        verify(jwt.encode(claims, NEW, algorithm="HS256"), [NEW])


def test_a_role_that_we_do_not_know_is_refused() -> None:
    claims = {"sub": "u1", "role": "root", "iss": "wxpay-serverless", "exp": utc_now() + timedelta(hours=1)}
    with pytest.raises(BadToken):
        verify(jwt.encode(claims, NEW, algorithm="HS256"), [NEW])


def sealed(header: bytes, claims: bytes, key: str = NEW, digest: str = "sha256") -> str:
    message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = base64.urlsafe_b64encode(hmac.digest(key.encode(), message, digest)).rstrip(b"=")
    return (message + b"." + signature).decode()


def signed(key: str = NEW, algorithm: str = "HS256", **claims: Any) -> str:
    """A token of ours but for what is said."""
    now = int(utc_now().timestamp())
    ours = {"iss": "wxpay-serverless", "sub": "u1", "role": "user", "iat": now, "exp": now + 60}
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    return sealed(header, json.dumps(ours | claims).encode(), key, f"sha{algorithm[2:]}")


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_clock_that_is_a_little_ahead_does_not_lock_anyone_out(claim: str) -> None:
    now = int(utc_now().timestamp())

    def claims(at: int) -> dict[str, Any]:
        return {claim: at}

    assert verify(signed(**claims(now + LEEWAY_S - 2)), [NEW]) == USER
    with pytest.raises(BadToken, match=claim):
        verify(signed(**claims(now + LEEWAY_S + 5)), [NEW])


def test_a_token_ends_when_it_says_so() -> None:
    now = int(utc_now().timestamp())
    assert verify(signed(exp=now + 5), [NEW]) == USER
    assert verify(signed(exp=now + 5.5), [NEW]) == USER
    for past in (now, now - 5, now - 5.5, -1, 0):
        with pytest.raises(BadToken, match="expired"):
            verify(signed(exp=past), [NEW])


NO_TIMES: list[Any] = ["9999999999", "soon", True, [], {}, None, float("inf"), float("nan")]


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NO_TIMES)
def test_a_time_that_is_no_number_is_refused(claim: str, value: Any) -> None:
    with pytest.raises(BadToken):
        verify(signed(**{claim: value}), [NEW])


@pytest.mark.parametrize("exp", ["1e400", "-1e400", "1" * 400, "1" * 5000])
def test_a_time_beyond_all_numbers_breaks_nothing(exp: str) -> None:
    claims = b'{"iss":"wxpay-serverless","sub":"u1","role":"user","exp":%s}' % exp.encode()
    token = sealed(b'{"alg":"HS256","typ":"JWT"}', claims)
    try:
        assert verify(token, [NEW]) == USER  # a whole number, a long way off
    except BadToken:
        assert exp != "1" * 400


OTHER_KINDS: dict[str, list[Any]] = {
    "sub": ["", 7, None, ["u1"], "u" * 129],
    "role": ["root", "", None, 7, ["staff"], {"staff": 1}, "STAFF"],
    "business_id": [7, None, ["*"], {}, "b" * 129],
    "iss": ["another", "", None, 7, ["wxpay-serverless"]],
}


@pytest.mark.parametrize("claim", OTHER_KINDS)
def test_a_claim_of_another_kind_is_refused(claim: str) -> None:
    for value in OTHER_KINDS[claim]:
        changed: dict[str, Any] = {claim: value}
        with pytest.raises(BadToken):
            verify(signed(**changed), [NEW])


def test_another_algorithm_with_the_same_key_is_refused() -> None:
    for algorithm in ("HS384", "HS512"):
        with pytest.raises(BadToken):
            verify(signed(NEW * 3, algorithm), [NEW * 3])


@pytest.mark.parametrize("part", ["[" * 1200, "{" * 1200, '{"alg":' * 150, "\ud800", "é", "null", "[]", '"x"'])
@pytest.mark.parametrize("place", [0, 1])
def test_a_token_of_rubbish_is_refused(part: str, place: int) -> None:
    parts = signed().split(".")
    parts[place] = base64.urlsafe_b64encode(part.encode(errors="surrogatepass")).decode().rstrip("=")
    with pytest.raises(BadToken):
        verify(".".join(parts), [NEW])


def test_a_huge_token_is_refused_before_it_is_read() -> None:
    for token in (signed(note="x" * 3000), "a.b." + "c" * 100_000, "[" * 60_000):
        with pytest.raises(BadToken, match="longer"):
            verify(token, [NEW])


def test_a_forged_owner_is_told_from_a_broken_token() -> None:
    """The first may be signed by a key that has come since, the second never is."""
    with pytest.raises(UnknownKey):
        verify(signed("x" * 32, role="staff", business_id="*"), [NEW, OLD])
    with pytest.raises(BadToken) as broken:
        verify(json.dumps({"role": "staff"}), [NEW, OLD])
    assert not isinstance(broken.value, UnknownKey)
