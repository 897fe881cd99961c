"""WeChat's mini-program server API: who logs in, and messages to users.

It answers HTTP 200 always; `errcode` tells. Its URLs carry the app secret or the access token, so no exception of the
HTTP library leaves this file: their texts hold the URL.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from payments.calls import OutOfTime, wechat_limits
from payments.domain.shipping import NOT_FOUND
from payments.edge.secret import app_secret
from payments.settings import setting, store
from payments.store.access_tokens import AccessToken, AccessTokens
from payments.wechat.session import wechat_session

TIMEOUT_S = (2.0, 4.0)
"""To connect, and for the whole reply; less where the function's own time is short."""

TOKEN_MARGIN = timedelta(minutes=5)
"""WeChat renews a token in its last five minutes."""


class About(StrEnum):
    """What a code of the mini-program API is about: it decides who has to do something."""

    WECHAT = "WeChat is busy: nothing has happened, the same again later"
    CODE = "the login code"
    TOKEN = "the access token: once more with a new one"  # noqa: S105
    PAGE = "the page that a message opens"
    GUEST = "the guest, who does not want the message: it ends there"
    MESSAGE = "this one message: it ends there"
    US = "this mini-program, its templates, rights, quota or addresses: it comes again, and rings"


ABOUT: Mapping[int, About] = {
    -1: About.WECHAT,
    10060012: About.WECHAT,
    10060019: About.WECHAT,
    45011: About.WECHAT,  # too often in this minute
    43108: About.WECHAT,  # another message to this guest is being sent
    40029: About.CODE,
    40163: About.CODE,
    40226: About.CODE,
    40001: About.TOKEN,
    40014: About.TOKEN,
    42001: About.TOKEN,
    41030: About.PAGE,
    43101: About.GUEST,  # refused, or no subscription is left
    40003: About.MESSAGE,  # no such openid: of a guest whom this mini-program does not know
}
"""The one table of codes. One that is not here is about us: 40037 the template, 47003 its fields, 48001 and 43107 a
right, 45009 the day's quota, 40164 and 61004 the address, 40013 and 40125 appid and secret. Those of order management,
eight digits long, `payments.domain.shipping` reads."""


def about(errcode: int) -> About:
    return ABOUT.get(errcode, About.US)


class CodeRefused(Exception):
    """The login code is unknown, used, too old, or of a blocked user."""


class NotReached(Exception):
    """WeChat could not be asked, or is busy: nothing has happened, try again later."""


class Blocked(NotReached):
    """Nothing has happened, and nothing will until someone mends what is wrong with us."""


class PerhapsDone(Exception):
    """The request went out and no answer came: it may have taken effect."""


class ApiRefused(Exception):
    """WeChat said no; `errcode` is its number."""

    def __init__(self, errcode: int) -> None:
        super().__init__(f"WeChat answered errcode {errcode}")
        self.errcode = errcode

    @property
    def about(self) -> About:
        return about(self.errcode)


@dataclass(frozen=True, slots=True)
class WechatUser:
    openid: str
    unionid: str | None


class MiniProgram:
    """The server API of one mini-program, on one kept-alive connection."""

    def __init__(self, appid: str, secret: str, base_url: str, tokens: AccessTokens) -> None:
        self.appid = appid
        self._secret = secret
        self._base_url = base_url
        self._tokens = tokens
        self._token: AccessToken | None = None
        self._session = wechat_session()

    def code2session(self, code: str) -> WechatUser:
        """Who the phone's login code stands for; a code works once. Raises CodeRefused, NotReached, ApiRefused."""
        query = {
            "appid": self.appid,
            "secret": self._secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        try:
            reply = self._call("GET", "/sns/jscode2session", query)
        except PerhapsDone:
            raise NotReached("no answer to code2session") from None
        except ApiRefused as refused:
            if refused.about is About.CODE:
                raise CodeRefused from None
            raise
        if not isinstance(openid := reply.get("openid"), str) or not openid:
            raise NotReached("code2session without openid")
        return WechatUser(openid, reply.get("unionid"))

    def send_message(
        self, openid: str, template_id: str, data: Mapping[str, str], state: str, page: str, now: datetime
    ) -> bool:
        """Sends a subscription message: `data` by field name (`thing1`, `amount2`); a tap on it opens `page` (empty:
        nothing). False when it went without its page, because the released version does not have that (41030).

        There is no idempotency: PerhapsDone must not be repeated. Raises ApiRefused, NotReached, PerhapsDone.
        """
        path = "/cgi-bin/message/subscribe/send"
        body = {
            "touser": openid,
            "template_id": template_id,
            "miniprogram_state": state,
            "lang": "zh_CN",
            "data": {name: {"value": value} for name, value in data.items()},
        }
        try:
            self._with_token(path, body | ({"page": page} if page else {}), now)
        except ApiRefused as refused:
            if not page or refused.about is not About.PAGE:
                raise
            self._with_token(path, body, now)
            return False
        return True

    def upload_shipping(self, body: Mapping[str, Any], now: datetime) -> None:
        """Records that an order is shipped (`Shipping.body`). Raises ApiRefused, NotReached, PerhapsDone."""
        self._with_token("/wxa/sec/order/upload_shipping_info", body, now)

    def order_state(self, transaction_id: str, now: datetime) -> int | None:
        """order_state of a paid trade in order management; None: it does not know the trade (yet).

        Raises NotReached, PerhapsDone.
        """
        try:
            reply = self._with_token("/wxa/sec/order/get_order", {"transaction_id": transaction_id}, now)
        except ApiRefused as refused:
            if refused.errcode == NOT_FOUND:
                return None
            raise NotReached(f"get_order: errcode {refused.errcode}") from None
        state = (reply.get("order") or {}).get("order_state")
        return state if isinstance(state, int) else None

    def _with_token(self, path: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """One call with the access token; a token that WeChat no longer takes is replaced once.

        Raises ApiRefused, NotReached, PerhapsDone.
        """
        try:
            token = self._access_token(now)
        except (BotoCoreError, ClientError, OutOfTime) as error:  # nothing has gone out: it may be tried again
            raise NotReached(f"the shared access token cannot be read: {type(error).__name__}") from None
        try:
            return self._call("POST", path, {"access_token": token.access_token}, body)
        except ApiRefused as refused:
            if refused.about is not About.TOKEN:
                raise
        token = self._renewed(token, now)
        try:
            return self._call("POST", path, {"access_token": token.access_token}, body)
        except ApiRefused as refused:
            if refused.about is About.TOKEN:
                raise Blocked(f"a new access token is refused too: errcode {refused.errcode}") from None
            raise

    def _access_token(self, now: datetime) -> AccessToken:
        """The shared token: from this process, from the table, or a new one."""
        token = self._token
        if token is None or token.expires_at <= now:
            token = self._tokens.get(self.appid)
        if token is None or token.expires_at <= now:
            return self._renewed(token, now)
        self._token = token
        return token

    def _renewed(self, failed: AccessToken | None, now: datetime) -> AccessToken:
        """A new token in the place of one that no longer serves; another process may have been quicker."""
        body = {"grant_type": "client_credential", "appid": self.appid, "secret": self._secret}
        try:
            reply = self._call("POST", "/cgi-bin/stable_token", {}, body)
        except PerhapsDone:
            raise NotReached("no answer to stable_token") from None
        except ApiRefused as refused:  # our appid or secret is wrong: the message itself was never tried
            raise Blocked(f"stable_token: errcode {refused.errcode}") from None
        access_token, expires_in = reply.get("access_token"), reply.get("expires_in")
        if not isinstance(access_token, str) or not isinstance(expires_in, int):
            raise NotReached("stable_token without a token")
        life = max(timedelta(seconds=expires_in) - TOKEN_MARGIN, timedelta(seconds=expires_in) / 2)
        token = AccessToken(appid=self.appid, access_token=access_token, expires_at=now + life)
        self._token = self._tokens.replace(token, failed.access_token if failed else None)
        return self._token

    def _call(
        self, verb: str, path: str, query: Mapping[str, str], body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """One call. Raises NotReached, PerhapsDone, ApiRefused."""
        try:
            reply = self._session.request(
                verb,
                self._base_url + path,
                params=query,
                # Not escaped: WeChat has shown \uXXXX to users as it stands.
                data=json.dumps(body, ensure_ascii=False).encode() if body else None,
                headers={"Content-Type": "application/json"},
                timeout=wechat_limits(*TIMEOUT_S),
                allow_redirects=False,
            )
        except OutOfTime as error:
            raise NotReached(str(error)) from None
        except requests.ConnectTimeout:
            raise NotReached("no connection in time") from None
        except requests.RequestException as error:
            raise PerhapsDone(type(error).__name__) from None
        try:
            values = reply.json()  # its Content-Type is text/plain
        except (ValueError, RecursionError):
            values = None
        if reply.status_code != 200 or not isinstance(values, dict):
            raise PerhapsDone(f"HTTP {reply.status_code}")
        errcode = values.get("errcode", 0)
        if not isinstance(errcode, int):
            raise PerhapsDone("an errcode that is no number")
        if errcode and about(errcode) is About.WECHAT:
            raise NotReached(f"errcode {errcode}")
        if errcode:
            raise ApiRefused(errcode)
        return values


def mini_program() -> MiniProgram:
    """The process's client; built again only when the app's secret has changed. Raises Misconfigured."""
    return _built(setting("APPID"), app_secret(), setting("MINI_PROGRAM_BASE_URL"))


@lru_cache(maxsize=1)
def _built(appid: str, secret: str, base_url: str) -> MiniProgram:
    return MiniProgram(appid, secret, base_url, store().access_tokens)
