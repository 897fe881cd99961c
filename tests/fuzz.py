"""Requests that nobody would send: valid ones, made from the template's routes and the handlers' description, and odd
ones made of them. The seed makes a run repeatable."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

Event = dict[str, Any]

DEEP = "[" * 60_000
TEXTS = [
    "", " ", "\x00", "a\x00b", "\ud800", "\udfff\ud800", "😢", "é" * 100, "x" * 10_000, "\u202etxt",
    "<img src=x onerror=alert(1)>", "' OR 1=1 --", "../../../etc/passwd", "%00", "%2e%2e%2f", "%zz", "{{7*7}}",
    "\r\nSet-Cookie: a=b", "null", "NaN", "-1", "１２３", "ORDER#HSO1", "HSO" + "２" * 22, "HSO" + "9" * 22,
    base64.urlsafe_b64encode(b"\n\n").decode().rstrip("="),
    base64.urlsafe_b64encode(b"\xff\xfe\n\xed\xa0\x80\n").decode().rstrip("="),
    base64.urlsafe_b64encode(b"9999-99-99T99:99:99.999Z").decode(),
    base64.urlsafe_b64encode(b"2026-01-01T00:00:00.000Z\nTRADE#x\nCASE#").decode().rstrip("="), "A", "YQ", "a" * 200,
    ",", "a,b", "=", "==",
]  # fmt: skip
TIMES = [
    "0001-01-01", "9999-12-31", "10000-01-01", "2026-02-30", "２０２６-１２-０１", "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00", "2026-12-01T00:00:00", "2026-12-01T00:00:00+99:99", "2026-12-01T25:61:61Z",
    "10000-01-01T00:00:00Z", "2026-12-01T00:00:00.0000000000000001Z", "0001-01-01T00:00:00+00:01",
    "0001-01-01T07:59:59+08:00", "9999-12-31T23:59:59-00:01", "9999-12-31T20:00:00-12:00",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**17, 10**30, 1.5, 1e300, -0.0, [], {}, [[]], [1], {"a": 1},
    [None] * 100, {"x": {"x": {"x": []}}},
]  # fmt: skip
NUMBERS = [
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "-" + "9" * 5000, "1" + "0" * 400, "0x10", "01",
    "1.", "1e",
]  # fmt: skip
RAW = [
    "", " ", DEEP, '{"a":' * 30_000, DEEP + "]" * 60_000, '{"code":' + "[" * 900 + "]" * 900 + "}", "null", "true",
    "[]", "[{}]", '"text"', "1", "NaN", "{", "}", "\ufeff{}", "{}{}", "{'a': 1}", '{"a": 1,}', '{"a": 1, "a": 2}',
    '{"\\ud800": 1}', '{"a": "\\ud800"}', '{"a": "\ud800"}', '{"a": "\\u0000"}', "\x00", "a=1&b=2", "<xml/>",
    "x" * 70_000, '{"x": "' + "\\u0041" * 9_000 + '"}', '{"": ""}', "9" * 5000,
]  # fmt: skip
BYTES = [
    b"\xff\xfe{\x00}\x00", b"\x80", b'{"a": "\xed\xa0\x80"}', b"\x1f\x8b\x08\x00", b"", b"{}", DEEP.encode(),
    b"\xef\xbb\xbf{}", b"\xc3",
]  # fmt: skip
TYPES = [
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data",
    "application/json; charset=utf-16", "application/jsonp", "", " ", "application/json, text/plain", "\ud800",
    "application/octet-stream", "APPLICATION/JSON", "application/json;",
]  # fmt: skip
HEADERS = [
    "idempotency-key", "authorization", "cookie", "content-length", "x-forwarded-for", "accept-encoding", "expect",
    "host", "wechatpay-nonce",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the template, with the function behind it and what its description says of its parameters."""

    method: str
    path: str
    function: str
    open: bool
    operation: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes(template: Mapping[str, Any], description: Mapping[str, Any]) -> list[Route]:
    """All routes of the template; `description` is the OpenAPI document."""
    found = []
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for event in properties.get("Events", {}).values():
            if event["Type"] == "HttpApi":
                method, path = event["Properties"]["Method"], event["Properties"]["Path"]
                function = properties["CodeUri"].removeprefix("functions/")
                no_token = event["Properties"].get("Auth", {}).get("Authorizer") == "NONE"
                operation = description["paths"][path][method.lower()]
                found.append(Route(method, path, function, no_token, operation))
    return found


@dataclass(slots=True)
class Maker:
    """Makes events of HTTP API requests (2.0). `known` gives good values of a parameter or a field by its name, or by
    `<path> <name>`; `identities` are what the authorizer has told of those who may call, and None for nobody."""

    random: Random
    base: Event
    schemas: Mapping[str, Any]
    known: dict[str, Callable[[], Any]]
    identities: Callable[[], Any]
    odd: float = 0.5
    """The share of requests that are changed at all."""

    _undone: list[str] = field(default_factory=list)

    def valid(self, route: Route) -> Event:
        path, headers = route.path, {"content-type": "application/json", "host": "pay.example.com"}
        query: dict[str, str] = {}
        for parameter in route.operation.get("parameters", []):
            name, place = parameter["name"], parameter["in"]
            if place != "path" and not parameter.get("required") and self.random.random() < 0.2:
                continue
            value = self._value(route, name, parameter["schema"])
            if place == "path":
                path = path.replace(f"{{{name}}}", str(value))
            elif value is not None:
                (query if place == "query" else headers)[name.lower() if place == "header" else name] = str(value)
        content = route.operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema")
        body = None if schema is None else json.dumps(self._of(route, "body", schema), ensure_ascii=False)
        return self.event(route, path, query, headers, body)

    def event(self, route: Route, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: Any) -> Event:
        event: Event = json.loads(json.dumps(self.base))
        event |= {"routeKey": str(route), "rawPath": path, "headers": dict(headers), "body": body}
        if query:
            event |= {
                "queryStringParameters": dict(query),
                "rawQueryString": "&".join("=".join(q) for q in query.items()),
            }
        http = event["requestContext"]["http"]
        http |= {"method": route.method, "path": path}
        event["requestContext"].pop("authorizer", None)
        if not route.open:
            event["requestContext"]["authorizer"] = {"lambda": self.identities()}
        return event

    # --- good values

    def _value(self, route: Route, name: str, schema: Mapping[str, Any]) -> Any:
        known = self.known.get(f"{route.path} {name}") or self.known.get(name.lower())
        return known() if known else self._of(route, name, schema)

    def _of(self, route: Route, name: str, schema: Mapping[str, Any]) -> Any:
        if "$ref" in schema:
            schema = self.schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
            return self._of(route, name, schema)
        if "oneOf" in schema:
            return self._of(route, name, self.random.choice(schema["oneOf"]))
        if "const" in schema:
            return schema["const"]
        if "allOf" in schema:
            return self._of(route, name, schema["allOf"][0])
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        match schema.get("type"):
            case "object":
                required, named = schema.get("required", []), schema.get("properties", {})
                chosen = [one for one in named if one in required or self.random.random() < 0.5]
                return {one: self._value(route, one, named[one]) for one in chosen}
            case "array":
                return [self._of(route, name, schema.get("items", {})) for _ in range(self.random.randint(0, 3))]
            case "integer" | "number":
                return self.random.randint(int(schema.get("minimum", 0)), int(min(schema.get("maximum", 100), 10**6)))
            case "boolean":
                return self.random.random() < 0.5
        return self._text(schema)

    def _text(self, schema: Mapping[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", 64)
        for one in ("西湖边的小屋", "abcdefgh", "2026-12-01", "2026-12-01T08:00:00Z", "1"):
            if least <= len(one) <= most and re.search(schema.get("pattern", ""), one):
                return one
        return "x" * max(int(least), 1)

    # --- odd ones

    def request(self, route: Route) -> Event:
        event = self.valid(route)
        if self.random.random() < self.odd:
            for _ in range(self.random.choice([1, 1, 1, 2, 3])):
                change(self.random, event)
        # What no JSON can carry cannot reach a function either.
        made: Event = json.loads(json.dumps(event))
        return made


def change(random: Random, event: Event) -> None:
    """Makes one thing of a request odd."""
    random.choice(OF_ANY if event["body"] is None else [*OF_ANY, *OF_BODIES])(random, event)


def _odd(random: Random, value: object) -> Any:
    """Something in the place of a value; a time is replaced by another time as often as not."""
    is_time = isinstance(value, str) and re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", value)
    return random.choice(TIMES if is_time and random.random() < 0.7 else [*TEXTS, *TIMES, *VALUES])


def _raw(random: Random, event: Event) -> None:
    event["body"] = random.choice(RAW)


def _binary(random: Random, event: Event) -> None:
    event |= {"body": base64.b64encode(random.choice(BYTES)).decode(), "isBase64Encoded": True}


def _noise(random: Random, event: Event) -> None:
    event |= {"body": base64.b64encode(random.randbytes(random.randint(0, 300))).decode(), "isBase64Encoded": True}


def _not_base64(random: Random, event: Event) -> None:
    event |= {"body": random.choice(["%%%", "a", "é", "\ud800", "====", event["body"] or "x"]), "isBase64Encoded": True}


def _flipped(random: Random, event: Event) -> None:
    text = event["body"] or "{}"
    at = random.randrange(len(text))
    event["body"] = (
        text[:at] + random.choice(['"', "{", "[", "\\", "\x00", "\ud83d", "9", "", "}", "\\u"]) + text[at + 1 :]
    )


def _in_body(change: Callable[[Random, dict[str, Any]], None]) -> Callable[[Random, Event], None]:
    def changed(random: Random, event: Event) -> None:
        try:
            body = json.loads(event["body"] or "{}")
        except (ValueError, RecursionError):
            return
        if isinstance(body, dict):
            change(random, body)
            event["body"] = json.dumps(body)

    return changed


def _other_value(random: Random, body: dict[str, Any]) -> None:
    if body:
        name = random.choice(list(body))
        body[name] = _odd(random, body[name])


def _missing(random: Random, body: dict[str, Any]) -> None:
    if body:
        del body[random.choice(list(body))]


def _more(random: Random, body: dict[str, Any]) -> None:
    body[random.choice([*TEXTS, "total_fen", "__class__", "order_sn", "amount_fen"])] = random.choice(TEXTS + VALUES)


def _nested(random: Random, body: dict[str, Any]) -> None:
    if body:
        value: Any = 1
        for _ in range(random.choice([5, 40, 300])):
            value = [value] if random.random() < 0.5 else {"x": value}
        body[random.choice(list(body))] = value


def _number(random: Random, event: Event) -> None:
    text, number = event["body"] or '{"people": 2}', random.choice(NUMBERS)
    changed = re.sub(r"(?<=: )(-?[0-9]+|true|false)", number, text, count=1)
    event["body"] = changed if changed != text else re.sub(r': "[^"]*"', f": {number}", text, count=1)


def _twice(random: Random, event: Event) -> None:
    text = event["body"] or "{}"
    event["body"] = text.replace("{", '{"code": "a", "code": "b", "people": 1, ', 1)


def _type(random: Random, event: Event) -> None:
    event["headers"] = {**(event["headers"] or {}), "content-type": random.choice(TYPES)}


def _no_type(_: Random, event: Event) -> None:
    event["headers"] = {name: value for name, value in (event["headers"] or {}).items() if name != "content-type"}


def _header(random: Random, event: Event) -> None:
    headers = event["headers"] or {}
    event["headers"] = {**headers, random.choice([*HEADERS, *headers]): random.choice(TEXTS)}


def _no_headers(random: Random, event: Event) -> None:
    event["headers"] = random.choice([None, {}])


def _cookies(random: Random, event: Event) -> None:
    event["cookies"] = [random.choice(TEXTS) for _ in range(random.randint(1, 50))]


def _query(random: Random, event: Event) -> None:
    named = event.get("queryStringParameters") or {}
    name = random.choice([*named] * 5 + ["before", "after", "limit", "x", "", "\ud800"])
    value = str(
        _odd(random, named.get(name)) if random.random() < 0.8 else random.choice(["1,2", "0", "101", "9" * 20])
    )
    event |= {
        "queryStringParameters": {**named, name: value},
        "rawQueryString": f"{name}={value}&{name}={value}&%zz=%&=",
    }


def _path(random: Random, event: Event) -> None:
    parts = event["rawPath"].split("/")
    parts[random.randrange(len(parts))] = random.choice([*TEXTS, "..", ".", "%2F", "orders", "\ud800", "é"])
    event["rawPath"] = event["requestContext"]["http"]["path"] = "/".join(parts)


def _method(random: Random, event: Event) -> None:
    event["requestContext"]["http"]["method"] = random.choice(
        ["GET", "PUT", "TRACE", "get", "", "PO\x00ST", "OPTIONS", "HEAD"]
    )


def _nobody(random: Random, event: Event) -> None:
    nobody: list[Any] = [
        None,
        {},
        {"lambda": None},
        {"lambda": {}},
        {"lambda": {"user_id": ""}},
        {"lambda": {"user_id": "u-nobody"}},
    ]
    event["requestContext"]["authorizer"] = random.choice(nobody)


def _body_where_none_is(random: Random, event: Event) -> None:
    event["body"] = event["body"] or random.choice(RAW)


OF_BODIES: list[Callable[[Random, Event], None]] = [
    *(_in_body(one) for one in (_other_value, _other_value, _missing, _more, _nested)),
    *(_raw, _binary, _noise, _not_base64, _flipped, _number, _twice, _type, _no_type),
]
OF_ANY: list[Callable[[Random, Event], None]] = [
    *(_header, _header, _no_headers, _cookies, _query, _query, _query, _path, _path, _method, _nobody),
    _body_where_none_is,
]


def table_of(statuses: Mapping[str, Mapping[int, int]]) -> Iterator[str]:
    """How often each route gave each status, as lines."""
    columns = sorted({status for counted in statuses.values() for status in counted})
    width = max(map(len, statuses), default=0)
    yield f"{'':{width}}" + "".join(f"{status:>6}" for status in columns)
    for name, counted in sorted(statuses.items()):
        yield f"{name:{width}}" + "".join(f"{counted.get(status) or '':>6}" for status in columns)
