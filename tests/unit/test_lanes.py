"""How many requests of one function are under way at once on the laptop."""

import asyncio

import pytest

from local.lanes import Busy, Lanes

ROUTES = {
    "POST /wxpay/notify": "wx_callback",
    "GET /orders": "orders",
    "GET /orders/{order_sn}": "orders",
    "POST /orders/{order_sn}/prepay": "create_prepay",
    "GET /orders/{order_sn}/payment": "status_poll",
    "GET /merchant/cases/{case_id}": "merchant",
    "GET /merchant/cases/open": "other",
}


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("POST", "/wxpay/notify", "wx_callback"),
        ("GET", "/orders/HSO1", "orders"),
        ("GET", "/orders/HSO1/payment", "status_poll"),
        ("GET", "/merchant/cases/open", "other"),
        ("GET", "/merchant/cases/x", "merchant"),
        ("GET", "/wxpay/notify", ""),
        ("GET", "/orders/a/b/payment", ""),
        ("GET", "/", ""),
    ],
)
def test_a_request_is_counted_for_the_function_that_answers_it(method: str, path: str, function: str) -> None:
    assert Lanes(ROUTES).function(method, path) == function


def test_no_more_than_the_cap_are_under_way_and_all_have_their_turn() -> None:
    async def burst() -> tuple[int, int]:
        lanes, now, most, done = Lanes(ROUTES, 4), 0, 0, 0

        async def one() -> None:
            nonlocal now, most, done
            async with lanes.turn("POST", "/wxpay/notify"):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1
                done += 1

        await asyncio.gather(*(one() for _ in range(40)))
        return most, done

    assert asyncio.run(burst()) == (4, 40)


def test_one_function_that_hangs_does_not_hold_up_another_and_who_waits_too_long_is_told() -> None:
    async def hanging() -> None:
        lanes = Lanes(ROUTES, 1, wait_s=0.01)
        async with lanes.turn("POST", "/orders/1/prepay"):
            async with lanes.turn("GET", "/orders/1/payment"), lanes.turn("GET", "/nowhere"):
                pass
            with pytest.raises(Busy):
                async with lanes.turn("POST", "/orders/2/prepay"):
                    raise AssertionError("no room")
        async with lanes.turn("POST", "/orders/2/prepay"):  # there is room again
            pass

    asyncio.run(hanging())


def test_a_request_that_fails_gives_its_turn_back() -> None:
    async def failing() -> None:
        lanes = Lanes(ROUTES, 1, wait_s=0.01)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with lanes.turn("GET", "/orders"):
                    raise ZeroDivisionError

    asyncio.run(failing())
