"""python -m simulator: a WeChat on this machine, and the commands that drive it."""

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
import uvicorn

from simulator.app import create_app
from simulator.bench import run
from simulator.credentials import FILE, Credentials
from simulator.faults import FAULTS
from simulator.guard import LOOPBACK
from simulator.world import World

app = typer.Typer(invoke_without_command=True, add_completion=False, pretty_exceptions_enable=False)
Url = Annotated[str, typer.Option(help="Where the simulator is.", envvar="WECHAT_SIMULATOR_URL")]
HERE = "http://127.0.0.1:9080"


@app.callback()
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Where to listen.")] = 9080,
    host: Annotated[str, typer.Option(help="Keep it on the loopback unless you know why not.")] = "127.0.0.1",
    allow_host: Annotated[list[str], typer.Option(help="A name under which it is asked; may be repeated.")] = [],  # noqa: B006
    state: Annotated[Path, typer.Option(help="Folder of the keys; made if there is none.")] = Path(".local/simulator"),
    mchid: Annotated[str, typer.Option(help="Merchant number, for new keys.")] = "1900000109",
    appid: Annotated[str, typer.Option(help="The mini-program's appid, for new keys.")] = "wx5a1b2c3d4e5f6071",
    keep: Annotated[int, typer.Option(help="How many trades are remembered.")] = 10_000,
) -> None:
    """A WeChat Pay that signs for real, with the mini-program API and a cashier, for programs that talk to WeChat.

    Point your client's base URL at it and give it the keys of the credentials file. Without a command it serves.
    """
    if context.invoked_subcommand:
        return
    try:
        credentials = Credentials.load_or_create(state, mchid=mchid, appid=appid)
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(f"WeChat simulator  http://{host}:{port}")
    typer.echo(f"  merchant {credentials.mchid}, mini-program {credentials.appid}")
    typer.echo(f"  keys in {state / FILE}; Wechatpay-Serial {credentials.platform_key_id}")
    world = create_app(World(credentials, keep=keep), {*LOOPBACK, host, *allow_host})
    uvicorn.run(world, host=host, port=port, log_level="warning", access_log=False)


@app.command()
def fault(
    call: Annotated[str, typer.Argument(help="Which call goes wrong: prepay, callback, ... (see: faults --known).")],
    answer: Annotated[str, typer.Argument(help="How it goes wrong: 500, drop, late, ...")],
    times: Annotated[int, typer.Option(help="How often.")] = 1,
    after_effect: Annotated[bool, typer.Option(help="After the call has taken effect.")] = False,
    out_trade_no: Annotated[str, typer.Option(help="Of this trade only.")] = "",
    probability: Annotated[float, typer.Option(help="Over 0, up to 1.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Makes the chances repeatable.")] = 0,
    value: Annotated[
        float, typer.Option(help="Seconds, fen, copies, rows, or which one: as the answer needs it.")
    ] = 0.0,
    url: Url = HERE,
) -> None:
    """Ask for trouble."""
    wanted = {"times": times, "after_effect": after_effect, "out_trade_no": out_trade_no, "probability": probability}
    _show(_ask(url, "POST", "/_sim/faults", wanted | {"call": call, "answer": answer, "seed": seed, "value": value}))


@app.command()
def faults(
    known: Annotated[bool, typer.Option("--known", help="List what can be asked for.")] = False, url: Url = HERE
) -> None:
    """Which trouble was asked for, and how often it fired."""
    if known:
        for call, answers in FAULTS.items():
            for answer, meaning in answers.items():
                typer.echo(f"{call:22}{answer:18}{meaning}")
        return
    _show(_ask(url, "GET", "/_sim/faults"))


@app.command()
def clear(url: Url = HERE) -> None:
    """No more trouble."""
    _show(_ask(url, "DELETE", "/_sim/faults"))


@app.command()
def advance(seconds: Annotated[float, typer.Argument(help="How far.")], url: Url = HERE) -> None:
    """Move the simulator's clock forward: repeats, expiry, tokens and bills follow it, signatures do not."""
    _show(_ask(url, "POST", "/_sim/clock", {"advance_s": seconds}))


@app.command()
def reset_clock(url: Url = HERE) -> None:
    """Bring the simulator's clock back to real time."""
    _show(_ask(url, "POST", "/_sim/clock", {"reset": True}))


@app.command()
def state(
    reset: Annotated[bool, typer.Option("--reset", help="Forget everything but the keys.")] = False, url: Url = HERE
) -> None:
    """Everything that the simulator knows, as JSON."""
    _show(_ask(url, "DELETE" if reset else "GET", "/_sim/state"))


@app.command()
def bench(
    cycles: Annotated[int, typer.Option(help="How many prepay + pay + callback cycles.")] = 5_000,
    parallel: Annotated[int, typer.Option(help="How many at a time.")] = 32,
    keep: Annotated[int, typer.Option(help="How many trades the simulator remembers.")] = 10_000,
) -> None:
    """Measure cycles a second, and the simulator's memory on the way. Starts a simulator of its own."""
    run(cycles, parallel, keep)


def _ask(url: str, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    try:
        reply = httpx.request(method, url + path, json=body, timeout=10, trust_env=False)
    except httpx.TransportError:
        typer.echo(f"no simulator answers at {url}; python -m simulator starts one, --url says where it is", err=True)
        raise typer.Exit(1) from None
    if reply.status_code != 200:
        typer.echo(reply.json().get("error", reply.text), err=True)
        raise typer.Exit(1)
    return reply.json()


def _show(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    app()
