"""The running stack against its description: whatever is sent, the answers are those that the description names."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from local import openapi
from payments.domain.times import utc_now
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue
from tests.local.conftest import Cloud

DOCUMENT = openapi.document()
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
FEW = settings(max_examples=12, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))


def token(cloud: Cloud, role: Role) -> dict[str, str]:
    identity = Identity(f"anyone-{role}", role, EVERY_BUSINESS if role is Role.STAFF else "")
    return {"Authorization": f"Bearer {issue(identity, cloud.token_keys(), utc_now())}"}


@SCHEMA.parametrize()
@FEW
def test_anything_that_is_sent(case: "schemathesis.Case[Any]", cloud: Cloud) -> None:
    """By a guest or by staff, as the operation is for."""
    role = Role.STAFF if "staff" in case.operation.definition.raw["tags"] else Role.USER
    case.call_and_validate(base_url=cloud.state.api_url, headers=token(cloud, role), checks=CHECKS)


def test_without_a_token(cloud: Cloud) -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            reply = cloud.api.request(method, path, json={})
            assert (reply.status_code == 401) is (operation.get("security") != []), (path, method, reply.status_code)
            assert str(reply.status_code) in operation["responses"]


def test_what_really_happens_is_described(cloud: Cloud) -> None:
    """The good answers of a whole purchase, which nobody hits by chance."""
    with cloud.shopper("guest-described") as shopper:
        purchase = shopper.buy()
        order_sn, guest = purchase.order_sn, dict(shopper._api.headers)

    def told(method: str, path: str, headers: dict[str, str], body: Any = None, **names: str) -> Any:
        reply = cloud.api.request(method, path.format(**names), json=body, headers=headers)
        SCHEMA[path][method].validate_response(schemathesis.Response.from_any(reply))
        assert reply.status_code < 300, reply.text
        return reply.json()

    guest = {"Authorization": guest["authorization"]}
    for path in ("/catalogue/{service_type}", "/orders", "/orders/{order_sn}", "/orders/{order_sn}/payment"):
        told("GET", path, guest, order_sn=order_sn, service_type="homestay")
    staff = cloud.staff()
    told("GET", "/merchant/orders/{order_sn}", staff, order_sn=order_sn)
    told("POST", "/merchant/lookups", staff, {"code": purchase.redeem_code})
    told("POST", "/merchant/redemptions", staff, {"code": purchase.redeem_code})
    key = {"Idempotency-Key": "described-1"}
    told("POST", "/merchant/orders/{order_sn}/refunds", staff | key, {"reason": "x"}, order_sn=order_sn)
    told("GET", "/merchant/cases", staff)
