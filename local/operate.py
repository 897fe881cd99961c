"""Commands for those who run the shop: an order's life, cases, dead letters, tokens; here or on AWS."""

import contextlib
import getpass
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import httpx
import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as Grid
from typer.core import TyperGroup

from local.desk import DeskFailed, ask
from local.home import Home, NotRunning
from local.stack import NoStack, Stack, SweepFailed, deployed, running
from local.trace import MILLISECOND, Moment, in_words, life, on_hold, promises
from payments.domain.case import REFUND_REQUEST, Case, Resolution, path_of
from payments.domain.order import ORDER_SN
from payments.domain.times import BEIJING, utc_now
from payments.domain.trade_number import TradeNumber
from payments.edge.tokens import EVERY_BUSINESS, Identity, Role, issue
from payments.settings import Misconfigured
from payments.store import keys

WIDE = 200
"""Columns of what goes into a file or a pipe: there nothing is broken into two lines."""


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """| head has seen enough: ends as a program that the signal ends, without a word."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(128 + signal.SIGPIPE)


console = _Terminal(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDE)
errors = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, for scripts.")]
StackName = Annotated[str | None, typer.Option("--stack", help="A stack on AWS; left out: the running laptop cloud.")]
Profile = Annotated[str | None, typer.Option("--profile", help="AWS profile of the stack.")]
Region = Annotated[str | None, typer.Option("--region", help="AWS region of the stack.")]
Queue = Annotated[str, typer.Argument(help="The function, as ./dev dlq names it.")]

INTERRUPTED = 130
"""The exit code of a command that Ctrl-C ended."""

HIDDEN_S = 60
"""How long messages stay invisible to others while a command goes through a queue of them."""

TOGETHER_BYTES = 200_000
"""SQS takes ten messages in one call, of 256 KB in all."""

POINTERS = (
    "{0} has no queue to go back to. Its dead letters are pointers into the stream, or name an item that "
    "cannot be read (type unreadable: mend that item first). The janitor publishes what is missing within its next "
    "looks; then ./dev dlq delete {0} --all."
)


class Commands(TyperGroup):
    """Commands whose troubles with what they call end in one line, not in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError) as error:
            fail(f"AWS, or the emulator of it, does not answer: {_one_line(error)}; ./dev status shows what runs here")
        except (BotoCoreError, ClientError) as error:
            fail(f"AWS refused: {_one_line(error)}")
        except httpx.HTTPError as error:
            fail(f"no answer: {type(error).__name__} {_one_line(error)}; ./dev status shows what runs here")
        except BrokenPipeError:  # | head has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None


class ListFirst(Commands):
    """Commands of which `list` is the one that is meant when none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def chosen(name: str | None, profile: str | None, region: str | None) -> Stack:
    """The stack that a command is about; ends the command if there is none."""
    if name == "":
        fail("--stack is empty: say the stack's name, or leave it away for the running laptop cloud")
    try:
        if name is not None:
            return deployed(name, profile, region)
        if profile is not None or region is not None:
            fail("say which stack of that profile: --stack wxpay-staging")
        return running()
    except (NotRunning, NoStack) as error:
        fail(str(error))


def fail(text: str) -> NoReturn:
    errors.print(text, style="red", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that is closed, end the block as Ctrl-C does, with the exit code of a process
    that they end. Who started this with a signal ignored (nohup) wants it ignored."""

    def end(number: int, _: object) -> None:
        raise typer.Exit(128 + number)

    kept = {sign: signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGHUP)}
    for sign, before in kept.items():
        if before is not signal.SIG_IGN:
            signal.signal(sign, end)
    yield
    for sign, before in kept.items():
        signal.signal(sign, before)


# --- one order


def trace(
    order_sn: Annotated[str, typer.Argument(help="HSO..., or the number of one of its trades.")],
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """Print the whole life of an order: states, calls, callbacks, messages, refunds, cases."""
    order_sn = order_sn.strip()
    number = TradeNumber.parse(order_sn)
    if not number and not ORDER_SN.fullmatch(order_sn):
        fail(f"{order_sn[:64]!r} is not an order number: three letters and 22 digits, as ./dev pay prints it")
    on = chosen(stack, profile, region)
    items = on.store.items(number.order_sn if number else order_sn)
    if not items:
        fail(f"there is no order {order_sn}")
    moments, held = life(items), on_hold(items)
    if as_json:
        told = [
            {"at": m.time and m.time.isoformat(), "what": m.what, "happened": m.happened, "by": m.by} for m in moments
        ]
        looks = [{"at": at.isoformat(), "what": sk} for at, sk in promises(items)]
        print(json.dumps({"life": told, "janitor": looks, "on_hold": held}, ensure_ascii=False))
        return
    day = moments[0].at.astimezone(BEIJING).date()
    grid = Grid("time", "item", "what happened", "by", title=f"Order {order_sn}, {day} in Beijing", box=SIMPLE)
    for column in (0, 1, 3):
        grid.columns[column].no_wrap = True
    for moment in moments:
        grid.add_row(_clock(moment, day), short(moment.what), moment.happened, moment.by)
    console.print(grid)
    if held:
        console.print("On hold: no code, no message, no redemption, no refund until its case is closed.", style="bold")
    for due_at, sk in promises(items):
        at = f"{due_at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
        console.print(f"The janitor looks at {short(sk)} at {at} Beijing time.")


def _clock(moment: Moment, day: date) -> str:
    """In Beijing, as far as it is known."""
    if moment.time is None:
        return ""
    here = moment.time.astimezone(BEIJING)
    if here.date() != day:
        return f"{here:%m-%d %H:%M:%S}"
    return f"{here:%H:%M:%S.%f}"[:-3] if moment.known_to == MILLISECOND else f"{here:%H:%M:%S}"


def short(sk: str) -> str:
    """A sort key without what stands beside it."""
    kind, item = keys.entity(sk), keys.item_of(sk)
    if item is not None and item.out_refund_no is not None:
        return f"{kind} {item.out_refund_no.split('_', 1)[-1][:10]}"
    return kind if kind in {keys.GUEST_MESSAGES, keys.CASE} else sk


def sweep(stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False) -> None:
    """Look now at every order that waits for something, instead of at the next full minute."""
    on = chosen(stack, profile, region)
    try:
        with errors.status("the janitor is at work; it takes up to a minute where WeChat does not answer ..."):
            told = on.sweep()
    except SweepFailed as failed:
        fail(f"the janitor failed: {failed}")
    if as_json:
        print(json.dumps(told))
        return
    console.print(f"{told['orders']} orders looked at, {told['failed']} failed, {told['left']} left to the next run.")


def token(
    role: Annotated[Role, typer.Option(help="user or staff.")] = Role.STAFF,
    user: Annotated[str, typer.Option(help="user_id that the token stands for; it signs redemptions.")] = "",
    business: Annotated[str | None, typer.Option(help="business_id of staff; left out: all of them.")] = None,
    hours: Annotated[float, typer.Option(help="How long it is good: 0.01 to 24.")] = 2,
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
    if link and role is not Role.STAFF:
        fail(
            "--link opens the counter, which is for staff: leave --role away, or leave --link away for the token alone"
        )
    if business is not None and role is not Role.STAFF:
        fail("--business is of staff: leave it away, or leave --role away")
    if not 0.01 <= hours <= 24:
        fail("--hours is from 0.01 to 24")
    keys = chosen(stack, profile, region).token_keys()
    who = user or f"{role}-{getpass.getuser()}"
    identity = Identity(who, role, (business or EVERY_BUSINESS) if role is Role.STAFF else "")
    issued = issue(identity, keys, utc_now(), timedelta(hours=hours))
    print(f"{Home().state().web_url}counter.html#token={issued}" if link else issued)


# --- cases

cases = typer.Typer(
    help="Money that waits for a person: list (if nothing is said), show, close, grant, decline.", cls=ListFirst
)


@cases.command("list")
def list_cases(stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False) -> None:
    """The open cases, the oldest first."""
    opened = chosen(stack, profile, region).store.cases.all_open()
    if as_json:
        print(json.dumps([_told(case) for case in opened], ensure_ascii=False))
        return
    if not opened:
        console.print("No case is open.")
        return
    grid = Grid("opened", "kind", "trade", "id", "fen", "detail", title="Open cases")
    for case in opened:
        at = f"{case.opened_at.astimezone(BEIJING):%m-%d %H:%M}"
        grid.add_row(at, case.kind, case.out_trade_no, case.case_id, str(case.amount_fen), in_words(case.detail))
    console.print(grid)


Trade = Annotated[str, typer.Argument(help="The trade's number, as ./dev cases shows it.")]
Kind = Annotated[str | None, typer.Option(help="Where the trade has several cases.")]
CaseId = Annotated[str | None, typer.Option("--id", help="Where the trade has several cases of a kind.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask once more: for scripts.")]

REFERENCES = (
    "refunded: the out_refund_no of a refund of this payment that has arrived; booked: the order_sn; kept: why, in ten "
    "characters or more; settled_by_hand: how, when and to whom, in twenty or more."
)


@cases.command("show")
def show_case(
    trade: Trade,
    kind: Kind = None,
    case_id: CaseId = None,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
    as_json: Json = False,
) -> None:
    """One open case, and what to do about it."""
    case = _one(chosen(stack, profile, region), trade, kind, case_id)
    if as_json:
        print(json.dumps(_told(case), ensure_ascii=False))
        return
    for name, value in _told(case).items():
        console.print(f"{name:>15}  {in_words(str(value))}", highlight=False)
    console.print(f"\n{ADVICE.get(case.kind, 'Look the trade up in WeChat Pay merchant console.')}")
    if case.kind == REFUND_REQUEST:
        console.print("Then: ./dev cases grant TRADE [--fen ...], or ./dev cases decline TRADE --reason ...")
        return
    console.print("Then: ./dev cases close TRADE --resolution refunded|booked|kept|settled_by_hand --reference ...")


@cases.command("grant")
def grant_case(
    trade: Trade,
    fen: Annotated[int | None, typer.Option(min=1, help="Another sum than the rule gives.")] = None,
    yes: Yes = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Give a guest his money back who asks for it; unless he has come already, what has not begun of his booking is for
    sale again."""
    on = chosen(stack, profile, region)
    case = _one(on, trade, REFUND_REQUEST, None)
    asked = f"Refund {fen or case.amount_fen} fen of {case.out_trade_no} ({in_words(case.detail)})?"
    _sure(f"{asked} Unless its guest has come already, the booking ends.", yes)
    told = _asked(on, "POST", f"cases/{path_of(case)}/grant", {"amount_fen": fen} if fen else {})
    console.print(f"Granted: {told['amount_fen']} fen are on their way back as {told['out_refund_no']}.")


@cases.command("decline")
def decline_case(
    trade: Trade,
    reason: Annotated[str, typer.Option(help="Why: the guest reads it.")],
    yes: Yes = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Tell a guest that he does not get back what he asks for, and why; he keeps his booking."""
    on = chosen(stack, profile, region)
    case = _one(on, trade, REFUND_REQUEST, None)
    _sure(f"Decline {case.amount_fen} fen of {case.out_trade_no}: {reason}?", yes)
    _asked(on, "POST", f"cases/{path_of(case)}/decline", {"reason": reason})
    console.print(f"Declined: the guest of {case.out_trade_no} keeps his booking, and reads why.")


@cases.command("close")
def close_case(
    trade: Trade,
    resolution: Annotated[Resolution, typer.Option(help="What became of the money.")],
    reference: Annotated[str, typer.Option(help=REFERENCES)],
    kind: Kind = None,
    case_id: CaseId = None,
    yes: Yes = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Close a case with what became of its money. The reference is checked, a refund's at WeChat; it asks once more."""
    on = chosen(stack, profile, region)
    case = _one(on, trade, kind, case_id)
    if resolution is Resolution.ANSWERED:
        fail("answered is what the system writes: say refunded, booked, kept or settled_by_hand")
    if case.kind == REFUND_REQUEST or resolution in {Resolution.GRANTED, Resolution.DECLINED}:
        fail("what a guest asks for is granted or declined: ./dev cases grant, ./dev cases decline")
    _sure(f"Close {case.kind} of {case.out_trade_no}, {case.amount_fen} fen, as {resolution}: {reference}?", yes)
    body = {"resolution": resolution.value, "reference": reference}
    told = _asked(on, "POST", f"cases/{path_of(case)}/close", body)
    by = "" if told["resolution"] == resolution else f" ({told['resolution']} by {told['closed_by']})"
    console.print(f"Closed: {case.kind} of {case.out_trade_no}, {case.amount_fen} fen, {resolution}{by}.")


def _sure(question: str, yes: bool) -> None:
    """Asks once more before what cannot be undone. Without a terminal to ask at, --yes must say it."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("this cannot be undone: say --yes where nobody can be asked")
    if not typer.confirm(question):
        fail("nothing was changed")


def _asked(on: Stack, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    try:
        return ask(on, method, path, body)
    except (DeskFailed, Misconfigured) as error:
        fail(str(error))


ADVICE = {
    "unknown_trade": "WeChat told of a payment under a number that is not ours: another system of this merchant's?",
    "refunded_elsewhere": "WeChat calls it refunded, and no refund is known here: the order is on hold. Look into "
    "WeChat Pay merchant console: refunded with that refund's number, or kept if there was none.",
    "mispaid": "Paid, but not as asked for (detail). Refund it in WeChat Pay merchant console, or book it by hand.",
    "second_transaction": "Paid twice under one number: refund the second transaction in WeChat Pay merchant console.",
    "refund_abnormal": "The guest's account cannot take it: send it to another one in WeChat Pay merchant console.",
    "refund_closed": "WeChat gave the refund up: refund again (late or second money: POST /merchant/cases/.../refund).",
    "refund_refused": "WeChat will not do this refund: look at the balance and at what was refunded before.",
    "refund_stalled": "The refund is on its way for seven days, and asked about daily: ./dev refunds try, or withdraw.",
    "refund_after_withdrawal": "It was withdrawn, and WeChat made it all the same: was the sum refunded a second time?",
    "refund_after_settlement": "It was given back by hand, and by WeChat too: the guest has it twice; ask him for it.",
    "refunds_exceed": "The refunds of this payment are more than was paid: ./dev refunds list; withdraw what waits.",
    "refund_mismatch": "WeChat tells of another refund than is recorded (detail): compare both in its console.",
    "refund_request": "A guest asks for his money back: grant it, or decline it and say why; it is not closed.",
    "stock": "The order has ended; the stock did not know all that it held (detail): see who holds it now, then kept.",
    "payment_not_in_bill": "Our books have a payment that WeChat's bill of that day has not: look its number up in "
    "WeChat Pay merchant console; if WeChat was not paid, serve nobody for it.",
    "refund_not_in_bill": "Our books have a refund that WeChat's bill of that day has not: look its number up in "
    "WeChat Pay merchant console; if it was not made, refund again.",
    "payment_differs": "Its sum or transaction is another in WeChat's bill: WeChat Pay merchant console decides.",
    "refund_differs": "Its sum or number is another in WeChat's bill: WeChat Pay merchant console decides.",
    "bill_open": "A day was never compared as a whole: ./dev reconcile --date says why; WeChat keeps it three months.",
    "shipping_refused": "WeChat does not take the shipping record: ship it by hand in the mini-program's console.",
}


def _one(on: Stack, trade: str, kind: str | None, case_id: str | None) -> Case:
    found = [
        case
        for case in on.store.cases.all_open()
        if case.out_trade_no == trade and kind in (None, case.kind) and case_id in (None, case.case_id)
    ]
    if not found:
        fail(f"no open case of {trade}; ./dev cases shows them, ./dev trace the closed ones")
    if len(found) > 1:
        fail("several: " + "; ".join(f"--kind {case.kind} --id {case.case_id}" for case in found))
    return found[0]


def _told(case: Case) -> dict[str, Any]:
    names = ("kind", "out_trade_no", "case_id", "amount_fen", "currency", "transaction_id", "detail")
    return {name: getattr(case, name) for name in names} | {"opened_at": case.opened_at.isoformat()}


# --- refunds

refunds = typer.Typer(help="Refunds of an order: list, try now, withdraw.", no_args_is_help=True)

OrderSn = Annotated[str, typer.Argument(help="The order's number, HSO...")]
RefundNo = Annotated[str, typer.Argument(help="The refund's number, as ./dev refunds list shows it.")]


@refunds.command("list")
def list_refunds(
    order_sn: OrderSn, stack: StackName = None, profile: Profile = None, region: Region = None, as_json: Json = False
) -> None:
    """The refunds of an order: how far each is, and when WeChat is asked about it next."""
    on = chosen(stack, profile, region)
    found = _asked(on, "GET", f"orders/{quote(order_sn, safe='')}")
    if as_json:
        print(json.dumps(found["refunds"], ensure_ascii=False))
        return
    if not found["refunds"]:
        console.print(f"{order_sn} has no refund.")
        return
    grid = Grid("number", "fen", "status", "origin", "asked for by", "next look", title=f"Refunds of {order_sn}")
    for one in found["refunds"]:
        status = (
            f"{one['status']}, being withdrawn"
            if one["withdrawing_at"] and one["status"] == "REQUESTED"
            else one["status"]
        )
        look = one["due_at"] and f"{datetime.fromisoformat(one['due_at']).astimezone(BEIJING):%m-%d %H:%M:%S}"
        grid.add_row(
            one["out_refund_no"], str(one["amount_fen"]), status, one["origin"], one["requested_by"], look or ""
        )
    console.print(grid)


@refunds.command("try")
def try_refund(
    order_sn: OrderSn,
    out_refund_no: RefundNo,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Ask WeChat again within a minute about a refund that waits, is on its way or is stuck."""
    told = _refund(chosen(stack, profile, region), order_sn, out_refund_no, "try")
    console.print(f"{out_refund_no} is {told['status']}; the janitor asks WeChat within a minute.")


@refunds.command("withdraw")
def withdraw_refund(
    order_sn: OrderSn,
    out_refund_no: RefundNo,
    yes: Yes = False,
    stack: StackName = None,
    profile: Profile = None,
    region: Region = None,
) -> None:
    """Take a refund back that WeChat does not have. When it turns out that WeChat has it, the refund goes on."""
    on = chosen(stack, profile, region)
    _sure(f"Withdraw {out_refund_no}?", yes)
    _refund(on, order_sn, out_refund_no, "withdraw")
    console.print(f"{out_refund_no} is being withdrawn: WeChat is asked twice, a minute apart; then its sum is free.")


def _refund(on: Stack, order_sn: str, out_refund_no: str, what: str) -> Any:
    path = f"orders/{quote(order_sn, safe='')}/refunds/{quote(out_refund_no, safe='')}/{what}"
    return _asked(on, "POST", path)


# --- dead letters

dlq = typer.Typer(
    help="Messages that a function could not handle: list (if nothing is said), show, redrive, delete.", cls=ListFirst
)


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
    url = on.dlqs[_dead(on, queue)]
    letters: list[dict[str, Any]] = []
    try:
        for batch in _batches(on, url):
            letters += batch
    finally:
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
    name = _dead(on, queue)
    if name not in on.queues:
        fail(POINTERS.format(name))
    source, target, went = on.dlqs[name], on.queues[name], 0
    would, verb = ("would go back", "would go") if dry_run else ("back", "went")
    try:
        for letters in _picked(on, source, only, keep=dry_run):
            sent = letters if dry_run else _send(on, target, letters)
            if not dry_run:
                _delete(on, source, sent)
            for letter in sent:
                told = _read(letter)
                console.print(f"{would}: {told['id']} {told['type']} {told['order_sn']}", highlight=False)
            went += len(sent)
            if len(sent) < len(letters):
                fail(f"SQS does not take {len(letters) - len(sent)} of these; they stay where they are")
    finally:
        console.print(f"{went} {verb} back to {name}.")
    _nothing_left_behind(on, source, name, only, went, dry_run=dry_run)


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
    name, gone = _dead(on, queue), 0
    try:
        for letters in _picked(on, on.dlqs[name], only):
            _delete(on, on.dlqs[name], letters)
            gone += len(letters)
    finally:
        console.print(f"{gone} deleted.")
    _nothing_left_behind(on, on.dlqs[name], name, only, gone)


def waiting(on: Stack, url: str) -> int:
    """Messages that lie in a queue, visible or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = on.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


def _dead(on: Stack, queue: str) -> str:
    """The function's name among those that have dead letters; `order-update` is `order_update`."""
    name = queue.replace("-", "_")
    if name not in on.dlqs:
        fail(f"no such function: {queue}; there are {', '.join(on.dlqs)}")
    return name


def _batches(on: Stack, url: str) -> Iterator[list[dict[str, Any]]]:
    """The messages that lie in a queue now, each once, ten at a time. Those that come in meanwhile are not looked at,
    so it ends; each stays invisible to others for HIDDEN_S."""
    sqs, left, seen = on.client("sqs"), waiting(on, url), set()
    patience = 3 if left else 1  # SQS may answer nothing from a part of its machines
    while left > 0 or patience:
        got = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=HIDDEN_S,
            WaitTimeSeconds=1 if 0 < patience < 3 else 0,
            MessageSystemAttributeNames=["All"],
        ).get("Messages", [])
        if any(letter["MessageId"] in seen for letter in got):
            _release(on, url, got)
            return  # it has gone round
        if got:
            seen |= {letter["MessageId"] for letter in got}
            left -= len(got)
            yield got
        else:
            patience -= 1
        if left <= 0 or patience <= 0:
            return


def _picked(on: Stack, url: str, only: str | None, *, keep: bool = False) -> Iterator[list[dict[str, Any]]]:
    """Those that are meant, some at a time; the others, and with `keep` these too, are others' again at the end."""
    release: list[dict[str, Any]] = []
    try:
        for batch in _batches(on, url):
            picked = [letter for letter in batch if only in (None, letter["MessageId"])]
            release += batch if keep else [letter for letter in batch if letter not in picked]
            if picked:
                yield picked
            if picked and only:
                return
    finally:
        _release(on, url, release)


def _nothing_left_behind(on: Stack, url: str, name: str, only: str | None, done: int, *, dry_run: bool = False) -> None:
    """Ends the command with exit code 1 if what was meant was not there, or not all of it."""
    if only and not done:
        fail(f"no dead letter {only}, or another command has it in hand; ./dev dlq show {name}")
    if not only and not dry_run and (left := waiting(on, url)):
        fail(f"{left} are left: they came meanwhile, or another command has them in hand for up to {HIDDEN_S} s")


def _send(on: Stack, url: str, letters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sends their bodies to a queue; gives those that it took."""
    sqs = on.client("sqs")
    if sum(len(letter["Body"].encode()) for letter in letters) > TOGETHER_BYTES:
        for letter in letters:
            sqs.send_message(QueueUrl=url, MessageBody=letter["Body"])
        return letters
    entries = [{"Id": str(n), "MessageBody": letter["Body"]} for n, letter in enumerate(letters)]
    taken = sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Successful", [])
    return [letters[int(entry["Id"])] for entry in taken]


def _delete(on: Stack, url: str, letters: list[dict[str, Any]]) -> None:
    if letters:
        on.client("sqs").delete_message_batch(QueueUrl=url, Entries=_entries(letters))


def _release(on: Stack, url: str, letters: list[dict[str, Any]]) -> None:
    """Looked at only: others may have them again at once."""
    sqs = on.client("sqs")
    for start in range(0, len(letters), 10):
        entries = [entry | {"VisibilityTimeout": 0} for entry in _entries(letters[start : start + 10])]
        sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def _entries(letters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"Id": str(n), "ReceiptHandle": letter["ReceiptHandle"]} for n, letter in enumerate(letters)]


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
