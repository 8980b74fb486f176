"""Past the window of a key the world is asked and nothing else; and an inquiry that fails is no permission to act."""

from dataclasses import replace

import pytest

from domain import outside
from domain.errors import Incident, KeyExpired, OrderwrightError, OutcomeUnknown, RateLimited, Unavailable
from domain.outside import Request
from domain.values import Money
from infrastructure.gateways.inprocess import InProcessBehaviour, InProcessWorld
from tests.contracts.gateways import capture

AUTHORIZATION = outside.AuthorizePayment(
    key="o-1:auth:1", order_id="o-1", amount=Money(amount=500, currency="EUR"), token="t"
)
REQUESTS: list[Request] = [
    AUTHORIZATION,
    capture("auth_o-1:auth:1", "o-1+1:capture:1", 500),
    outside.VoidPayment(key="o-1:void:1", authorization="auth_o-1:auth:1"),
    outside.RefundLabel(key="o-1+1:label-refund:1", tracking="T1"),
    outside.HandOverParcel(key="o-1+1:scan:1", tracking="T1"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_what_is_not_known_is_not_done_once_the_key_may_be_forgotten(request_: Request) -> None:
    inside = InProcessWorld()
    with pytest.raises(KeyExpired, match="never happened, or it happened and"):
        inside.outside().call(request_, inquire_first=True, act=False)
    assert inside.outside().inquire(request_) is None
    assert not any(inside.summary()["counts"].values())


def test_what_is_known_is_told_however_old_the_operation_is() -> None:
    world = InProcessWorld().outside()
    done = world.call(REQUESTS[0], inquire_first=False)
    assert world.call(REQUESTS[0], inquire_first=True, act=False) == done


def test_nobody_acts_without_asking_if_only_asking_is_allowed() -> None:
    inside = InProcessWorld()
    with pytest.raises(KeyExpired):
        inside.outside().call(REQUESTS[0], inquire_first=False, act=False)
    assert not inside.payments.authorizations


def test_a_read_or_a_letter_has_no_key_that_could_be_too_old() -> None:
    world = InProcessWorld().outside()
    letter = outside.NotifyCustomer(key="o-1:notify:1:1", order_id="o-1", customer_id="c", template="parcel_shipped")
    assert isinstance(world.call(letter, inquire_first=True, act=False), outside.CustomerNotified)


@pytest.mark.parametrize(
    ("fault", "error"), [("unavailable", Unavailable), ("too_many", RateLimited), ("lost_answer", OutcomeUnknown)]
)
@pytest.mark.parametrize("act", [True, False])
def test_an_inquiry_that_fails_never_turns_into_acting(fault: str, error: type[OrderwrightError], *, act: bool) -> None:
    inside = InProcessWorld(InProcessBehaviour(**{fault: 1.0}))  # type: ignore[arg-type]
    with pytest.raises(error):
        inside.outside().call(REQUESTS[0], inquire_first=True, act=act)
    inside.behaviour = InProcessBehaviour()
    assert not inside.payments.authorizations


def test_a_key_that_is_known_for_something_else_is_an_incident() -> None:
    world = InProcessWorld().outside()
    world.call(REQUESTS[0], inquire_first=False)
    with pytest.raises(Incident):
        world.call(replace(AUTHORIZATION, token="another"), inquire_first=False)
    with pytest.raises(Incident, match="is known outside as"):
        world.call(capture("a", "o-1:auth:1", 500), inquire_first=True)


def test_what_was_allowed_before_a_long_inquiry_is_not_done_when_it_is_so_no_more() -> None:
    inside = InProcessWorld()

    def lost() -> None:
        raise Unavailable("the lease was lost")

    with pytest.raises(Unavailable):
        inside.outside().call(REQUESTS[0], inquire_first=True, before_acting=lost)
    assert inside.outside().inquire(REQUESTS[0]) is None
