"""The way by which containers reach the laptop cloud."""

import asyncio
from typing import Any

from local.sam_local import _to

Told = list[dict[str, Any]]


def test_bytes_go_there_and_back() -> None:
    async def pinged() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(4))
            writer.close()

        there = await asyncio.start_server(echo, "127.0.0.1", 0)
        forwarder = await asyncio.start_server(_to(there.sockets[0].getsockname()[1]), "127.0.0.1", 0)
        async with there, forwarder:
            reader, writer = await asyncio.open_connection(*forwarder.sockets[0].getsockname())
            writer.write(b"ping")
            got = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            await writer.wait_closed()
            return got

    assert asyncio.run(pinged()) == b"ping"


def test_a_cloud_that_has_gone_ends_the_connection_without_a_traceback() -> None:
    told: Told = []

    async def refused() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with await asyncio.start_server(_to(1), "127.0.0.1", 0) as forwarder:
            reader, writer = await asyncio.open_connection(*forwarder.sockets[0].getsockname())
            got = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            await writer.wait_closed()
            return got

    assert asyncio.run(refused()) == b""
    assert told == []
