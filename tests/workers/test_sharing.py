"""Sharing work: everybody gets about as much, nothing moves without a reason, and it comes to rest."""

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.memory.leases import MemoryLeases
from tests.infrastructure.memory.clock import Clock
from workers.leases import Leases
from workers.shares import Shares
from workers.sharing import deal, number_of, quota

TIME = timedelta(seconds=10)
MODELS = ("orders", "stock", "timeline")


def names_of(partitions: int) -> list[str]:
    return [f"{model}/{number}" for model in MODELS for number in range(partitions)] if partitions > 1 else [*MODELS]


@dataclass
class Fleet:
    """Members who look at the same board, one after the other, in any order."""

    names: list[str]
    random: Random
    members: dict[int, set[str]] = field(default_factory=dict)
    moves: int = 0

    def look(self, member: int) -> None:
        taken = set[str]().union(*self.members.values())
        mine = self.members[member]
        move = deal(
            names=self.names,
            mine=mine,
            free=[name for name in self.names if name not in taken],
            rank=sorted(self.members).index(member),
            members=len(self.members),
        )
        mine -= set(move.give_up)
        mine |= set(move.take)
        self.moves += len(move.take)

    def settle(self) -> None:
        """Two looks of everybody: one to give up, one to take."""
        for _ in range(2):
            for member in self.random.sample(sorted(self.members), len(self.members)):
                self.look(member)

    def is_fair(self) -> bool:
        held = sorted(name for mine in self.members.values() for name in mine)
        sizes = [len(mine) for mine in self.members.values()]
        return held == sorted(self.names) and max(sizes) - min(sizes) <= 1


happenings = st.lists(st.one_of(st.integers(1, 9), st.sampled_from([1, 2, 3, 4, 7])), max_size=12)


@given(st.integers(1, 8), happenings, st.randoms(use_true_random=False))
def test_whoever_comes_and_goes_everything_is_had_by_somebody_and_shared_evenly(
    partitions: int, numbers: list[int], random: Random
) -> None:
    fleet = Fleet(names_of(partitions), random, {0: set()})
    for number in numbers:
        if fleet.members.pop(number, None) is None:
            fleet.members[number] = set()
        fleet.settle()
        assert fleet.is_fair()
        before = fleet.moves
        fleet.settle()
        assert fleet.moves == before, "it does not come to rest"


@given(st.integers(1, 8), st.integers(2, 6), st.randoms(use_true_random=False))
def test_when_a_member_leaves_the_others_keep_what_they_have(partitions: int, size: int, random: Random) -> None:
    fleet = Fleet(names_of(partitions), random, {number: set() for number in range(size)})
    fleet.settle()
    fleet.members.pop(random.randrange(size))
    before = {member: set(mine) for member, mine in fleet.members.items()}
    fleet.settle()
    assert all(mine <= fleet.members[member] for member, mine in before.items())


@given(st.integers(1, 8), st.integers(1, 6), st.randoms(use_true_random=False))
def test_when_a_member_comes_no_more_moves_than_it_is_to_have(partitions: int, size: int, random: Random) -> None:
    fleet = Fleet(names_of(partitions), random, {number: set() for number in range(size)})
    fleet.settle()
    fleet.members[99] = set()
    before = fleet.moves
    fleet.settle()
    assert fleet.moves - before == quota(len(fleet.names), size + 1, size)


def test_what_reads_the_same_events_stays_together() -> None:
    fleet = Fleet(names_of(4), Random(1), {1: set(), 2: set()})
    fleet.settle()
    numbers = [{number_of(name) for name in mine} for mine in fleet.members.values()]
    assert [len(some) for some in numbers] == [2, 2]


class Board:
    """Processes with shares of one table of leases, driven by hand."""

    def __init__(self, *names: str) -> None:
        self.table = MemoryLeases(Clock())
        self.names = list(names)

    def process(self, name: str, patience_s: float = 60.0) -> Shares:
        leases = Leases(self.table, name, TIME)
        return Shares(leases, "projector", lambda: self.names, look_every_s=0.0, patience_s=patience_s)


def test_a_process_that_comes_is_given_its_share_and_what_one_leaves_is_taken() -> None:
    board = Board("orders", "stock")
    first, second = board.process("a"), board.process("b")
    assert set(first.held()) == {"orders", "stock"}
    assert set(second.held()) == set()
    assert len(first.held()) == 1
    assert set(second.held()) == {"orders", "stock"} - set(first.held())
    first.close()
    assert set(second.held()) == {"orders", "stock"}
    second.close()


def test_a_share_that_could_not_be_trusted_for_a_while_is_worked_on_again() -> None:
    """The renewal took longer than the trust, and came through: the lease is ours, so nobody else would see to it."""
    now = [0.0]
    leases = Leases(MemoryLeases(Clock()), "a", TIME, clock=lambda: now[0])
    leases._thread = threading.current_thread()  # renewed by hand
    shares = Shares(leases, "projector", lambda: ["orders"], look_every_s=0.0)
    assert set(shares.held()) == {"orders"}
    now[0] = TIME.total_seconds()
    assert shares.held() == {}
    assert leases._holder is not None
    leases._renew(leases._holder)
    assert set(shares.held()) == {"orders"}
    assert len(leases.table.rows()) == 2
    shares.close()


def test_what_a_killed_process_had_is_spread_over_the_others() -> None:
    board = Board(*names_of(4))
    processes = [board.process(name) for name in "abc"]
    for _ in range(3):
        for process in processes:
            process.held()
    assert [len(process.held()) for process in processes] == [4, 4, 4]
    dead = processes.pop()
    holder = dead._leases._holder
    assert holder is not None
    board.table.forget(holder)
    for _ in range(2):
        for process in processes:
            process.held()
    assert [len(process.held()) for process in processes] == [6, 6]
    for process in processes:
        process.close()


def test_names_that_are_gone_are_given_back_and_new_ones_are_taken() -> None:
    board = Board("orders")
    process = board.process("a")
    assert set(process.held()) == {"orders"}
    board.names[:] = ["orders/0", "orders/1"]
    assert set(process.held()) == {"orders/0", "orders/1"}
    assert {row.name for row in board.table.rows()} == {
        "projector-member:1",
        "projector:orders/0",
        "projector:orders/1",
    }
    process.close()


def test_what_nobody_comes_for_is_taken_by_another_and_kept_for_a_while() -> None:
    board = Board("orders", "stock")
    absent = Leases(board.table, "lives and does nothing", TIME)
    assert absent.take("projector-member:1") is not None
    process = board.process("a", patience_s=0.0)
    assert set(process.held()) == {"orders", "stock"}
    assert set(process.held()) == {"orders", "stock"}
    process.close()
    absent.close()


def test_a_share_that_turned_out_to_be_lost_is_asked_for_again() -> None:
    board = Board("orders")
    process = board.process("a")
    (before,) = process.held().values()
    process.drop(["orders"])
    (after,) = process.held().values()
    assert after.epoch > before.epoch
    process.close()
