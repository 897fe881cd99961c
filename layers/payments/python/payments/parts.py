"""The one place where a function's parts are put together: its settings, the store, WeChat, the topic, the clock.

A function names the parts that it uses; they are built at Lambda's start-up, the others never. Tests build Parts with
clients, a clock and doubles of their own, and patch nothing.
"""

import base64
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from random import Random, SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

import boto3

from payments.calls import AWS_CALLS, SECRET_CALLS, bounded
from payments.domain.times import utc_now
from payments.edge.observability import instrumented, unreadable
from payments.settings import Misconfigured, SecretKind, Settings

if TYPE_CHECKING:  # each is loaded where it is built: a function pays at its start for what it uses
    from aws_lambda_powertools.utilities.typing import LambdaContext

    from payments.edge.events import Event
    from payments.edge.secret import Secret
    from payments.products import Products
    from payments.store.store import Store
    from payments.wechat.keys import VerificationSecret
    from payments.wechat.mini_program import MiniProgram
    from payments.wechat.pay import WechatPay

T = TypeVar("T")


class _Absent:
    """Stands in the place of a part that is not there: whoever uses it gets the reason as an exception."""

    def __init__(self, why: Exception) -> None:
        self._why = why

    def __getattr__(self, _: str) -> Any:
        raise self._why

    def __call__(self, *_: object) -> Any:
        raise self._why


UNNAMED: Any = _Absent(AttributeError("the function uses a part that it does not name to LambdaFunction"))


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a handler works with."""

    settings: Settings
    clock: Callable[[], datetime] = utc_now
    random: Random = field(default_factory=SystemRandom)
    store: "Store" = UNNAMED
    wechat_pay: "WechatPay" = UNNAMED
    mini_program: "MiniProgram" = UNNAMED
    publish: "Callable[[Event], None]" = UNNAMED
    set_aside: Callable[[str], None] = UNNAMED
    """Sends a stream record that cannot be read to the dead letters, as this text."""
    verification: "Secret[VerificationSecret]" = UNNAMED
    token_keys: "Secret[tuple[str, ...]]" = UNNAMED
    products: "Products" = UNNAMED
    """What is sold here."""

    def attempt(self) -> str:
        """An id for one attempt at a write, 6 characters: the store knows a repeated write of the attempt by it
        (R11)."""
        return base64.urlsafe_b64encode(self.random.randbytes(4)).rstrip(b"=").decode()

    def only(self, names: Iterable[str]) -> "Parts":
        """These parts without those that are not among the names."""
        named = {name: getattr(self, name) for name in ("settings", "clock", "random", *names)}
        return Parts(**named)


def aws(service: str) -> Any:
    """A client of an AWS service. All of a process come from boto3's one session: a second one takes longer to make
    than most calls do."""
    config = SECRET_CALLS if service == "secretsmanager" else AWS_CALLS
    return bounded(boto3.client(service, config=config))  # type: ignore[call-overload]


class _Builder:
    """Builds parts from the settings and AWS clients, each when it is first asked for."""

    def __init__(self, settings: Settings, client: Callable[[str], Any], clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock

    @cached_property
    def store(self) -> "Store":
        from payments.store.store import Store

        author = self._settings.optional("POWERTOOLS_SERVICE_NAME")
        return Store(self._client("dynamodb"), self._settings["TABLE_NAME"], self._clock, author, unreadable)

    @cached_property
    def wechat_pay(self) -> "WechatPay":
        from payments.wechat.keys import MERCHANT
        from payments.wechat.pay import WechatPay

        merchant, verification = self._secret(MERCHANT).value, self.verification.value
        return WechatPay(merchant, verification, self._settings["MCHID"], self._settings["WECHAT_PAY_BASE_URL"])

    @cached_property
    def mini_program(self) -> "MiniProgram":
        from payments.wechat.keys import APP
        from payments.wechat.mini_program import MiniProgram

        appid, base_url = self._settings["APPID"], self._settings["MINI_PROGRAM_BASE_URL"]
        return MiniProgram(appid, self._secret(APP).value, base_url, self.store.access_tokens)

    @cached_property
    def publish(self) -> "Callable[[Event], None]":
        from payments.edge.topic import Topic

        return Topic(self._client("sns"), self._settings["TOPIC_ARN"]).publish

    @cached_property
    def set_aside(self) -> Callable[[str], None]:
        sqs, url = self._client("sqs"), self._settings["STREAM_DLQ_URL"]
        return lambda letter: sqs.send_message(QueueUrl=url, MessageBody=letter)

    @cached_property
    def verification(self) -> "Secret[VerificationSecret]":
        from payments.wechat.keys import VERIFICATION

        return self._secret(VERIFICATION)

    @cached_property
    def token_keys(self) -> "Secret[tuple[str, ...]]":
        from payments.edge.tokens import TOKEN

        return self._secret(TOKEN)

    @cached_property
    def products(self) -> "Products":
        from payments.products import PRODUCTS

        return PRODUCTS

    def _secret(self, kind: "SecretKind[T]") -> "Secret[T]":
        from payments.edge.secret import Secret

        return Secret(kind, self._settings, self._client("secretsmanager"))


def build(
    settings: Settings,
    names: Iterable[str],
    *,
    client: Callable[[str], Any] | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Parts:
    """The named parts; one that the deployment lacks a setting for raises Misconfigured when it is used. `client` makes
    the client of an AWS service: `aws`, if nothing else is given."""
    builder, built = _Builder(settings, client or aws, clock), dict[str, Any]()
    for name in names:
        try:
            built[name] = getattr(builder, name)
        except Misconfigured as error:
            built[name] = _Absent(error)
    return Parts(settings=settings, clock=clock, **built)


Handle = Callable[[dict[str, Any], Parts], Any]


class LambdaFunction:
    """What Lambda calls: `handle` with the parts that it names, built once per process; within Lambda at start-up,
    before the first request."""

    def __init__(self, handle: Handle, *names: str) -> None:
        """`names`: the parts that `handle` uses, as `Parts` calls them."""
        self.names = names
        parts = cache(lambda: build(Settings(os.environ), names))
        if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
            parts()
        self._run = instrumented(handle, parts)

    def __call__(self, event: dict[str, Any], context: "LambdaContext") -> Any:
        return self._run(event, context)
