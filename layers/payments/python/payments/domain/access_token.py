"""The mini-program's access token, which all functions share."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The access token of one mini-program."""

    appid: str
    access_token: str
    expires_at: datetime
