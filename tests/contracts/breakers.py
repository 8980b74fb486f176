"""The contract of the place where the breakers of a fleet are kept, and what a fleet that shares it may do."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest

from domain.breaker import Board, Breaker, Changed, Force, Limits, Permit, State
from domain.breaker_machine import step
from domain.work import Run, RunKey, Step
from workers.breakers import Breakers

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
OPENED = Changed(before=State.CLOSED, after=State.OPEN, why="20 of the last 20 calls failed")
FORCED = Changed(before=State.OPEN, after=State.OPEN, why="fraud", who="ann")
FULL = Breaker(
    dependency="payment",
    state=State.HALF_OPEN,
    since=AT,
    why="its time is over \x1b[31m",
    forced=True,
    forced_until=AT + timedelta(hours=1),
    failure_rate=0.75,
    troubled_since=AT - timedelta(hours=1),
    openings=3,
    probe_at=AT,
    hold_until=AT,
    permits=(Permit(id=7, holder="w1", expires_at=AT), Permit(id=8, holder="w2", expires_at=AT)),
    issued=8,
    succeeded=1,
    failed=1,
    normal_rate=12.5,
    release_rate=16.25,
    steady_until=AT,
    tokens=0.5,
    tokens_at=AT,
)
DEADLINE_S = 20.0


def run(number: int = 1) -> Run:
    return Run(RunKey(f"o-{number}", Step.AUTHORIZE), 1, number)


@contextmanager
def all_at_once(count: int) -> Iterator[Callable[[Callable[[int], int]], list[int]]]:
    """Run one function in so many threads that begin together."""
    barrier = Barrier(count)

    def begin(function: Callable[[int], int], number: int) -> int:
        barrier.wait(DEADLINE_S)
        return function(number)

    with ThreadPoolExecutor(count) as threads:
        yield lambda function: list(threads.map(lambda number: begin(function, number), range(count)))


class BoardContract:
    """What is written is read back; who was not the first writes nothing."""

    def test_nothing_was_ever_changed_at_first(self, board: Board) -> None:
        now, breakers = board.read()
        assert breakers == {}
        assert now.tzinfo is not None

    def test_all_of_a_breaker_is_kept(self, board: Board) -> None:
        assert board.change(FULL, [], process="w1")
        kept = board.read()[1]["payment"]
        assert replace(kept, version=0, why=FULL.why) == FULL
        assert kept.version == 1

    def test_every_change_makes_a_version(self, board: Board) -> None:
        board.change(FULL, [], process="w1")
        assert board.change(replace(FULL, version=1, state=State.OPEN, permits=()), [], process="w1")
        kept = board.read()[1]["payment"]
        assert (kept.version, kept.state, kept.permits) == (2, State.OPEN, ())

    @pytest.mark.parametrize("version", [0, 2])
    def test_who_knows_another_version_changes_nothing(self, board: Board, version: int) -> None:
        board.change(FULL, [], process="w1")
        assert not board.change(replace(FULL, version=version, state=State.OPEN), [OPENED], process="w2")
        assert board.read()[1]["payment"].state is State.HALF_OPEN
        assert board.transitions() == []

    def test_nobody_can_change_what_nobody_has_written(self, board: Board) -> None:
        assert not board.change(replace(FULL, version=3), [OPENED], process="w2")
        assert board.read()[1] == {}

    def test_every_transition_is_recorded_with_who_when_and_why(self, board: Board) -> None:
        before, _ = board.read()
        board.change(FULL, [OPENED, FORCED], process="w1")
        forced, opened = board.transitions("payment")
        assert (opened.before, opened.after, opened.why, opened.who) == ("closed", "open", OPENED.why, "")
        assert (forced.why, forced.who, forced.process) == ("fraud", "ann", "w1")
        assert before <= opened.at <= forced.at

    def test_the_record_can_be_asked_for_one_dependency(self, board: Board) -> None:
        board.change(FULL, [OPENED], process="w1")
        board.change(replace(FULL, dependency="mail"), [OPENED, FORCED], process="w1")
        assert [one.dependency for one in board.transitions(limit=2)] == ["mail", "mail"]
        assert [one.dependency for one in board.transitions("payment")] == ["payment"]

    def test_the_normal_rate_is_neither_that_of_a_lull_nor_that_of_a_rush(self, board: Board) -> None:
        slot = int(board.read()[0].timestamp() // 2)
        counts = [20, 200, 200, 900, 30, 200, 200, 210]
        for back, count in enumerate(counts, start=1):
            board.count({("payment", slot - back): count // 2, ("mail", slot - back): 1}, slot_s=2.0)
            board.count({("payment", slot - back): count - count // 2}, slot_s=2.0)
        assert board.normal_rate("payment", slot_s=2.0) == 100.0

    def test_a_rate_is_not_learnt_from_a_moment_nor_from_what_is_not_over(self, board: Board) -> None:
        slot = int(board.read()[0].timestamp() // 2)
        board.count({("payment", slot - 1): 500, ("payment", slot - 2): 500, ("payment", slot + 60): 500}, slot_s=2.0)
        assert board.normal_rate("payment", slot_s=2.0) == 0.0
        assert board.normal_rate("mail", slot_s=2.0) == 0.0


class FleetContract:
    """Many processes that share a board."""

    def test_at_the_half_open_moment_a_fleet_gets_no_more_than_the_permits(self, board: Board) -> None:
        fleet = [Breakers(board, process=f"w{number}", limits=LIMITS) for number in range(20)]
        self.open(board)
        for breakers in fleet:
            breakers.refresh()
        with all_at_once(20) as at_once:
            granted = at_once(lambda number: fleet[number].grant("payment", 10))
        assert sum(granted) == LIMITS.permits
        kept = board.read()[1]["payment"]
        assert (kept.state, len(kept.permits)) == (State.HALF_OPEN, LIMITS.permits)

    def test_the_threads_of_one_process_get_no_more_than_the_permits_either(self, board: Board) -> None:
        breakers = Breakers(board, process="w", limits=LIMITS)
        self.open(board)
        breakers.refresh()
        with all_at_once(20) as at_once:
            assert sum(at_once(lambda _: breakers.grant("payment", 10))) == LIMITS.permits

    def test_many_that_fail_together_open_it_once(self, board: Board) -> None:
        fleet = [Breakers(board, process=f"w{number}", limits=LIMITS) for number in range(10)]

        def fail(number: int) -> int:
            for order in range(LIMITS.minimum_calls):
                fleet[number].report("payment", run(order), ConnectionError("refused"), 0.0)
            return 0

        with all_at_once(10) as at_once:
            at_once(fail)
        assert [(one.before, one.after) for one in board.transitions()] == [(State.CLOSED, State.OPEN)]

    def test_the_permit_of_a_process_that_died_expires(self, board: Board) -> None:
        died, lives = (Breakers(board, process=name, limits=QUICK, look_s=0.0) for name in ("died", "lives"))
        self.open(board)
        died.refresh()
        assert died.grant("payment", 10) == QUICK.permits
        until = time.monotonic() + DEADLINE_S
        granted = 0
        while not granted and time.monotonic() < until:
            lives.refresh()
            granted = lives.grant("payment", 10)
        assert granted == QUICK.permits

    def test_probes_that_succeed_in_different_processes_count_together(self, board: Board) -> None:
        one, other = (Breakers(board, process=name, limits=LIMITS, look_s=0.0) for name in ("one", "other"))
        self.open(board)
        for number, breakers in enumerate((one, other)):
            breakers.refresh()
            assert breakers.grant("payment", 1) == 1
            breakers.admit("payment", run(number))
        for number, breakers in enumerate((one, other)):
            breakers.report("payment", run(number), None, 0.0)
        assert board.read()[1]["payment"].state is State.RECOVERING

    def test_tokens_are_shared_by_the_fleet(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(board, "waiting", lambda _, limit: limit)
        now, _ = board.read()
        rate, slip_s = 200.0, 0.1  # a process reckons the board's time from the last answer that it had
        state = Breaker(
            dependency="payment",
            state=State.RECOVERING,
            since=now,
            release_rate=rate,
            steady_until=now + timedelta(hours=1),
            tokens_at=now,
        )
        board.change(state, [], process="w")
        fleet = [Breakers(board, process=f"w{number}", look_s=0.0) for number in range(8)]
        for breakers in fleet:
            breakers.refresh()
        with all_at_once(8) as at_once:
            granted = sum(at_once(lambda number: sum(fleet[number].grant("payment", 5) for _ in range(20))))
        passed_s = (board.read()[0] - now).total_seconds()
        assert granted <= rate * (passed_s + slip_s) + 1

    @staticmethod
    def open(board: Board) -> None:
        """Forced open, and let go: it may be probed now."""
        now, _ = board.read()
        breaker = Breaker(dependency="payment")
        for to in (State.OPEN, None):
            breaker, _ = step(breaker, Force(to=to, until=None, who="ann", why="x"), now, QUICK)
        assert board.change(breaker, [], process="test")


LIMITS = Limits()
QUICK = Limits(permit_s=0.3)
