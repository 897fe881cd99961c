"""The HTTP edge: JSON in and out, errors as problem+json (RFC 9457) that say what to do and hide what is inside.

Problem types are stable names, `urn:wxpay:<name>`; clients may branch on them.
"""

import base64
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Annotated, Any, Generic, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError, ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestUnsupportedContentType, RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Header, Path
from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.exceptions import HTTPClientError
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    create_model,
    field_validator,
)

from payments.calls import OutOfTime, request_id
from payments.domain.offer import is_day
from payments.domain.stock import SoldOut
from payments.edge.observability import came_from, described, logger, unreadable
from payments.edge.untrusted import TooLarge, Unreadable, body_bytes, read_json
from payments.settings import Misconfigured, Unavailable
from payments.store.dynamodb import Busy, Conflict, UnreadableItem

P = TypeVar("P")

JSON = re.compile(r"\s*application/json\s*(;|$)", re.IGNORECASE)
UNSUPPORTED = "application/octet-stream"

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

NAME = r"^[0-9A-Za-z_-]{1,40}$"
"""What an order's number, a service_type, or the id of an offer or a block may be; none of that name is 404."""

Name = Annotated[str, Path(pattern=NAME)]
"""A service_type, or the id of an offer or a block, in a path."""
OrderSn = Annotated[str, Path(pattern=NAME)]
"""An order number in a path; one that is not there is 404, whatever it looks like."""
IdempotencyKey = Annotated[str | None, Header(pattern=r"^[0-9A-Za-z_-]{8,64}$")]
"""The header with which a caller makes sure that a repeat is the same request."""


def a_day(text: str) -> str:
    """The text, if it is a calendar day: 2026-12-01. Raises ValueError."""
    if not is_day(text) or not text.startswith("2"):
        raise ValueError("a day as in 2026-12-01, from the year 2000 to 2999")
    return text


Day = Annotated[str, AfterValidator(a_day)]
"""A calendar day in Beijing: 2026-12-01."""


ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


def _is_iso(text: object) -> object:
    if not isinstance(text, str) or not ISO.match(text):
        raise ValueError("a time in ISO 8601 with its zone, as 2026-12-01T08:00:00Z")
    return text


def _is_in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z") from None


# Pydantic takes a number for a time too: seconds or milliseconds, as it thinks fit.
Instant = Annotated[AwareDatetime, BeforeValidator(_is_iso), AfterValidator(_is_in_utc)]
"""An instant, in UTC."""


class Problem(Exception):
    """An answer that is not the one hoped for. `extra` are further members of the problem, shown to the client."""

    def __init__(
        self, status: int, name: str, title: str, detail: str = "", *, retry_after_s: int = 0, **extra: object
    ) -> None:
        super().__init__(title)
        self.status = status
        self.name = name
        self.title = title
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.extra = extra


def not_found() -> Problem:
    """For what does not exist and for what belongs to someone else: the two must look the same."""
    return Problem(404, "not-found", "There is no such thing here, or it is not yours.")


def wechat_down(detail: str, retry_after_s: int = 3) -> Problem:
    """503. `detail` says what is true where it happened: that nothing was charged is for the caller to know."""
    return Problem(
        503, "wechat-unavailable", "WeChat does not answer as it should.", detail, retry_after_s=retry_after_s
    )


def cannot_be_read() -> Problem:
    return Problem(
        503,
        "unreadable",
        "This cannot be shown or changed now.",
        "What is stored of it cannot be read. The operators have been told.",
        retry_after_s=60,
    )


def try_again(detail: str = "", title: str = "Others are changing this at the same moment.") -> Problem:
    """503: others were quicker, again and again, or the table is busy: the same request may be sent again."""
    whole = f"{detail} Send it again.".lstrip()
    return Problem(503, "try-again", title, whole, retry_after_s=1)


def sold_out(found: SoldOut, detail: str = "Nothing was ordered.") -> Problem:
    """409 with what is free, by night or session."""
    if found.in_pieces:
        detail = "These nights are free only in several rooms by turns: order some of them at a time."
    return Problem(409, "sold-out", "That is not free any more.", detail, free=dict(found.free))


def key_reused() -> Problem:
    """422: an Idempotency-Key that stands for one request came with another."""
    return Problem(422, "idempotency-key-reused", "This Idempotency-Key was used with another body.", "Take a new key.")


def seconds(wait: timedelta) -> int:
    """A time to wait as Retry-After has it: whole seconds, never too few, never none."""
    return max(math.ceil(wait.total_seconds()), 1)


def aws_down() -> Problem:
    """Something that the request needs does not answer, or not in time: what it has written stands."""
    return Problem(
        503,
        "unavailable",
        "This cannot be done right now.",
        "Try again in a few seconds; the same order is used.",
        retry_after_s=3,
    )


class Body(BaseModel):
    """A request body: no field that is not known, no value of another type, no text that people cannot read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @field_validator("*")
    @classmethod
    def _is_readable(cls, value: object) -> object:
        if isinstance(value, str) and CONTROL.search(value):
            raise ValueError("no control characters but tabs and line breaks")
        return value


def read_body(model: type[BaseModel], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields (JSON values) of a body whose model is known only when it is there: read as strictly as any other, any
    model of pydantic's will do. Raises RequestValidationError."""
    try:
        return strict(model).model_validate(values).model_dump(mode="json")
    except ValidationError as error:
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in error.errors()]) from None


def shown(model: type[BaseModel], value: object) -> dict[str, Any]:
    """A value as an answer whose model is known only when it is given: its JSON."""
    return model.model_validate(value, from_attributes=True).model_dump(mode="json")


@cache
def strict(model: type[BaseModel]) -> type[BaseModel]:
    """The model as a request body: no field that is not known, no value of another type, no unreadable text."""
    return create_model(model.__name__, __base__=(Body, model))


class _Request(APIGatewayProxyEventV2):
    """A request whose body is read once, and as nothing but a JSON object."""

    @cached_property
    def json_body(self) -> dict[str, Any] | None:
        """None: there is no body. Raises Problem."""
        try:
            raw = body_bytes(self.raw_event)
            value = read_json(raw) if raw else None
        except TooLarge as error:
            raise Problem(413, "too-large", "The request is too large.", f"{error}") from None
        except Unreadable as error:
            raise invalid("body", f"{error}") from None
        if value is not None and not isinstance(value, dict):
            raise invalid("body", "a JSON object")
        return value


class Api(APIGatewayHttpResolver, Generic[P]):
    """A resolver that validates requests and answers every error as a problem. `parts`: what its routes work with."""

    parts: P

    def __init__(self) -> None:
        super().__init__(enable_validation=True, debug=False)  # whatever POWERTOOLS_DEV says: it answers tracebacks
        self.exception_handler(Problem)(self._problem)
        self.exception_handler(Conflict)(lambda _: self._problem(try_again()))
        self.exception_handler(RequestValidationError)(self._invalid)
        self.exception_handler(RequestUnsupportedContentType)(self._unsupported)
        self.exception_handler(UnreadableItem)(self._unreadable)
        self.exception_handler(NotFoundError)(self._no_route)
        self.exception_handler(ServiceError)(self._no_route)
        self.exception_handler(Busy)(self._busy)
        self.exception_handler(Exception)(self._broken)

    def answer(self, event: Mapping[str, Any], parts: P) -> dict[str, Any]:
        """Answers one request with these parts. Bodies are JSON: forms, which Powertools would read too, are
        unsupported."""
        self.parts = parts
        headers = {
            name: value if name.lower() != "content-type" or JSON.match(value) else UNSUPPORTED
            for name, value in (event.get("headers") or {}).items()
        }
        return self.resolve({**event, "headers": headers}, LambdaContext())  # nothing here reads it

    def _to_proxy_event(self, event: dict[str, Any]) -> _Request:
        return _Request(event)

    def caller(self) -> Mapping[str, str]:
        """Who calls: user_id and role, as the authorizer read them from the token."""
        context = (self.current_event.raw_event["requestContext"].get("authorizer") or {}).get("lambda")
        if not context or not context.get("user_id"):
            raise Problem(401, "unauthorized", "Sign in first.")
        identity: Mapping[str, str] = context
        return identity

    def _problem(self, problem: Problem) -> Response[str]:
        headers = {"Retry-After": str(problem.retry_after_s)} if problem.retry_after_s else {}
        body = {
            "type": f"urn:wxpay:{problem.name}",
            "title": problem.title,
            "status": problem.status,
            **({"detail": problem.detail} if problem.detail else {}),
            "request_id": request_id(),
            **problem.extra,
        }
        return Response(
            status_code=problem.status,
            content_type="application/problem+json",
            body=json.dumps(body, ensure_ascii=False),
            headers=headers,
        )

    def _invalid(self, error: RequestValidationError) -> Response[str]:
        errors = [{"field": _field(item["loc"]), "why": item["msg"]} for item in error.errors()]
        names = ", ".join(dict.fromkeys(item["field"] for item in errors))
        return self._problem(invalid(names, "See errors.", errors=errors))

    def _unsupported(self, _: RequestUnsupportedContentType) -> Response[str]:
        return self._problem(Problem(415, "unsupported-media-type", "Send application/json."))

    def _busy(self, _: Busy) -> Response[str]:
        return self._problem(try_again(title="The table is busy."))

    def _no_route(self, error: ServiceError) -> Response[str]:
        if error.status_code == 404:
            return self._problem(not_found())
        return self._problem(Problem(error.status_code, "http", str(error.msg)))

    def _unreadable(self, error: UnreadableItem) -> Response[str]:
        """An item of the table cannot be read. Whoever it does not belong to hears that there is no such thing."""
        unreadable(error)
        if not error.order_sn:
            return self._problem(cannot_be_read())
        who = self.current_event.raw_event["requestContext"].get("authorizer", {}).get("lambda") or {}
        mine = bool(error.user_id) and who.get("user_id") == error.user_id
        ours = who.get("business_id") in ({"*", error.business_id} - {""})  # as tokens.EVERY_BUSINESS, without JWT
        return self._problem(cannot_be_read() if mine or ours else not_found())

    def _broken(self, error: Exception) -> Response[str]:
        """The last resort: people see a number to ask about, the log has the rest, the 5xx alarm counts it."""
        if isinstance(error, Unavailable | HTTPClientError | OutOfTime):
            logger.error("aws.unavailable", why=described(error), came_from=came_from(error))
            return self._problem(aws_down())
        if isinstance(error, Misconfigured):
            logger.error("misconfigured", why=str(error))
        else:
            logger.error("request.broken", why=described(error), came_from=came_from(error))
        return self._problem(
            Problem(500, "internal", "Something broke here.", "Try again; if it stays, tell the shop the request_id.")
        )


def invalid(field: str, why: str, **extra: Any) -> Problem:
    """422 that names the field."""
    return Problem(422, "invalid", f"Not valid: {field}", why, field=field, **extra)


def encoded(text: str) -> str:
    """As it can stand in a path or a query."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decoded(text: str) -> str:
    """Of what `encoded` gave. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()


def _field(loc: tuple[Any, ...]) -> str:
    """`body.people` of ("body", "people"). A form body's raw text must not come back in it."""
    parts = [str(part) for part in loc if not isinstance(part, int)]
    return ".".join(part for part in parts if part.replace("_", "").replace("-", "").isalnum() and len(part) < 40)
