"""Any byte that is not as WeChat signed it, and nothing is verified: the one check of callbacks and of replies."""

import base64
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from payments.domain.times import of_millis
from payments.wechat.keys import public_key
from payments.wechat.signature import Unsigned, Unverified, verify
from simulator.credentials import Credentials
from simulator.notification import probe, signature_headers
from simulator.world import World

WORLD = World(Credentials.generate())
KEYS = dict([public_key(WORLD.credentials.platform_key_id, WORLD.credentials.platform_public_key)])
NOW = of_millis(1_795_406_420_000)
BODY = '{"id":"1","summary":"支付成功"}'.encode()
sign = partial(signature_headers, WORLD, timestamp=int(NOW.timestamp()))
HEADERS = sign(BODY)
SIGNED = [f"Wechatpay-{name}" for name in ("Timestamp", "Nonce", "Signature", "Serial")]


def is_verified(headers: dict[str, Any], body: bytes = BODY) -> bool:
    try:
        verify(headers, body, KEYS, NOW)
    except Unverified:
        return False
    return True


@given(body=st.binary(max_size=200))
@settings(deadline=None, max_examples=25)
def test_what_wechat_signed_is_verified_whatever_its_bytes(body: bytes) -> None:
    assert is_verified(sign(body), body)
    assert is_verified({name.lower(): value for name, value in sign(body).items()}, body)


@given(at=st.integers(0, len(BODY)), byte=st.binary(max_size=2), cut=st.integers(0, 2))
@settings(deadline=None)
def test_a_body_with_another_byte_is_not_verified(at: int, byte: bytes, cut: int) -> None:
    changed = BODY[:at] + byte + BODY[at + cut :]
    assert is_verified(HEADERS, changed) is (changed == BODY)


@given(name=st.sampled_from(SIGNED), data=st.data())
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_header_with_another_character_is_not_verified(name: str, data: st.DataObject) -> None:
    was = HEADERS[name]
    at, cut = data.draw(st.integers(0, len(was))), data.draw(st.integers(0, 2))
    changed = was[:at] + data.draw(st.text(max_size=2)) + was[at + cut :]
    assume(changed != was)
    if name == "Wechatpay-Signature":
        assume(not same_bytes(changed, was))  # base64 can spell the same bytes in several ways
    assert not is_verified(HEADERS | {name: changed})


def same_bytes(one: str, other: str) -> bool:
    try:
        return base64.b64decode(one, validate=True) == base64.b64decode(other, validate=True)
    except ValueError:
        return False


@pytest.mark.parametrize("name", SIGNED)
def test_without_one_of_its_headers_it_is_not_even_signed(name: str) -> None:
    for headers in ({**HEADERS, name: ""}, {key: value for key, value in HEADERS.items() if key != name}):
        with pytest.raises(Unsigned, match="header is missing"):
            verify(headers, BODY, KEYS, NOW)


@pytest.mark.parametrize("timestamp", ["soon", "-1", "1.5", "１７９５４０６４２０", "9" * 12, "9" * 5000, " "])
def test_a_timestamp_that_is_no_time_is_no_signature(timestamp: str) -> None:
    with pytest.raises(Unsigned, match="is not a time"):
        verify(HEADERS | {"Wechatpay-Timestamp": timestamp}, BODY, KEYS, NOW)


@pytest.mark.parametrize("apart", [timedelta(seconds=300), timedelta(seconds=-300), timedelta(days=365)])
def test_three_hundred_seconds_apart_is_too_far(apart: timedelta) -> None:
    with pytest.raises(Unverified, match="too far from now"):
        verify(HEADERS, BODY, KEYS, NOW + apart)


@pytest.mark.parametrize("apart", [timedelta(seconds=299.999), timedelta(seconds=-299.999)])
def test_less_than_three_hundred_seconds_apart_is_now(apart: timedelta) -> None:
    verify(HEADERS, BODY, KEYS, NOW + apart)


def test_a_key_that_is_not_ours_and_a_probe_say_so() -> None:
    with pytest.raises(Unverified, match="not one of our keys"):
        verify(HEADERS, BODY, {}, NOW)
    with pytest.raises(Unverified, match="is a probe"):
        verify(probe(HEADERS), BODY, KEYS, NOW)


def test_what_is_raised_holds_nothing_of_the_headers_or_the_body() -> None:
    with pytest.raises(Unverified) as raised:
        verify(HEADERS, BODY + b" ", KEYS, NOW)
    assert str(raised.value) == "the signature does not verify"
    assert raised.value.__suppress_context__
