"""The contract of leases, against three members of etcd; and what a cluster that forgets or lags can do to them."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from domain.errors import StoreUnavailable
from domain.lease import Grant, LeaseLost
from domain.ports import Holder
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.leases import EtcdLeases, steady
from infrastructure.postgres import database as postgres
from infrastructure.postgres.fences import Fences
from infrastructure.postgres.leases import PostgresLeases
from tests.contracts import leases
from tests.contracts.leases import TIME, Vanish, Write, eventually, take
from tests.contracts.stores import Advance
from tests.servers.etcd import EtcdCluster


class Days:
    """Time that passes at once: the table's clock is put forward, and what etcd would have let run out is ended."""

    def __init__(self, client: Etcd) -> None:
        self._client = client
        self._grant = client.grant
        self._ends: dict[int, float] = {}
        self.ahead_s = 0.0
        client.grant = self.grant  # type: ignore[method-assign]

    def clock(self) -> float:
        return steady() + self.ahead_s

    def grant(self, seconds: int, *, deadline_s: float | None = None) -> int:
        lease = self._grant(seconds, deadline_s=deadline_s)
        self._ends[lease] = self.clock() + seconds
        return lease

    def advance(self, time: timedelta) -> None:
        self.ahead_s += time.total_seconds()
        for lease in [lease for lease, ends in self._ends.items() if ends <= self.clock()]:
            self._client.revoke(lease)
            del self._ends[lease]


@pytest.fixture
def days(client: Etcd) -> Days:
    return Days(client)


@pytest.fixture
def advance(days: Days) -> Advance:
    return days.advance


@pytest.fixture
def table(client: Etcd, days: Days, module_database: str) -> EtcdLeases:
    return EtcdLeases(client, Fences(module_database), clock=days.clock)


@pytest.fixture
def vanish(table: EtcdLeases, client: Etcd) -> Vanish:
    """Its time is over, and no other's."""

    def vanish(holder: Holder) -> None:
        [name] = [json.loads(kept.value)["name"] for kept in client.get(client.key("holders", f"{holder.id:x}")).kept]
        table.forget(holder)
        for kept in client.below(client.key("leases/")).kept:
            if json.loads(kept.value)["holder"] == name:
                client.revoke(kept.lease)

    return vanish


@pytest.fixture
def write(module_database: str, table: EtcdLeases) -> Write:
    def write(grant: Grant, meanwhile: Callable[[], object] = lambda: None) -> None:
        with closing(postgres.connect(module_database, application="test")) as connection, connection.transaction():
            table.guard(connection, grant)
            meanwhile()

    return write


@pytest.fixture(autouse=True)
def _no_fences_of_other_tests(module_database: str) -> Iterator[None]:
    """Each test has its own keys, as if in a cluster of its own; the database is one for all."""
    yield
    with psycopg.connect(module_database) as connection:
        connection.execute("DELETE FROM fences")


holder, rival = leases.holder, leases.rival


class TestTaking(leases.TakingContract):
    """Against etcd."""


class TestKeeping(leases.KeepingContract):
    """Against etcd."""


class TestGuarding(leases.GuardingContract):
    """Against etcd."""


def test_a_lease_runs_out_by_etcds_own_clock(table: EtcdLeases) -> None:
    short = timedelta(seconds=1)
    first, rival = table.enter("first", short), table.enter("second", TIME)
    assert table.take("thing", first, short) is not None
    assert table.take("thing", rival, TIME) is None
    assert eventually(lambda: table.take("thing", rival, TIME))
    assert table.renew(first, short) is None


def test_nobody_takes_a_lease_in_the_midst_of_a_guarded_transaction(
    table: EtcdLeases, write: Write, vanish: Vanish, holder: Holder, rival: Holder
) -> None:
    grant = take(table, holder)

    def expire_and_want() -> None:
        vanish(holder)
        assert table.take("thing", rival, TIME) is None
        assert table.rows() == []

    write(grant, expire_and_want)
    assert table.take("thing", rival, TIME) is not None


def test_a_holder_that_does_not_know_that_its_lease_is_anothers_writes_nothing(
    table: EtcdLeases, client: Etcd, module_database: str, write: Write, holder: Holder
) -> None:
    """As one that was frozen, or whose clock stood still."""
    grant = take(table, holder)
    [kept] = client.get(client.key("leases", "thing")).kept
    client.revoke(kept.lease)
    write(grant)
    others = EtcdLeases(client, Fences(module_database))
    assert others.take("thing", others.enter("second", TIME), TIME) is not None
    with pytest.raises(LeaseLost):
        write(grant)


def test_a_cluster_that_was_wiped_gives_out_no_old_epoch(
    etcd: EtcdCluster, table: EtcdLeases, write: Write, holder: Holder
) -> None:
    former = take(table, holder)
    etcd.wipe()
    assert table.renew(holder, TIME) is None
    grant = take(table, table.enter("second", TIME))
    assert grant.epoch > former.epoch
    write(grant)


def test_a_cluster_that_was_set_back_gives_out_no_old_epoch(
    table: EtcdLeases, client: Etcd, module_database: str, write: Write, holder: Holder
) -> None:
    """Restored from a snapshot it has a base, and knows nothing of the epochs since."""
    epoch = take(table, holder, "another thing").epoch
    Fences(module_database).raise_to("thing", epoch + 1000)
    assert table.take("thing", holder, TIME) is None
    assert take(table, holder).epoch > epoch + 1000


def test_epochs_go_on_from_those_of_postgres(table: EtcdLeases, module_database: str, holder: Holder) -> None:
    before = PostgresLeases(module_database)
    old = before.enter("old", TIME)
    grant = take(before, old)
    assert table.take("thing", holder, TIME) is None, "somebody still goes by the leases in Postgres"
    before.leave(old)
    assert take(table, holder).epoch > grant.epoch


def test_an_answer_that_was_lost_costs_no_lease(table: EtcdLeases, client: Etcd, holder: Holder) -> None:
    """Renewed, but not told so: the next renewal finds its own mark."""
    grant = take(table, holder)
    move = client.transact

    def lose_the_answer(*arguments: object, **named: object) -> object:
        client.transact = move  # type: ignore[method-assign]
        client.transact(*arguments, **named)  # type: ignore[arg-type]
        return client.transact(*arguments, **named)  # type: ignore[arg-type]

    client.transact = lose_the_answer  # type: ignore[assignment, method-assign]
    assert table.renew(holder, TIME) == frozenset({grant.epoch})


def test_of_many_leases_all_are_renewed(table: EtcdLeases, holder: Holder, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one transaction of etcd can hold."""
    monkeypatch.setattr("infrastructure.etcd.leases.AT_ONCE", 4)
    grants = [take(table, holder, f"thing {number}") for number in range(9)]
    assert table.renew(holder, TIME) == frozenset(grant.epoch for grant in grants)
    table.leave(holder)
    assert table.rows() == []


def test_a_lease_that_the_database_cannot_fence_is_given_back(
    table: EtcdLeases, client: Etcd, module_database: str, holder: Holder
) -> None:
    table.release(take(table, holder))
    cut_off = EtcdLeases(client, Fences(make_conninfo(module_database, port=1)))
    with pytest.raises(StoreUnavailable):
        cut_off.take("thing", cut_off.enter("second", TIME), TIME)
    assert table.rows() == []
