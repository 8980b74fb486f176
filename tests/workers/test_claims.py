"""What a worker takes on while a dependency is limited."""

from collections import Counter
from datetime import timedelta

import pytest

from domain.work import RunKey, Step, Want
from infrastructure.memory import MemoryStore
from tests.infrastructure.memory.clock import Clock
from workers.breaking import AllClosed
from workers.claims import ASK_AGAIN_S, Claims
from workers.desk import Desk
from workers.holding import Holding
from workers.mailbox import Mailbox, WakeUp
from workers.tools import Tools
from workers.turns import Call
from workers.worker_settings import Counters, WorkerSettings


class PaymentLimited(AllClosed):
    """Payment is recovering; so many grants are given each time."""

    def __init__(self) -> None:
        self.each = 4
        self.returned = 0

    def limited(self) -> frozenset[str]:
        return frozenset({"payment"})

    def grant(self, dependency: str, wanted: int, /) -> int:
        return min(self.each, wanted)

    def give_back(self, dependency: str, count: int, /) -> None:
        self.returned += count


class NoCalls:
    """Nobody calls."""

    def make(self, call: Call) -> None: ...

    def cancel(self) -> list[Call]:
        return []

    def look_after(self) -> None: ...


class Worker:
    """Claims on a store of its own, one look a tenth of a second."""

    def __init__(self, *, in_flight: int = 1000) -> None:
        self.seconds = 0.0
        self.store = MemoryStore(Clock())
        self.desk = Desk()
        self.breakers = PaymentLimited()
        holding = Holding(self.store, "w", timedelta(seconds=30), lambda: None)
        holding.acquire()
        tools = Tools(
            store=self.store,
            calls=NoCalls(),
            announce=lambda _: None,
            mailbox=Mailbox(),
            holding=holding,
            breakers=self.breakers,
            clock=lambda: self.seconds,
        )
        self.claims = Claims(tools, WorkerSettings(name="w", in_flight=in_flight), self.desk, Counters())

    def want(self, step: Step, count: int) -> None:
        self.store.want([Want(RunKey(f"{step}-{number:03}", step)) for number in range(count)])

    def look(self, times: int) -> Counter[str]:
        for _ in range(times):
            self.seconds += ASK_AGAIN_S
            self.claims.look()
        return Counter(key.step.value for key in self.desk.held)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_the_steps_of_a_limited_dependency_take_turns(worker: Worker) -> None:
    worker.want(Step.AUTHORIZE, 100)
    worker.want(Step.CAPTURE, 100)
    assert worker.look(10) == {"authorize": 20, "capture": 20}


def test_a_step_without_runs_leaves_its_turn_to_the_others(worker: Worker) -> None:
    worker.want(Step.AUTHORIZE, 100)
    worker.want(Step.VOID, 2)
    assert worker.look(5) == {"authorize": 18, "void": 2}
    assert worker.breakers.returned == 0


def test_grants_without_runs_are_given_back(worker: Worker) -> None:
    worker.want(Step.CAPTURE, 1)
    assert worker.look(1) == {"capture": 1}
    assert worker.breakers.returned == 3


def test_no_more_is_claimed_of_a_limited_dependency_than_was_granted(worker: Worker) -> None:
    worker.breakers.each = 0
    worker.want(Step.AUTHORIZE, 100)
    worker.want(Step.LABEL, 1)
    worker.look(3)
    assert set(worker.look(30)) <= {"label"}


def test_a_frame_that_finds_no_room_for_long_is_let_go_and_its_runs_stay() -> None:
    small, settled = Worker(in_flight=2), list[str]()
    small.want(Step.LABEL, 10)
    while small.claims._room().free > 0:
        small.look(1)
    held = len(small.desk)
    small.want(Step.RISK, 1)
    small.claims.woken(WakeUp(["risk-000"], lambda: settled.append("acknowledged")))
    small.look(90)
    assert settled == []
    small.look(20)
    assert (settled, len(small.desk)) == (["acknowledged"], held)
    assert [run.state for run in small.store.runs("risk-000")] == ["ready"]
