"""authorizer: is this bearer token ours, and whose is it?

The gateway keeps the answer for five minutes per token. It says who calls, never what he may see: that an order is
someone else's is each function's own check.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from payments.observability import instrumented, logger
from payments.settings import app_secret
from payments.tokens import BadToken, session_of, verify


@instrumented
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:  # noqa: ARG001
    """Takes an HTTP API authorizer request (2.0), gives a simple response; a refusal becomes the gateway's 403."""
    headers = {
        name.lower(): value for name, value in (event.get("headers") or {}).items()
    }  # sam local keeps their case
    scheme, _, token = headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise BadToken("not a bearer token")
        identity = verify(token.strip(), app_secret().token_keys)
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
