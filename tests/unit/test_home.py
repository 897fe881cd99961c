"""Who holds the laptop cloud's folder, and which processes end with it: those that hold it, and no others."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.emulator import Ports, StartFailed, install_dependencies
from local.home import AlreadyRunning, Home, NotRunning, StopFailed

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def started() -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def sleeper(started: list["subprocess.Popen[bytes]"], lock: int | None = None) -> "subprocess.Popen[bytes]":
    """A process that leads a group of its own, with the lock in its hand or not."""
    keep = () if lock is None else (lock,)
    process = subprocess.Popen([sys.executable, "-c", SLEEP], pass_fds=keep, start_new_session=True)
    started.append(process)
    return process


def test_one_holds_the_folder_and_the_other_is_told_without_a_trace(home: Home) -> None:
    with home.held() as lock:
        home.name_leader(lock, 4711)
        with pytest.raises(AlreadyRunning, match=r"\./dev down stops it"), Home(home.folder).held():
            pass
        assert (home.folder / "lock").read_text() == "4711"
        assert home.running()
    assert not home.running()


def test_looking_whether_it_runs_does_not_keep_it_from_starting(home: Home) -> None:
    """`./dev status` in a loop holds the lock for a moment, again and again."""
    (home.folder / "lock").touch()
    look = f"import sys; sys.path.insert(0, '.'); from local.home import Home; from pathlib import Path\nh = Home(Path({str(home.folder)!r}))\nwhile True: h.running()"  # noqa: E501
    watcher = subprocess.Popen([sys.executable, "-c", look])
    try:
        time.sleep(0.3)
        for _ in range(20):
            with home.held():
                pass
    finally:
        watcher.kill()
        watcher.wait()


def test_a_stale_number_of_another_process_is_left_alone(home: Home, started: list["subprocess.Popen[bytes]"]) -> None:
    """After a crash the file names a process that is someone else's by now."""
    other = sleeper(started)
    (home.folder / "lock").write_text(str(other.pid))
    assert home.stop() is False
    with home.held() as lock:
        assert other.poll() is None
        home.name_leader(lock, os.getpid())


def test_a_lock_that_a_stranger_holds_is_said_and_nobody_is_killed(
    home: Home, started: list["subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.home.STOP_WITHIN_S", 0.3)
    other = sleeper(started)
    with home.held() as lock:
        holder = sleeper(started, lock)
        home.name_leader(lock, other.pid)
    with pytest.raises(StopFailed, match=str(holder.pid)):
        home.stop()
    assert other.poll() is None
    assert holder.poll() is None


def test_stop_ends_the_one_that_holds_it(home: Home, started: list["subprocess.Popen[bytes]"]) -> None:
    with home.held() as lock:
        leader = sleeper(started, lock)
        home.name_leader(lock, leader.pid)
    (home.folder / "state.json").write_text("{}")
    reaped = subprocess.Popen(["true"])
    reaped.wait()
    assert home.stop(reaped.pid) is False  # that one is not running here
    assert leader.poll() is None
    # The leader is this test's child: somebody has to take its end in.
    signal.signal(signal.SIGCHLD, lambda *_: leader.poll())
    try:
        assert home.stop(leader.pid) is True
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    assert leader.returncode == -signal.SIGTERM
    assert not (home.folder / "state.json").exists()


def test_down_waits_for_an_up_that_has_not_named_its_leader_yet(
    home: Home, started: list["subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("local.home.STOP_WITHIN_S", 0.3)
    with home.held() as lock:
        sleeper(started, lock)
    with pytest.raises(StopFailed):
        home.stop()


def test_a_state_of_another_version_is_no_traceback(home: Home) -> None:
    with home.held():
        (home.folder / "state.json").write_text(json.dumps({"web_url": "x", "new": 1}))
        with pytest.raises(NotRunning, match="not of this version"):
            home.state()


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ((99999, 9080, 4566), "--port 99999"),
        ((8080, -5, 4566), "--wechat-port -5"),
        ((8080, 9080, 0), "--aws-port 0"),
        ((8080, 8080, 4566), "--port and --wechat-port are both 8080"),
        ((8080, 9080, 8080), "--port and --aws-port are both 8080"),
    ],
)
def test_a_port_that_is_none_or_is_asked_for_twice_is_said_in_a_line(ports: tuple[int, int, int], said: str) -> None:
    with pytest.raises(StartFailed, match=said) as refused:
        Ports(*ports).check()
    assert "\n" not in str(refused.value)


WELL = 'if [ "$1" = --version ]; then echo uv 0.0; exit 0; fi\n'
"""A uv that is there and can be started: what fails is what it is asked to do."""


@pytest.mark.parametrize(
    "error",
    [
        "error: Failed to fetch: `https://pypi.org/simple/boto3/`\n  Caused by: dns error: failed to lookup address",
        "  Caused by: error sending request for url (https://pypi.org/simple/boto3/)",
        "  Caused by: tcp connect error\n  Caused by: Connection refused (os error 111)",
        "error: Network connectivity is disabled but the requested data wasn't found in the cache",
    ],
)
def test_no_network_for_uv_is_said_as_that(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\n{WELL}cat >&2 <<'EOF'\n{error}\nEOF\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setenv("UV", str(uv))
    (tmp_path / "pyvenv.cfg").touch()
    monkeypatch.setattr("local.emulator.CLOUD", tmp_path)
    with pytest.raises(StartFailed, match="no network") as refused:
        asyncio.run(install_dependencies(home))
    assert "\n" not in str(refused.value)


def test_another_failure_of_uv_is_told_as_it_is(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\n{WELL}echo 'error: hash mismatch for boto3' >&2\nexit 2\n")
    uv.chmod(0o755)
    monkeypatch.setenv("UV", str(uv))
    (tmp_path / "pyvenv.cfg").touch()
    monkeypatch.setattr("local.emulator.CLOUD", tmp_path)
    with pytest.raises(StartFailed, match="hash mismatch"):
        asyncio.run(install_dependencies(home))
