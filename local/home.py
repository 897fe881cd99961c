"""Where the laptop cloud keeps its state, and who holds it.

A running cloud holds a lock on `lock` in its folder; its children inherit the lock, so it is free only when the last of
them has gone. `state.json` is there for scripts while the cloud is ready.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a script needs to talk to the running cloud."""

    web_url: str
    api_url: str
    wechat_url: str
    aws_endpoint_url: str
    region: str
    table: str
    topic_arn: str
    stack: str
    queues: dict[str, str] = field(default_factory=dict)
    dlqs: dict[str, str] = field(default_factory=dict)
    appid: str
    mchid: str
    secrets: dict[str, str] = field(default_factory=dict)
    sweep_function: str


class NotRunning(Exception):
    """No laptop cloud runs from this folder."""


class AlreadyRunning(Exception):
    """One runs from this folder already."""


class Home:
    """One cloud's folder: `.local`, or what WXPAY_LOCAL_DIR says."""

    def __init__(self, folder: Path | None = None) -> None:
        chosen = folder or Path(os.environ.get("WXPAY_LOCAL_DIR", PROJECT / ".local"))
        self.folder = chosen.resolve()
        self.log = self.folder / "up.log"
        self._lock = self.folder / "lock"
        self._state = self.folder / "state.json"

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Holds the folder for this process and its children; gives the lock's file number. Raises AlreadyRunning."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                    raise
                raise AlreadyRunning(f"a laptop cloud runs already from {self.folder}; ./dev down stops it") from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            self.forget()
            try:
                yield file.fileno()
            finally:
                self.forget()

    def running(self) -> bool:
        if not self._lock.exists():
            return False
        with self._lock.open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def stop(self) -> bool:
        """Ends the running cloud, all its processes; False when none runs. Raises TimeoutError if it will not go."""
        if not self.running():
            self.forget()
            return False
        supervisor = int(self._lock.read_text())
        try:
            os.kill(supervisor, signal.SIGTERM)  # it ends its children in order
        except ProcessLookupError:
            _kill_group(supervisor)  # it was killed; what it started is still in its group
        if not self._gone_within(supervisor, STOP_WITHIN_S):
            _kill_group(supervisor)
            if not self._gone_within(supervisor, STOP_WITHIN_S):
                raise TimeoutError(f"the processes of group {supervisor} do not end")
        self.forget()
        return True

    def _gone_within(self, group: int, seconds: float) -> bool:
        """Whether the last process goes in time: the emulator's workers hold no lock, but are of the same group."""
        until = time.monotonic() + seconds
        while self.running() or _alive(group):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def publish(self, state: State) -> None:
        """Writes state.json whole or not at all."""
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state), indent=1) + "\n")
        draft.replace(self._state)

    def forget(self) -> None:
        self._state.unlink(missing_ok=True)

    def state(self) -> State:
        """Of the running cloud. Raises NotRunning."""
        if not self.running() or not self._state.exists():
            raise NotRunning("no laptop cloud is ready here; ./dev up starts one")
        return State(**json.loads(self._state.read_text()))


def _alive(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS, of a group that holds only what has ended
        return False
    return True


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
