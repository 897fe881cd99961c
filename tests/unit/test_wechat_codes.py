"""What WeChat's codes mean for us (R1), and how a refusal reads."""

import pytest

from payments.wechat.codes import Code, Meaning
from payments.wechat.errors import Refused


@pytest.mark.parametrize(
    ("means", "codes"),
    [
        (Meaning.ASK, ["INVALID_REQUEST", "OUT_TRADE_NO_USED", "TRADE_ERROR", "ORDERPAID", "ORDER_CLOSED"]),
        (Meaning.LATER, ["SIGN_ERROR", "NOAUTH", "ACCOUNT_ERROR", "REQUEST_BLOCKED", "RULELIMIT", "USERPAYING"]),
        (Meaning.NOT_ENOUGH, ["NOT_ENOUGH", "NOTENOUGH"]),
        (Meaning.US, ["MCH_NOT_EXISTS", "APPID_MCHID_NOT_MATCH"]),
        (Meaning.FINAL, ["PARAM_ERROR", "RESOURCE_NOT_EXISTS", "a code that nobody has seen"]),
    ],
)
def test_wechat_pays_codes(means: Meaning, codes: list[Code]) -> None:
    assert {Refused(code, 400).meaning for code in codes} == {means}


@pytest.mark.parametrize("code", ["PARAM_ERROR", "ORDER_PAID", "MCH_NOT_EXISTS", ""])
def test_a_signature_or_a_frequency_is_tried_again_whatever_the_code(code: str) -> None:
    assert [Refused(code, status).meaning for status in (401, 429)] == [Meaning.LATER] * 2


@pytest.mark.parametrize(
    ("means", "codes"),
    [
        (Meaning.LATER, [-1, 45011, 43108, 10060012, 10060019]),
        (Meaning.LOGIN_CODE, [40029, 40163, 40226]),
        (Meaning.TOKEN, [40001, 40014, 42001]),
        (Meaning.PAGE, [41030]),
        (Meaning.GUEST, [43101]),
        (Meaning.OPENID, [40003]),
        (Meaning.US, [40037, 47003, 48001, 43107, 45009, 40164, 61004, 40013, 40125, 47001, 45168, 99999]),
        (Meaning.DONE, [10060002, 10060023]),
        (Meaning.NOT_FOUND, [10060001]),
        (Meaning.FINAL, [10060003, 10060004, 10060005, 10060014, 10060031, 268485226]),
    ],
)
def test_the_mini_programs_codes(means: Meaning, codes: list[Code]) -> None:
    assert {Refused(code).meaning for code in codes} == {means}


@pytest.mark.parametrize("errcode", [10060001, 268485216, 40013, 40164, 47001, 48001, 61004])
def test_not_found_yet_and_what_is_about_the_app_come_again(errcode: int) -> None:
    assert Refused(errcode).meaning is not Meaning.FINAL


def test_a_refusal_reads_as_wechat_calls_it() -> None:
    assert str(Refused(43101)) == "errcode 43101"
    assert str(Refused("NOT_ENOUGH", 403)) == "WeChat Pay answered 403 NOT_ENOUGH"
