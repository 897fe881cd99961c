"""login: the code of wx.login becomes a user and a token.

Run twice with one code: WeChat takes a code once, so the second call gets 401. The user's item is put once and stays.
"""

import base64
import hashlib
from typing import Annotated, Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Field

from payments.domain.times import utc_now
from payments.edge.http import Api, Body, Problem, wechat_down
from payments.edge.observability import count, instrumented, logger
from payments.edge.secret import token_keys
from payments.edge.tokens import LIFE, Identity, Role, issue
from payments.settings import store
from payments.store.users import User
from payments.wechat.codes import Meaning
from payments.wechat.errors import Refused, WechatError
from payments.wechat.mini_program import mini_program

MAX_OPENID = 40
"""WeChat's are 28 characters; the table's items are sized for this."""

app = Api()


class Login(Body):
    code: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,128}$")]


class SignedIn(Body):
    token: str
    expires_in: int
    user_id: str


@app.post("/login")
def login(body: Login) -> SignedIn:
    """Signs in with the code of wx.login. 401: the code is unknown, used or too old."""
    client = mini_program()
    try:
        wechat_user = client.code2session(body.code)
    except WechatError as error:
        if isinstance(error, Refused) and error.meaning is Meaning.LOGIN_CODE:
            detail = "Call wx.login again."
            raise Problem(401, "bad-code", "This login code is unknown, used or too old.", detail) from None
        logger.warning("login.failed", why=str(error))
        raise wechat_down("Sign in again in a few seconds.") from None
    if len(wechat_user.openid) > MAX_OPENID:
        raise Problem(502, "wechat-refused", "WeChat answered an openid that is too long.")
    now = utc_now()
    user_id = user_id_of(client.appid, wechat_user.openid)
    if store().users.get(user_id) is None:
        user = User(user_id=user_id, openid=wechat_user.openid, unionid=wechat_user.unionid, created_at=now)
        store().users.put(user)
    logger.info("user.signed_in", user_id=user_id)
    count("SignedIn")
    token = issue(Identity(user_id, Role.USER), token_keys(), now)
    return SignedIn(token=token, expires_in=int(LIFE.total_seconds()), user_id=user_id)


def user_id_of(appid: str, openid: str) -> str:
    """The same user gets the same id for ever, without a look-up; the openid cannot be read from it."""
    digest = hashlib.sha256(f"{appid}:{openid}".encode()).digest()
    return "u" + base64.b32encode(digest)[:26].decode().lower()


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    return app.resolve(event, context)
