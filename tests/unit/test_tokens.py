"""Our own bearer tokens."""

from datetime import timedelta

import jwt
import pytest

from payments.times import utc_now
from payments.tokens import BadToken, Identity, Role, issue, verify

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
