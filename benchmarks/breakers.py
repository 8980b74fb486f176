"""`python -m benchmarks.breakers`: how breakers of Python behave where it matters to a fleet, beside our own.

Each is asked the same things, with threads that meet at a barrier: how many calls are under way at once while it is closed, how many
of 20 callers it lets through when its time is over, how many of 20 in four processes (simulated by four instances with what they share
by default), and at which call it opens if every second one fails.
"""

import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import circuitbreaker
import purgatory
import pybreaker
from purgatory.domain.model import OpenedState

from domain.breaker import Limits
from domain.errors import BreakerOpen
from domain.work import Run, RunKey, Step
from infrastructure import logs
from infrastructure.memory.breakers import MemoryBreakers
from workers.breakers import Breakers

CALLERS = 20
PROCESSES = 4
FAILURES = 5
OPEN_S = 0.05
MEETING_S = 0.3
CALLS = 200
Function = Callable[[], None]
Caller = Callable[[Function], None]
Make = Callable[[], "tuple[Caller, ...]"]


class DownError(Exception):
    """The other side is down."""


class RejectedError(Exception):
    """The breaker let nobody through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one breaker did. `opens_at` None: never, within 200 calls."""

    name: str
    at_once: int
    let_through: int
    fleet: int
    opens_at: int | None


def of_pybreaker() -> tuple[Caller, ...]:
    def make() -> Caller:
        breaker = pybreaker.CircuitBreaker(fail_max=FAILURES, reset_timeout=OPEN_S)

        def call(function: Function) -> None:
            try:
                breaker.call(function)
            except pybreaker.CircuitBreakerError as error:
                raise RejectedError from error

        return call

    return tuple(make() for _ in range(PROCESSES))


def of_circuitbreaker() -> tuple[Caller, ...]:
    def make() -> Caller:
        breaker = circuitbreaker.CircuitBreaker(failure_threshold=FAILURES, recovery_timeout=OPEN_S)

        def call(function: Function) -> None:
            try:
                breaker.call(function)
            except circuitbreaker.CircuitBreakerError as error:
                raise RejectedError from error

        return call

    return tuple(make() for _ in range(PROCESSES))


def of_purgatory() -> tuple[Caller, ...]:
    def make() -> Caller:
        factory = purgatory.SyncCircuitBreakerFactory(default_threshold=FAILURES, default_ttl=OPEN_S)

        def call(function: Function) -> None:
            try:
                with factory.get_breaker("payment"):
                    function()
            except OpenedState as error:
                raise RejectedError from error

        return call

    return tuple(make() for _ in range(PROCESSES))


def of_orderwright() -> tuple[Caller, ...]:
    board = MemoryBreakers(lambda: datetime.now(UTC))
    limits = Limits(minimum_calls=FAILURES, open_s=OPEN_S, quiet_s=OPEN_S)
    numbers = iter(range(1_000_000))

    def make(process: int) -> Caller:
        breakers = Breakers(board, process=str(process), limits=limits, look_s=0.0)

        def call(function: Function) -> None:
            number = next(numbers)
            run = Run(RunKey(f"o-{number}", Step.CAPTURE), 1, number)
            breakers.refresh()
            if "payment" in breakers.limited() and not breakers.grant("payment", 1):
                raise RejectedError
            _guarded(breakers, run, function)

        return call

    return tuple(make(process) for process in range(PROCESSES))


def _guarded(breakers: Breakers, run: Run, function: Function) -> None:
    try:
        breakers.admit("payment", run)
    except BreakerOpen as error:
        raise RejectedError from error
    began = time.monotonic()
    try:
        function()
    except DownError as error:
        breakers.report("payment", run, error, time.monotonic() - began)
        raise
    breakers.report("payment", run, None, time.monotonic() - began)


CANDIDATES: dict[str, Make] = {
    "pybreaker": of_pybreaker,
    "circuitbreaker": of_circuitbreaker,
    "purgatory": of_purgatory,
    "Orderwright": of_orderwright,
}


def measure(name: str) -> Row:
    """All figures of one breaker."""
    make = CANDIDATES[name]
    return Row(
        name=name,
        at_once=inside_at_once(make()[:1]),
        let_through=inside_at_once(opened(make()[:1])),
        fleet=inside_at_once(opened(make())),
        opens_at=opens_at(make()[0]),
    )


def opened(callers: Sequence[Caller]) -> Sequence[Caller]:
    """The same after enough failures, when their time is over."""
    for call in callers:
        for _ in range(2 * FAILURES):
            _quietly(call, _fail)
    threading.Event().wait(2 * OPEN_S)
    return callers


def inside_at_once(callers: Sequence[Caller]) -> int:
    """How many of the threads are inside their call together; the first stay until all are in, or long enough."""
    start = threading.Barrier(CALLERS)
    everybody = threading.Event()
    peak = _Peak()

    def work() -> None:
        if peak.enter() == CALLERS:
            everybody.set()
        everybody.wait(MEETING_S)
        everybody.set()
        peak.leave()

    def begin(number: int) -> None:
        start.wait(10)
        _quietly(callers[number % len(callers)], work)

    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(begin, range(CALLERS)))
    return peak.value


def opens_at(call: Caller) -> int | None:
    """The first call that is rejected while every second one fails."""
    for number in range(1, CALLS + 1):
        try:
            call(_fail if number % 2 == 0 else _succeed)
        except RejectedError:
            return number
        except DownError:
            continue
    return None


class _Peak:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.value = 0

    def enter(self) -> int:
        with self._lock:
            self._now += 1
            self.value = max(self.value, self._now)
            return self._now

    def leave(self) -> None:
        with self._lock:
            self._now -= 1


def _succeed() -> None:
    """Answer at once."""


def _fail() -> None:
    raise DownError


def _quietly(call: Caller, function: Function) -> None:
    with suppress(DownError, RejectedError):
        call(function)


def table(rows: Sequence[Row]) -> list[str]:
    """As Markdown."""
    head = ["breaker", "calls at once, closed", "let through of 20", "of 20 in 4 processes", "50 % failures: opens at"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for row in rows:
        opens = "never" if row.opens_at is None else f"call {row.opens_at}"
        lines.append(f"| {row.name} | {row.at_once} | {row.let_through} | {row.fleet} | {opens} |")
    return lines


def main() -> None:
    """Measure and print."""
    logs.configure(pretty=False, level="error")
    sys.stdout.write("".join(f"{line}\n" for line in table([measure(name) for name in CANDIDATES])))


if __name__ == "__main__":
    main()
