"""One list of what is deployed: what is added to template.yaml is known to all that ask for functions or routes."""

import asyncio
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import cfnlint.decode
import httpx
import pytest
from starlette.applications import Starlette
from typer.testing import CliRunner

from local import deploy, openapi, operate, stack
from local.__main__ import app
from local.home import PROJECT
from local.lanes import Lanes
from local.live import Live
from local.topology import Topology, load, read, whole
from payments.edge.events import TYPES
from simulator.credentials import Credentials

ROUTE = "GET /orders/{order_sn}/audit"


@pytest.fixture
def copy(tmp_path: Path) -> Topology:
    """The project with one more consumer, audit_log, made as order_update is; and one more route of orders."""
    text = (PROJECT / "template.yaml").read_text()
    (block,) = re.findall(r"  # --- order-update.*?(?=  # --- )", text, re.DOTALL)
    outputs = "".join(re.findall(r"  OrderUpdate\w+Url: .*\n", text))
    for ours, theirs in (("OrderUpdate", "AuditLog"), ("order-update", "audit-log"), ("order_update", "audit_log")):
        block, outputs = block.replace(ours, theirs), outputs.replace(ours, theirs)
    block = re.sub(r"FilterPolicy: .*", "FilterPolicy: {type: [order.paid, {prefix: case.}]}", block)
    method, path = ROUTE.split()
    event = f'Audit: {{Type: HttpApi, Properties: {{ApiId: !Ref HttpApi, Method: {method}, Path: "{path}"}}}}'
    text = text.replace("\nOutputs:\n", f"\n{block}\nOutputs:\n{outputs}", 1)
    text = text.replace("        Cancel: {Type: HttpApi,", f"        {event}\n        Cancel: {{Type: HttpApi,", 1)
    (tmp_path / "template.yaml").write_text(text)
    (tmp_path / "layers").symlink_to(PROJECT / "layers")
    (tmp_path / "functions").mkdir()
    for folder in (PROJECT / "functions").iterdir():
        (tmp_path / "functions" / folder.name).symlink_to(folder)
    (tmp_path / "functions/audit_log").mkdir()
    (tmp_path / "functions/audit_log/app.py").write_text("def handler(event, context): ...\n")
    return read(tmp_path / "template.yaml")


def state(topology: Topology) -> Any:
    outputs = {name: f"http://sqs/{name}" for name in topology.outputs}
    where = {"web": "http://web", "wechat": "http://wechat", "aws": "http://aws"}
    return deploy.state(topology, outputs, Credentials.generate(), **where)


def undocumented(topology: Topology) -> set[str]:
    """Routes that README.md's tables do not show, and alarms that docs/deploy-aws.md's table does not."""
    rows = re.findall(r"^\|.*", (PROJECT / "README.md").read_text(), re.MULTILINE)
    told = {route.partition("?")[0] for row in rows for route in re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`", row)}
    alarms = re.findall(r"`([\w*]+Alarm)`", (PROJECT / "docs/deploy-aws.md").read_text())
    assert told <= set(topology.routes), "README.md shows a route that is not there"
    assert all(any(fnmatch(alarm, one) for alarm in topology.alarms) for one in alarms)
    unknown = {alarm for alarm in topology.alarms if not any(fnmatch(alarm, one) for one in alarms)}
    return set(topology.routes) - told | unknown


# --- the template, read


def test_a_template_is_read_as_cfn_lint_reads_it() -> None:
    assert load() == json.loads(json.dumps(cfnlint.decode.decode("template.yaml")[0]))


def test_every_queue_has_its_outputs_and_every_function_is_told_where_it_fails() -> None:
    for function in whole().functions.values():
        assert (function.queue is None) == (not function.takes)
        for queue in filter(None, (function.queue, function.dead_letters)):
            assert queue.output in whole().outputs
        assert function.dead_letters or not (function.queue or function.reads_stream)
    assert set(whole().secrets) == {"merchant", "verification", "app", "token"}


def test_filters_name_events_that_there_are() -> None:
    known = {event_type for types in TYPES.values() for event_type in types.values()}
    for function in whole().consumers.values():
        assert all(any(one == t or t.startswith(one.rstrip("*")) for t in known) for one in function.takes), (
            function.name
        )
    assert "order_update" in whole().consumers_of("payment.succeeded")
    assert {"order_update", "execute_refund"} <= set(whole().consumers_of("refund.requested"))
    assert "execute_refund" not in whole().consumers_of("refund.succeeded")


@pytest.mark.parametrize(
    ("record", "takes"),
    [("off", None), ("on_payment", ("order.paid", "order.used")), ("on_redemption", ("order.used",))],
)
def test_a_stack_has_what_its_parameters_ask_for(record: str, takes: tuple[str, ...] | None) -> None:
    there = read(parameters={"ShippingRecord": record})
    function = there.consumers.get("upload_shipping")
    assert (function and function.takes) == takes
    assert ("UploadShippingDlqUrl" in there.outputs) == ("UploadShippingDlqAlarm" in there.alarms) == bool(takes)
    assert set(whole().functions) - set(there.functions) <= {"upload_shipping"}


def test_the_laptop_chooses_parameters_under_which_every_function_is_there() -> None:
    chosen = deploy.parameters(Credentials.generate(), aws_url="http://a", wechat_url="http://w", public_url="http://p")
    assert set(read(parameters=chosen).functions) == set(whole().functions)


# --- one more


def test_it_is_packaged_and_its_queues_are_known_to_the_stack_and_its_commands(
    copy: Topology, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(copy.functions) - set(whole().functions) == {"audit_log"}
    assert set(deploy.package(copy, tmp_path)) - set(deploy.package(whole(), tmp_path)) == {"functions/audit_log"}
    running = stack.local(state(copy))
    assert running.queues["audit_log"] == "http://sqs/AuditLogQueueUrl"
    assert running.dlqs["audit_log"] == "http://sqs/AuditLogDlqUrl"

    class Sqs:
        def get_queue_attributes(self, **asked: Any) -> Any:
            waiting = 3 if asked["QueueUrl"] == running.dlqs["audit_log"] else 0
            return {"Attributes": dict.fromkeys(asked["AttributeNames"], waiting)}

    seen = stack.Stack(lambda *_: Sqs(), "table", running.queues, running.dlqs, {}, "sweep")
    monkeypatch.setattr(operate, "running", lambda: seen)
    told = json.loads(CliRunner().invoke(app, ["dlq", "--json"]).stdout)
    assert told == dict.fromkeys(running.dlqs, 0) | {"audit_log": 6}


def test_it_stands_in_the_picture_which_has_no_list_of_its_own(copy: Topology) -> None:
    live = Live(stack.local(state(copy)), "http://wechat", copy)

    async def asked() -> Any:
        transport = httpx.ASGITransport(Starlette(routes=live.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as page:
            return (await page.get("/live/functions")).json()

    told = {one["name"]: one for one in asyncio.run(asked())}
    assert list(told) == list(copy.functions)
    assert told["audit_log"] == told["order_update"] | {"name": "audit_log", "takes": ["order.paid", "case.*"]}
    assert ROUTE in told["orders"]["routes"]
    pages = "".join((PROJECT / "local/web" / name).read_text() for name in ("trace.js", "trace-picture.js"))
    assert not {name for name in whole().consumers if name in pages}


def test_tests_deliver_events_and_requests_to_it(copy: Topology) -> None:
    assert copy.consumers_of("order.paid") == (*whole().consumers_of("order.paid"), "audit_log")
    assert copy.consumers_of("case.opened") == ("audit_log",)
    assert copy.routes[ROUTE] == "orders"
    assert ROUTE not in copy.open_routes


def test_a_route_is_let_in_and_its_description_is_asked_for(copy: Topology) -> None:
    assert Lanes(copy.routes).function("GET", "/orders/HSO1/audit") == "orders"
    paths = openapi.document(copy)["paths"]
    described = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(copy.routes) - described == {ROUTE}


def test_docs_show_every_route_and_alarm_and_no_other(copy: Topology) -> None:
    assert undocumented(whole()) == set()
    assert undocumented(copy) == {ROUTE}, "its alarm is one of *DlqAlarm"
    assert copy.alarms["AuditLogDlqAlarm"] == "audit_log"


def test_the_readmes_drawing_names_functions_that_are_there() -> None:
    (drawing,) = re.findall(r"```mermaid.*?```", (PROJECT / "README.md").read_text(), re.DOTALL)
    named = set(re.findall(r"\b[a-z]+_[a-z]+\b", drawing))
    assert named
    assert named <= set(whole().functions)
