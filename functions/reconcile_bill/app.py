"""reconcile_bill: WeChat's trade bill of a day against our books, both ways (R14).

Every day at 10:30 in Beijing, and at noon once more. It takes every day of the last 88 that is not closed. Of each it
reads WeChat's bill as a whole into a file, and our items of that day beside it; what the bill knows and our books do
not is recorded by the only code that records money (R4); what differs then is a difference and a case. At last it
writes the statement of each business, and the day's summary: a day whose summary says closed is whole. The same day may
be compared any number of times: the results are the same.

A bill that cannot be had, or is not whole, changes nothing. One day's failure does not stop the others.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import fields, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from payments.calls import OutOfTime, seconds_left
from payments.domain.bill import (
    COMPARED,
    KEPT_DAYS,
    NOT_OURS,
    OF_REFUNDS,
    OPEN_AT_MOST,
    UNASSIGNED,
    BillRow,
    Booked,
    DayOfBills,
    Difference,
    DifferenceKind,
    RowKind,
    Share,
    Statement,
    compared,
    fee_in_fen,
    in_row,
    open_case,
    statements,
)
from payments.domain.case import REFUNDED_ELSEWHERE, SYSTEM, Case, Resolution
from payments.domain.payment import Payment, PaymentStatus
from payments.domain.times import BEIJING, beijing_day, millis
from payments.domain.trade_number import TradeNumber
from payments.edge.observability import came_from, count, described, gauge, logger, unreadable
from payments.parts import LambdaFunction, Parts
from payments.recording import Recorded, record_payment, record_refund_report
from payments.store.bills import Owner, Used
from payments.store.dynamodb import Busy, Conflict, UnreadableItem, plain
from payments.store.items import Standing, Written
from payments.wechat.bill import BillUnusable, rows
from payments.wechat.errors import Refused, WechatError

NO_BILL, CREATING = "NO_STATEMENT_EXIST", "STATEMENT_CREATING"

READY_AT = time(10)
"""In Beijing: when WeChat has the bill of the day before. An earlier answer that there is none says nothing."""

RINGS_AT = time(12)
"""In Beijing: a day that is not closed by then rings."""

LEAST_S = 240
"""With less time left no further day is begun."""

LAST_S = 20
"""With less time left no further row is recorded: the next run goes on."""

BATCH = 500


def handle(event: dict[str, Any], parts: Parts) -> dict[str, Any]:
    """Takes a schedule's event, or {"date": "2026-11-24"} from a person: then that day alone is compared, closed or
    not. {"plan": true} compares nothing and gives the days that are not closed. Gives how each day stands.

    A person may ask for the day that is not over: WeChat has no bill of it. Where it has one all the same (its clock is
    ahead of ours, as the simulator's can be), the day is compared and stays open: more may come.
    """
    today = beijing_day(parts.clock())
    if event.get("plan"):
        return {"days": [day.isoformat() for day in _open_days(parts, today)]}
    if "date" in event:
        return {"days": [_shown(_compare(parts, _asked(event["date"], today)))]}
    wanted = _open_days(parts, today)
    done: dict[date, DayOfBills] = {}
    for day in wanted:
        if seconds_left() < LEAST_S:
            logger.warning("bill.out_of_time", left=len(wanted) - len(done))
            break
        try:
            done[day] = _compare(parts, day)
        except Exception as error:  # noqa: BLE001  # what the day's own errors are written to cannot be written
            _tell(day, error)
    stands = parts.store.bills.days(wanted)
    left = [day for day in wanted if day not in stands or not stands[day].closed]
    _ring_for_open_days(parts, left, today, stands)
    return {"days": [_shown(one) for one in done.values()], "left": [day.isoformat() for day in left]}


def _tell(day: date, error: Exception) -> None:
    """An error that is about us: it rings, and the day comes again."""
    if isinstance(error, UnreadableItem):
        unreadable(error)
    logger.error("bill.broken", day=day.isoformat(), why=described(error), came_from=came_from(error))
    count("BillBroken")


def _asked(text: object, today: date) -> date:
    """Raises ValueError: what was typed is no day of which there can be a bill."""
    try:
        day = date.fromisoformat(str(text))
    except ValueError:
        raise ValueError("date: a day as in 2026-11-24") from None
    if not today - timedelta(days=KEPT_DAYS) <= day <= today:
        raise ValueError(f"date: WeChat has bills from {today - timedelta(days=KEPT_DAYS)} to yesterday")
    return day


def _open_days(parts: Parts, today: date) -> list[date]:
    """The days that are to be compared: those that are not closed, and closed ones that may tell what became of an
    order that is on hold since (R4)."""
    first = parts.store.bills.first(today - timedelta(days=1))
    begin = max(first, today - timedelta(days=KEPT_DAYS))
    days = [begin + timedelta(days=ahead) for ahead in range((today - begin).days)]
    known = parts.store.bills.days(days)
    holds = _on_hold(parts)
    again = {day for day in days for since, opened in holds if since <= day and _read_before(known, day, opened)}
    wanted = [day for day in days if day not in known or not known[day].closed or day in again]
    return sorted(wanted, key=lambda day: (day in known and known[day].why == "no_time", day))


def _read_before(known: Mapping[date, DayOfBills], day: date, instant: datetime) -> bool:
    return day in known and known[day].read_at < instant


def _on_hold(parts: Parts) -> list[tuple[date, datetime]]:
    """Of each trade that was refunded elsewhere, as far as is known: the day on which it was paid, and since when its
    case is open."""
    found = []
    for case in parts.store.cases.all_open():
        number = case.number if case.kind == REFUNDED_ELSEWHERE else None
        try:
            payment = parts.store.payments.get(number.order_sn, number.n) if number else None
        except UnreadableItem as error:
            unreadable(error)
            continue
        if payment is not None:
            found.append((beijing_day(payment.success_time or payment.created_at), case.opened_at))
    return found


def _ring_for_open_days(parts: Parts, left: Sequence[date], today: date, stands: Mapping[date, DayOfBills]) -> None:
    """After noon, the days that are not closed are counted, which rings; one that stays so for long is a case."""
    now = parts.clock()
    if now.astimezone(BEIJING).time() >= RINGS_AT:
        gauge("DaysNotClosed", len(left))
    for day in left:
        why = stands[day].why if day in stands else "not compared"
        if today - day >= OPEN_AT_MOST and parts.store.cases.open(open_case(day, why, now)):
            count("CaseOpened")


# --- one day


def _compare(parts: Parts, day: date, *, again: bool = True) -> DayOfBills:
    """Compares one day, and writes how it stands; then `again` the days on which our books had what is this day's."""
    now, before, moved = parts.clock(), parts.store.bills.days([day]).get(day), set[date]()
    try:
        found, moved = _compared(parts, day, now)
        if day >= beijing_day(now):
            found = replace(found, closed=False, closed_at=None, why="not_over")
    except BillUnusable as error:
        found = _not_closed(day, error.why, now)
        logger.error("bill.unusable", day=day.isoformat(), why=str(error))
        count("BillUnusable")
    except Refused as error:
        found = _not_closed(day, str(error.code), now)
        logger.warning("bill.refused", day=day.isoformat(), why=str(error))
    except UnreadableItem as error:
        unreadable(error)
        found = _not_closed(day, "item_unreadable", now)
    except (WechatError, Busy, Conflict, OutOfTime) as error:
        found = _not_closed(day, "no_time" if isinstance(error, OutOfTime) else "no_answer", now)
        logger.warning("bill.unknown", day=day.isoformat(), why=described(error))
    except Exception as error:  # noqa: BLE001  # one day's failure does not stop the others
        found = _not_closed(day, "broken", now)
        _tell(day, error)
    if before is not None and before.closed_at is not None and found.closed:
        found = replace(found, closed_at=before.closed_at, healed=before.healed + found.healed)
    found = parts.store.bills.keep(found)
    if found.closed:
        _close_case_of(parts, day, now)
    logger.info("bill.compared", day=day.isoformat(), closed=found.closed, differences=found.differences)
    if found.differences:
        count("BillDifferences")
    for earlier in sorted(moved if again else ()):
        if earlier < beijing_day(now):
            _compare(parts, earlier, again=False)
    return found


def _close_case_of(parts: Parts, day: date, now: datetime) -> None:
    """The case of a day that was not closed for long has answered itself."""
    wanted = open_case(day, "", now)
    case = parts.store.cases.get(wanted.out_trade_no, wanted.kind, wanted.case_id)
    if case is not None and case.open:
        parts.store.cases.close(case, Resolution.ANSWERED, "the day is closed", SYSTEM, "", now)


def _not_closed(day: date, why: str, now: datetime) -> DayOfBills:
    return DayOfBills(day=day, closed=False, read_at=now, why=why)


def _compared(parts: Parts, day: date, now: datetime) -> tuple[DayOfBills, set[date]]:
    """How a day stands whose bill could be read, and the closed days on which our books had what WeChat's have on this
    one. Raises what `_compare` tells apart; nothing is written then but what R4 records."""
    with TemporaryDirectory() as folder:
        bill, sha1 = Path(folder) / "bill", ""
        no_bill: Refused | None = None
        try:
            sha1 = parts.wechat_pay.download_trade_bill(day, bill)
        except Refused as refused:
            ready = datetime.combine(day + timedelta(days=1), READY_AT, BEIJING) <= now
            if refused.code != NO_BILL or not ready:
                raise
            no_bill = refused
        with closing(Book(Path(folder) / "book")) as book:
            broken: list[UnreadableItem] = []
            book.take_bill(() if no_bill else rows(bill, sha1, day, parts.settings["MCHID"]))
            book.take_ours(parts.store.bills.of_day(day, broken.append))
            if no_bill and book.has_ours():
                raise no_bill
            healed, moved, differences = _healed(parts, book, day, now, broken)
            if broken:  # what could be recorded is recorded; the day is not explained
                raise broken[0]
            differences += book.differences()
            book.take_owners(parts.store.bills.owners)
            found, lines = book.summed_up(day, now, sha1, differences, healed)
        _write_results(parts, day, differences, lines, now)
        return found, moved


def _write_results(
    parts: Parts, day: date, differences: Sequence[Difference], lines: Iterable[Statement], now: datetime
) -> None:
    """Opens the cases of what differs, closes those of what differs no more, then writes the day's results. A day that
    was closed is open meanwhile: one that is left in the middle comes again."""
    bills, cases = parts.store.bills, parts.store.cases
    wanted = {one.name for one in differences}
    gone = [one for one in bills.differences(day) if one.name not in wanted]
    for one in differences:
        if _has_opened(parts, one, one.case(day, now)):
            logger.error("case.opened", kind=one.kind, out_trade_no=one.out_trade_no)
            count("CaseOpened")
    for one in gone:
        case = cases.get(one.out_trade_no, one.kind, one.case_id) if one.kind in COMPARED else None
        if case is not None and case.open:
            cases.close(case, Resolution.ANSWERED, "WeChat's bill and our books agree", SYSTEM, "", now)
    bills.reopen(day, "interrupted")
    bills.keep_results(day, differences, lines, gone)


def _has_opened(parts: Parts, difference: Difference, case: Case) -> bool:
    """The case of a difference, where it has none yet: most have one from the code that records money. One that the
    system has closed because both sides agreed is open again."""
    cases = parts.store.cases
    if difference.kind not in COMPARED and cases.beginning(case.out_trade_no, case.kind, difference.case_id):
        return False
    return bool(cases.open(case)) or (difference.kind in COMPARED and bool(cases.open_again(case)))


# --- what the bill knows and our books do not


class _Healing:
    """Records the rows of one day's bill, through the only code that records money (R4)."""

    def __init__(self, parts: Parts, book: "Book", now: datetime) -> None:
        self.parts = parts
        self._book, self._now = book, now
        self.healed = 0
        """How many rows our books had nothing of on any day."""
        self.moved: set[date] = set()
        """The closed days on which our books had some of them."""

    def recorded(self, row: BillRow) -> Booked | Difference:
        """What our books have of a row when it is recorded, or how it differs. Raises UnreadableItem, Conflict."""
        number = row.trade
        if number is None:
            raise AssertionError("only rows of our form are recorded")
        return (self._refund if row.kind is RowKind.REFUND else self._payment)(row, number)

    def _payment(self, row: BillRow, number: TradeNumber) -> Booked | Difference:
        store, report = self.parts.store, row.trade_report()
        if not report.paid:
            return in_row(DifferenceKind.PAYMENT_DIFFERS, row, None)
        outcome = record_payment(store, report, self._now)
        payment = store.payments.get(number.order_sn, number.n)
        if payment is None:
            return in_row(DifferenceKind.UNKNOWN_TRADE, row, None)
        if payment.transaction_id != row.transaction_id:
            return in_row(DifferenceKind.SECOND_TRANSACTION, row, payment.total_fen)
        self._place(row, outcome, payment.booked_on, lambda: store.payments.book(payment, row.at))
        return Booked(
            kind=RowKind.PAYMENT,
            order_sn=number.order_sn,
            out_trade_no=row.out_trade_no,
            number=row.out_trade_no,
            fen=payment.total_fen,
            wechat_no=row.transaction_id,
            assigned=payment.status is not PaymentStatus.MISPAID,
        )

    def _refund(self, row: BillRow, number: TradeNumber) -> Booked | Difference:
        store, payment = self.parts.store, self._trade_of(row, number)
        if payment is None:
            if not store.cases.beginning(row.out_trade_no, "unknown_refund", f"{row.out_refund_no}@"):
                record_refund_report(store, row.refund_report(0), self._now)
            return in_row(DifferenceKind.UNKNOWN_REFUND, row, None)
        mispaid = payment.status is PaymentStatus.MISPAID
        total = max(payment.total_fen, row.refund_fen) if mispaid else payment.total_fen
        outcome = record_refund_report(store, row.refund_report(total), self._now)
        refund = store.refunds.get(number.order_sn, row.out_refund_no)
        if outcome is Recorded.CASE or refund is None or refund.refund_id not in (None, row.refund_id):
            return in_row(DifferenceKind.REFUND_MISMATCH, row, refund.amount_fen if refund else None)
        self._place(row, outcome, refund.booked_on, lambda: store.refunds.book(refund, row.at))
        return Booked(
            kind=RowKind.REFUND,
            order_sn=number.order_sn,
            out_trade_no=row.out_trade_no,
            number=row.out_refund_no,
            fen=refund.amount_fen,
            wechat_no=refund.refund_id or "",
            assigned=not mispaid,
        )

    def _trade_of(self, row: BillRow, number: TradeNumber) -> Payment | None:
        """The payment that a refund's row is about. One that was paid with more than we asked for, and is not known as
        paid, is recorded first: the refund may be over more, too."""
        store, payment = self.parts.store, self.parts.store.payments.get(number.order_sn, number.n)
        known = payment is None or payment.status in {PaymentStatus.SUCCESS, PaymentStatus.MISPAID}
        paid = None if known else self._book.payment_of(row)
        if payment is None or paid is None or paid.order_fen == payment.total_fen:
            return payment
        record_payment(store, paid.trade_report(), self._now)
        return store.payments.get(number.order_sn, number.n)

    def _place(
        self, row: BillRow, outcome: Recorded, booked_on: str | None, book: Callable[[], Written | Standing[Any]]
    ) -> None:
        """Writes the bill's day where our books have another one. That day is open from then on, before the item leaves
        it: it has to be compared again. Raises Conflict."""
        self.healed += outcome is Recorded.BOOKED
        had = booked_on.partition("#")[0] if booked_on else ""
        if had == row.at.date().isoformat():
            return
        if had and self.parts.store.bills.reopen(date.fromisoformat(had), "moved"):
            self.moved.add(date.fromisoformat(had))
        if not book():
            raise Conflict(f"{row.number} keeps changing; its day is not written yet")


def _healed(
    parts: Parts, book: "Book", day: date, now: datetime, broken: list[UnreadableItem]
) -> tuple[int, set[date], list[Difference]]:
    """Records what the bill has and our books of the day have not. First the refunds: an order that learns of its
    payment then draws its sums from them (R5). Gives how many were recorded, the closed days on which our books had
    some of them, and those that differ; `broken` gets the items that could not be read, of which one keeps no other
    from being recorded. Raises OutOfTime, Conflict."""
    healing, differences = _Healing(parts, book, now), list[Difference]()
    for some in book.unmatched():
        found: list[Booked] = []
        for row in some:
            if seconds_left() < LAST_S:
                raise OutOfTime("no time left for the rest of the bill")
            try:
                match healing.recorded(row):
                    case Booked() as booked:
                        found.append(booked)
                        logger.info("bill.recorded", number=row.number, day=day.isoformat())
                    case Difference() as difference:
                        differences.append(difference)
            except UnreadableItem as error:
                broken.append(error)
        book.take_ours(found)
    return healing.healed, healing.moved, differences


# --- both sides of a day in one file


COLUMNS = [field.name for field in fields(BillRow)]


class Book:
    """Both sides of one day, side by side in a file of SQLite's: a bill may have a million rows, and memory is
    bounded."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        self._used: Counter[str] = Counter()
        self._used_fen: Counter[str] = Counter()
        self._file.executescript(f"""
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536;
            CREATE TABLE bill (wechat_no, number, order_sn, fen, {", ".join(COLUMNS)},
                PRIMARY KEY (kind, wechat_no, trade_state)) WITHOUT ROWID;
            CREATE TABLE ours (kind, order_sn, out_trade_no, number, fen, wechat_no, assigned,
                PRIMARY KEY (kind, number, out_trade_no)) WITHOUT ROWID;
            CREATE TABLE owner (order_sn PRIMARY KEY, business_id, usable_until) WITHOUT ROWID;
        """)

    def close(self) -> None:
        self._file.close()

    def take_bill(self, found: Iterable[BillRow]) -> None:
        """Raises BillUnusable when the same row is there twice, and whatever reading it raises."""
        marks = ", ".join("?" * (4 + len(COLUMNS)))
        self._file.execute("BEGIN")
        try:
            self._file.executemany(f"INSERT INTO bill VALUES ({marks})", map(_bill_values, found))  # noqa: S608
        except sqlite3.IntegrityError:
            raise BillUnusable("twice", "it has one row twice") from None
        self._file.execute("COMMIT")
        self._file.execute("CREATE INDEX by_number ON bill (kind, number)")

    def take_ours(self, found: Iterable[Booked | Used]) -> None:
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR REPLACE INTO ours VALUES (?, ?, ?, ?, ?, ?, ?)", self._ours_values(found))
        self._file.execute("COMMIT")

    def take_owners(self, owners: Any) -> None:
        """`owners` gives whose orders are: asked for those of both sides."""
        orders = self._file.execute("SELECT DISTINCT order_sn FROM ours ORDER BY order_sn")
        while some := [order_sn for (order_sn,) in orders.fetchmany(BATCH)]:
            found: Mapping[str, Owner] = owners(some)
            self._file.executemany(
                "INSERT INTO owner VALUES (?, ?, ?)",
                [
                    (order_sn, one.business_id, one.usable_until.isoformat() if one.usable_until else None)
                    for order_sn, one in found.items()
                ],
            )

    def unmatched(self) -> Iterator[list[BillRow]]:
        """The rows with a number of our form of which our books of the day have nothing, some at a time, the refunds
        first. In between our books may be given more."""
        query = f"""
            SELECT {", ".join(f"bill.{name}" for name in COLUMNS)} FROM bill LEFT JOIN ours ON {PAIRED}
            WHERE bill.order_sn IS NOT NULL AND ours.number IS NULL AND bill.kind = ? AND bill.wechat_no > ?
            ORDER BY bill.wechat_no LIMIT {BATCH}
        """  # noqa: S608
        for kind in (RowKind.REFUND, RowKind.PAYMENT):
            after = ""
            while found := [_bill_row(values) for values in self._file.execute(query, (kind.value, after)).fetchall()]:
                yield found
                after = found[-1].wechat_no

    def has_ours(self) -> bool:
        """Whether a payment or a refund of ours is booked on the day."""
        return bool(self._file.execute("SELECT 1 FROM ours LIMIT 1").fetchall())

    def payment_of(self, refund: BillRow) -> BillRow | None:
        """The row of the payment of which a refund's row is, if it is in the same bill."""
        query = f"""
            SELECT {", ".join(COLUMNS)} FROM bill
            WHERE kind = 'payment' AND number = ? AND wechat_no = ? AND trade_state = 'SUCCESS'
        """  # noqa: S608
        found = self._file.execute(query, (refund.out_trade_no, refund.transaction_id)).fetchall()
        return _bill_row(found[0]) if found else None

    def differences(self) -> list[Difference]:
        """What of ours the bill does not have, or has with another sum; and money that pays no order."""
        query = f"""
            SELECT ours.kind, ours.order_sn, ours.out_trade_no, ours.number, ours.fen, ours.wechat_no, ours.assigned,
                {", ".join(f"bill.{name}" for name in COLUMNS)}
            FROM ours LEFT JOIN bill INDEXED BY by_number ON {PAIRED}
            WHERE bill.number IS NULL OR bill.fen != ours.fen OR NOT ours.assigned ORDER BY ours.kind, ours.number
        """  # noqa: S608
        found: list[Difference | None] = []
        for values in self._file.execute(query):
            kind, *named, assigned = values[:7]
            names = ("order_sn", "out_trade_no", "number", "fen", "wechat_no")
            ours = Booked(kind=RowKind(kind), assigned=bool(assigned), **dict(zip(names, named, strict=True)))
            row = _bill_row(values[7:]) if values[7] is not None else None
            if row is not None and not ours.assigned and ours.kind is RowKind.PAYMENT:
                found.append(in_row(DifferenceKind.MISPAID, row, ours.fen))
            else:
                found.append(compared(row, ours))
        return [one for one in found if one is not None]

    def summed_up(
        self, day: date, now: datetime, sha1: str, differences: list[Difference], healed: int
    ) -> tuple[DayOfBills, list[Statement]]:
        """The day's summary and its lines; what does not add up to the fen is an error of ours, and raised."""
        lines = statements(self._shares(day), {name: (n, self._used_fen[name]) for name, n in self._used.items()})
        theirs, ours = self._sums("bill"), self._sums("ours")
        ((fee_e5, discounts),) = self._file.execute("""
            SELECT COALESCE(SUM(fee_e5), 0),
                COALESCE(SUM(CASE kind WHEN 'payment' THEN fen - settled_fen ELSE settled_fen - fen END), 0) FROM bill
        """)
        ((others,),) = self._file.execute("SELECT COUNT(*) FROM bill WHERE order_sn IS NULL")
        found = DayOfBills(
            day=day,
            closed=True,
            read_at=now,
            closed_at=now,
            sha1=sha1,
            payments=theirs[RowKind.PAYMENT][0],
            paid_fen=theirs[RowKind.PAYMENT][1],
            refunds=theirs[RowKind.REFUND][0],
            refunded_fen=theirs[RowKind.REFUND][1],
            discounts=discounts,
            fees=fee_in_fen(fee_e5),
            fee_e5=fee_e5,
            our_payments=ours[RowKind.PAYMENT][0],
            our_paid_fen=ours[RowKind.PAYMENT][1],
            our_refunds=ours[RowKind.REFUND][0],
            our_refunded_fen=ours[RowKind.REFUND][1],
            other_rows=others,
            differences=len(differences),
            healed=healed,
        )
        _adds_up(found, lines.values(), differences)
        return found, list(lines.values())

    def _shares(self, day: date) -> Iterator[Share]:
        query = f"""
            SELECT business, due, kind, COUNT(*), SUM(fen), SUM(settled_fen), SUM(fee_e5) FROM (
                SELECT bill.kind AS kind, bill.fen AS fen, bill.settled_fen AS settled_fen, bill.fee_e5 AS fee_e5,
                    CASE WHEN bill.order_sn IS NULL THEN :not_ours
                         WHEN ours.assigned AND owner.business_id IS NOT NULL THEN owner.business_id
                         ELSE :unassigned END AS business,
                    CASE WHEN ours.assigned THEN MAX(:day, COALESCE(owner.usable_until, :day)) ELSE :day END AS due
                FROM bill LEFT JOIN ours ON {PAIRED} LEFT JOIN owner ON owner.order_sn = ours.order_sn)
            GROUP BY business, due, kind ORDER BY business, due, kind
        """  # noqa: S608
        names = {"not_ours": NOT_OURS, "unassigned": UNASSIGNED, "day": day.isoformat()}
        for business_id, due, kind, *sums in self._file.execute(query, names):
            yield Share(business_id, due, RowKind(kind), *sums)

    def _sums(self, table: str) -> dict[RowKind, tuple[int, int]]:
        found = self._file.execute(f"SELECT kind, COUNT(*), SUM(fen) FROM {table} GROUP BY kind")  # noqa: S608
        sums = {RowKind(kind): (number, fen) for kind, number, fen in found}
        return {kind: sums.get(kind, (0, 0)) for kind in RowKind}

    def _ours_values(self, found: Iterable[Booked | Used]) -> Iterator[tuple[object, ...]]:
        for one in found:
            if isinstance(one, Used):
                self._used[one.business_id] += 1
                self._used_fen[one.business_id] += one.fen
            else:
                named = (one.kind.value, one.order_sn, one.out_trade_no, one.number)
                yield (*named, one.fen, one.wechat_no, int(one.assigned))


PAIRED = """ours.kind = bill.kind AND ours.number = bill.number AND ours.out_trade_no = bill.out_trade_no
    AND ours.wechat_no IN ('', bill.wechat_no)"""
"""Which row of the bill is which item of ours: the same number at WeChat under the same of ours, of the same trade."""


def _adds_up(day: DayOfBills, lines: Iterable[Statement], differences: Iterable[Difference]) -> None:
    """The lines sum up to the bill, fees included, and the two sides are equal but for the differences: to the fen.
    Raises ArithmeticError."""
    owned = list(lines)
    if not day.is_sum_of(owned) or any(sum(line.due_fen.values()) != line.net_fen for line in owned):
        raise ArithmeticError(f"the lines of {day.day} do not sum up to its bill")
    others = next((line for line in owned if line.business_id == NOT_OURS), Statement(business_id=NOT_OURS))
    for refunds, theirs, ours in (
        (False, day.paid_fen - others.sold_fen, day.our_paid_fen),
        (True, day.refunded_fen - others.refunded_fen, day.our_refunded_fen),
    ):
        apart = [one for one in differences if (one.kind in OF_REFUNDS) is refunds]
        explained = sum((one.wechat_fen or 0) - (_counted(one) or 0) for one in apart)
        if theirs - ours != explained:
            raise ArithmeticError(f"the differences of {day.day} do not explain its sums")


def _counted(difference: Difference) -> int | None:
    """What our books of the day count of it: nothing, where the row stands beside what they have."""
    stands_beside = {DifferenceKind.SECOND_TRANSACTION, DifferenceKind.REFUND_MISMATCH}
    return None if difference.kind in stands_beside else difference.ours_fen


def _bill_values(row: BillRow) -> tuple[object, ...]:
    trade = row.trade
    values = [getattr(row, name) for name in COLUMNS]
    stored = [millis(value) if isinstance(value, datetime) else value for value in values]
    return (row.wechat_no, row.number, trade.order_sn if trade else None, row.fen, *map(_stored, stored))


def _stored(value: object) -> object:
    return value.value if isinstance(value, RowKind) else value


def _bill_row(values: tuple[Any, ...]) -> BillRow:
    read = dict(zip(COLUMNS, values, strict=True))
    at = datetime.fromtimestamp(read["at"] / 1000, BEIJING)
    return BillRow(**{**read, "kind": RowKind(read["kind"]), "at": at})


def _shown(day: DayOfBills) -> dict[str, Any]:
    return dict(plain(day))


handler = LambdaFunction(handle, "store", "wechat_pay")
