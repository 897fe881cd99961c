"""Texts that go to WeChat: whatever people typed, WeChat takes it, and nobody reads half a character."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payments.domain.message import thing
from payments.domain.refund import MAX_REASON, RefundOrigin, automatic_refund, merchant_refund
from payments.domain.shipping import shipping_of
from payments.domain.texts import Field, cleaned, for_wechat
from payments.products.homestay.offer import HOMESTAY
from simulator import mini_program, refunds, shipping
from simulator import pay as wechat
from simulator.world import Trade
from tests.examples import NOW, STAY, paid_payment, payment

FAMILY = "👨\u200d👩\u200d👧\u200d👦"
ODD = [
    *("\x00", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"),  # controls, line ends
    *("\u200b", "\u200c", "\u200d", "\u200e", "\u202e", "\u2066", "\u2069", "\u2060", "\ufeff", "\u00ad", "\u061c"),
    *("\ud83d", "\ude22", "\udfff", "\ud800"),  # halves of a pair
    *("\ue000", "\U000f0000", "\ufdd0", "\uffff", "\U0001ffff", "\u0378", "\U000e0fff"),  # private, none, not yet
    *("\u0301", "\u0301" * 30, "\u20e3", "\ufe0f", "\U0001d165", "\u093f", "\u0e33", "\u034f"),  # marks
    *("𠮷", "𪚥", "\U0002f804", "𝐀", "🄰", "𐍈", "🈀", "😢", FAMILY, "❤️\u200d🔥", "👍🏽", "🇨🇳", "1\ufe0f\u20e3", "☝🏽"),
    *("🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\U000e0067", "🏻"),
    *("\u3164", "\u2800", "\u115f", "\u3000", "\u00a0", " "),  # blanks
    *("长", "a", "é", "한", "\u1112\u1161\u11ab", "क्षि", "می\u200cخواهم", "ｶﾞ", "∑", "〓", "…", "\ufffc", "\ufffd"),
]
texts = st.lists(st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=()), max_size=3))).map(
    "".join
)


def prepay_takes(**changes: Any) -> None:
    body = {
        "appid": "wx1",
        "mchid": "1900000001",
        "description": "d",
        "out_trade_no": "HSO1_1234",
        "notify_url": "https://pay.example.com/wxpay/notify",
        "amount": {"total": 1, "currency": "CNY"},
        "payer": {"openid": "o1"},
    } | changes
    wechat.validated(wechat._Prepay, json.dumps(body), body)
    wechat.validated(wechat._Prepay, json.dumps(body, ensure_ascii=False), body)


def refund_takes(reason: str) -> None:
    body = {"out_trade_no": "HSO1_1", "out_refund_no": "r1", "reason": reason}
    body |= {"amount": {"refund": 1, "total": 1, "currency": "CNY"}}  # type: ignore[dict-item]
    wechat.validated(refunds._Request, json.dumps(body), body)


def shipping_takes(item_desc: str) -> None:
    trade = Trade(
        request={"out_trade_no": "1", "payer": {"openid": "o1"}, "amount": {"total": 1}}, created_at=0, time_expire=0
    )
    body = {
        "logistics_type": 3,
        "delivery_mode": 1,
        "shipping_list": [{"item_desc": item_desc}],
        "upload_time": "2026-11-24T13:29:35.120+08:00",
        "payer": {"openid": trade.openid},
    }
    assert shipping._wrong(trade, body) is None


def message_takes(text: str) -> None:
    assert mini_program._wrong_field({"thing1": {"value": text}}) == ""


TAKES = {
    Field.DESCRIPTION: lambda text: prepay_takes(description=text),
    Field.ATTACH: lambda text: prepay_takes(attach=text),
    Field.REASON: refund_takes,
    Field.ITEM_DESC: shipping_takes,
    Field.THING: message_takes,
}


@pytest.mark.parametrize("field", Field)
@given(text=texts)
@example(text="")
@example(text="😢")
@example(text="长" * 300)
@example(text="𠮷" * 300)
@example(text="e" + "\u0301" * 300)
@example(text=FAMILY * 40)
def test_wechat_takes_whatever_people_typed(field: Field, text: str) -> None:
    sent = for_wechat(field, text)
    TAKES[field](sent)
    assert sent.strip()
    assert len(sent.splitlines()) == 1
    assert for_wechat(field, sent) == sent
    unseen = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not [char for char in sent if unicodedata.category(char) in unseen]
    assert not set(sent) & set("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u00ad")
    assert unicodedata.category(sent[0])[0] != "M"
    assert sent[0] not in "\u200c\u200d"
    assert sent[-1] not in "\u200c\u200d"


@pytest.mark.parametrize("field", Field)
def test_the_simulator_refuses_what_is_too_long_or_of_another_plane(field: Field) -> None:
    limit = field.value
    most = min(limit.characters, limit.bytes // 3) if field is not Field.ATTACH else limit.characters
    longest = "长" * most
    TAKES[field](longest)
    with pytest.raises((wechat.WechatError, AssertionError)):
        TAKES[field]("长" * (most + 1))
    if not limit.all_planes:
        for other in ("𠮷", "😢", "\ud83d", "\ude22"):
            with pytest.raises((wechat.WechatError, AssertionError)):
                TAKES[field](f"a{other}")


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("客人取消😢", "客人取消"),
        ("𠮷野家", "〓野家"),
        ("\U0002f804好", "你好"),  # a compatibility form has its plain one
        ("𝐀𝟏", "A1"),
        (FAMILY + "亲子房", "亲子房"),
        ("❤️\u200d🔥热", "热"),
        ("❤️热", "❤️热"),
        ("☝🏽见", "见"),
        ("1\ufe0f\u20e3号", "1\ufe0f\u20e3号"),
        ("改\x00期\n再\u2028说", "改 期 再 说"),
        ("\u202e消取\u202c", "消取"),
        ("a\u200bb\ufeffc\u00add", "abcd"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # joins letters: it is spelling
        ("a\ud83db\ude22", "ab"),
        ("\ue000\ufdd0\uffff\u0378x", "x"),
        ("\u0301\u0301长", "长"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
        ("\u3164\u2800 ", "商家退款"),
        ("😢🈳\U000f0000", "空"),  # 🈳 has a plain form
        ("😢", "商家退款"),
        ("", "商家退款"),
        ("长" * 26, "长" * 26),
        ("长" * 27, "长" * 25 + "…"),
        ("a" * 81, "a" * 77 + "…"),
    ],
)
def test_a_reason_is_cleaned_in_one_way(text: str, sent: str) -> None:
    assert for_wechat(Field.REASON, text) == sent


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("长" * 20, "长" * 20),
        ("长" * 21, "长" * 19 + "…"),
        ("两行\n文字\u2028再\x00来", "两行 文字 再 来"),
        (" \n", "-"),
        ("长" * 18 + "😀长", "长" * 18 + "…"),  # an emoji counts two
        ("长" * 10 + FAMILY, "长" * 10 + "…"),
        ("长" * 9 + FAMILY, "长" * 9 + FAMILY),
        ("长" * 17 + "👍🏽" + "长", "长" * 17 + "…"),
        ("长" * 13 + "🇨🇳🇫🇷", "长" * 13 + "🇨🇳…"),  # half a flag more would have room
        ("长" * 18 + "e\u0301" + "长长", "长" * 18 + "…"),
        ("长" * 16 + "1\ufe0f\u20e3" + "长" * 3, "长" * 16 + "1\ufe0f\u20e3…"),
        ("字 " * 20, "字 字 字 字 字 字 字 字 字 字…"),
        (
            "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f" * 2,
            "🏴" + "\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f…",
        ),
        (FAMILY * 2, FAMILY + "…"),
        ("家" + "\u094d\u0915" * 30, "-"),  # one that people see as one, and that has no room
    ],
)
def test_a_thing_has_one_to_twenty_characters_and_none_is_cut_in_half(text: str, cut: str) -> None:
    assert thing(text) == cut


@given(texts)
def test_what_wechat_takes_is_left_as_it_is_but_for_what_nobody_sees(text: str) -> None:
    plain = "".join(char for char in text if "\u4e00" <= char <= "\u9fff" or " " < char <= "~")
    assert cleaned(plain) == cleaned(plain, all_planes=True) == plain


# --- what is stored is what goes out


ANGRY = "😡" * 32


def test_a_bill_never_says_nothing() -> None:
    from dataclasses import replace

    assert HOMESTAY.bill(replace(STAY, title=ANGRY)) == "订单 2晚"
    assert HOMESTAY.bill(replace(STAY, title="湖景🏠𠮷屋")) == "湖景〓屋 2晚"
    assert shipping_of(paid_payment(), NOW).item_desc == "西湖边的小屋 2晚"


@given(texts)
def test_a_refund_is_stored_as_it_goes_out(reason: str) -> None:
    """Its body is rebuilt from the stored refund alone: a repeat must be the same to the byte."""
    wanted = merchant_refund(
        payment(), amount_fen=1, reason=reason, staff="anna", key="key-12345", body_hash="b", now=NOW
    )
    refund_takes(wanted.reason)
    assert wanted.reason == for_wechat(Field.REASON, wanted.reason)
    assert len(wanted.reason) <= max(len(reason), 4)


def test_our_own_reasons_are_taken_as_they_are() -> None:
    for origin in (RefundOrigin.LATE, RefundOrigin.SECOND):
        assert automatic_refund(payment(), origin, NOW).reason.endswith("原路退回")
    assert for_wechat(Field.REASON, "长" * MAX_REASON) == "长" * MAX_REASON
