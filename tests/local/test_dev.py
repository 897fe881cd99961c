"""./dev as people use it: wrong moments, taken ports, a killed supervisor."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.home import PROJECT, Home, NotRunning, State
from local.topology import whole
from tests.local.conftest import dev, eventually, free_ports, ports_arguments


def test_nothing_runs_is_said_in_one_line(tmp_path: Path) -> None:
    assert dev(tmp_path, "down").stdout.strip() == "Nothing was running."
    for command in ("status", "pay"):
        done = dev(tmp_path, command)
        assert done.returncode == 1
        assert "./dev up starts one" in done.stdout + done.stderr
    told = dev(tmp_path, "status", "--json")
    assert (told.returncode, json.loads(told.stdout)) == (1, {"running": False})


def test_a_second_up_says_so(folder: Path, running: State) -> None:
    done = dev(folder, "up", "--detach")
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "./dev down stops it" in done.stderr
    assert dev(folder, "pay").returncode == 0


def test_a_port_that_is_taken_is_named_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--port", "--wechat-port", "--aws-port"):
            arguments = dict(zip(*[iter(ports_arguments(free_ports(3)))] * 2, strict=True)) | {option: str(port)}
            done = dev(tmp_path, "up", "--detach", *(word for pair in arguments.items() for word in pair))
            assert done.returncode == 1
            assert done.stderr.strip().count("\n") == 0
            assert str(port) in done.stderr
            assert option in done.stderr


def test_the_state_file_tells_scripts_where_everything_is(running: State, folder: Path) -> None:
    told = json.loads(dev(folder, "status", "--json").stdout)
    assert told["running"]
    names = {"api_url", "wechat_url", "aws_endpoint_url", "region", "table", "topic_arn", "queues", "dlqs", "stack"}
    assert names <= set(told)
    assert set(told["queues"]) == set(whole().consumers)
    assert set(told["dlqs"]) == set(whole().consumers) | {"publish_events"}


def test_pay_as_json_is_one_object(folder: Path, running: State) -> None:
    done = dev(folder, "pay", "--json", "--user", "小明")
    assert done.returncode == 0, done.stderr
    purchase = json.loads(done.stdout)
    wanted = {"order_sn", "out_trade_no", "transaction_id", "order_status", "payment_status", "redeem_code"}
    assert wanted | {"service_type", "messages", "timings_ms"} == set(purchase)
    assert purchase["service_type"] == "homestay"
    assert len(purchase["messages"]) == 2
    unknown = dev(folder, "pay", "--json", "--offer", "nowhere")
    assert unknown.returncode == 1
    assert "homestay_id" in json.loads(unknown.stdout)["error"]


def test_an_unknown_part_of_the_tests_is_refused_with_the_list(tmp_path: Path) -> None:
    done = dev(tmp_path, "test", "--only", "everything")
    assert done.returncode == 1
    assert "lint" in done.stderr


@pytest.fixture
def own(tmp_path: Path, folder: Path) -> Path:
    with contextlib.suppress(FileExistsError):
        (tmp_path / "dependencies").symlink_to(folder / "dependencies")
    return tmp_path


def started(own: Path, *more: str) -> "subprocess.Popen[str]":
    """./dev up of its own, as a terminal runs it."""
    environment = {**os.environ, "WXPAY_LOCAL_DIR": str(own)}
    command = [str(PROJECT / "dev"), "up", *more]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def heed_the_terminal() -> None:
        # Tests under nohup, or in the background of a script, hand down that these are ignored.
        for sign in (signal.SIGHUP, signal.SIGINT):
            signal.signal(sign, signal.SIG_DFL)

    return subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=heed_the_terminal, **pipes)


def printed_until(up: "subprocess.Popen[str]", text: str) -> str:
    assert up.stdout is not None
    printed = ""
    while text not in printed:
        line = up.stdout.readline()
        assert line, printed
        printed += line
    return printed


def assert_all_gone(own: Path, group: int) -> None:
    def gone() -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, 0)
            return False
        return not Home(own).running()

    eventually(gone)


def test_of_two_ups_at_the_same_moment_one_wins_and_ctrl_c_stops_all_of_it(running: State, own: Path) -> None:
    ports = ports_arguments(free_ports(3))
    ups = [started(own, *ports) for _ in range(2)]
    eventually(lambda: any(up.poll() is not None for up in ups), within_s=60)
    (loser,) = (up for up in ups if up.poll() is not None)
    (winner,) = (up for up in ups if up is not loser)
    printed, said = loser.communicate()
    assert (loser.returncode, printed, said.strip().count("\n")) == (1, "", 0)
    assert "./dev down stops it" in said
    printed_until(winner, "Ctrl-C stops everything")
    supervisor = int((own / "lock").read_text())
    os.killpg(winner.pid, signal.SIGINT)
    printed, said = winner.communicate(timeout=60)
    # A line that the signal meets half-way may be written a second time.
    assert (winner.returncode, printed.splitlines()[-1:], said) == (0, ["Stopping."], "")
    assert_all_gone(own, supervisor)


@pytest.mark.parametrize(
    ("when", "sign", "code"),
    [
        pytest.param("packed", signal.SIGHUP, 129, id="a closed terminal while it starts"),
        pytest.param("Running.", signal.SIGKILL, -9, id="SIGKILL"),
        pytest.param("packed", signal.SIGKILL, -9, id="SIGKILL while it starts", marks=pytest.mark.long),
        pytest.param("packed", signal.SIGINT, 0, id="Ctrl-C while it starts", marks=pytest.mark.long),
        pytest.param("Running.", signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.long),
        pytest.param("Running.", signal.SIGHUP, 129, id="a closed terminal", marks=pytest.mark.long),
    ],
)
def test_whatever_ends_the_command_ends_the_cloud(
    running: State, own: Path, when: str, sign: signal.Signals, code: int
) -> None:
    up = started(own, *ports_arguments(free_ports(3)))
    printed_until(up, when)
    supervisor = int((own / "lock").read_text())
    os.kill(up.pid, sign)
    _, errors = up.communicate(timeout=60)
    assert up.returncode == code
    assert "Traceback" not in errors
    assert_all_gone(own, supervisor)


def test_down_ends_what_is_just_starting(running: State, own: Path) -> None:
    up = started(own, *ports_arguments(free_ports(3)))
    printed_until(up, "packed")
    supervisor = int((own / "lock").read_text())
    assert dev(own, "down").stdout.strip() == "Stopped."
    _, errors = up.communicate(timeout=60)
    assert (up.returncode, errors.strip()) == (1, "the laptop cloud was stopped while it started")
    assert_all_gone(own, supervisor)


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(folder: Path, running: State) -> None:
    command = f"{PROJECT}/dev status | true; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "WXPAY_LOCAL_DIR": str(folder)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in {"0", "141"}
    assert done.stderr == ""


def test_into_a_pipe_goes_plain_text_that_is_not_broken_into_lines(folder: Path, running: State) -> None:
    environment = {**os.environ, "WXPAY_LOCAL_DIR": str(folder)}
    environment.pop("COLUMNS", None)
    command = [str(PROJECT / "dev"), "trace", json.loads(dev(folder, "pay", "--json").stdout)["order_sn"]]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "\x1b" not in told
    (paid,) = (line for line in told.splitlines() if "paid, transaction" in line)
    assert "WeChat" in paid


def test_down_leaves_no_process_even_after_a_kill(running: State, own: Path) -> None:
    ports = free_ports(3)
    assert dev(own, "up", "--detach", *ports_arguments(ports)).returncode == 0
    supervisor = int((own / "lock").read_text())
    os.kill(supervisor, signal.SIGKILL)
    assert Home(own).running()  # its children hold on
    os.killpg(supervisor, 0)
    assert dev(own, "down").stdout.strip() == "Stopped."
    with pytest.raises(ProcessLookupError):
        os.killpg(supervisor, 0)
    with pytest.raises(NotRunning):
        Home(own).state()
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
