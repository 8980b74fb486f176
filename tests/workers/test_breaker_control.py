"""What a person sees of the breakers and decides about them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from domain.breaker import Limits, State
from domain.errors import CommandRefused
from domain.work import Run, RunKey, Step
from infrastructure.memory.breakers import MemoryBreakers
from workers.breaker_control import BreakerControl, BreakerView
from workers.breakers import Breakers

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
LIMITS = Limits()


class Shop:
    """A board, a person and a process, on one clock."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.board = MemoryBreakers(lambda: START + timedelta(seconds=self.seconds), self.waiting)
        self.overlooked: list[tuple[datetime, datetime]] = []
        self.control = BreakerControl(self.board, LIMITS, process="cli", overlook=self.overlook)
        self.breakers = Breakers(self.board, process="w1", clock=lambda: self.seconds, random=lambda: 0.5, look_s=0.0)

    @staticmethod
    def waiting(steps: Sequence[Step], limit: int) -> int:
        return min(limit, 12 if Step.CAPTURE in steps else 0)

    def overlook(self, steps: Sequence[Step], began: datetime, ended: datetime, /) -> int:
        assert set(steps) == {Step.AUTHORIZE, Step.CAPTURE, Step.VOID}
        self.overlooked.append((began, ended))
        return 1

    def view(self, name: str = "payment") -> BreakerView:
        return next(one for one in self.control.view() if one.dependency == name)

    def force(self, to: State | None, lasting: timedelta | None = None) -> int:
        return len(self.control.force("payment", to, lasting=lasting, who="cli:ann", why="fraud"))

    def later(self, seconds: float) -> None:
        self.seconds += seconds
        self.breakers.refresh()

    def fail(self) -> None:
        for number in range(LIMITS.minimum_calls):
            self.breakers.report("payment", run(number), ConnectionError("refused"), 0.0)


def run(number: int) -> Run:
    return Run(RunKey(f"o-{number}", Step.CAPTURE), 1, number)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_every_dependency_is_shown_also_what_was_never_in_trouble(shop: Shop) -> None:
    assert [one.dependency for one in shop.control.view()] == ["carrier", "mail", "payment", "risk"]
    never = shop.view("mail")
    assert (never.state, never.since, never.waiting, never.next_probe) == (State.CLOSED, None, 0, None)


def test_an_open_breaker_tells_why_and_what_will_happen(shop: Shop) -> None:
    shop.fail()
    seen = shop.view()
    assert (seen.state, seen.since, seen.why) == (State.OPEN, START, "20 of the last 20 calls failed")
    assert (seen.failure_rate, seen.waiting, seen.permits_out) == (1.0, 12, 0)
    assert seen.next_probe == START + timedelta(seconds=LIMITS.open_s)


def test_permits_that_are_out_are_counted_until_they_expire(shop: Shop) -> None:
    shop.fail()
    shop.later(3)
    shop.breakers.grant("payment", 2)
    assert (shop.view().state, shop.view().permits_out) == (State.HALF_OPEN, 2)
    shop.later(LIMITS.permit_s + 1)
    assert shop.view().permits_out == 0


def test_what_a_person_forces_holds_for_the_fleet_until_told_otherwise(shop: Shop) -> None:
    assert shop.force(State.OPEN) == 1
    shop.later(1e6)
    assert shop.breakers.limited() == {"payment"}
    assert shop.breakers.grant("payment", 10) == 0
    assert shop.view().forced
    shop.force(None)
    shop.later(1)
    assert shop.breakers.grant("payment", 10) == LIMITS.permits


def test_what_is_forced_closed_stays_so_whatever_fails(shop: Shop) -> None:
    shop.force(State.CLOSED)
    shop.later(1)
    shop.fail()
    shop.fail()
    assert shop.breakers.limited() == frozenset()
    assert shop.view().state is State.CLOSED


def test_a_force_for_a_time_ends_by_itself(shop: Shop) -> None:
    shop.force(State.OPEN, timedelta(minutes=10))
    assert shop.view().next_probe == START + timedelta(minutes=10)
    shop.later(601)
    assert not shop.view().forced
    assert shop.breakers.grant("payment", 10) == LIMITS.permits


def test_what_is_forced_closed_for_a_time_may_open_afterwards(shop: Shop) -> None:
    shop.force(State.CLOSED, timedelta(minutes=10))
    shop.later(601)
    shop.fail()
    assert shop.view().state is State.OPEN


def test_every_decision_is_recorded_with_its_person_and_reason(shop: Shop) -> None:
    shop.force(State.OPEN)
    shop.force(None)
    last, first = shop.control.history("payment", 10)
    assert (first.after, first.who, first.why, first.process) == (State.OPEN, "cli:ann", "fraud", "cli")
    assert (last.before, last.after, last.who) == (State.OPEN, State.OPEN, "cli:ann")


def test_to_let_decide_what_decides_already_changes_nothing(shop: Shop) -> None:
    assert shop.force(None) == 0
    assert shop.control.history(None, 10) == []


def test_an_unknown_dependency_is_refused_with_the_known_ones(shop: Shop) -> None:
    with pytest.raises(CommandRefused, match="carrier, mail, payment, risk"):
        shop.control.force("paypal", State.OPEN, lasting=None, who="x", why="x")
    with pytest.raises(CommandRefused):
        shop.control.history("paypal", 1)


def test_who_closes_a_breaker_by_hand_holds_its_time_against_no_run(shop: Shop) -> None:
    shop.fail()
    shop.later(3600.0)
    shop.force(State.OPEN)
    assert shop.overlooked == []
    shop.force(State.CLOSED)
    shop.force(State.CLOSED)
    assert shop.overlooked == [(START, START + timedelta(seconds=3600.0))]
