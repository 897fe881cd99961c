"""What a call to WeChat may fail with: one tree for WeChat Pay v3 and the mini-program's server API.

Each error is named for what its caller can do. No text holds an address, a key or an openid.
"""

from payments.wechat.codes import Code, Meaning, meaning


class WechatError(Exception):
    """The call has not brought what it was made for. Who asks again later in any case catches this one."""


class OutcomeUnknown(WechatError):
    """The call may or may not have taken effect. Where it is idempotent, repeat it with the same number and the same
    parameters, never with a new number (R1); where it is not, never repeat it."""


class NotReached(WechatError):
    """Surely nothing has happened: the same call again later."""


class Blocked(NotReached):
    """Nothing has happened, and nothing will until someone mends what is wrong with us."""


class Refused(WechatError):
    """WeChat said no: `code` as WeChat spells it, and the HTTP status."""

    def __init__(self, code: Code, status: int = 200) -> None:
        super().__init__(f"errcode {code}" if isinstance(code, int) else f"WeChat Pay answered {status} {code}")
        self.code = code
        self.status = status

    @property
    def meaning(self) -> Meaning:
        return meaning(self.code, self.status)
