"""The process that holds the laptop cloud: starts its parts, keeps the front door, ends everything.

    python -m local.supervisor LOCK FRONT_DOOR_PORT WECHAT_PORT AWS_PORT AT_ONCE

LOCK is the number of the open file with the folder's lock, AT_ONCE how many requests one function answers at once.
Tells its progress on standard output, one JSON object a line: {"step": ..., "seconds": ...}, at last {"ready": true} or
{"error": ...}. It leads a process group of its own. SIGTERM ends it and all that it started; so does the end of its
standard input, which is the end of who started it, whatever ended that: unless a line came before, which lets it stay.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from local import catalogue, deploy, openapi, phone, stack
from local.emulator import Child, Ports, StartFailed, install_dependencies, start_emulator, start_wechat
from local.front_door import create_app
from local.home import Home
from local.lanes import Lanes
from local.live import Live
from local.topology import whole
from simulator.credentials import Credentials


class _Server(uvicorn.Server):
    """Leaves the signals to the supervisor."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Supervisor:
    def __init__(self, home: Home, ports: Ports, lock: int, at_once: int) -> None:
        self._home, self._ports, self._lock, self._at_once = home, ports, lock, at_once
        self._children: list[Child] = []
        self._server: uvicorn.Server | None = None
        self._live: Live | None = None
        self._started = time.monotonic()

    async def run(self) -> None:
        """Starts everything, serves until it is to end or a part dies, stops everything."""
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, stop.set)

        def heard() -> None:
            loop.remove_reader(0)
            if not os.read(0, 80):
                stop.set()

        loop.add_reader(0, heard)
        try:
            started = asyncio.create_task(self._start())
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not started.done():
                started.cancel()
                await asyncio.wait({started})
                return
            front_door = await started
            tell(ready=True)
            ends = [asyncio.create_task(child.process.wait()) for child in self._children]
            await asyncio.wait({stopped, front_door, *ends}, return_when=asyncio.FIRST_COMPLETED)
            if self._server and self._live:
                self._live.close()
                self._server.should_exit = True
                await front_door
        finally:
            await asyncio.gather(*(child.stop() for child in self._children))

    async def _start(self) -> "asyncio.Task[None]":
        self._ports.check()
        door = self._listening()  # who has this port has all of it: two clouds of two folders do not mix
        aws_url, wechat_url, web_url = (
            f"http://127.0.0.1:{port}" for port in (self._ports.aws, self._ports.wechat, self._ports.front_door)
        )
        dependencies = install_dependencies(self._home)
        emulator, wechat = self._child(start_emulator, self._ports.aws), self._child(start_wechat, self._ports.wechat)
        topology = whole()
        packages = deploy.package(topology, self._home.folder / "dependencies")
        self._step("functions and layers packed")
        template, *_ = await asyncio.gather(deploy.expand(topology, packages), dependencies, emulator, wechat)
        self._step("emulator, simulator and dependencies are there")
        await asyncio.to_thread(deploy.upload, aws_url, packages)
        credentials = Credentials.load_or_create(self._home.folder / "simulator")
        parameters = deploy.parameters(credentials, aws_url=aws_url, wechat_url=wechat_url, public_url=f"{web_url}/api")
        outputs = await asyncio.to_thread(deploy.deploy, aws_url, template, parameters)
        self._step("template.yaml deployed")
        state = deploy.state(topology, outputs, credentials, web=web_url, wechat=wechat_url, aws=aws_url)
        await asyncio.to_thread(deploy.fill_secrets, state, credentials)
        await asyncio.to_thread(catalogue.seed, stack.local(state).store)
        self._live = Live(stack.local(state), wechat_url, topology)
        templates = [parameters[f"{name}TemplateId"] for name in ("OrderConfirmed", "CheckInCode", "Refund")]
        pages = [*phone.routes(wechat_url, credentials.appid, templates), *openapi.routes()]
        upstream = f"{aws_url}/_aws/execute-api/{outputs['ApiId']}/$default"
        lanes = Lanes(topology.routes, self._at_once)
        front_door = await self._open_front_door(door, create_app(upstream, self._live, pages, lanes))
        self._home.publish(state)
        self._step("secrets filled, catalogue seeded, front door open")
        return front_door

    async def _child(self, start: Callable[[Home, int, int], Awaitable[Child]], port: int) -> None:
        child = await start(self._home, port, self._lock)
        self._children.append(child)  # before it is ready: whatever happens now, it will be stopped
        await child.ready()

    def _listening(self) -> socket.socket:
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(("127.0.0.1", self._ports.front_door))
            door.listen(2048)
        except OSError as error:
            raise StartFailed(
                f"the front door cannot open on port {self._ports.front_door}: {error.strerror}; "
                "choose another: ./dev up --port N"
            ) from None
        return door

    async def _open_front_door(self, door: socket.socket, app: Starlette) -> "asyncio.Task[None]":
        self._server = _Server(uvicorn.Config(app, log_level="warning"))
        task = asyncio.create_task(self._server.serve([door]))
        while not self._server.started:
            if task.done():
                raise StartFailed(f"the front door cannot open on port {self._ports.front_door}")
            await asyncio.sleep(0.01)
        return task

    def _step(self, text: str) -> None:
        tell(step=text, seconds=round(time.monotonic() - self._started, 1))


def tell(**words: object) -> None:
    print(json.dumps(words), flush=True)


def main() -> int:
    lock, front_door, wechat, aws, at_once = (int(argument) for argument in sys.argv[1:6])
    home = Home()
    home.name_leader(lock, os.getpid())
    try:
        asyncio.run(Supervisor(home, Ports(front_door, wechat, aws), lock, at_once).run())
    except (StartFailed, ValueError) as error:
        tell(error=str(error))
        return 1
    except BrokenPipeError:  # who started it has gone before it was ready
        return 1
    finally:
        home.forget()
        if os.getpgrp() == os.getpid():  # a worker of the emulator that is still at its request
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
