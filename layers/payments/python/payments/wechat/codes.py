"""WeChat's codes and what each means for us: the one table for WeChat Pay v3 and the mini-program's server API.

WeChat Pay's codes are texts, some of them spelled in two ways in its documents; the mini-program's are numbers.
Standard library alone.
"""

from collections.abc import Mapping
from enum import StrEnum

Code = str | int
"""WeChat Pay's `code`, or the mini-program's `errcode`."""


class Meaning(StrEnum):
    """What a refusal means for us: who has to do something, and what."""

    FINAL = "final"  # the same parameters will never do
    ASK = "ask"  # the trade has a state that we do not know of: query it
    LATER = "later"  # nothing has happened and nothing is wrong with the request: the same again later
    NOT_ENOUGH = "not_enough"  # the merchant's balance is too low for the refund: someone has to fill it
    US = "us"  # this deployment, its settings, templates, rights, quota or addresses: it comes again, and rings
    LOGIN_CODE = "login_code"  # the phone's login code is unknown, used, too old, or of a blocked user
    TOKEN = "token"  # the access token: once more with a new one  # noqa: S105
    PAGE = "page"  # the page that a message opens: once more without it
    GUEST = "guest"  # the guest does not want the message: it ends there
    OPENID = "openid"  # no such openid, of a guest whom this mini-program does not know: the message ends there
    DONE = "done"  # it is done already: by us before, or by someone else
    NOT_FOUND = "not_found"  # WeChat does not know the trade (yet)


MEANING: Mapping[Code, Meaning] = {
    # WeChat Pay v3
    **dict.fromkeys(("INVALID_REQUEST", "OUT_TRADE_NO_USED", "TRADE_ERROR"), Meaning.ASK),
    **dict.fromkeys(("ORDER_PAID", "ORDERPAID", "ORDER_CLOSED", "ORDERCLOSED"), Meaning.ASK),
    # A prepay or a refund waits for our keys and rights as it waits for a frequency: they are mended for all at once.
    **dict.fromkeys(("SIGN_ERROR", "NO_AUTH", "NOAUTH", "REQUEST_BLOCKED"), Meaning.LATER),
    **dict.fromkeys(("ACCOUNT_ERROR", "ACCOUNTERROR"), Meaning.LATER),
    **dict.fromkeys(("FREQUENCY_LIMITED", "RATELIMIT_EXCEEDED", "RATE_LIMITED"), Meaning.LATER),
    **dict.fromkeys(("RULE_LIMIT", "RULELIMIT"), Meaning.LATER),
    **dict.fromkeys(("USER_PAYING", "USERPAYING"), Meaning.LATER),  # someone is typing the password
    **dict.fromkeys(("NOT_ENOUGH", "NOTENOUGH"), Meaning.NOT_ENOUGH),
    **dict.fromkeys(("MCH_NOT_EXISTS", "APPID_MCHID_NOT_MATCH"), Meaning.US),  # a refund waits until that is mended
    # the mini-program's server API
    -1: Meaning.LATER,
    45011: Meaning.LATER,  # too often in this minute
    43108: Meaning.LATER,  # another message to this guest is being sent
    **dict.fromkeys((40029, 40163, 40226), Meaning.LOGIN_CODE),
    **dict.fromkeys((40001, 40014, 42001), Meaning.TOKEN),
    41030: Meaning.PAGE,
    43101: Meaning.GUEST,  # refused, or no subscription is left
    40003: Meaning.OPENID,
    # its order management
    10060012: Meaning.LATER,
    10060019: Meaning.LATER,
    10060002: Meaning.DONE,  # it is shipped already
    10060023: Meaning.DONE,  # nothing has changed since the record before
    10060001: Meaning.NOT_FOUND,  # right after the payment it does not find the trade yet
    # A time that is not later. Ours are well formed, so a record is there already, and the next try finds it.
    268485216: Meaning.LATER,
}
"""A code that is not here: of WeChat Pay it is FINAL, and so it is of order management, about this one order. Any other
number is about US: 40037 the template, 47003 its fields, 48001 and 43107 a right, 45009 the day's quota, 40164 and
61004 the address, 40013 and 40125 appid and secret."""

ORDER_MANAGEMENT = 10_000_000
"""The codes of order management have eight digits or more; shorter ones are about the app."""

WAIT_WHATEVER_THE_CODE = {401, 429}
"""HTTP statuses: the signature, the frequency."""

FINAL_IN_SPITE_OF_500 = {"OPENID_MISMATCH", "INVALID_TRANSACTIONID"}
"""WeChat Pay says these with HTTP 500, which leaves the outcome unknown otherwise."""

SHIPPED = {2, 3, 4, 6}
"""get_order's order_state: shipped, confirmed, done, awaiting settlement. 1 is to be shipped; 5, refunded, says nothing
of shipping: it may be a part."""


def meaning(code: Code, status: int = 200) -> Meaning:
    """What a refusal with this code and HTTP status means for us; the mini-program's API answers 200 always."""
    if status in WAIT_WHATEVER_THE_CODE:
        return Meaning.LATER
    unknown = Meaning.FINAL if isinstance(code, str) or code >= ORDER_MANAGEMENT else Meaning.US
    return MEANING.get(code, unknown)
