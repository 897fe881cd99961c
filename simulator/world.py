"""All that the simulated WeChat knows: trades, users, tokens, notices, messages, and the faults that were asked for."""

import contextlib
import hashlib
import itertools
import random
import re
import secrets
import string
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from simulator.clock import Clock, rfc3339
from simulator.credentials import Credentials

if TYPE_CHECKING:
    from simulator.bills import Bill

KEEP = 10_000
KEEP_CALLS = 100
PREPAY_ID_LIFE_S = 2 * 3600
UNPAID_LIFE_S = 7 * 24 * 3600
_ALPHANUMERIC = string.ascii_letters + string.digits


@dataclass(slots=True, kw_only=True)
class Shipment:
    """What was recorded of an order's shipping; it may be changed once."""

    body: dict[str, Any]
    uploaded_at: float
    changes: int = 0


@dataclass(slots=True, kw_only=True)
class Trade:
    """One trade, as WeChat keeps it. Sums in fen, moments in seconds since 1970."""

    request: dict[str, Any]  # the first prepay's parameters: a repeat must be the same
    created_at: float
    time_expire: float
    trade_state: str = "NOTPAY"
    prepay_ids: dict[str, float] = field(default_factory=dict)
    transaction_id: str = ""
    success_time: float = 0.0
    payer_total: int = 0
    coupon_type: str = "NOCASH"  # or CASH: somebody has paid for the coupon, the merchant gets the whole total
    refunds: "list[Refund]" = field(default_factory=list)
    shipment: Shipment | None = None

    @property
    def out_trade_no(self) -> str:
        return str(self.request["out_trade_no"])

    @property
    def paid(self) -> bool:
        """REFUND is what a paid trade becomes at its first refund."""
        return self.trade_state in {"SUCCESS", "REFUND"}

    @property
    def openid(self) -> str:
        return str(self.request["payer"]["openid"])

    @property
    def total(self) -> int:
        return int(self.request["amount"]["total"])

    @property
    def coupon(self) -> int:
        """What a coupon has paid of a paid trade."""
        return self.total - self.payer_total

    @property
    def settlement_total(self) -> int:
        """What the merchant gets of a paid trade, before the fee: a NOCASH coupon is his own discount."""
        return self.total if self.coupon_type == "CASH" else self.payer_total


@dataclass(slots=True, kw_only=True)
class Refund:
    """One refund, as WeChat keeps it."""

    request: dict[str, Any]  # the first call's parameters: a repeat must be the same
    trade: Trade
    refund_id: str
    created_at: float
    due_at: float
    discount: int = 0  # of the trade's coupon, in `amount`
    settlement_left: int = 0  # of the trade's settlement_total, before this refund
    status: str = "PROCESSING"
    ends_as: str = "SUCCESS"
    success_time: float = 0.0

    @property
    def out_refund_no(self) -> str:
        return str(self.request["out_refund_no"])

    @property
    def amount(self) -> int:
        return int(self.request["amount"]["refund"])

    @property
    def settlement_refund(self) -> int:
        """What the merchant gives back."""
        return self.amount if self.trade.coupon_type == "CASH" else self.amount - self.discount


@dataclass(slots=True, kw_only=True)
class Notice:
    """A notification to the merchant and what came of its attempts."""

    id: str
    out_trade_no: str
    event_type: str
    notify_url: str
    state: str = "waiting"  # waiting, delivered, given_up
    attempts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Call:
    """One call over the wire, to WeChat or from it, for those who watch. `at`: seconds since 1970 by the real clock."""

    n: int
    call: str  # as in `faults`, and `cashier`, `callback`
    at: float
    detail: str = ""  # event_type of a callback, template_id of a message
    fault: str = ""  # the answer of the fault that it met
    status: int = 0  # HTTP; 0: no answer
    code: str = ""  # WeChat's own word when it says no
    ms: float | None = None  # None: under way


@dataclass(slots=True, kw_only=True)
class User:
    name: str
    openid: str
    refuses_messages: bool = False
    quota: dict[str, int] = field(default_factory=dict)  # messages left, by template; one that is not here has no limit


@dataclass(slots=True, kw_only=True)
class Fault:
    """The next `times` chances of `call` go wrong as `answer` says, before or after the call has taken effect."""

    call: str
    answer: str
    times: int = 1
    after_effect: bool = False
    out_trade_no: str = ""  # of this trade only
    probability: float = 1.0
    seed: int = 0
    value: float = 0.0  # seconds, fen, copies, rows, or which one, as the answer needs it
    fired: int = 0
    chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - a fault must be repeatable, not secret


@dataclass(slots=True)
class Switches:
    """What WeChat's documents leave open; both readings occur."""

    reentry_status: int = 400
    reentry_code: str = "INVALID_REQUEST"  # or 403 OUT_TRADE_NO_USED: other parameters than the first call's
    paid_status: int = 400
    paid_code: str = "ORDER_PAID"
    closed_status: int = 400
    closed_code: str = "ORDER_CLOSED"
    refund_associated_data: str = "refund"  # or ""
    same_notice_id: bool = True  # whether the repeats of a notice keep its id
    certificate_mode: bool = False  # a merchant from before the public keys: /v3/certificates answers


class World:
    """The state of one simulated WeChat with one merchant and one mini-program."""

    def __init__(self, credentials: Credentials, clock: Clock | None = None, keep: int = KEEP) -> None:
        """`keep`: how many trades, notices and messages are remembered; the oldest are forgotten first."""
        self.credentials = credentials
        self.clock = clock or Clock()
        self.keep = keep
        self._calls = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Forgets everything but the credentials and the clock."""
        self.switches = Switches()
        self.trades: dict[str, Trade] = {}
        self.prepay_ids: dict[str, Trade] = {}
        self.transactions: dict[str, Trade] = {}
        self.refunds: dict[str, Refund] = {}
        self.bills: dict[str, Bill] = {}
        self.notices: deque[Notice] = deque(maxlen=self.keep)
        self.messages: deque[dict[str, Any]] = deque(maxlen=self.keep)
        self.calls: dict[str, list[Call]] = {}  # by out_trade_no; messages by openid
        self.users: dict[str, User] = {}  # by openid
        self.codes: dict[str, tuple[str, float]] = {}  # login code -> (openid, issued at)
        self.used_codes: dict[str, None] = {}
        self.tokens: dict[str, float] = {}  # access token -> valid until
        self.current_token = ""
        self.forced: list[float] = []  # moments of force_refresh
        self.faults: list[Fault] = []
        self.balance: int | None = None  # of the merchant, in fen; None: enough for every refund

    def reset_clock(self) -> None:
        """Real time again. What lives or is on its way keeps the time that it has left: login codes, tokens,
        prepay_ids, download addresses, refunds, notices. What has happened keeps its moment, which may lie ahead now.
        """
        back = self.clock.reset()
        self.codes = {code: (openid, issued_at - back) for code, (openid, issued_at) in self.codes.items()}
        self.tokens = {token: until - back for token, until in self.tokens.items()}
        self.forced = [moment - back for moment in self.forced]
        self.bills = {token: replace(bill, until=bill.until - back) for token, bill in self.bills.items()}
        for trade in self.trades.values():
            trade.prepay_ids = {prepay_id: made_at - back for prepay_id, made_at in trade.prepay_ids.items()}
        for refund in self.refunds.values():
            refund.due_at -= back

    # --- users

    def user(self, name: str) -> User:
        """The user of this name; his openid is the same in every world with this appid."""
        digest = hashlib.sha256(f"{self.credentials.appid}:{name}".encode()).digest()
        openid = "o" + "".join(_ALPHANUMERIC[byte % len(_ALPHANUMERIC)] for byte in digest[:27])
        return self.users.setdefault(openid, User(name=name, openid=openid))

    def login_code(self, name: str) -> str:
        """What wx.login gives the phone: good once, for five minutes."""
        code = "0" + "".join(secrets.choice(_ALPHANUMERIC) for _ in range(31))
        self.codes[code] = (self.user(name).openid, self.clock.now())
        return code

    # --- calls

    @contextlib.contextmanager
    def watched(self, call: str, about: str, detail: str = "") -> Iterator[Call]:
        """Remembers a call while it runs and after it, the newest hundred of each `about`: a trade or an openid."""
        seen = Call(n=next(self._calls), call=call, at=time.time(), detail=detail)
        if about:
            known = self.calls.setdefault(about, [])
            known.append(seen)
            del known[:-KEEP_CALLS]
            if len(self.calls) > 2 * self.keep:
                self.calls.pop(next(iter(self.calls)))
        try:
            yield seen
        finally:
            seen.ms = round((time.time() - seen.at) * 1000, 1)

    # --- trades

    def add(self, trade: Trade) -> None:
        """Remembers a new trade, and forgets the oldest one of too many with all that belongs to it."""
        self.trades[trade.out_trade_no] = trade
        if len(self.trades) > self.keep:
            oldest = self.trades.pop(next(iter(self.trades)))
            self.calls.pop(oldest.out_trade_no, None)
            self.transactions.pop(oldest.transaction_id, None)
            for prepay_id in oldest.prepay_ids:
                self.prepay_ids.pop(prepay_id, None)
            for refund in oldest.refunds:
                self.refunds.pop(refund.out_refund_no, None)

    def trade(self, out_trade_no: str) -> Trade | None:
        """The trade; one that was never paid is closed by WeChat after seven days."""
        found = self.trades.get(out_trade_no)
        if found and found.trade_state == "NOTPAY" and self.clock.now() - found.created_at > UNPAID_LIFE_S:
            found.trade_state = "CLOSED"
        return found

    def new_prepay_id(self, trade: Trade) -> str:
        now = self.clock.now()
        prepay_id = f"wx{_stamp(now)}{secrets.token_hex(9)}"
        trade.prepay_ids[prepay_id] = now
        self.prepay_ids[prepay_id] = trade
        return prepay_id

    def pay(self, trade: Trade, coupon: int = 0, coupon_type: str = "NOCASH") -> None:
        """The money has moved: nothing undoes it. A coupon (fen; at most the total) lowers what the payer gives."""
        now = self.clock.now()
        trade.trade_state = "SUCCESS"
        trade.transaction_id = f"42000{secrets.randbelow(10**5):05d}{_stamp(now)[:8]}{secrets.randbelow(10**10):010d}"
        trade.success_time = now
        trade.payer_total, trade.coupon_type = max(trade.total - coupon, 0), coupon_type
        self.transactions[trade.transaction_id] = trade


def _stamp(moment: float) -> str:
    """`20261123120000`, Beijing time."""
    return re.sub(r"\D", "", rfc3339(moment)[:19])
