"""WeChat's mini-program server API: who logs in, and messages to users.

It answers HTTP 200 always; a refusal has an `errcode`. Its URLs carry the app secret or the access token, so no
exception of the HTTP library leaves this file: their texts hold the URL.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import requests
from botocore.exceptions import BotoCoreError, ClientError

from payments.calls import OutOfTime, wechat_limits
from payments.edge.secret import app_secret
from payments.settings import setting, store
from payments.store.access_tokens import AccessToken, AccessTokens
from payments.wechat.codes import Meaning, meaning
from payments.wechat.errors import Blocked, NotReached, OutcomeUnknown, Refused
from payments.wechat.session import wechat_session

TIMEOUT_S = (2.0, 4.0)
"""To connect, and for the whole reply; less where the function's own time is short."""

TOKEN_MARGIN = timedelta(minutes=5)
"""WeChat renews a token in its last five minutes."""


@dataclass(frozen=True, slots=True)
class WechatUser:
    openid: str
    unionid: str | None


class MiniProgram:
    """The server API of one mini-program, on one kept-alive connection."""

    def __init__(
        self, appid: str, secret: str, base_url: str, tokens: AccessTokens, session: requests.Session | None = None
    ) -> None:
        self.appid = appid
        self._secret = secret
        self._base_url = base_url
        self._tokens = tokens
        self._token: AccessToken | None = None
        self._session = session or wechat_session()

    def code2session(self, code: str) -> WechatUser:
        """Who the phone's login code stands for; a code works once. Raises WechatError."""
        query = {
            "appid": self.appid,
            "secret": self._secret,
            "js_code": code,
            "grant_type": "authorization_code",
        }
        reply = self._call("GET", "/sns/jscode2session", query)
        if not isinstance(openid := reply.get("openid"), str) or not openid:
            raise NotReached("code2session without openid")
        return WechatUser(openid, reply.get("unionid"))

    def send_message(
        self, openid: str, template_id: str, data: Mapping[str, str], state: str, page: str, now: datetime
    ) -> bool:
        """Sends a subscription message: `data` by field name (`thing1`, `amount2`); a tap on it opens `page` (empty:
        nothing). False when it went without its page, because the released version does not have that (41030).

        There is no idempotency: what is OutcomeUnknown must not be repeated. Raises WechatError.
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
        except Refused as refused:
            if not page or refused.meaning is not Meaning.PAGE:
                raise
            self._with_token(path, body, now)
            return False
        return True

    def upload_shipping(self, body: Mapping[str, Any], now: datetime) -> None:
        """Records that an order is shipped (`Shipping.body`). Raises WechatError."""
        self._with_token("/wxa/sec/order/upload_shipping_info", body, now)

    def order_state(self, transaction_id: str, now: datetime) -> int | None:
        """order_state of a paid trade in order management; None: it does not know the trade (yet).

        Raises NotReached, OutcomeUnknown.
        """
        try:
            reply = self._with_token("/wxa/sec/order/get_order", {"transaction_id": transaction_id}, now)
        except Refused as refused:
            if refused.meaning is Meaning.NOT_FOUND:
                return None
            raise NotReached(f"get_order: {refused}") from None
        state = (reply.get("order") or {}).get("order_state")
        return state if isinstance(state, int) else None

    def _with_token(self, path: str, body: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """One call with the access token; a token that WeChat no longer takes is replaced once. Raises WechatError."""
        try:
            token = self._access_token(now)
        except (BotoCoreError, ClientError, OutOfTime) as error:  # nothing has gone out: it may be tried again
            raise NotReached(f"the shared access token cannot be read: {type(error).__name__}") from None
        try:
            return self._call("POST", path, {"access_token": token.access_token}, body)
        except Refused as refused:
            if refused.meaning is not Meaning.TOKEN:
                raise
        token = self._renewed(token, now)
        try:
            return self._call("POST", path, {"access_token": token.access_token}, body)
        except Refused as refused:
            if refused.meaning is Meaning.TOKEN:
                raise Blocked(f"a new access token is refused too: {refused}") from None
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
        except OutcomeUnknown:
            raise NotReached("no answer to stable_token") from None
        except Refused as refused:  # our appid or secret is wrong: the message itself was never tried
            raise Blocked(f"stable_token: {refused}") from None
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
        """One call. Raises NotReached, OutcomeUnknown, Refused."""
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
            raise OutcomeUnknown(type(error).__name__) from None
        try:
            values = reply.json()  # its Content-Type is text/plain
        except (ValueError, RecursionError):
            values = None
        if reply.status_code != 200 or not isinstance(values, dict):
            raise OutcomeUnknown(f"HTTP {reply.status_code}")
        errcode = values.get("errcode", 0)
        if not isinstance(errcode, int):
            raise OutcomeUnknown("an errcode that is no number")
        if not errcode:
            return values
        if meaning(errcode) is Meaning.LATER:
            raise NotReached(f"errcode {errcode}")
        raise Refused(errcode)


def mini_program() -> MiniProgram:
    """The process's client; built again only when the app's secret has changed. Raises Misconfigured."""
    return _built(setting("APPID"), app_secret(), setting("MINI_PROGRAM_BASE_URL"))


@lru_cache(maxsize=1)
def _built(appid: str, secret: str, base_url: str) -> MiniProgram:
    return MiniProgram(appid, secret, base_url, store().access_tokens)
