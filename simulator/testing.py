"""The simulator for tests: a server in a thread, on a free port of the loopback."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from simulator.app import create_app
from simulator.world import World


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
            server.should_exit = True
            thread.join(10)


class _Server(uvicorn.Server):
    """Says when it serves, so that nobody has to poll for it."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serves = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.serves.set()
