"""All that the simulated WeChat knows: trades, users, tokens, notices, messages, and the faults that were asked for."""

import hashlib
import secrets
import string
from dataclasses import dataclass, field
from typing import Any

from simulator.clock import Clock, rfc3339
from simulator.credentials import Credentials

PREPAY_ID_LIFE_S = 2 * 3600
UNPAID_LIFE_S = 7 * 24 * 3600
_ALPHANUMERIC = string.ascii_letters + string.digits


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

    @property
    def out_trade_no(self) -> str:
        return str(self.request["out_trade_no"])

    @property
    def openid(self) -> str:
        return str(self.request["payer"]["openid"])


@dataclass(slots=True, kw_only=True)
class Notice:
    """A notification to the merchant and what came of its attempts."""

    id: str
    out_trade_no: str
    notify_url: str
    state: str = "waiting"  # waiting, delivered, given_up
    attempts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class User:
    name: str
    openid: str
    refuses_messages: bool = False


@dataclass(slots=True, kw_only=True)
class Fault:
    """The next `times` answers to `call` go wrong, before or after the call has taken effect."""

    call: str
    answer: str
    times: int = 1
    after_effect: bool = False
    fired: int = 0


@dataclass(slots=True)
class Switches:
    """What WeChat's documents leave open; both readings occur."""

    reentry_status: int = 400
    reentry_code: str = "INVALID_REQUEST"  # or 403 OUT_TRADE_NO_USED: other parameters than the first call's
    paid_status: int = 400
    paid_code: str = "ORDER_PAID"
    closed_status: int = 400
    closed_code: str = "ORDER_CLOSED"


class World:
    """The state of one simulated WeChat with one merchant and one mini-program."""

    def __init__(self, credentials: Credentials, clock: Clock | None = None) -> None:
        self.credentials = credentials
        self.clock = clock or Clock()
        self.switches = Switches()
        self.trades: dict[str, Trade] = {}
        self.prepay_ids: dict[str, Trade] = {}
        self.notices: list[Notice] = []
        self.messages: list[dict[str, Any]] = []
        self.users: dict[str, User] = {}  # by openid
        self.codes: dict[str, tuple[str, float]] = {}  # login code -> (openid, issued at)
        self.used_codes: set[str] = set()
        self.tokens: dict[str, float] = {}  # access token -> valid until
        self.current_token = ""
        self.faults: list[Fault] = []

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

    # --- trades

    def trade(self, out_trade_no: str) -> Trade | None:
        """The trade; one that was never paid is closed by WeChat after seven days."""
        found = self.trades.get(out_trade_no)
        if found and found.trade_state == "NOTPAY" and self.clock.now() - found.created_at > UNPAID_LIFE_S:
            found.trade_state = "CLOSED"
        return found

    def new_prepay_id(self, trade: Trade) -> str:
        now = self.clock.now()
        stamp = rfc3339(now)[:19].replace("-", "").replace(":", "").replace("T", "")
        prepay_id = f"wx{stamp}{secrets.token_hex(9)}"
        trade.prepay_ids[prepay_id] = now
        self.prepay_ids[prepay_id] = trade
        return prepay_id

    def pay(self, trade: Trade) -> None:
        """The money has moved: nothing undoes it."""
        now = self.clock.now()
        trade.trade_state = "SUCCESS"
        trade.transaction_id = f"42000{secrets.randbelow(10**5):05d}{rfc3339(now)[:10].replace('-', '')}"
        trade.transaction_id += f"{secrets.randbelow(10**10):010d}"
        trade.success_time = now
        trade.payer_total = trade.request["amount"]["total"]
