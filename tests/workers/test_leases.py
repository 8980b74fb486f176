"""Holding leases: renewed in the background, given back, lost; and when they may be trusted."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost, LeaseTaken
from domain.ports import Holder
from infrastructure.embedded.waiting import wait_until
from infrastructure.memory.leases import MemoryLeases
from tests.infrastructure.memory.clock import Clock
from workers.leases import Leases

ROOT = Path(__file__).parents[2]
TIME = timedelta(seconds=10)
SHORT = timedelta(milliseconds=90)


class Table(MemoryLeases):
    """A table that can be away, and that counts."""

    def __init__(self) -> None:
        self.time = Clock()
        super().__init__(self.time)
        self.away = False
        self.renewals = 0
        self.said_something = False

    def is_lit(self, holder: Holder) -> bool:
        return super().is_lit(holder) and not self.said_something

    def renew(self, holder: Holder, time: timedelta) -> frozenset[int] | None:
        self.renewals += 1
        self.said_something = False
        self._refuse_if_away()
        return super().renew(holder, time)

    def release(self, grant: Grant) -> bool:
        self._refuse_if_away()
        return super().release(grant)

    def take(self, name: str, holder: Holder, time: timedelta, *, outside: bool = False) -> Grant | None:
        self._refuse_if_away()
        return super().take(name, holder, time, outside=outside)

    def _refuse_if_away(self) -> None:
        if self.away:
            raise StoreUnavailable("away")


class Steady:
    """The clock of the process."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def leases(table: Table, steady: Steady) -> Iterator[Leases]:
    leases = Leases(table, "me", TIME, clock=steady)
    yield leases
    leases.close()


@pytest.fixture
def rival(table: Table) -> Iterator[Leases]:
    rival = Leases(table, "rival", TIME)
    yield rival
    rival.close()


def until(condition: object) -> None:
    assert callable(condition)
    assert wait_until(condition, timeout_s=10.0)


def test_a_lease_is_held_for_the_time_of_the_block(leases: Leases, rival: Leases, table: Table) -> None:
    with leases.hold("thing") as lease:
        assert (lease.name, lease.trusted()) == ("thing", True)
        with pytest.raises(LeaseTaken, match="thing"), rival.hold("thing"):
            pytest.fail("two held it")
    assert not lease.trusted()
    assert table.rows() == []
    with rival.hold("thing") as next_one:
        assert next_one.epoch > lease.epoch


def test_a_lease_is_given_back_when_the_block_fails(leases: Leases, table: Table) -> None:
    with pytest.raises(ValueError, match="mine"), leases.hold("thing"):
        raise ValueError("mine")
    assert table.rows() == []


def test_who_waits_gets_it_when_the_other_gives_it_back(leases: Leases, rival: Leases) -> None:
    had = threading.Event()

    def wait_for_it() -> None:
        with rival.hold("thing", wait_s=30.0):
            had.set()

    with leases.hold("thing"):
        waiting = threading.Thread(target=wait_for_it, daemon=True)
        waiting.start()
        assert not had.is_set()
    assert had.wait(10.0)
    waiting.join(10.0)


def test_who_waits_for_a_store_that_is_away_learns_that_in_the_end(leases: Leases, table: Table) -> None:
    table.away = True
    with pytest.raises(StoreUnavailable), leases.hold("thing", wait_s=0.1):
        pytest.fail("held")


def test_leases_are_renewed_in_the_background(table: Table) -> None:
    leases = Leases(table, "me", SHORT)
    with leases.hold("thing") as lease:
        until(lambda: table.renewals >= 3)
        assert lease.trusted()
    leases.close()


def test_trust_ends_before_the_table_gives_the_lease_away(leases: Leases, steady: Steady) -> None:
    lease = leases.take("thing")
    assert lease is not None
    steady.now += 8.9
    lease.check()
    steady.now += 0.2
    assert not lease.trusted()
    with pytest.raises(LeaseLost):
        lease.check()


def test_trust_counts_from_before_the_request(table: Table, steady: Steady) -> None:
    class Slow(Table):
        def take(self, *args: object, **more: object) -> Grant | None:
            steady.now += 9.5
            return super().take(*args, **more)  # type: ignore[arg-type]

    leases = Leases(Slow(), "me", TIME, clock=steady)
    with leases.hold("thing") as lease:
        assert not lease.trusted()
    leases.close()


def test_who_uses_a_lost_lease_is_told_once(leases: Leases, table: Table, steady: Steady) -> None:
    told = []
    with capture_logs() as logs, leases.hold("thing", on_lost=lambda: told.append(1)) as lease:
        table.away = True
        steady.now += 9.5
        until(lambda: told)
        assert not lease.trusted()
    assert told == [1]
    assert [log["lease"] for log in logs if log["event"] == "lease lost"] == ["thing"]


def test_what_we_believe_to_have_lost_is_kept_by_nobody(
    leases: Leases, rival: Leases, table: Table, steady: Steady
) -> None:
    told = threading.Event()
    assert leases.take("thing", on_lost=told.set) is not None
    table.away = True
    steady.now += 9.5
    assert told.wait(10.0)
    table.away = False
    steady.now += 4.0
    seen = table.renewals
    until(lambda: table.renewals > seen)
    assert rival.take("thing") is None, "it was renewed, and may still be in use"
    steady.now += 6.0
    until(lambda: rival.take("thing") is not None)


def test_a_store_that_is_away_for_a_moment_costs_nothing(leases: Leases, table: Table, steady: Steady) -> None:
    with leases.hold("thing") as lease:
        table.away = True
        steady.now += 4.0
        seen = table.renewals
        until(lambda: table.renewals > seen)
        assert lease.trusted()
        table.away = False
        steady.now += 4.0
        until(lambda: leases._renewed_at == steady.now)
        steady.now += 4.0
        assert lease.trusted()


def test_a_beacon_that_is_out_ends_all_leases_and_the_next_one_is_taken_by_a_new_holder(
    leases: Leases, table: Table
) -> None:
    told = threading.Event()
    first = leases.take("thing", on_lost=told.set)
    assert first is not None
    table.forget(Holder(id=first.grant.holder, epoch=0))
    assert told.wait(10.0)
    second = leases.take("thing")
    assert second is not None
    assert (first.trusted(), second.trusted()) == (False, True)
    assert second.grant.holder != first.grant.holder


def test_a_lease_that_is_not_ours_though_we_trusted_it_is_an_incident(leases: Leases, table: Table) -> None:
    with capture_logs() as logs, leases.hold("thing") as lease:
        assert table.release(lease.grant)
    assert [(log["log_level"], log["lease"]) for log in logs if log["event"] == "a trusted lease was not ours"] == [
        ("error", "thing")
    ]


def test_a_lease_that_cannot_be_given_back_is_left_to_run_out(leases: Leases, table: Table) -> None:
    with capture_logs() as logs, leases.hold("thing"):
        table.away = True
    assert "lease not given back, it will run out" in [log["event"] for log in logs]


def test_closing_gives_everything_back_and_can_be_repeated(leases: Leases, table: Table) -> None:
    one, two = leases.take("one"), leases.take("two", outside=True)
    leases.close()
    leases.close()
    assert table.rows() == []
    assert one is not None
    assert two is not None
    assert not one.trusted()


def test_leases_that_were_closed_take_nothing_any_more(leases: Leases) -> None:
    leases.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        leases.take("one")


def test_a_server_that_only_said_something_costs_no_lease(leases: Leases, table: Table) -> None:
    """The connection looks ended until it is asked."""
    first = leases.take("one")
    table.said_something = True
    second = leases.take("two")
    assert first is not None
    assert second is not None
    assert first.trusted()
    assert second.grant.holder == first.grant.holder


def test_a_guard_is_asked_of_the_table(leases: Leases, table: Table) -> None:
    with leases.hold("thing") as lease:
        with table.transaction() as transaction:
            lease.guard(transaction)
        table.time.advance(timedelta(seconds=11))
        with table.transaction() as transaction, pytest.raises(LeaseLost):
            lease.guard(transaction)


def test_the_wall_clock_is_never_read(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """It jumps by an hour to and fro with every look at it, and nobody looks."""
    looks: list[int] = []

    def jumping() -> float:
        looks.append(1)
        return 3600.0 if len(looks) % 2 else -3600.0

    monkeypatch.setattr("time.time", jumping)
    leases = Leases(table, "me", SHORT)
    with leases.hold("thing") as lease:
        until(lambda: table.renewals >= 2)
        assert lease.trusted()
    leases.close()
    assert looks == []


def test_nothing_that_decides_about_leases_runs_and_timers_reads_a_wall_clock() -> None:
    """Their time is the database's, or one that nobody can set. Screens and simulated services may look at the clock on the wall."""
    sources = [
        *(ROOT / "domain").rglob("*.py"),
        *(ROOT / "infrastructure" / "postgres").rglob("*.py"),
        *(ROOT / "infrastructure" / "messaging").rglob("*.py"),
        *(ROOT / "workers").glob("*.py"),
    ]
    readers = [
        path for path in sources if re.search(r"\btime\.time|datetime\.(now|utcnow|today)", path.read_text("utf-8"))
    ]
    assert len(sources) > 100
    assert readers == []
