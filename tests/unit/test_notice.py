"""Which message goes next: at most once where it may have been sent, again where it surely was not."""

from datetime import datetime, timedelta

import pytest

from payments.domain.guest_messages import LEASE, Delivery, GuestMessages, Message, StillSending, claim_next
from tests.examples import NOW

TEMPLATES = ("order_confirmed", "check_in_code")


def notice(attempt: str = "mine", **messages: Delivery) -> GuestMessages:
    return GuestMessages(
        order_sn="HSO1",
        event="order.paid",
        version=1,
        attempt=attempt,
        at=NOW,
        messages={name: Message(state=state) for name, state in messages.items()},
    )


def claim(known: GuestMessages, now: datetime = NOW) -> tuple[dict[str, Delivery], str | None]:
    messages, template = claim_next(known, TEMPLATES, attempt="mine", now=now)
    return {name: message.state for name, message in messages.items()}, template


def test_messages_are_claimed_one_after_the_other() -> None:
    assert claim(notice()) == ({"order_confirmed": Delivery.SENDING}, "order_confirmed")
    assert claim(notice(order_confirmed=Delivery.SENT)) == (
        {"order_confirmed": Delivery.SENT, "check_in_code": Delivery.SENDING},
        "check_in_code",
    )


@pytest.mark.parametrize("state", [Delivery.SENT, Delivery.REFUSED, Delivery.FAILED, Delivery.UNKNOWN])
def test_what_is_final_is_never_sent_again(state: Delivery) -> None:
    both = {"order_confirmed": state, "check_in_code": state}
    assert claim(notice(attempt="theirs", **both)) == (both, None)


def test_what_surely_was_not_sent_is_tried_again() -> None:
    _, template = claim(notice(attempt="theirs", order_confirmed=Delivery.WAITING))
    assert template == "order_confirmed"


def test_nobody_sends_beside_a_living_attempt() -> None:
    theirs = notice(attempt="theirs", order_confirmed=Delivery.SENDING)
    with pytest.raises(StillSending):
        claim(theirs, now=NOW + LEASE - timedelta(seconds=1))


def test_what_a_dead_attempt_was_sending_is_unknown_and_the_rest_goes_on() -> None:
    theirs = notice(attempt="theirs", order_confirmed=Delivery.SENDING)
    assert claim(theirs, now=NOW + LEASE) == (
        {"order_confirmed": Delivery.UNKNOWN, "check_in_code": Delivery.SENDING},
        "check_in_code",
    )


def test_a_dead_attempt_at_the_last_message_leaves_nothing_to_send() -> None:
    theirs = notice(attempt="theirs", order_confirmed=Delivery.SENT, check_in_code=Delivery.SENDING)
    messages, template = claim(theirs, now=NOW + LEASE)
    assert template is None
    assert messages["check_in_code"] is Delivery.UNKNOWN
