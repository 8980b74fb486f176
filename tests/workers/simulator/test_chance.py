"""Chance in the simulated world: seeded, and the same whatever the order of the calls."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.simulator.behaviour import Behaviour, Faults, Latency, roll
from workers.simulator.bodies import Authorization
from workers.simulator.calls import Act
from workers.simulator.desk import Desk
from workers.simulator.ledger import Ledger
from workers.simulator.payments import authorize

ORDERS = [f"o-{number}" for number in range(60)]


def fates(path: Path, orders: Iterable[str], *, seed: int) -> dict[str, tuple[int, str | None, float]]:
    behaviour = Behaviour(
        hard_decline_share=0.3, faults=Faults(error_after=0.2, drop_before=0.2), latency=Latency(jitter_ms=50)
    )
    ledger = Ledger(path)
    desk = Desk(ledger, seed=seed, behaviour=behaviour, clock_ms=lambda: 0)
    replies = {order: desk.serve([act(order)])[0] for order in orders}
    ledger.close()
    return {order: (reply.status, reply.fault, reply.delay_s) for order, reply in replies.items()}


def act(order: str) -> Act:
    body = Authorization(order_id=order, amount=100, currency="EUR", token="t")
    return Act(service="payments", operation="authorize", key=f"{order}:auth:1", body=body, perform=authorize)


def test_fates_do_not_depend_on_the_order_of_the_calls(tmp_path: Path) -> None:
    there = fates(tmp_path / "there.db", ORDERS, seed=5)
    back = fates(tmp_path / "back.db", reversed(ORDERS), seed=5)
    assert there == back


def test_another_seed_is_another_fate(tmp_path: Path) -> None:
    assert fates(tmp_path / "a.db", ORDERS, seed=5) != fates(tmp_path / "b.db", ORDERS, seed=6)


def test_an_attempt_that_failed_may_succeed_the_next_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    desk = Desk(ledger, seed=1, behaviour=Behaviour(faults=Faults(error_before=0.5)), clock_ms=lambda: 0)
    statuses = [desk.serve([act("o-1")])[0].status for _ in range(30)]
    ledger.close()
    assert set(statuses) == {200, 500}


def test_a_batch_is_answered_in_its_order_and_sees_its_own_beginning(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    desk = Desk(ledger, seed=1, behaviour=Behaviour(), clock_ms=lambda: 0)
    replies = desk.serve([act("o-1"), act("o-2"), act("o-1")])
    ledger.close()
    assert replies[0].body == replies[2].body != replies[1].body


def test_a_batch_that_cannot_be_written_is_refused_as_a_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    desk = Desk(ledger, seed=1, behaviour=Behaviour(), clock_ms=lambda: 0)
    ledger._db.execute("DROP TABLE authorizations")
    assert [reply.status for reply in desk.serve([act("o-1"), act("o-2")])] == [500, 500]
    assert ledger.row("find_request", service="payments", key="o-1:auth:1") is None
    ledger.close()


@given(seed=st.integers(), subject=st.lists(st.text(), max_size=3))
def test_a_roll_is_a_share(seed: int, subject: list[str]) -> None:
    assert 0 <= roll(seed, *subject) < 1
    assert roll(seed, *subject) == roll(seed, *subject)


def test_shares_of_faults_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="together"):
        Faults(drop_before=0.6, drop_after=0.6)
