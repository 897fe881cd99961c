"""The simulator for tests: a server in a thread, on a free port of the loopback."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from simulator.app import create_app
from simulator.world import World

TICKS_A_SECOND = 10
"""As uvicorn counts them: it makes its Date header anew every ten."""


@contextlib.contextmanager
def running(world: World) -> Iterator[str]:
    """Serves the world while the block runs; gives its base URL."""
    with serving(create_app(world)) as base_url:
        yield base_url


@contextlib.contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serves any ASGI app while the block runs; gives its base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = _Server(uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        server.serves.wait(10)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.stop()
            thread.join(10)


class _Server(uvicorn.Server):
    """Says when it serves, and ends at once when it is told: uvicorn looks every tenth of a second, and then sleeps for
    another one. Suites with a server for each test would spend most of their time so."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serves = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        self.serves.set()

    def stop(self) -> None:
        """From another thread."""
        self.should_exit = True
        if self.serves.is_set():
            self._loop.call_soon_threadsafe(self._told.set)

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += TICKS_A_SECOND
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await asyncio.sleep(0)  # who was accepted just now is among the connections from the loop's next turn on
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for late in (False, True):
            for task in self.server_state.tasks if late else ():
                task.cancel()
            if tasks := set(self.server_state.tasks):
                await asyncio.wait(tasks, timeout=self.config.timeout_graceful_shutdown)
        for connection in self.server_state.connections:
            connection.transport.abort()
        while self.server_state.connections:
            await asyncio.sleep(0)
        await self.lifespan.shutdown()
