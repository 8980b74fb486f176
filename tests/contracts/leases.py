"""What every table of leases promises: `domain.lease.LeaseTable`.

Fixtures of an adapter: `table`; `advance` lets time pass for it; `write` runs a guarded transaction that does nothing else, and
whatever is given to it in the midst of it. `vanish` lets a holder end as a killed process does, and its leases with it: at once where
there are beacons, when the time is over where there are none. A table whose clock counts seconds may be off by two.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import pytest

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost, LeaseTable
from domain.ports import Holder
from infrastructure.embedded.waiting import wait_until
from tests.contracts.stores import Advance

TIME = timedelta(seconds=10)
LONG = timedelta(seconds=11)
HALF = timedelta(seconds=6)


class Write(Protocol):
    """A guarded transaction. Raises `LeaseLost`."""

    def __call__(self, grant: Grant, meanwhile: Callable[[], object] = ..., /) -> None: ...


class Vanish(Protocol):
    """The end of a holder."""

    def __call__(self, holder: Holder, /) -> object: ...


@pytest.fixture
def vanish(table: LeaseTable) -> Vanish:
    return table.forget


@pytest.fixture
def holder(table: LeaseTable) -> Holder:
    return table.enter("first", TIME)


@pytest.fixture
def rival(table: LeaseTable) -> Holder:
    return table.enter("second", TIME)


def take(table: LeaseTable, holder: Holder, name: str = "thing", *, outside: bool = False) -> Grant:
    """Take the lease, which must be free."""
    grant = table.take(name, holder, TIME, outside=outside)
    assert grant is not None
    return grant


class TakingContract:
    """Who gets a lease."""

    def test_a_lease_is_had_by_one(self, table: LeaseTable, holder: Holder, rival: Holder) -> None:
        take(table, holder)
        assert table.take("thing", rival, TIME) is None
        assert table.take("thing", holder, TIME) is None

    def test_leases_of_different_names_do_not_meet(self, table: LeaseTable, holder: Holder, rival: Holder) -> None:
        assert take(table, holder, "one").epoch != take(table, rival, "two").epoch

    def test_a_lease_that_was_given_back_is_free(self, table: LeaseTable, holder: Holder, rival: Holder) -> None:
        assert table.release(take(table, holder)) is True
        take(table, rival)

    def test_a_lease_whose_time_is_over_is_free(self, table: LeaseTable, advance: Advance, holder: Holder) -> None:
        take(table, holder)
        advance(LONG)
        take(table, table.enter("third", TIME))

    def test_a_lease_whose_holder_is_gone_is_free(
        self, table: LeaseTable, vanish: Vanish, holder: Holder, rival: Holder
    ) -> None:
        take(table, holder)
        vanish(holder)
        assert eventually(lambda: table.take("thing", rival, TIME))

    def test_a_lease_on_the_outside_is_kept_until_its_time_is_over(
        self, table: LeaseTable, advance: Advance, holder: Holder
    ) -> None:
        take(table, holder, outside=True)
        table.forget(holder)
        rival = table.enter("third", LONG * 2)
        assert eventually(lambda: [row.beacon for row in table.rows()] in ([False], [None]))
        assert table.take("thing", rival, TIME) is None
        advance(LONG)
        take(table, rival)

    def test_who_is_no_holder_gets_nothing(self, table: LeaseTable, holder: Holder) -> None:
        table.leave(holder)
        with pytest.raises(StoreUnavailable):
            table.take("thing", holder, TIME)

    def test_epochs_only_grow(self, table: LeaseTable, advance: Advance) -> None:
        epochs = []
        for end in ("release", "expire", "leave", "release"):
            holder = table.enter("one of many", TIME)
            grant = take(table, holder)
            epochs.append(grant.epoch)
            match end:
                case "release":
                    table.release(grant)
                case "leave":
                    table.leave(holder)
                case _:
                    advance(LONG)
        assert epochs == sorted(set(epochs))


class KeepingContract:
    """Renewal and release."""

    def test_a_lease_that_is_renewed_lives_on(
        self, table: LeaseTable, advance: Advance, holder: Holder, rival: Holder
    ) -> None:
        grant = take(table, holder)
        for _ in range(3):
            advance(HALF)
            assert table.renew(holder, TIME) == frozenset({grant.epoch})
        rival = table.enter("third", TIME)
        assert table.take("thing", rival, TIME) is None

    def test_renewal_tells_which_leases_are_left(self, table: LeaseTable, holder: Holder) -> None:
        kept, given_back = take(table, holder, "one"), take(table, holder, "two")
        table.release(given_back)
        assert table.renew(holder, TIME) == frozenset({kept.epoch})

    def test_a_holder_without_leases_is_renewed_too(self, table: LeaseTable, advance: Advance, holder: Holder) -> None:
        advance(HALF)
        assert table.renew(holder, TIME) == frozenset()
        advance(HALF)
        assert table.renew(holder, TIME) == frozenset()

    def test_a_holder_whose_time_is_over_is_none(self, table: LeaseTable, advance: Advance, holder: Holder) -> None:
        take(table, holder)
        advance(LONG)
        assert table.renew(holder, TIME) is None

    def test_a_holder_that_is_gone_keeps_nothing(self, table: LeaseTable, holder: Holder) -> None:
        take(table, holder)
        assert table.is_lit(holder)
        table.forget(holder)
        assert not table.is_lit(holder)
        assert table.renew(holder, TIME) is None

    def test_a_former_owner_gives_nothing_back(
        self, table: LeaseTable, advance: Advance, holder: Holder, rival: Holder
    ) -> None:
        former = take(table, holder)
        advance(LONG)
        rival = table.enter("third", TIME)
        grant = take(table, rival)
        assert table.release(former) is False
        assert [row.epoch for row in table.rows()] == [grant.epoch]
        assert table.release(grant) is True
        assert table.release(grant) is False

    def test_a_lease_taken_again_by_its_own_holder_is_not_given_back_by_the_former_grant(
        self, table: LeaseTable, holder: Holder
    ) -> None:
        former = take(table, holder)
        table.release(former)
        take(table, holder)
        assert table.release(former) is False

    def test_who_leaves_gives_everything_back(self, table: LeaseTable, holder: Holder, rival: Holder) -> None:
        take(table, holder, "one", outside=True)
        take(table, holder, "two")
        table.leave(holder)
        assert table.rows() == []
        take(table, rival, "one")

    def test_people_see_who_has_what(self, table: LeaseTable, holder: Holder, rival: Holder) -> None:
        grant = take(table, holder, "b")
        take(table, rival, "a", outside=True)
        first, second = table.rows()
        assert (first.name, first.holder, first.outside, first.held) == ("a", "second", True, True)
        assert (second.name, second.holder, second.outside, second.held) == ("b", "first", False, True)
        assert (second.epoch, second.beacon) in ((grant.epoch, True), (grant.epoch, None))
        assert abs(second.expires_at - second.since - TIME) <= timedelta(seconds=2)


class GuardingContract:
    """Writes under a lease."""

    def test_the_owner_writes(self, table: LeaseTable, write: Write, holder: Holder) -> None:
        write(take(table, holder))

    def test_nobody_writes_under_a_lease_that_was_given_back(
        self, table: LeaseTable, write: Write, holder: Holder
    ) -> None:
        grant = take(table, holder)
        table.release(grant)
        with pytest.raises(LeaseLost, match="thing"):
            write(grant)

    def test_nobody_writes_under_a_lease_whose_time_is_over(
        self, table: LeaseTable, write: Write, advance: Advance, holder: Holder
    ) -> None:
        grant = take(table, holder)
        advance(LONG)
        with pytest.raises(LeaseLost):
            write(grant)

    def test_a_former_owner_does_not_write_beside_the_new_one(
        self, table: LeaseTable, write: Write, vanish: Vanish, holder: Holder, rival: Holder
    ) -> None:
        former = take(table, holder)
        vanish(holder)
        assert eventually(lambda: table.take("thing", rival, TIME))
        with pytest.raises(LeaseLost) as lost:
            write(former)
        assert (lost.value.name, lost.value.epoch) == ("thing", former.epoch)

    def test_a_lease_is_renewed_while_its_owner_writes(self, table: LeaseTable, write: Write, holder: Holder) -> None:
        grant = take(table, holder)
        write(grant, lambda: table.renew(holder, TIME) == frozenset({grant.epoch}) or pytest.fail("not renewed"))


def eventually(condition: Callable[[], object]) -> bool:
    """Something that takes the table a moment to see, such as the end of a connection."""
    return wait_until(lambda: bool(condition()), timeout_s=10.0)
