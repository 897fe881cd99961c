"""python -m simulator: a WeChat on this machine."""

from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from simulator.app import create_app
from simulator.credentials import FILE, Credentials
from simulator.world import World


def main(
    port: Annotated[int, typer.Option(help="Where to listen.")] = 9080,
    host: Annotated[str, typer.Option(help="Keep it on the loopback unless you know why not.")] = "127.0.0.1",
    state: Annotated[Path, typer.Option(help="Folder of the keys; made if there is none.")] = Path(".local/simulator"),
    mchid: Annotated[str, typer.Option(help="Merchant number, for new keys.")] = "1900000109",
    appid: Annotated[str, typer.Option(help="The mini-program's appid, for new keys.")] = "wx5a1b2c3d4e5f6071",
) -> None:
    """A WeChat Pay that signs for real, with the mini-program API and a cashier, for programs that talk to WeChat.

    Point your client's base URL at it and give it the keys of the credentials file.
    """
    try:
        credentials = Credentials.load_or_create(state, mchid=mchid, appid=appid)
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    typer.echo(f"WeChat simulator  http://{host}:{port}")
    typer.echo(f"  merchant {credentials.mchid}, mini-program {credentials.appid}")
    typer.echo(f"  keys in {state / FILE}; Wechatpay-Serial {credentials.platform_key_id}")
    uvicorn.run(create_app(World(credentials)), host=host, port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(main)
