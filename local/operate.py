"""Commands for those who run the shop: an order's life, cases, dead letters, tokens; here or on AWS."""

import getpass
import json
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, NoReturn

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as Grid

from local.home import Home, NotRunning
from local.stack import NoStack, Stack, SweepFailed, deployed, partition, running
from local.trace import life, promises
from payments.case import Case, Resolution
from payments.payment import parse_out_trade_no
from payments.times import BEIJING, utc_now
from payments.tokens import EVERY_BUSINESS, Identity, Role, issue

console = Console()
errors = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for scripts.")]
StackName = Annotated[str | None, typer.Option("--stack", help="A stack on AWS; left out: the running laptop cloud.")]
Profile = Annotated[str | None, typer.Option("--profile", help="AWS profile of the stack.")]
Region = Annotated[str | None, typer.Option("--region", help="AWS region of the stack.")]
Queue = Annotated[
    str, typer.Argument(help="order_update, execute_refund, notify_user, upload_shipping or publish_events.")
]

HIDDEN_S = 10
"""How long a message that is only looked at stays invisible to others."""

POINTERS = (
    "publish_events has no queue to go back to: its dead letters are pointers into the stream. The janitor publishes "
    "what is missing within its next looks; then ./dev dlq delete publish_events --all."
)


def chosen(name: str | None, profile: str | None, region: str | None) -> Stack:
    """The stack that a command is about; ends the command if there is none."""
    try:
        if name:
            return deployed(name, profile, region)
        if profile or region:
            fail("say which stack of that profile: --stack wxpay-staging")
        return running()
    except (NotRunning, NoStack) as error:
        fail(str(error))


def fail(text: str) -> NoReturn:
    errors.print(text, style="red", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


# --- one order


def trace(
    order_sn: Annotated[str, typer.Argument(help="HSO..., or the number of one of its trades.")],
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Print the whole life of an order, from one Query: states, calls, callbacks, messages, refunds, cases."""
    numbers = parse_out_trade_no(order_sn)
    on = chosen(stack, profile, region)
    items = partition(on.client("dynamodb"), on.table_name, numbers[0] if numbers else order_sn)
    if not items:
        fail(f"there is no order {order_sn}")
    moments = life(items)
    if as_json:
        told = [{"at": m.at.isoformat(), "what": m.what, "happened": m.happened, "by": m.by} for m in moments]
        looks = [{"at": at.isoformat(), "what": sk} for at, sk in promises(items)]
        print(json.dumps({"life": told, "janitor": looks}, ensure_ascii=False))
        return
    day = moments[0].at.astimezone(BEIJING).date()
    grid = Grid("time", "item", "what happened", "by", title=f"Order {order_sn}, {day} in Beijing", box=SIMPLE)
    for column in (0, 1, 3):
        grid.columns[column].no_wrap = True
    for moment in moments:
        here = moment.at.astimezone(BEIJING)
        clock = f"{here:%H:%M:%S.%f}"[:-3] if here.date() == day else f"{here:%m-%d %H:%M:%S}"
        grid.add_row(clock, short(moment.what), moment.happened, moment.by)
    console.print(grid)
    for due_at, sk in promises(items):
        at = f"{due_at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
        console.print(f"The janitor looks at {short(sk)} at {at} Beijing time.")


def short(sk: str) -> str:
    """A sort key without what stands beside it."""
    kind, _, name = sk.partition("#")
    return {"REFUND": f"REFUND {name.split('_', 1)[-1][:10]}", "NOTICE": kind, "CASE": kind}.get(kind, sk)


def sweep(stack: StackName = None, profile: Profile = None, region: Region = None) -> None:
    """Let the janitor come now instead of at the next full minute."""
    try:
        told = chosen(stack, profile, region).sweep()
    except SweepFailed as failed:
        fail(f"the janitor failed: {failed}")
    console.print(f"{told['orders']} orders looked at, {told['failed']} failed, {told['left']} left to the next run.")


def token(
    role: Annotated[Role, typer.Option(help="user or staff.")] = Role.STAFF,
    user: Annotated[str, typer.Option(help="user_id that the token stands for; it signs redemptions.")] = "",
    business: Annotated[str, typer.Option(help="business_id of staff; '*': all of them.")] = EVERY_BUSINESS,
    hours: Annotated[float, typer.Option(help="How long it is good.", min=0.01, max=24)] = 2,
    link: Annotated[
        bool, typer.Option("--link", help="The laptop cloud's counter, with the token in its address.")
    ] = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Print a bearer token, for staff unless said otherwise: a password for its life, do not share it."""
    if link and stack:
        fail("--link is the laptop cloud's; a deployed counter is where you have put it")
    keys = chosen(stack, profile, region).token_keys()
    who = user or f"{role}-{getpass.getuser()}"
    identity = Identity(who, role, business if role is Role.STAFF else "")
    issued = issue(identity, keys, utc_now(), timedelta(hours=hours))
    print(f"{Home().state().web_url}counter.html#token={issued}" if link else issued)


# --- cases

cases = typer.Typer(help="Money that waits for a person.", no_args_is_help=True)


@cases.command("list")
def list_cases(stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False) -> None:
    """The open cases, the oldest first."""
    opened = chosen(stack, profile, region).table.open_cases()
    if as_json:
        print(json.dumps([_told(case) for case in opened], ensure_ascii=False))
        return
    if not opened:
        console.print("No case is open.")
        return
    grid = Grid("opened", "kind", "trade", "id", "fen", "detail", title="Open cases")
    for case in opened:
        at = f"{case.opened_at.astimezone(BEIJING):%m-%d %H:%M}"
        grid.add_row(at, case.kind, case.out_trade_no, case.case_id, str(case.amount_fen), case.detail)
    console.print(grid)


Trade = Annotated[str, typer.Argument(help="The trade's number, as ./dev cases list shows it.")]
Kind = Annotated[str | None, typer.Option(help="Where the trade has several cases.")]
CaseId = Annotated[str | None, typer.Option("--id", help="Where the trade has several cases of a kind.")]


@cases.command("show")
def show_case(
    trade: Trade,
    kind: Kind = None,
    case_id: CaseId = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """One open case, and what to do about it."""
    case = _one(chosen(stack, profile, region), trade, kind, case_id)
    for name, value in _told(case).items():
        console.print(f"{name:>15}  {value}", highlight=False)
    console.print(f"\n{ADVICE.get(case.kind, 'Look the trade up in WeChat Pay merchant console.')}")
    console.print("Then: ./dev cases close TRADE --resolution refunded|booked|kept --reference ...")


@cases.command("close")
def close_case(
    trade: Trade,
    resolution: Annotated[Resolution, typer.Option(help="What became of the money.")],
    reference: Annotated[str, typer.Option(help="refunded: out_refund_no or refund_id; booked: order_sn; kept: why.")],
    kind: Kind = None,
    case_id: CaseId = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Close a case with what became of its money."""
    on = chosen(stack, profile, region)
    case = _one(on, trade, kind, case_id)
    if not reference.strip():
        fail("--reference says where the money went; it cannot be empty")
    if not on.table.close_case(
        case, resolution, reference.strip()[:128], f"cli-{getpass.getuser()}"[:27], secrets.token_urlsafe(9), utc_now()
    ):
        fail("it is closed already")
    console.print(f"Closed: {case.kind} of {case.out_trade_no}, {case.amount_fen} fen, {resolution}.")


ADVICE = {
    "unknown_trade": "WeChat told of a payment under a number that is not ours: another system of this merchant's?",
    "mispaid": "Paid, but not as asked for (detail). Refund it in WeChat Pay merchant console, or book it by hand.",
    "second_transaction": "Paid twice under one number: refund the second transaction in WeChat Pay merchant console.",
    "refund_abnormal": "The guest's account cannot take it: send it to another one in WeChat Pay merchant console.",
    "refund_closed": "WeChat gave the refund up: refund again (late or second money: POST /merchant/cases/.../refund).",
    "refund_refused": "WeChat will not do this refund: look at the balance and at what was refunded before.",
    "refund_stalled": "The refund is on its way for seven days: ask WeChat.",
    "shipping_refused": "WeChat does not take the shipping record: ship it by hand in the mini-program's console.",
}


def _one(on: Stack, trade: str, kind: str | None, case_id: str | None) -> Case:
    found = [
        case
        for case in on.table.open_cases()
        if case.out_trade_no == trade and kind in (None, case.kind) and case_id in (None, case.case_id)
    ]
    if not found:
        fail(f"no open case of {trade}; ./dev cases list shows them, ./dev trace the closed ones")
    if len(found) > 1:
        fail("several: " + "; ".join(f"--kind {case.kind} --id {case.case_id}" for case in found))
    return found[0]


def _told(case: Case) -> dict[str, Any]:
    names = ("kind", "out_trade_no", "case_id", "amount_fen", "currency", "transaction_id", "detail")
    return {name: getattr(case, name) for name in names} | {"opened_at": case.opened_at.isoformat()}


# --- dead letters

dlq = typer.Typer(help="Messages that could not be handled.", no_args_is_help=True)


@dlq.command("list")
def list_dead(stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False) -> None:
    """How many dead letters each function has. Exit code 1 if there are any, for scripts."""
    on = chosen(stack, profile, region)
    counts = {name: waiting(on, url) for name, url in on.dlqs.items()}
    if as_json:
        print(json.dumps(counts))
    else:
        grid = Grid("function", "dead letters")
        for name, number in counts.items():
            grid.add_row(name, str(number))
        console.print(grid)
    if any(counts.values()):
        raise typer.Exit(1)


@dlq.command("show")
def show_dead(
    queue: Queue, stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False
) -> None:
    """The dead letters of a function: what they are about, since when, how often they were tried."""
    on = chosen(stack, profile, region)
    url = _dlq(on, queue)
    letters = list(_letters(on, url))
    _release(on, url, letters)
    if as_json:
        print(json.dumps([_read(letter) for letter in letters], ensure_ascii=False))
        return
    if not letters:
        console.print(f"{queue} has no dead letters.")
    for letter in letters:
        told = _read(letter)
        console.print(f"[bold]{told['id']}[/]  tried {told['tried']} times  {told['type']}  {told['order_sn']}")
        console.print(f"  {told['body'][:500]}", highlight=False, markup=False)


@dlq.command("redrive")
def redrive(
    queue: Queue,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent back.")] = False,
    only: Annotated[str | None, typer.Option("--id", help="Only this message.")] = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Send dead letters back to their function, after what was wrong with it has been mended."""
    on = chosen(stack, profile, region)
    source = _dlq(on, queue)
    if queue not in on.queues:
        fail(POINTERS)
    letters = list(_letters(on, source))
    picked = [letter for letter in letters if only in (None, letter["MessageId"])]
    if only and not picked:
        _release(on, source, letters)
        fail(f"no dead letter {only}; ./dev dlq show {queue}")
    sqs = on.client("sqs")
    _release(on, source, [letter for letter in letters if dry_run or letter not in picked])
    for letter in picked:
        told = _read(letter)
        if not dry_run:
            sqs.send_message(QueueUrl=on.queues[queue], MessageBody=letter["Body"])
            sqs.delete_message(QueueUrl=source, ReceiptHandle=letter["ReceiptHandle"])
        console.print(f"{'would go back' if dry_run else 'back'}: {told['id']} {told['type']} {told['order_sn']}")
    console.print(f"{len(picked)} {'would go' if dry_run else 'went'} back to {queue}.")


@dlq.command("delete")
def delete_dead(
    queue: Queue,
    only: Annotated[str | None, typer.Option("--id", help="This message.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Throw dead letters away: poison that no function will ever take."""
    if every == bool(only):
        fail("say --id MESSAGE or --all")
    on = chosen(stack, profile, region)
    url = _dlq(on, queue)
    letters = list(_letters(on, url))
    picked = [letter for letter in letters if every or letter["MessageId"] == only]
    _release(on, url, [letter for letter in letters if letter not in picked])
    for letter in picked:
        on.client("sqs").delete_message(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"])
    console.print(f"{len(picked)} deleted.")


def waiting(on: Stack, url: str) -> int:
    """Messages that lie in a queue, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = on.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def _dlq(on: Stack, queue: str) -> str:
    if queue not in on.dlqs:
        fail(f"no such function: {queue}; there are {', '.join(on.dlqs)}")
    return on.dlqs[queue]


def _letters(on: Stack, url: str) -> Iterator[dict[str, Any]]:
    """Every message of a queue, once; each stays invisible to others for a moment."""
    sqs = on.client("sqs")
    while batch := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN_S, MessageSystemAttributeNames=["All"]
    ).get("Messages"):
        yield from batch


def _release(on: Stack, url: str, letters: list[dict[str, Any]]) -> None:
    """Looked at only: others may have them again at once."""
    sqs = on.client("sqs")
    for letter in letters:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=letter["ReceiptHandle"], VisibilityTimeout=0)


def _read(letter: dict[str, Any]) -> dict[str, Any]:
    try:
        body = json.loads(letter["Body"])
    except ValueError:
        body = {}
    event = body if isinstance(body, dict) else {}
    return {
        "id": letter["MessageId"],
        "tried": int(letter.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
        "type": event.get("type", "not an event"),
        "order_sn": event.get("order_sn", ""),
        "body": letter["Body"],
    }
