"""Puts template.yaml on the emulator with plain CloudFormation, fills the secrets."""

import hashlib
import io
import json
import secrets
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from local.emulator import CLOUD, StartFailed, run
from local.home import PROJECT, State
from local.topology import Topology, load
from simulator.credentials import Credentials

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

REGION = "us-east-1"
STACK = "wxpay-local"
BUCKET = "wxpay-local-artifacts"
ADMINISTRATOR = "test"  # the emulator's name for one who may do everything
DEPLOY_WITHIN_S = 60
CALLS = Config(connect_timeout=2, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
EPOCH = (1980, 1, 1, 0, 0, 0)


def client(name: str, endpoint_url: str, config: Config = CALLS) -> Any:
    """A boto3 client of the laptop cloud's, as its administrator."""
    return boto3.client(
        name,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        region_name=REGION,
        aws_access_key_id=ADMINISTRATOR,
        aws_secret_access_key=ADMINISTRATOR,
        config=config,
    )


def package(topology: Topology, dependencies: Path) -> dict[str, bytes]:
    """The zip of each function and layer, by its folder in the template."""
    folders = [*(f"functions/{name}" for name in topology.functions), "layers/payments"]
    packages = {folder: _zip(topology.path.parent / folder) for folder in folders}
    # See emulator.install_dependencies: one line instead of 37 MB for every worker.
    line = f"import sys; sys.path.insert(0, {str(dependencies)!r})\n"
    packages["layers/dependencies"] = _zip_of({"python/lib/python3/site-packages/dependencies.pth": line.encode()})
    return packages


def _zip(folder: Path) -> bytes:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return _zip_of({str(path.relative_to(folder)): path.read_bytes() for path in files})


def _zip_of(files: dict[str, bytes]) -> bytes:
    """The same bytes for the same files, whenever it is made."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
    return buffer.getvalue()


def artifact_key(folder: str, content: bytes) -> str:
    return f"{folder.replace('/', '-')}-{hashlib.sha256(content).hexdigest()[:16]}.zip"


async def expand(topology: Topology, packages: dict[str, bytes]) -> str:
    """The template as plain CloudFormation, with the packages' places in it."""
    keys = {folder: artifact_key(folder, content) for folder, content in packages.items()}
    told = json.dumps({"template": load(topology.path), "bucket": BUCKET, "keys": keys}).encode()
    return (await run([str(CLOUD / "bin/python"), str(PROJECT / "local/expand.py")], told)).decode()


def upload(endpoint_url: str, packages: dict[str, bytes]) -> None:
    s3 = client("s3", endpoint_url)
    s3.create_bucket(Bucket=BUCKET)
    for folder, content in packages.items():
        s3.put_object(Bucket=BUCKET, Key=artifact_key(folder, content), Body=content)


def deploy(endpoint_url: str, template: str, parameters: dict[str, str]) -> dict[str, str]:
    """Creates the stack; gives its outputs. Raises StartFailed with the resource that failed and why."""
    cloudformation: CloudFormationClient = client("cloudformation", endpoint_url)
    # By way of S3: in the request itself a template may have 51,200 characters.
    client("s3", endpoint_url).put_object(Bucket=BUCKET, Key="template.json", Body=template.encode())
    cloudformation.create_stack(
        StackName=STACK,
        TemplateURL=f"{endpoint_url}/{BUCKET}/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    until = time.monotonic() + DEPLOY_WITHIN_S
    while time.monotonic() < until:
        stack = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            raise StartFailed("the stack cannot be deployed:\n" + _why(cloudformation))
        time.sleep(0.1)
    raise StartFailed(f"the stack is not deployed after {DEPLOY_WITHIN_S} s")


def _why(cloudformation: "CloudFormationClient") -> str:
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    failed = [event for event in events if event.get("ResourceStatus", "").endswith("_FAILED")]
    return "\n".join(f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)


def parameters(credentials: Credentials, *, aws_url: str, wechat_url: str, public_url: str) -> dict[str, str]:
    """What differs between this machine and AWS: addresses, a little patience of the queues, and that shipping is
    recorded, so that all functions are there."""
    return {
        "Environment": "local",
        "Appid": credentials.appid,
        "Mchid": credentials.mchid,
        "PublicBaseUrl": public_url,
        "EndpointUrl": aws_url,
        "WechatPayBaseUrl": wechat_url,
        "MiniProgramBaseUrl": wechat_url,
        "OrderConfirmedTemplateId": "QIJPmfxaNqYzSjOlXGk1T6Xfw94JwbSPuOd3u_hi3WE",
        "CheckInCodeTemplateId": "kmm-maRr6v_9eMxEPpj-5clJ2YW_EFpd8-ngyYk63e4",
        "RefundTemplateId": "r3fUnd_mQ2vX8sT1kLw9ZbNc5YhJp0aEoDgIuRtSfVx",
        "MiniprogramState": "developer",
        "ShippingRecord": "on_redemption",
        "QueueVisibilityTimeout": "3",
        "MaxReceiveCount": "3",
    }


def secret_values(credentials: Credentials) -> dict[str, dict[str, Any]]:
    """What the four secrets hold."""
    return {
        "merchant": {
            "private_key": credentials.merchant_private_key,
            "cert_serial_no": credentials.merchant_serial_no,
        },
        "verification": {
            "apiv3_keys": [credentials.apiv3_key],
            "public_keys": {credentials.platform_key_id: credentials.platform_public_key},
        },
        "app": {"app_secret": credentials.app_secret},
        "token": {"token_keys": [secrets.token_urlsafe(48)]},
    }


def fill_secrets(state: State, credentials: Credentials) -> None:
    """The four secrets, as an operator fills them on AWS."""
    manager = client("secretsmanager", state.aws_endpoint_url)
    for name, value in secret_values(credentials).items():
        manager.put_secret_value(SecretId=state.secrets[name], SecretString=json.dumps(value))


def state(
    topology: Topology, outputs: dict[str, str], credentials: Credentials, *, web: str, wechat: str, aws: str
) -> State:
    return State(
        web_url=f"{web}/",
        api_url=f"{web}/api",
        wechat_url=wechat,
        aws_endpoint_url=aws,
        region=REGION,
        table=outputs["TableName"],
        topic_arn=outputs["TopicArn"],
        stack=STACK,
        queues=topology.queue_urls(outputs),
        dlqs=topology.dead_letter_urls(outputs),
        sweep_function=outputs["SweepFunctionName"],
        reconcile_function=outputs["ReconcileBillFunctionName"],
        appid=credentials.appid,
        mchid=credentials.mchid,
        secrets=topology.secret_arns(outputs),
    )
