"""authorizer: is this bearer token ours, and whose is it?

The gateway keeps the answer for five minutes per token, also a refusal: so a token that none of the known keys signed
makes this function read the keys again before it refuses, at most every 30 s in one process, however many are forged.
It says who calls, never what he may see: that an order is someone else's is each function's own check.
"""

from typing import Any

from payments.edge.observability import logger
from payments.edge.tokens import BadToken, Identity, UnknownKey, session_of, verify
from payments.parts import LambdaFunction, Parts


def handle(event: dict[str, Any], parts: Parts) -> dict[str, Any]:
    """Takes an HTTP API authorizer request (2.0), gives a simple response; a refusal becomes the gateway's 403."""
    headers = {
        name.lower(): value for name, value in (event.get("headers") or {}).items()
    }  # sam local keeps their case
    scheme, _, token = headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise BadToken("not a bearer token")
        identity = _whose(parts, token.strip())
    except BadToken as refused:
        logger.info("token.refused", why=str(refused))
        return {"isAuthorized": False}
    return {
        "isAuthorized": True,
        "context": {
            "user_id": identity.user_id,
            "role": identity.role,
            "business_id": identity.business_id,
            "session": session_of(token),
        },
    }


def _whose(parts: Parts, token: str) -> Identity:
    """Raises BadToken, and Misconfigured without keys: the gateway answers 500 and does not keep that."""
    keys = parts.token_keys.value()
    try:
        return verify(token, keys)
    except UnknownKey:
        if (perhaps_new := parts.token_keys.value(again=True)) == keys:
            raise
    return verify(token, perhaps_new)


handler = LambdaFunction(handle, "token_keys")
