"""What an order holds of an offer, and what is free of it: runs of nights, seats, rooms that are fewer than before."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.stock import (
    MOST_RUNS,
    Holds,
    Night,
    Nights,
    Seats,
    Session,
    SoldOut,
    Stock,
    days_between,
    over,
    plan,
)

DAY = date(2026, 12, 30)
SESSION = "2026-12-05T19:00"


def days(number: int, first: date = DAY) -> list[date]:
    return days_between(first, first + timedelta(days=number))


def nights(number: int, rooms: int = 1, first: date = DAY) -> Nights:
    return Nights(offer_id="lake-house", days=days(number, first), rooms=rooms)


def held(*of: tuple[int, int]) -> Stock:
    """(day after DAY, room) of each night that another order holds."""
    found: dict[date, dict[int, str]] = {}
    for n, room in of:
        found.setdefault(DAY + timedelta(days=n), {})[room] = "another"
    return Stock(found)


# --- what an order holds


def test_nights_over_a_month_and_a_year_are_one_run() -> None:
    holds = plan(nights(4), Stock())
    assert holds == Holds(offer_id="lake-house", nights=("2026-12-30+4#1",))
    assert sorted(holds.rooms()) == days(4)
    assert (holds.arrival, holds.last, holds.told()) == ("2026-12-30", "2027-01-02", "2026-12-30+4")
    assert holds.begins_at == datetime(2026, 12, 30, 10, tzinfo=UTC)  # 18:00 in Beijing


def test_seats_are_held_by_their_session() -> None:
    holds = plan(Seats(offer_id="ink", session=SESSION, seats=2, of=12), Stock(seats={SESSION: 10}))
    assert holds == Holds(offer_id="ink", seats={SESSION: 2})
    assert (holds.arrival, holds.told()) == (SESSION, f"2 of {SESSION}")
    assert holds.begins_at == datetime(2026, 12, 5, 11, tzinfo=UTC)


@pytest.mark.parametrize("damaged", ["", "2026-12-30", "2026-12-30+x#1", "2026-13-01+1#1", "2026-12-30+1", "+1#1"])
def test_what_is_no_run_of_nights_is_refused(damaged: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Holds(offer_id="lake-house", nights=(damaged,))


@given(st.dictionaries(st.integers(0, 60), st.integers(1, 5), min_size=1))
def test_nights_and_their_rooms_are_written_and_read_again(rooms: dict[int, int]) -> None:
    wanted = {DAY + timedelta(days=n): room for n, room in rooms.items()}
    assert Holds.of_nights("x", wanted).rooms() == wanted


@given(st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9), min_size=1))
def test_what_is_freed_and_what_is_left_are_together_what_was_held(freed: set[int], every: set[int]) -> None:
    whole = Holds.of_nights("x", {DAY + timedelta(days=n): 1 for n in every})
    part = whole.part([DAY + timedelta(days=n) for n in freed], {})
    left = whole.without(part) if part else whole
    assert {**(part.rooms() if part else {}), **(left.rooms() if left else {})} == whole.rooms()
    assert not (set(part.rooms()) & set(left.rooms()) if part and left else set())


def test_seats_are_given_up_one_by_one_until_none_is_left() -> None:
    two = Holds(offer_id="ink", seats={SESSION: 2})
    one = two.part((), {SESSION: 1})
    assert one == Holds(offer_id="ink", seats={SESSION: 1})
    assert two.without(one) == one
    assert one.without(one) is None
    assert two.part((), {SESSION: 5}) == two
    assert two.part((), {"2026-12-06T19:00": 1}) is None


def test_a_night_may_be_given_up_until_six_in_the_evening_of_its_day_and_a_seat_until_it_begins() -> None:
    stay = Holds(offer_id="x", nights=("2026-12-01+3#1",))
    at_six = datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert stay.unbegun(at_six - timedelta(seconds=1)) == stay
    assert stay.unbegun(at_six) == Holds(offer_id="x", nights=("2026-12-02+2#1",))
    assert stay.unbegun(at_six + timedelta(days=3)) is None
    seats = Holds(offer_id="ink", seats={SESSION: 2})
    assert seats.unbegun(datetime(2026, 12, 5, 10, 59, tzinfo=UTC)) == seats
    assert seats.unbegun(datetime(2026, 12, 5, 11, tzinfo=UTC)) is None


# --- what is free


def test_a_night_that_is_held_is_sold_out_and_the_free_ones_are_told() -> None:
    assert plan(nights(3), held((1, 1))) == SoldOut({"2026-12-30": 1, "2026-12-31": 0, "2027-01-01": 1})


def test_a_stay_lies_in_one_room_where_one_is_free_for_all_of_it() -> None:
    assert plan(nights(3, rooms=2), held((1, 1))) == Holds(offer_id="lake-house", nights=("2026-12-30+3#2",))


def test_a_stay_lies_in_as_few_rooms_as_can_be() -> None:
    # Room 1 is held in the third night, room 2 in the first: no room is free for all of it.
    stock = held((2, 1), (0, 2))
    assert plan(nights(4, rooms=2), stock) == Holds(offer_id="lake-house", nights=("2026-12-30+2#1", "2027-01-01+2#2"))


def test_nights_that_are_free_only_in_many_rooms_by_turns_are_told_so() -> None:
    by_turns = held(*((n, 1 + n % 2) for n in range(2 * MOST_RUNS)))
    refused = plan(nights(2 * MOST_RUNS, rooms=2), by_turns)
    assert isinstance(refused, SoldOut)
    assert (refused.in_pieces, set(refused.free.values())) == (True, {1})


def test_seats_that_are_left_are_told() -> None:
    wanted = Seats(offer_id="ink", session=SESSION, seats=3, of=12)
    assert plan(wanted, Stock(seats={SESSION: 10})) == SoldOut({SESSION: 2})
    assert plan(wanted, Stock(seats={SESSION: 14})) == SoldOut({SESSION: 0})  # it has fewer seats than before
    assert isinstance(plan(wanted, Stock(seats={SESSION: 9})), Holds)


def test_a_room_that_the_offer_has_no_more_counts_while_it_is_held() -> None:
    assert isinstance(plan(nights(1, rooms=2), held((0, 3), (0, 1))), SoldOut)
    # One is left: whoever comes at the same moment wants the same room, and one of them gets it.
    assert plan(nights(1, rooms=2), held((0, 3))) == Holds(offer_id="lake-house", nights=("2026-12-30+1#1",))


@given(
    st.integers(1, 4),
    st.integers(1, 12),
    st.sets(st.tuples(st.integers(0, 11), st.integers(1, 5))),
)
def test_no_night_is_planned_that_another_holds_and_never_more_than_there_are(
    rooms: int, number: int, taken: set[tuple[int, int]]
) -> None:
    stock = held(*taken)
    planned = plan(nights(number, rooms=rooms), stock)
    if isinstance(planned, SoldOut):
        assert planned.in_pieces or 0 in planned.free.values()
        return
    assert sorted(planned.rooms()) == days(number)
    for day, room in planned.rooms().items():
        assert 1 <= room <= rooms
        assert room not in stock.nights.get(day, {})
        assert len(stock.nights.get(day, {})) < rooms


def test_what_is_held_beyond_what_there_is_is_told_from_a_day_on() -> None:
    for_sale = [Night(day=day, rooms=1, price_fen=1) for day in days(3)]
    assert over(for_sale, held((0, 1), (1, 1), (1, 2)), DAY) == {"2026-12-31": 2}
    session = Session(session=SESSION, minutes=90, seats=2, price_fen=1)
    assert over([session], Stock(seats={SESSION: 3}), date(2026, 12, 1)) == {SESSION: 3}
    assert over([], Stock(seats={SESSION: 3}), date(2026, 12, 1)) == {SESSION: 3}  # the session is no more
    assert over([], Stock(seats={SESSION: 3}), date(2026, 12, 6)) == {}
