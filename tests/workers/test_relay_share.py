"""Relays that share the due work: each order once, nothing is left lying, and trouble with the leases costs only doubled looks."""

from datetime import timedelta

import pytest

from domain.errors import StoreUnavailable
from domain.work import RunKey as Key
from domain.work import Step, Want
from infrastructure.memory.leases import MemoryLeases
from tests.infrastructure.memory.clock import Clock
from tests.workers.faulty import FaultyMemory
from tests.workers.test_relay import Heard
from workers.leases import Leases
from workers.relay import Relay, RelaySettings
from workers.relay_share import Mine, RelayShare, everything

TIME = timedelta(seconds=10)
SETTINGS = RelaySettings(orphans_every_s=0.0, limit=100)


class Board:
    """Relays on one work list and one table of leases, and a clock that goes on when it is told."""

    def __init__(self, partitions: int) -> None:
        self.store = FaultyMemory()
        self.table = MemoryLeases(Clock())
        self.partitions = partitions
        self.heard = Heard()
        self.shares: list[RelayShare] = []
        self.elapsed_s = 0.0

    def relay(self, name: str) -> Relay:
        share = RelayShare(Leases(self.table, name, TIME), lambda: self.partitions, look_every_s=0.0)
        self.shares.append(share)
        relay = Relay(self.store, self.heard, lambda _step: 0, SETTINGS, clock=lambda: self.elapsed_s)
        relay.share = share
        return relay

    def want(self, *orders: str) -> None:
        self.store.want([Want(Key(order_id, Step.RISK)) for order_id in orders])

    def advance(self, time: timedelta) -> None:
        self.store.clock.advance(time)
        self.elapsed_s += time.total_seconds()

    def close(self) -> None:
        for share in self.shares:
            share.close()


@pytest.fixture
def orders() -> list[str]:
    return [f"o{number}" for number in range(40)]


def mine(relay: Relay) -> Mine:
    share: Mine = relay.share()
    return share


def test_relays_announce_every_order_once_between_them(orders: list[str]) -> None:
    board = Board(partitions=4)
    relays = [board.relay(name) for name in "abc"]
    for _ in range(3):
        for relay in relays:
            relay.look()
    board.want(*orders)
    counts = []
    for relay in relays:
        relay.look()
        counts.append(relay.announced)
    assert sorted(order_id for _, order_id in board.heard.pairs) == sorted(orders)
    assert sum(count > 0 for count in counts) >= 2
    board.close()


def test_the_partitions_of_a_relay_that_is_gone_are_taken_at_the_next_look(orders: list[str]) -> None:
    board = Board(partitions=3)
    first, second = board.relay("a"), board.relay("b")
    for relay in (first, second, first, second):
        relay.look()
    board.shares[0].close()
    board.want(*orders)
    second.look()
    assert sorted(order_id for _, order_id in board.heard.pairs) == sorted(orders)
    assert mine(second) == Mine(portion=None, sweeps=True)
    board.close()


def test_a_relay_alone_does_everything_and_one_too_many_stands_by(orders: list[str]) -> None:
    board = Board(partitions=1)
    first, second, third = (board.relay(name) for name in "abc")
    assert mine(first) == everything()
    for relay in (second, first, second, third):
        relay.look()
    assert [mine(first).stands_by, mine(second).stands_by, mine(third).stands_by].count(False) == 1
    assert mine(third).stands_by
    board.want(*orders)
    third.look()
    assert board.heard.pairs == []
    board.close()


def test_what_the_owner_of_a_partition_leaves_lying_is_announced_by_others_after_the_time_of_a_lease(
    orders: list[str],
) -> None:
    board = Board(partitions=2)
    absent = Leases(board.table, "has the leases and does nothing", TIME)
    for name in ("relay-member:1", "relay:0", "relay:1", "relay:sweep"):
        assert absent.take(name) is not None
    relay = board.relay("b")
    board.want(*orders)
    relay.look()
    assert board.heard.pairs == []
    board.advance(TIME)
    relay.look()
    assert sorted(order_id for _, order_id in board.heard.pairs) == sorted(orders)
    absent.close()
    board.close()


def test_a_new_number_of_partitions_is_followed(orders: list[str]) -> None:
    board = Board(partitions=1)
    relays = [board.relay(name) for name in "ab"]
    board.partitions = 6
    for _ in range(3):
        for relay in relays:
            relay.look()
    portions = [mine(relay).portion for relay in relays]
    assert set.union(*(set(portion.mine) for portion in portions if portion)) == set(range(6))
    board.want(*orders)
    for relay in relays:
        relay.look()
    assert sorted(order_id for _, order_id in board.heard.pairs) == sorted(orders)
    board.close()


def test_a_relay_that_cannot_reach_the_leases_does_everything(orders: list[str]) -> None:
    board = Board(partitions=4)

    def away() -> int:
        raise StoreUnavailable("away")

    relay = board.relay("a")
    relay.share = RelayShare(Leases(board.table, "b", TIME), away, look_every_s=0.0)
    board.want(*orders)
    relay.look()
    assert sorted(order_id for _, order_id in board.heard.pairs) == sorted(orders)
    board.close()


def test_only_the_sweeper_looks_for_the_vanished_every_time_and_the_others_seldom() -> None:
    board = Board(partitions=1)
    looks: list[str] = []
    first, second = board.relay("a"), board.relay("b")
    for relay in (first, second, first, second):
        relay.look()
    assert mine(first).sweeps != mine(second).sweeps
    sweeper, other = (first, second) if mine(first).sweeps else (second, first)
    names = {id(sweeper): "sweeper", id(other): "other"}
    for relay in (sweeper, other):
        relay._store = Watched(board.store, looks, names[id(relay)])  # type: ignore[assignment]
    for _ in range(3):
        sweeper.look()
        other.look()
    assert looks == ["sweeper"] * 3
    board.advance(timedelta(seconds=SETTINGS.spare_every_s))
    other.look()
    assert looks[3:] == ["other"]
    board.close()


class Watched:
    """Notes who looks for the runs of the vanished."""

    def __init__(self, store: FaultyMemory, looks: list[str], name: str) -> None:
        self._store = store
        self._looks = looks
        self._name = name

    def orphans(self, *, thorough: bool = False) -> int:
        self._looks.append(self._name)
        return self._store.orphans(thorough=thorough)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)
