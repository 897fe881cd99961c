"""Where the laptop cloud keeps its state, and who holds it.

`./dev up` takes the lock on `lock` in its folder before it starts anything, and the processes of the cloud inherit it,
so it is free only when the last of them has gone. `state.json` is there for scripts while the cloud is ready.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

PROJECT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 12
PROBES_TAKE_S = 0.3
"""Who only looks whether a cloud runs holds the lock for a moment."""


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
    reconcile_function: str


class NotRunning(Exception):
    """No laptop cloud runs from this folder."""


class AlreadyRunning(Exception):
    """One runs or starts from this folder already."""


class StopFailed(Exception):
    """It does not end; the text says what is left."""


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
        """Holds the folder for this process and for those that it gives the lock's file number to: with this the
        folder is theirs until the last of them has gone. Raises AlreadyRunning."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as file:
            until = time.monotonic() + PROBES_TAKE_S
            while not _locked(file, fcntl.LOCK_EX):
                if time.monotonic() > until:
                    raise AlreadyRunning(
                        f"a laptop cloud runs or starts already from {self.folder}; ./dev down stops it, "
                        "./dev status shows it"
                    )
                time.sleep(0.02)
            file.truncate(0)
            self.forget()
            yield file.fileno()

    def name_leader(self, lock: int, leader: int) -> None:
        """Says which process is to be told when the cloud shall end: the leader of the group of all of it."""
        os.ftruncate(lock, 0)
        os.write(lock, str(leader).encode())

    def running(self) -> bool:
        """Whether it runs, starts or ends."""
        if not self._lock.exists():
            return False
        with self._lock.open("a+") as file:
            return not _locked(file, fcntl.LOCK_SH)  # looking at it keeps nobody else from looking

    def stop(self, leader: int | None = None) -> bool:
        """Ends the running cloud, all its processes; False when none runs, or another than the one that `leader` leads.

        Only processes that hold this folder's lock, and their group, are ended: the number in the file alone proves
        nothing, it may be another process's by now. Raises StopFailed if they will not go.
        """
        until = time.monotonic() + STOP_WITHIN_S
        while self.running():
            named, holders = self._leader(), self._holders()
            if leader not in (None, named):
                return False
            if named is not None and named in holders:
                _signal(os.kill, named, signal.SIGTERM)  # it ends its children in order
                break
            if named is not None and any(_group(holder) == named for holder in holders):
                _signal(os.killpg, named, signal.SIGKILL)  # it was killed; what it started is still in its group
                break
            if time.monotonic() > until:
                raise StopFailed(f"{self._lock} is held by {_numbers(holders)}, and ./dev up did not start that")
            time.sleep(0.05)  # ./dev up has not named it yet, or it is just going
        else:
            self._forget_when_free()
            return False
        if not self._gone_within(named, STOP_WITHIN_S):
            _signal(os.killpg, named, signal.SIGKILL)
            if not self._gone_within(named, STOP_WITHIN_S):
                raise StopFailed(f"the processes of group {named} do not end")
        self._forget_when_free()
        return True

    def _leader(self) -> int | None:
        text = self._lock.read_text()
        return int(text) if text.isdecimal() else None

    def _holders(self) -> set[int]:
        """The processes that have the lock's file open, but this one."""
        if Path("/proc/self/fd").exists():
            found = {
                int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and self._open_in(path)
            }
        else:
            told = subprocess.run(["lsof", "-t", str(self._lock)], capture_output=True, text=True, check=False)
            found = {int(line) for line in told.stdout.split()}
        return found - {os.getpid()}

    def _open_in(self, process: Path) -> bool:
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            return any(os.readlink(number) == str(self._lock) for number in (process / "fd").iterdir())
        return False

    def _gone_within(self, group: int, seconds: float) -> bool:
        """Whether the last process goes in time: the emulator's workers hold no lock, but are of the same group."""
        until = time.monotonic() + seconds
        while self._leader() == group and (self.running() or _alive(group)):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def _forget_when_free(self) -> None:
        """No state is told of a cloud that was killed; one that has started meanwhile keeps its own."""
        if self._lock.exists():
            with self._lock.open("a+") as file:
                if _locked(file, fcntl.LOCK_EX):
                    self.forget()

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
        try:
            return State(**json.loads(self._state.read_text()))
        except (TypeError, ValueError, FileNotFoundError):  # made by another version, or just going
            raise NotRunning("the laptop cloud that runs is not of this version; ./dev down, then ./dev up") from None


def _alive(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS, of a group that holds only what has ended
        return False
    return True


def _group(process: int) -> int | None:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return None


def _signal(send: Callable[[int, int], None], number: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        send(number, sign)


def _locked(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise
        return False
    return True


def _numbers(processes: set[int]) -> str:
    return " ".join(["process", *map(str, sorted(processes))]) if processes else "a process of another user"
