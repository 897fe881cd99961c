"""The API's description (OpenAPI 3.1), from the handlers themselves: their routes, models and docstrings.

A docstring's `404: unknown.` is the description of that answer; what all routes have in common is added here. What is
different from product to product comes from the registry: the body of an order, and what an answer says of it.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from aws_lambda_powertools.event_handler.api_gateway import Route as Handler
from aws_lambda_powertools.event_handler.openapi import swagger_ui
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from local.home import PROJECT
from local.topology import Topology, whole
from payments.edge.http import Api, strict
from payments.products import PRODUCTS
from payments.products.product import Product

FILE = PROJECT / "docs/openapi.json"

REF = "#/components/schemas/{model}"
ANSWER = re.compile(r"\b(\d{3}): ")
NOTIFY = "/wxpay/notify"
"""WeChat's own route, described by hand."""

PROBLEM = {
    "type": "object",
    "description": "RFC 9457. Branch on `type`; show people texts of your own.",
    "properties": {
        "type": {"type": "string", "pattern": "^urn:wxpay:", "examples": ["urn:wxpay:order-state"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "field": {"type": "string", "description": "422: the field that is not valid"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "why": {"type": "string"}},
                "required": ["field", "why"],
            },
        },
        "order_status": {"type": "string", "description": "409: the order's state"},
    },
    "required": ["type", "title", "status", "request_id"],
}

GATEWAY = {
    "type": "object",
    "description": "The gateway's own refusal. 401 and 403 of this shape: sign in again.",
    "properties": {"message": {"type": ["string", "null"]}},
}

WECHAT_NOTICE = {
    "post": {
        "operationId": "wx_callback",
        "tags": ["WeChat"],
        "summary": "WeChat's notice of a payment or a refund",
        "description": "Signed by WeChat, acknowledged when the fact is stored. Not for clients.",
        "security": [],
        "parameters": [
            {"name": f"Wechatpay-{name}", "in": "header", "required": True, "schema": {"type": "string"}}
            for name in ("Signature", "Serial", "Timestamp", "Nonce")
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "204": {"description": "Stored."},
            **{
                code: {
                    "description": why,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WechatRefusal"}}},
                }
                for code, why in {
                    "400": "Not a notice.",
                    "401": "Not signed by WeChat.",
                    "413": "Over 64 KB.",
                    "500": "Not stored: WeChat will send it again.",
                }.items()
            },
        },
    }
}

WECHAT_REFUSAL = {
    "type": "object",
    "properties": {"code": {"const": "FAIL"}, "message": {"type": "string"}},
    "required": ["code", "message"],
}


def document(topology: Topology | None = None, products: Mapping[str, Product[Any]] = PRODUCTS) -> dict[str, Any]:
    """The whole description, of this project's routes and products unless told otherwise. Raises ValueError where one
    name is given to different schemas."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    topology = topology or whole()
    for function in dict.fromkeys(name for route, name in topology.routes.items() if not route.endswith(NOTIFY)):
        app: Api[Any] = import_module(f"functions.{function}.app").app
        raw = json.loads(app.get_openapi_json_schema(title=function, version="1"))
        for name, schema in raw.get("components", {}).get("schemas", {}).items():
            if not name.endswith("ValidationError") and schemas.setdefault(name, schema) != schema:
                raise ValueError(f"{function}: another function has a schema {name} too, and it is different")
        for route, path, operation in _operations(app, raw):
            paths.setdefault(path, {})[route.method.lower()] = _operation(
                route, path, operation, function, is_open=f"{route.method} {path}" in topology.open_routes
            )
    _describe_products(products, schemas)
    sold = [name for name, one in products.items() if one.catalogue]
    for path in paths:
        for parameter in (one for operation in paths[path].values() for one in operation.get("parameters", ())):
            if "{service_type}" in path and parameter["name"] == "service_type":
                parameter["schema"] = {"type": "string", "enum": sold}
    paths[NOTIFY] = WECHAT_NOTICE
    schemas |= {"Problem": PROBLEM, "GatewayRefusal": GATEWAY, "WechatRefusal": WECHAT_REFUSAL}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": project["name"],
            "version": project["version"],
            "description": "Sums in fen (`*_fen`, integers), times in ISO 8601, UTC. Errors are problem+json.",
        },
        "servers": [
            {"url": "/api", "description": "the laptop cloud"},
            {"url": "https://{domain}", "variables": {"domain": {"default": "api.example.com"}}},
        ],
        "security": [{"token": []}],
        "tags": [
            {"name": "guest", "description": "the mini-program"},
            {"name": "staff", "description": "the counter: a token with role `staff`"},
            {"name": "WeChat", "description": "WeChat Pay"},
        ],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def text() -> str:
    """As it stands in the file."""
    return json.dumps(document(), ensure_ascii=False, indent=1) + "\n"


def routes() -> list[BaseRoute]:
    """What the page under /docs/ asks for: the description, and the Swagger UI that Powertools brings along."""

    async def description(_: Request) -> Response:
        return FileResponse(FILE)

    assets = StaticFiles(directory=Path(swagger_ui.__file__).parent)
    return [Route("/docs/openapi.json", description), Mount("/docs/swagger-ui", assets)]


def _describe_products(products: Mapping[str, Product[Any]], schemas: dict[str, Any]) -> None:
    """Puts the products' own schemas in the place of what the functions leave open: which one it is, `service_type`
    tells."""
    models = {name: product.models() for name, product in products.items()}
    bodies: list[type[BaseModel]] = [strict(one.order) for one in models.values()]
    answers = [answer for one in models.values() for answer in (one.guest, one.staff, one.offer) if answer]
    refs, defs = models_json_schema(
        [*((body, "validation") for body in bodies), *((answer, "serialization") for answer in answers)],
        ref_template=REF,
    )
    for name, schema in defs["$defs"].items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"a product has a schema {name} too, and it is different")
    expected = schemas["NewOrder"]["properties"]["expected_total_fen"]
    for one in models.values():
        body = schemas[strict(one.order).__name__]
        schemas[strict(one.order).__name__] = {
            **body,
            "properties": {**body["properties"], "expected_total_fen": expected},
        }
    schemas["NewOrder"] = _one_of({name: refs[strict(one.order), "validation"] for name, one in models.items()})
    offers = [refs[one.offer, "serialization"] for one in models.values() if one.offer]
    schemas["Catalogue"]["properties"]["offers"]["items"] = {"anyOf": offers}
    for base, part in (("OrderOut", "guest"), ("StaffOrder", "staff"), ("StaffOrderDetails", "staff")):
        order, variants = schemas[base], {}
        for name, one in models.items():
            own = {"service_type": {"const": name}, "purchase": refs[getattr(one, part), "serialization"]}
            title = f"{name.title().replace('_', '')}{base}"
            schemas[title] = {**order, "title": title, "properties": {**order["properties"], **own}}
            variants[name] = {"$ref": REF.format(model=title)}
        schemas[base] = _one_of(variants)


def _one_of(variants: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    mapping = {name: ref["$ref"] for name, ref in variants.items()}
    discriminator = {"propertyName": "service_type", "mapping": mapping}
    return {"oneOf": list(variants.values()), "discriminator": discriminator}


def _operations(app: Api[Any], raw: dict[str, Any]) -> Iterator[tuple[Handler, str, dict[str, Any]]]:
    for route in app._static_routes + app._dynamic_routes:
        yield route, route.openapi_path, raw["paths"][route.openapi_path][route.method.lower()]


def _operation(route: Handler, path: str, raw: dict[str, Any], function: str, *, is_open: bool) -> dict[str, Any]:
    told = " ".join((route.func.__doc__ or "").split())
    if not told:
        raise ValueError(f"{function}: {route.func.__name__} has no docstring")
    first, *answers = ANSWER.split(told)
    summary, _, rest = first.strip().partition(". ")
    success, for_staff = str(route.status_code), path.startswith("/merchant/")
    responses = {success: raw["responses"][success] | {"description": "Done."}}
    responses |= _common(raw, path, is_open=is_open)
    for code, why in zip(answers[::2], answers[1::2], strict=True):
        responses[code] = _problem(f"{why.strip()[:1].upper()}{why.strip()[1:]}")
    for code in ("429", "503"):
        responses[code]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return {
        "operationId": f"merchant_{route.func.__name__}" if for_staff else route.func.__name__,
        "tags": ["staff" if for_staff else "guest"],
        "summary": summary.rstrip("."),
        **({"description": rest.strip()} if rest.strip() else {}),
        **({"security": []} if is_open else {}),
        **{name: raw[name] for name in ("parameters", "requestBody") if name in raw},
        "responses": dict(sorted(responses.items())),
    }


def _common(raw: dict[str, Any], path: str, *, is_open: bool) -> dict[str, dict[str, Any]]:
    """What any route of this kind may answer."""
    answers = {"429": "Too many requests.", "500": "Something broke here.", "503": "Try again."}
    if not is_open:
        answers |= {"401": "No token.", "403": "The token is not good, or not for this."}
    if "{" in path:
        answers["404"] = "Not there, or not yours."
    if "requestBody" in raw or "parameters" in raw:
        answers["422"] = "A field is not valid."
    if "requestBody" in raw:
        answers |= {"413": "Over 64 KB.", "415": "Not application/json."}
    return {code: _problem(why) for code, why in answers.items()}


def _problem(why: str) -> dict[str, Any]:
    """A problem of ours, or a refusal of the gateway's."""
    return {
        "description": why,
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}},
            "application/json": {"schema": {"$ref": "#/components/schemas/GatewayRefusal"}},
        },
    }
