"""`sam local` against the laptop cloud: its containers see neither the loopback nor the stack's names.

Writes the variables of the running stack for `sam local --env-vars`, and forwards the emulator's and the simulator's
ports from the address at which containers reach this machine.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from local.deploy import client, parameters
from local.home import Home, State
from local.topology import named, whole
from simulator.credentials import Credentials


def write_variables(home: Home, state: State, host: str) -> Path:
    """The file for --env-vars: every variable of template.yaml that names a resource or a parameter which the running
    stack has been given; sam local knows the others."""
    aws_url, wechat_url = (_at(url, host) for url in (state.aws_endpoint_url, state.wechat_url))
    credentials = Credentials.load_or_create(home.folder / "simulator")
    chosen = parameters(credentials, aws_url=aws_url, wechat_url=wechat_url, public_url=state.api_url)
    manager = client("secretsmanager", state.aws_endpoint_url)
    arns = {name: manager.describe_secret(SecretId=secret)["ARN"] for name, secret in state.secrets.items()}
    functions = whole().functions.values()
    values = chosen | {"Table": state.table, "Topic": state.topic_arn}
    values |= {f"{name.capitalize()}Secret": arn for name, arn in arns.items()}
    values |= {
        one.dead_letters.logical_id: f"{aws_url}{urlsplit(state.dlqs[one.name]).path}"
        for one in functions
        if one.dead_letters
    }
    variables = {"AWS_ENDPOINT_URL": aws_url}
    for function in functions:
        there = {name: values.get(named(value)) for name, value in function.variables.items()}
        variables |= {name: value for name, value in there.items() if value is not None}
    path = home.folder / "sam-local.json"
    path.write_text(json.dumps({"Parameters": variables}, indent=1) + "\n")
    return path


async def forward(state: State, host: str) -> None:
    """Forwards both ports from `host` until cancelled. Raises OSError when the address is not one of this machine's."""
    ports = [urlsplit(url).port or 0 for url in (state.aws_endpoint_url, state.wechat_url)]
    servers = [await asyncio.start_server(_to(port), host, port) for port in ports]
    async with contextlib.AsyncExitStack() as stack:
        for server in servers:
            await stack.enter_async_context(server)
        await asyncio.gather(*(server.serve_forever() for server in servers))


def _to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.ExitStack() as ends:
            ends.callback(writer.close)
            # An end by error is the cloud's or the container's; one by cancellation is this command's.
            ends.enter_context(contextlib.suppress(OSError, asyncio.CancelledError))
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", port)
            ends.callback(there_writer.close)
            await asyncio.gather(pipe(reader, there_writer), pipe(there_reader, writer))

    return connected


def _at(url: str, host: str) -> str:
    return f"http://{host}:{urlsplit(url).port}"
