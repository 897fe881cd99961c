"""The child processes: the AWS emulator and the simulated WeChat, and what they need before they start."""

import asyncio
import contextlib
import hashlib
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from local.home import PROJECT, Home

CLOUD = Path(os.environ.get("WXPAY_CLOUD_ENV", PROJECT / ".venv-cloud"))
BUILD = PROJECT / "layers/build.sh"
REQUIREMENTS = PROJECT / "layers/dependencies/requirements.txt"
NO_NETWORK = re.compile(
    r"dns error|failed to lookup[^\n]*|error sending request[^\n]*|tcp connect error|Connection refused|"
    r"Could not connect[^\n]*|Network is unreachable|network connectivity is disabled|timed out|operation timed out",
    re.IGNORECASE,
)
"""How uv says that it does not reach the index."""

READY_WITHIN_S = 30
STOP_WITHIN_S = 3


class StartFailed(Exception):
    """A part of the cloud did not start; the text says which and why."""


class Child:
    """One child process, its output in a log file of its own."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, url: str) -> None:
        """`url`: what answers 200 when it is ready."""
        self.name = name
        self.process = process
        self.log = log
        self._url = url

    @classmethod
    async def start(
        cls, home: Home, name: str, command: Sequence[str], environment: Mapping[str, str], lock: int, url: str
    ) -> "Child":
        log = home.folder / f"{name}.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=PROJECT,
                env={**os.environ, **environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
            )
        return cls(name, process, log, url)

    async def ready(self) -> None:
        """Waits until it answers. Raises StartFailed with the end of the log."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            for _ in range(READY_WITHIN_S * 20):
                if self.process.returncode is not None:
                    break
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(self._url)).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        tail = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        raise StartFailed(f"{self.name} did not start (log: {self.log}):\n  " + "\n  ".join(tail))

    async def stop(self) -> None:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.process.returncode is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(sign)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), STOP_WITHIN_S)


async def start_emulator(home: Home, port: int, lock: int) -> Child:
    """MiniStack, on the loopback, with authorization on: each function may do what its role says, and no more."""
    scratch = home.folder / "emulator"
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "tmp").mkdir(parents=True)
    return await Child.start(
        home,
        "emulator",
        [str(CLOUD / "bin/ministack")],
        {
            "GATEWAY_PORT": str(port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "TMPDIR": str(scratch / "tmp"),
            "STATE_DIR": str(scratch / "state"),
            "S3_DATA_DIR": str(scratch / "s3"),
            "LOG_LEVEL": "INFO",
            "LAMBDA_WARM_TTL_SECONDS": "60",  # what a burst has started beyond one worker a function ends again
        },
        lock,
        f"http://127.0.0.1:{port}/_ministack/ready",
    )


async def start_wechat(home: Home, port: int, lock: int) -> Child:
    """The simulator as a stranger would start it."""
    command = [sys.executable, "-m", "simulator", "--port", str(port), "--state", str(home.folder / "simulator")]
    return await Child.start(home, "wechat", command, {}, lock, f"http://127.0.0.1:{port}/_sim/messages")


async def install_dependencies(home: Home) -> Path:
    """The folder of the layer's packages for the emulator's interpreter; made again when what makes it has changed.

    The emulator unzips every layer for every worker. So the local dependency layer is one .pth file that points here.
    The recipe is the deployed layer's: the same packages, the same services of boto3, bytecode.
    """
    folder, aside = home.folder / "dependencies", home.folder / "dependencies.new"
    made_by = (REQUIREMENTS, BUILD, CLOUD / "pyvenv.cfg")
    wanted = hashlib.sha256(b"".join(file.read_bytes() for file in made_by)).hexdigest()
    stamp = folder / ".stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(aside, ignore_errors=True)
    python = ["--python", str(CLOUD / "bin/python")]
    try:
        await run(["sh", str(BUILD), "packages", str(aside), *python, "--compile-bytecode"])
    except StartFailed as error:
        if not (found := NO_NETWORK.search(str(error))):
            raise
        raise StartFailed(
            "no network, or no way to the package index: the functions' packages have to be fetched once "
            f"({found[0]}); check the connection, HTTPS_PROXY or UV_INDEX_URL, then ./dev up again"
        ) from None
    (aside / stamp.name).write_text(wanted)
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
    aside.rename(folder)
    return folder


async def run(command: Sequence[str], stdin: bytes = b"") -> bytes:
    """A command's output. Raises StartFailed with what it wrote to its error stream."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=PROJECT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await process.communicate(stdin)
    except BaseException:  # not wanted any more
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        raise StartFailed(f"{' '.join(command[:4])} ... failed:\n{errors.decode(errors='replace').strip()[-2000:]}")
    return output


@dataclass(frozen=True, slots=True)
class Ports:
    front_door: int
    wechat: int
    aws: int

    def check(self) -> None:
        """Raises StartFailed, in one line, for a port that is none, is asked for twice or is taken."""
        wanted = {
            "--port": (self.front_door, "front door"),
            "--wechat-port": (self.wechat, "WeChat simulator"),
            "--aws-port": (self.aws, "AWS emulator"),
        }
        seen: dict[int, str] = {}
        for option, (port, _) in wanted.items():
            if not 0 < port < 65536:
                raise StartFailed(f"{option} {port} is not a port: there are 1 to 65535")
            if port in seen:
                raise StartFailed(f"{seen[port]} and {option} are both {port}: each part needs a port of its own")
            seen[port] = option
        for option, (port, what) in wanted.items():
            check_port(port, what, f"./dev up {option} N")


def check_port(port: int, what: str, option: str) -> None:
    """Raises StartFailed, in one line, when something listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartFailed(
                f"port {port} ({what}) cannot be used: {error.strerror}; stop what uses it or choose another: {option}"
            ) from None
