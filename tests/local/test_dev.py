"""./dev as people use it: wrong moments, taken ports, a killed supervisor."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from local.home import PROJECT, Home, NotRunning, State
from tests.local.conftest import dev, free_ports, ports_arguments


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
    consumers = {"order_update", "execute_refund", "notify_user", "upload_shipping"}
    assert set(told["queues"]) == consumers
    assert set(told["dlqs"]) == consumers | {"publish_events"}


def test_pay_as_json_is_one_object(folder: Path, running: State) -> None:
    done = dev(folder, "pay", "--json", "--user", "小明")
    assert done.returncode == 0, done.stderr
    purchase = json.loads(done.stdout)
    wanted = {"order_sn", "out_trade_no", "transaction_id", "order_status", "payment_status", "redeem_code"}
    assert wanted | {"messages", "timings_ms"} == set(purchase)
    assert len(purchase["messages"]) == 2
    unknown = dev(folder, "pay", "--json", "--homestay", "nowhere")
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


def test_ctrl_c_stops_everything(running: State, own: Path) -> None:
    environment = {**os.environ, "WXPAY_LOCAL_DIR": str(own)}
    command = [str(PROJECT / "dev"), "up", *ports_arguments(free_ports(3))]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True) as up:
        assert up.stdout is not None
        printed = ""
        while "Ctrl-C stops everything" not in printed:
            line = up.stdout.readline()
            assert line, printed
            printed += line
        supervisor = int((own / "lock").read_text())
        os.killpg(up.pid, signal.SIGINT)
        assert "Stopping." in up.stdout.read()
    assert up.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(supervisor, 0)
    assert not Home(own).running()


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
