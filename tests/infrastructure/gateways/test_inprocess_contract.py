"""The contract, inside the process."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.outside import CapturePayment, VoidPayment
from domain.values import Money
from infrastructure.gateways.inprocess import InProcessBehaviour, InProcessWorld
from tests.contracts.gateways import GatewayContract, Harness, authorization


class InProcessHarness(Harness):
    def __init__(self) -> None:
        self._world = InProcessWorld()
        self.outside = self._world.outside()

    def behave(self, **changes: Any) -> None:
        self._world.behaviour = replace(self._world.behaviour, **changes)

    def summary(self) -> dict[str, dict[str, int]]:
        return self._world.summary()


@pytest.fixture
def harness() -> InProcessHarness:
    return InProcessHarness()


class TestInProcessGateways(GatewayContract):
    """The contract, in the process."""


@given(amounts=st.lists(st.integers(1, 700), max_size=8), void_at=st.integers(0, 8))
def test_captured_and_voided_never_exceed_the_authorized_amount(amounts: list[int], void_at: int) -> None:
    world = InProcessWorld()
    world.payments.authorize(authorization("o-1"))
    (reference,) = world.payments.authorizations
    for number, amount in enumerate(amounts):
        if number == void_at:
            world.payments.void(VoidPayment(key="v", authorization=reference))
        money = Money(amount=amount, currency="EUR")
        world.payments.capture(CapturePayment(key=f"c{number}", authorization=reference, amount=money))
    summary = world.summary()
    assert summary["captured"].get("EUR", 0) + summary["voided"].get("EUR", 0) <= 1000


def test_fates_depend_on_the_seed_and_the_order_alone() -> None:
    behaviour = InProcessBehaviour(seed=7, hard_decline_share=0.5)
    orders = [f"o-{number}" for number in range(40)]
    there, back = InProcessWorld(behaviour).payments, InProcessWorld(behaviour).payments
    one = {order: type(there.authorize(authorization(order))) for order in orders}
    other = {order: type(back.authorize(authorization(order))) for order in reversed(orders)}
    assert one == other
    assert len(set(one.values())) == 2


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(ValueError, match="lost_answer"):
        InProcessBehaviour(lost_answer=1.5)
