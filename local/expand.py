"""Turns template.yaml into plain CloudFormation that the emulator deploys whole.

Runs in the emulator's environment (.venv-cloud), where the SAM translator lives:

    python expand.py < told.json > template.json

`told.json` is {"template": ..., "bucket": ..., "keys": {"functions/login": "<key>", ...}}, the template as JSON.
The emulator makes an HTTP API from AWS::ApiGatewayV2::Api but not the routes in its OpenAPI body, so the body becomes
authorizer, integration and route resources. Nothing else of the template changes.
"""

import json
import os
import re
import sys
from typing import Any

from samtranslator.translator.transform import transform

Resource = dict[str, Any]


class NoManagedPolicies:
    """The template names its own statements; no AWS managed policy has to be looked up."""

    def load(self) -> dict[str, str]:
        return {}


def expand(template: Resource, bucket: str, keys: dict[str, str]) -> Resource:
    """The template with its code at s3://bucket/key, without transforms and without what the emulator lacks."""
    for resource in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in resource.get("Properties", {}):
                key = keys[resource["Properties"][name]]
                resource["Properties"][name] = {"Bucket": bucket, "Key": key}
    expanded: Resource = transform(template, {}, NoManagedPolicies())
    resources = expanded["Resources"]
    for logical_id, resource in list(resources.items()):
        if resource["Type"] == "AWS::ApiGatewayV2::Api" and "Body" in resource["Properties"]:
            resources |= _routes(logical_id, resource["Properties"])
    expanded.pop("Transform", None)
    return expanded


def _routes(api_id: str, properties: Resource) -> dict[str, Resource]:
    """The resources that an HTTP API's OpenAPI body stands for; takes the body out of the properties."""
    body, api = properties.pop("Body"), {"Ref": api_id}
    properties |= {"Name": api_id, "ProtocolType": "HTTP"}
    properties.pop("FailOnWarnings", None)
    made: dict[str, Resource] = {}
    schemes = body.get("components", {}).get("securitySchemes", {})
    for scheme, definition in schemes.items():
        authorizer = definition["x-amazon-apigateway-authorizer"]
        made[_logical_id(scheme, "Authorizer")] = {
            "Type": "AWS::ApiGatewayV2::Authorizer",
            "Properties": {
                "ApiId": api,
                "Name": scheme,
                "AuthorizerType": "REQUEST",
                "AuthorizerUri": authorizer["authorizerUri"],
                "IdentitySource": authorizer["identitySource"],
                "AuthorizerPayloadFormatVersion": str(authorizer["authorizerPayloadFormatVersion"]),
                "EnableSimpleResponses": authorizer["enableSimpleResponses"],
                "AuthorizerResultTtlInSeconds": authorizer["authorizerResultTtlInSeconds"],
            },
        }
    for path, operations in body["paths"].items():
        for method, operation in operations.items():
            made |= _route(api, method.upper(), path, operation, set(schemes))
    return made


def _route(api: Resource, method: str, path: str, operation: Resource, schemes: set[str]) -> dict[str, Resource]:
    integration = operation["x-amazon-apigateway-integration"]
    name = _logical_id(method, path)
    used = [scheme for requirement in operation.get("security", []) for scheme in requirement if scheme in schemes]
    secured: Resource = {}
    if used:
        secured = {"AuthorizationType": "CUSTOM", "AuthorizerId": {"Ref": _logical_id(used[0], "Authorizer")}}
    return {
        name + "Integration": {
            "Type": "AWS::ApiGatewayV2::Integration",
            "Properties": {
                "ApiId": api,
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": integration["uri"],
                "PayloadFormatVersion": integration["payloadFormatVersion"],
            },
        },
        name + "Route": {
            "Type": "AWS::ApiGatewayV2::Route",
            "Properties": {
                "ApiId": api,
                "RouteKey": f"{method} {path}",
                "Target": {"Fn::Sub": ["integrations/${id}", {"id": {"Ref": name + "Integration"}}]},
                **secured,
            },
        },
    }


def _logical_id(*parts: str) -> str:
    return "".join(re.sub(r"[^0-9A-Za-z]+", " ", part).title().replace(" ", "") for part in parts)


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")  # the translator asks boto3 for a partition
    told = json.load(sys.stdin)
    json.dump(expand(told["template"], told["bucket"], told["keys"]), sys.stdout)
