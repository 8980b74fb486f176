"""Calls to the outside: side by side, apart by dependency, every one answered once."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain import outside
from domain.errors import Transient, Unavailable
from domain.outside import Answer, Request
from domain.values import Money
from domain.work import Run, RunKey, Step
from tests.workers.shop import wait_until
from workers.calls import CallThreads
from workers.turns import Call

MONEY = Money(amount=100, currency="EUR")


class SlowWorld:
    """Every call waits until its dependency's gate is open."""

    def __init__(self) -> None:
        self.mail_gate, self.other_gate = threading.Event(), threading.Event()
        self.inside: list[str] = []
        self.inquired: list[bool] = []
        self.error: Exception | None = None

    def call(self, request: Request, *, inquire_first: bool, act: bool = True, **more: Any) -> Answer:
        self.inside.append(type(request).__name__)
        self.inquired.append(inquire_first)
        gate = self.mail_gate if isinstance(request, outside.NotifyCustomer) else self.other_gate
        assert gate.wait(30)
        if self.error:
            raise self.error
        return outside.Refused(code=type(request).__name__)


class Post:
    def __init__(self) -> None:
        self.answers: list[tuple[Run, Answer | Exception]] = []

    def __call__(self, run: Run, answer: Answer | Exception) -> None:
        self.answers.append((run, answer))


def letter(number: int) -> Call:
    request = outside.NotifyCustomer(key=f"n{number}", order_id="o", customer_id="c", template="t")
    return Call(Run(RunKey("o", Step.NOTIFY, 0, number), 1, 1), request, inquire=False)


def void(number: int, *, inquire: bool = False) -> Call:
    request = outside.VoidPayment(key=f"v{number}", authorization="a")
    return Call(Run(RunKey("o", Step.VOID, 0, number), 1, 1), request, inquire)


@pytest.fixture
def world() -> SlowWorld:
    return SlowWorld()


@pytest.mark.parametrize("threads", [0, 1])
def test_a_call_is_not_begun_when_the_lease_was_lost_while_it_waited(world: SlowWorld, threads: int) -> None:
    post, lost = Post(), threading.Event()
    world.other_gate.set()
    calls = CallThreads(world, post, threads=threads, lease=lambda: None if lost.is_set() else 1)
    calls.make(void(1))
    wait_until(lambda: len(post.answers) == 1)
    lost.set()
    calls.make(void(2))
    wait_until(lambda: len(post.answers) == 2)
    calls.close()
    assert world.inside == ["VoidPayment"]
    assert isinstance(post.answers[1][1], Unavailable)


def test_a_call_of_a_lost_lease_is_not_begun_under_the_next_one(world: SlowWorld) -> None:
    post, lease = Post(), [1]
    calls = CallThreads(world, post, threads=1, lease=lambda: lease[0])
    calls.make(void(1))
    wait_until(lambda: world.inside == ["VoidPayment"])
    calls.make(void(2))  # waits in the queue while the process is frozen, and is registered anew when it wakes
    lease[0] = 2
    calls.make(void(3))
    world.other_gate.set()
    wait_until(lambda: len(post.answers) == 3)
    calls.close()
    assert world.inside == ["VoidPayment", "VoidPayment"]
    assert [isinstance(answer, Unavailable) for _, answer in post.answers] == [False, True, False]


class Inquiring:
    """Nothing is known of any request; to say so takes its time."""

    def __init__(self, takes_s: float) -> None:
        self.now, self.acts = 100.0, 0
        self.gate = threading.Event()
        self.gate.set()
        self._takes_s = takes_s

    def call(self, request: Request, *, before_acting: Callable[[], object], **more: Any) -> Answer:
        assert self.gate.wait(30)
        self.now += self._takes_s
        before_acting()
        self.acts += 1
        return outside.PaymentVoided(reference="v")


@pytest.mark.parametrize(("within_s", "takes_s", "acts"), [(3, 2.9, 1), (3, 3, 0), (3, 15, 0), (None, 99, 1)])
def test_nothing_is_done_when_the_answer_to_the_inquiry_comes_after_the_window_of_the_key(
    within_s: float | None, takes_s: float, acts: int
) -> None:
    post, world = Post(), Inquiring(takes_s)
    calls = CallThreads(world, post, threads=0, clock=lambda: world.now)
    within = None if within_s is None else timedelta(seconds=within_s)
    calls.make(replace(void(1, inquire=True), act_within=within))
    assert world.acts == acts
    assert isinstance(post.answers[0][1], Unavailable) == (acts == 0)


def test_what_waits_for_a_thread_until_the_window_of_its_key_is_over_is_not_done() -> None:
    post, world = Post(), Inquiring(5)
    world.gate.clear()
    calls = CallThreads(world, post, threads=1, clock=lambda: world.now)
    calls.make(void(1))
    calls.make(replace(void(2), act_within=timedelta(seconds=7)))  # its inquiry alone takes five
    world.gate.set()
    wait_until(lambda: len(post.answers) == 2)
    calls.close()
    assert world.acts == 1
    assert [isinstance(answer, Unavailable) for _, answer in post.answers] == [False, True]


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def calls(world: SlowWorld, post: Post) -> Iterator[CallThreads]:
    calls = CallThreads(world, post, threads=2)
    yield calls
    world.mail_gate.set()
    world.other_gate.set()
    calls.close()


def test_a_slow_dependency_keeps_no_other_waiting(world: SlowWorld, post: Post, calls: CallThreads) -> None:
    world.other_gate.set()
    for number in range(5):
        calls.make(letter(number))
    calls.make(void(9))
    wait_until(lambda: [run.key.step for run, _ in post.answers] == [Step.VOID])
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 6)


def test_no_more_calls_are_made_at_once_than_there_are_threads(
    world: SlowWorld, post: Post, calls: CallThreads
) -> None:
    for number in range(5):
        calls.make(letter(number))
    wait_until(lambda: len(world.inside) == 2)
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 5)
    assert {run.key.ordinal for run, _ in post.answers} == set(range(5))


def test_calls_that_no_thread_has_begun_can_be_taken_back(world: SlowWorld, post: Post, calls: CallThreads) -> None:
    for number in range(5):
        calls.make(letter(number))
    wait_until(lambda: len(world.inside) == 2)
    assert len(calls.cancel()) == 3
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 2)
    assert calls.cancel() == []
    assert len(world.inside) == 2


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("error", [Transient("later"), ZeroDivisionError()])
def test_every_error_is_an_answer(world: SlowWorld, post: Post, threads: int, error: Exception) -> None:
    world.other_gate.set()
    world.error = error
    calls = CallThreads(world, post, threads=threads)
    calls.make(void(1))
    wait_until(lambda: len(post.answers) == 1)
    assert post.answers[0][1] is error
    world.error = None
    calls.make(void(2, inquire=True))
    wait_until(lambda: len(post.answers) == 2)
    assert world.inquired == [False, True]
    calls.close()


def test_without_threads_the_call_is_made_on_the_spot(world: SlowWorld, post: Post) -> None:
    world.other_gate.set()
    calls = CallThreads(world, post, threads=0)
    calls.make(void(1))
    assert len(post.answers) == 1
    assert calls.cancel() == []


def test_the_threads_end_when_the_calls_are_closed(world: SlowWorld, post: Post) -> None:
    before = set(threading.enumerate())
    calls = CallThreads(world, post, threads=3)
    started = set(threading.enumerate()) - before
    assert len(started) == 12
    calls.close()
    for thread in started:
        thread.join(10)
    assert not any(thread.is_alive() for thread in started)


def test_more_threads_take_up_the_calls_that_wait(world: SlowWorld, post: Post, calls: CallThreads) -> None:
    for number in range(5):
        calls.make(letter(number))
    wait_until(lambda: len(world.inside) == 2)
    calls.resize(4)
    wait_until(lambda: len(world.inside) == 4)
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 5)


def test_who_is_too_many_leaves_after_its_call_and_no_call_is_lost(
    world: SlowWorld, post: Post, calls: CallThreads
) -> None:
    calls.resize(6)
    for number in range(6):
        calls.make(letter(number))
    wait_until(lambda: len(world.inside) == 6)
    calls.resize(1)
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 6)
    world.mail_gate.clear()
    wait_until(lambda: len(calls._lanes["mail"].present()) == 1)
    for number in range(6, 9):
        calls.make(letter(number))
    wait_until(lambda: len(world.inside) == 7)
    assert len(calls.cancel()) == 2
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 7)


def test_without_threads_what_was_handed_over_is_still_made_and_the_rest_on_the_spot(
    world: SlowWorld, post: Post, calls: CallThreads
) -> None:
    for number in range(4):
        calls.make(letter(number))
    wait_until(lambda: len(world.inside) == 2)
    calls.resize(0)
    world.mail_gate.set()
    wait_until(lambda: len(post.answers) == 4)
    calls.make(letter(9))
    assert post.answers[-1][0].key.ordinal == 9
    wait_until(lambda: not calls._lanes["mail"].present())
    calls.resize(1)
    calls.make(letter(10))
    wait_until(lambda: len(post.answers) == 6)


def test_every_thread_leaves_when_the_calls_are_closed(world: SlowWorld, post: Post) -> None:
    before = threading.active_count()
    calls = CallThreads(world, post, threads=3)
    calls.resize(2)
    world.mail_gate.set()
    for number in range(4):
        calls.make(letter(number))
    calls.close()
    wait_until(lambda: len(post.answers) == 4)
    wait_until(lambda: threading.active_count() <= before)
