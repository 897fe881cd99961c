"""The commands behind ./dev."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from local import artifact, bench, bookkeeping, catalogue, checks, events, operate, sam_local, secrets
from local import shots as pictures
from local.home import PROJECT, AlreadyRunning, Home, NotRunning, State, StopFailed
from local.lanes import AT_ONCE
from local.shopper import Purchase, ShopFailed, Shopper
from local.stack import local, running
from local.trace import MILLISECOND, life
from payments.domain.times import utc_now

app = typer.Typer(
    cls=operate.Commands,
    help="wxpay-serverless on this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = operate.console

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for scripts.")]


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; ./dev down stops it.")] = False,
    port: Annotated[int, typer.Option(help="Front door: the pages, and the API under /api.")] = 8080,
    wechat_port: Annotated[int, typer.Option(help="The simulated WeChat.")] = 9080,
    aws_port: Annotated[int, typer.Option(help="The AWS emulator.")] = 4566,
    at_once: Annotated[
        int, typer.Option(min=1, max=64, help="Requests that one function answers at once; the others wait.")
    ] = AT_ONCE,
) -> None:
    """Start the laptop cloud, make one payment and show its life. It ends with this command, unless detached."""
    home = Home()
    supervisor: subprocess.Popen[str] | None = None
    try:
        with operate.ended_by_signals():
            try:
                supervisor = _start(home, (port, wechat_port, aws_port, at_once))
            except AlreadyRunning as error:
                operate.fail(str(error))
            _show_progress(supervisor, home)
            state = home.state()
            _first_payment(state)
            console.print(f"\nOpen [bold]{state.web_url}[/]: a phone to pay with, and what happens behind it.")
            console.print("The counter: ./dev token --link. One more payment from here: ./dev pay.")
            console.print(f"The API is at [bold]{state.api_url}[/], WeChat at [bold]{state.wechat_url}[/].")
            if detach:
                _let_stay(supervisor)
                return
            console.print("Running. Ctrl-C stops everything.")
            supervisor.wait()
            operate.fail(f"the laptop cloud has ended, by ./dev down or by itself; its logs are {home.folder}/*.log")
    except BaseException as why:
        for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sign, signal.SIG_IGN)  # it is ending already
        if isinstance(why, KeyboardInterrupt) and supervisor:
            with contextlib.suppress(OSError):  # the terminal may have gone
                console.print("Stopping.")
        if supervisor:
            with contextlib.suppress(StopFailed):
                home.stop(supervisor.pid)
        if isinstance(why, KeyboardInterrupt):
            raise typer.Exit(0 if supervisor else operate.INTERRUPTED) from None
        raise


@app.command()
def down() -> None:
    """Stop the laptop cloud and all its processes."""
    try:
        stopped = Home().stop()
    except StopFailed as error:
        operate.fail(str(error))
    console.print("Stopped." if stopped else "Nothing was running.")


@app.command()
def status(as_json: Json = False) -> None:
    """Say whether the laptop cloud runs, and where its parts are. Exit code 1 when it does not run."""
    home = Home()
    try:
        state = home.state()
    except NotRunning as error:
        if as_json:
            print(json.dumps({"running": False}))
        else:
            console.print("Starting." if home.running() else str(error))
        raise typer.Exit(1) from None
    if as_json:
        print(json.dumps({"running": True, **json.loads((home.folder / "state.json").read_text())}))
        return
    grid = Grid("part", "where", title="The laptop cloud runs")
    grid.add_row("pages", state.web_url)
    grid.add_row("API", state.api_url)
    grid.add_row("WeChat simulator", state.wechat_url)
    grid.add_row("AWS emulator", state.aws_endpoint_url)
    grid.add_row("table", state.table)
    for name, waiting in _waiting().items():
        grid.add_row(name, f"{waiting} waiting")
    grid.add_row("logs", f"{home.folder}/*.log")
    console.print(grid)


@app.command()
def pay(
    user: Annotated[str, typer.Option(help="Who pays; a new name is a new WeChat user.")] = "guest-1",
    product: Annotated[str, typer.Option(help="Which product is bought: its service_type.")] = "homestay",
    offer: Annotated[str, typer.Option(help="What is bought of it: an id of GET /catalogue/{service_type}.")] = "",
    as_json: Json = False,
) -> None:
    """One order, from login to both messages, through the public API. Exit code 0 only if all of it happened."""
    state = _state()
    try:
        with Shopper(state.api_url, state.wechat_url, state.appid, user) as shopper:
            purchase = shopper.buy(offer, product)
    except ShopFailed as error:
        if as_json:
            print(json.dumps({"error": str(error)}, ensure_ascii=False))
            raise typer.Exit(1) from None
        operate.fail(str(error))
    if as_json:
        print(json.dumps(purchase.report(), ensure_ascii=False))
    else:
        _show_purchase(purchase)
    if not purchase.complete:
        raise typer.Exit(1)


app.command()(operate.trace)
app.command()(operate.sweep)
app.command()(operate.token)
app.command()(bookkeeping.reconcile)
app.command()(bookkeeping.statements)
app.add_typer(operate.cases, name="cases")
app.add_typer(operate.refunds, name="refunds")
app.add_typer(operate.dlq, name="dlq")
app.add_typer(bench.app, name="bench")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(secrets.app, name="secrets")


@app.command()
def shots(
    scenes: Annotated[list[str] | None, typer.Argument(help="Some of them; all, if none is named.")] = None,
) -> None:
    """Photograph the running laptop cloud's pages into docs/images."""
    unknown = set(scenes or []) - {scene.name for scene in pictures.SCENES}
    if unknown:
        there = ", ".join(scene.name for scene in pictures.SCENES)
        operate.fail(f"no such scene: {', '.join(sorted(unknown))}; there are {there}")
    try:
        for path in pictures.take(_state(), scenes or []):
            console.print(f"{path.relative_to(PROJECT)}  {path.stat().st_size // 1024} KB")
    except pictures.NoBrowser as error:
        operate.fail(str(error))


@app.command("test")
def run_tests(
    pytest_arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- ARGUMENTS", help="For pytest, over unit and component tests: ./dev test -- -k name"),
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(checks.PARTS)}; may repeat.")] = None,
    long: Annotated[bool, typer.Option("--long", help="Also the interleavings that take minutes.")] = False,
) -> None:
    """Lint, types, template, unit, component, local and browser tests, as CI runs them; or a few tests alone."""
    unknown = set(only or []) - set(checks.PARTS)
    if unknown:
        operate.fail(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(checks.PARTS)}")
    if pytest_arguments and only:
        operate.fail("--only runs whole parts: say either that or what follows --")
    if pytest_arguments:
        raise typer.Exit(checks.run_some(pytest_arguments, long=long))
    raise typer.Exit(checks.run(console, only or list(checks.PARTS), long=long))


@app.command("format")
def format_code() -> None:
    """Put in order what ruff, eslint and prettier can. Exit code 1 when something is left that only a person can."""
    if not checks.fix():
        raise typer.Exit(1)


@app.command("check-build")
def check_build(
    config_env: Annotated[str, typer.Option(help="As you will give it to sam deploy.")] = "default",
    arch: Annotated[str, typer.Option(help="arm64 or x86_64; samconfig.toml's choice, if not given.")] = "",
    without_bytecode: Annotated[bool, typer.Option("--without-bytecode", help="Accept slow cold starts.")] = False,
    as_json: Json = False,
) -> None:
    """Look at what `sam build` has made, before `sam deploy`. Exit code 1 when it must not be deployed."""
    try:
        architecture = arch or artifact.chosen_architecture(config_env)
    except LookupError as error:
        operate.fail(str(error))
    if architecture not in artifact.MACHINES:
        operate.fail(f"no such architecture: {architecture}; there are {', '.join(artifact.MACHINES)}")
    report = artifact.check(architecture=architecture)
    stops = [finding for finding in report.findings if not (finding.missing_bytecode and without_bytecode)]
    if as_json:
        print(json.dumps({"passed": not stops, **asdict(report)}))
    else:
        for line in report.lines():
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if stops:
        raise typer.Exit(1)


@app.command()
def lock() -> None:
    """Lock the newest versions that pyproject.toml allows, and write the layer's requirements from the lock."""
    checks.lock()


@app.command("openapi")
def describe_api(
    check: Annotated[bool, typer.Option("--check", help="Only say whether it is up to date.")] = False,
) -> None:
    """Write docs/openapi.json, the API's description, from the handlers."""
    from local import openapi  # imports every handler: a second that other commands need not wait

    where, text = openapi.FILE.relative_to(PROJECT), openapi.text()
    if openapi.FILE.exists() and openapi.FILE.read_text() == text:
        console.print(f"{where} is up to date.")
    elif check:
        operate.fail(f"{where} is not what the handlers say; ./dev openapi writes it")
    else:
        openapi.FILE.write_text(text)
        console.print(f"{where} written.")


@app.command("sam-local")
def sam_local_command(
    host: Annotated[str, typer.Option(help="Where containers reach this machine.")] = "host.docker.internal",
) -> None:
    """Let `sam local` work against the running laptop cloud: writes its variables, forwards its ports."""
    home, state = Home(), _state()
    path = sam_local.write_variables(home, state, host)
    console.print(f"{path} is for [bold]sam local --env-vars[/]; README.md has the commands.")
    if host == "host.docker.internal":
        console.print("Docker Desktop reaches the loopback by that name; on Linux say --host 172.17.0.1.")
        return
    console.print(f"Forwarding the emulator and WeChat from {host}. Ctrl-C ends it.")
    try:
        asyncio.run(sam_local.forward(state, host))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except OSError as error:
        why = f"{host} cannot be used: {error.strerror}"
        operate.fail(f"{why}; it must be this machine's address on the containers' bridge")


def _start(home: Home, numbers: tuple[int, ...]) -> "subprocess.Popen[str]":
    """Takes the folder, then starts the supervisor in it. Raises AlreadyRunning and touches nothing if it is taken."""
    with home.held() as lock, home.log.open("w") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "local.supervisor", str(lock), *map(str, numbers)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,  # its end tells the supervisor that this process has gone, however it went
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            pass_fds=(lock,),
            start_new_session=True,
        )
        home.name_leader(lock, supervisor.pid)
    # Reaped as soon as it ends: as a zombie it would look alive to Home.stop.
    threading.Thread(target=supervisor.wait, daemon=True).start()
    return supervisor


def _let_stay(supervisor: "subprocess.Popen[str]") -> None:
    """It goes on when this process has gone."""
    assert supervisor.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended itself
        supervisor.stdin.write("stay\n")
        supervisor.stdin.close()


@app.command("events")
def make_events() -> None:
    """Make an event for each function that does what its name says here, now: for sam local invoke --event."""
    home, state = Home(), _state()
    try:
        with operate.errors.status("buying, refunding and redeeming, so that each event has an order of its own ..."):
            made = events.make(home, state)
    except events.EventsFailed as error:
        operate.fail(str(error))
    grid = Grid("event", "order", "what it does")
    for name in sorted(made):
        grid.add_row(str(_near(made[name].path)), made[name].about, events.SAYS.get(name, ""))
    console.print(grid)
    console.print("Each works once. Codes and WeChat's notices are good for five minutes, orders for half an hour.")


def _near(path: Path) -> Path:
    """As one types it in the project's folder."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


def _show_progress(supervisor: "subprocess.Popen[str]", home: Home) -> None:
    """Shows the supervisor's steps until it is ready; ends the command with its error if it cannot be."""
    with console.status("starting the emulator and the simulated WeChat ...") as line:
        for told in _lines(supervisor):
            if "error" in told:
                operate.fail(told["error"])
            if told.get("ready"):
                return
            console.print(f"  [dim]{told['seconds']:5.1f} s[/]  {told['step']}")
            line.update("...")
    if supervisor.wait() == 0:
        operate.fail("the laptop cloud was stopped while it started")
    operate.fail(f"the laptop cloud did not start; see {home.log}")


def _lines(supervisor: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert supervisor.stdout is not None
    for text in supervisor.stdout:
        yield json.loads(text)


def _first_payment(state: State) -> None:
    started = utc_now()
    grid = Grid("item", "what happened", "by", "ms", title="\nOne payment and its life")
    grid.columns[3].justify = "right"
    try:
        with Shopper(state.api_url, state.wechat_url, state.appid, "guest-1") as shopper:
            purchase = shopper.buy()
    except ShopFailed as error:
        operate.fail(f"the first payment failed at {error}; see {Home().folder}/emulator.log")
    grid.add_row("USER", "guest-1 signed in", "login", f"{purchase.timings_ms['login']:.0f}")
    for moment in life(local(state).store.items(purchase.order_sn)):
        ms = f"{(moment.at - started).total_seconds() * 1000:.0f}" if moment.known_to == MILLISECOND else ""
        grid.add_row(operate.short(moment.what), moment.happened, moment.by, ms)
    console.print(grid)
    if not purchase.complete:
        operate.fail(f"the first payment is not complete: {purchase.report()}")


def _show_purchase(purchase: Purchase) -> None:
    grid = Grid("", "", show_header=False, title=f"Order {purchase.order_sn}")
    grid.add_row("order", purchase.order_status)
    grid.add_row("payment", f"{purchase.payment_status} {purchase.out_trade_no} {purchase.transaction_id}")
    grid.add_row("redeem code", purchase.redeem_code)
    grid.add_row("messages", f"{len(purchase.messages)} of 2 sent")
    grid.add_row("ms", ", ".join(f"{step} {took:.0f}" for step, took in purchase.timings_ms.items()))
    console.print(grid)


def _waiting() -> dict[str, int]:
    stack = running()
    urls = {f"queue {name}": url for name, url in stack.queues.items()}
    urls |= {f"dead letters {name}": url for name, url in stack.dlqs.items()}
    return {what: operate.waiting(stack, url) for what, url in urls.items()}


def _state() -> State:
    try:
        return Home().state()
    except NotRunning as error:
        operate.fail(str(error))


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see local/__init__.py
        signal.signal(signal.SIGINT, signal.default_int_handler)
    app(prog_name="./dev")
