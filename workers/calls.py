"""Calls to the outside, made side by side by a bounded number of threads for each dependency.

A slow dependency uses up its own threads and nobody else's (a bulkhead). Answers and errors go to one mailbox as they come; before
and after each call the breaker is asked and told. A world that answers without waiting (the in-process one) is called on the spot:
threads would only cost.

Every call has a deadline of its own in the world that makes it. Should one not come back all the same, its thread is written off
after `limit_s`: the run is answered with `OutcomeUnknown`, another thread takes the place, and what the lost one brings later is
nobody's. A dependency that swallows too many threads ends the process: it cannot work like this, and a fresh one can.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Protocol

import structlog

from domain.errors import OutcomeUnknown, Unavailable
from domain.outside import Answer, Request
from domain.work import DEPENDENCY, Run
from infrastructure.failpoints import reach
from workers.breaking import AllClosed, Breakers
from workers.turns import Call

log = structlog.get_logger()

LOST_FOR_EACH = 4  # threads written off for each that is wanted
LOOK_S = 0.5


class World(Protocol):
    """The outside as one callable object."""

    def call(
        self, request: Request, *, inquire_first: bool, act: bool = True, before_acting: Callable[[], object]
    ) -> Answer: ...


class CallsNeverEnd(Exception):
    """So many calls did not come back that this process has no threads for a dependency any more."""


Deliver = Callable[[Run, "Answer | Exception"], None]


class CallThreads:
    """`threads` for each dependency, which may change; 0 calls on the spot. `fail` hears of a thread that ended by an error.

    `lease` names the lease in force, None if there is none. A call that was handed over under another one is not begun any more: its
    run may have been another's since, or a person's.
    """

    def __init__(  # noqa: PLR0913 - each can be left out
        self,
        world: World,
        deliver: Deliver,
        *,
        threads: int,
        breakers: Breakers | None = None,
        limit_s: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
        fail: Callable[[BaseException], None] = log.error,
        lease: Callable[[], int | None] = lambda: 0,
    ) -> None:
        self._world = world
        self._deliver = deliver
        self._breakers = breakers or AllClosed()
        self._limit_s = limit_s
        self._clock = clock
        self._fail = fail
        self._lease = lease
        self._width = 0
        self._looked_at = float("-inf")
        self._lanes = {name: _Lane(name) for name in sorted(set(DEPENDENCY.values()))}
        self.resize(threads)

    def resize(self, threads: int) -> None:
        """From now on so many; by the thread that also makes the calls. Who is too many leaves after the call that he is making."""
        self._width = threads
        for lane in self._lanes.values():
            lane.resize(threads)
            while lane.wants_more():
                self._start(lane)

    def make(self, call: Call) -> None:
        """Hand the call to its dependency's threads; the answer is delivered later."""
        if self._width:
            self._lanes[DEPENDENCY[call.run.key.step]].queue.put(self._hand_over(call))
        else:
            self._make(self._hand_over(call), _Caller())

    def cancel(self) -> list[Call]:
        """Take back the calls that no thread has begun."""
        taken: list[Call] = []
        for lane in self._lanes.values():
            with suppress(Empty):
                while True:
                    if (handed_over := lane.queue.get_nowait()) is not None:
                        taken.append(handed_over.call)
        return taken

    def look_after(self) -> None:
        """Write off the calls that do not come back. Raises `CallsNeverEnd`."""
        now = self._clock()
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        for lane in self._lanes.values():
            for caller in [one for one in lane.present() if now - one.since > self._limit_s]:
                self._write_off(lane, caller, now)

    def close(self) -> None:
        """End the threads when they have made the calls that they have."""
        for lane in self._lanes.values():
            lane.close()

    def _start(self, lane: "_Lane") -> None:
        caller = _Caller()
        name = f"{lane.dependency}-{lane.enter(caller)}"
        threading.Thread(target=self._work, args=(lane, caller), name=name, daemon=True).start()

    def _work(self, lane: "_Lane", caller: "_Caller") -> None:
        try:
            while not caller.is_lost and not lane.leaves(caller):
                if (handed_over := lane.queue.get()) is not None:
                    self._make(handed_over, caller)
                elif lane.is_over():
                    return
        except BaseException as error:  # noqa: BLE001 - a thread that is missing in silence would be missed for ever
            self._fail(error)

    def _hand_over(self, call: Call) -> "_HandedOver":
        return _HandedOver(call=call, lease=self._lease(), at=self._clock())

    def _make(self, handed_over: "_HandedOver", caller: "_Caller") -> None:
        call, lease = handed_over.call, handed_over.lease
        dependency = DEPENDENCY[call.run.key.step]
        caller.begin(call, self._clock())
        try:
            self._permit(dependency, call, lease)
        except Exception as refusal:  # noqa: BLE001 - classified by the retry policy like every failure
            if caller.end() is not None:
                self._deliver(call.run, refusal)
            return
        began = self._clock()
        answer = self._ask(handed_over)
        if caller.end() is not None:
            self._tell(dependency, call.run, answer, self._clock() - began)

    def _permit(self, dependency: str, call: Call, lease: int | None) -> None:
        """A process that was frozen must not do what another may have done, or a person concluded, in the meantime."""
        self._hold(lease)
        self._breakers.admit(dependency, call.run, 2 if call.inquire and call.act else 1)

    def _hold(self, lease: int | None) -> None:
        if lease is None or lease != self._lease():
            raise Unavailable("the lease was lost before anything was done")

    def _may_act(self, handed_over: "_HandedOver") -> None:
        """An inquiry can take so long that what it was told is worth nothing any more."""
        self._hold(handed_over.lease)
        within = handed_over.call.act_within
        if within is not None and self._clock() - handed_over.at >= within.total_seconds():
            raise Unavailable("the answer to the inquiry came so late that the key may be forgotten")

    def _ask(self, handed_over: "_HandedOver") -> Answer | Exception:
        call = handed_over.call
        order_id = call.run.key.order_id
        try:
            reach("before_call", order_id)
            answer: Answer | Exception = self._world.call(
                call.request, inquire_first=call.inquire, act=call.act, before_acting=lambda: self._may_act(handed_over)
            )
            reach("after_call_before_commit", order_id)
        except Exception as error:  # noqa: BLE001 - every failure of a call is classified by the retry policy
            return error
        return answer

    def _tell(self, dependency: str, run: Run, answer: Answer | Exception, elapsed_s: float) -> None:
        self._breakers.report(dependency, run, answer if isinstance(answer, Exception) else None, elapsed_s)
        self._deliver(run, answer)

    def _write_off(self, lane: "_Lane", caller: "_Caller", now: float) -> None:
        elapsed_s = now - caller.since
        call = caller.end()
        if call is None:
            return  # it came back after all
        caller.is_lost = True
        lane.lose(caller)
        log.error("a call does not come back", run=str(call.run.key), elapsed_s=round(elapsed_s, 1), lost=lane.lost)
        self._tell(lane.dependency, call.run, OutcomeUnknown(f"no answer within {elapsed_s:.0f} s"), elapsed_s)
        if lane.lost >= LOST_FOR_EACH * max(1, self._width):
            raise CallsNeverEnd(f"{lane.lost} calls to {lane.dependency} never came back")
        if lane.wants_more():
            self._start(lane)


@dataclass(frozen=True, slots=True, kw_only=True)
class _HandedOver:
    """A call, the lease that was in force when it was handed over, and when that was."""

    call: Call
    lease: int | None
    at: float


class _Lane:
    """The calls and callers of one dependency. Without callers, those that are left make the calls that were handed over."""

    def __init__(self, dependency: str) -> None:
        self.dependency = dependency
        self.queue: SimpleQueue[_HandedOver | None] = SimpleQueue()
        self.lost = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self._callers: list[_Caller] = []
        self._entered = 0
        self._width = 0

    def present(self) -> "list[_Caller]":
        with self._lock:
            return list(self._callers)

    def resize(self, width: int) -> None:
        """Who waits for a call hears of it."""
        with self._lock:
            self._width = width
            too_many = len(self._callers) - width
        for _ in range(too_many):
            self.queue.put(None)

    def wants_more(self) -> bool:
        with self._lock:
            return len(self._callers) < self._width

    def enter(self, caller: "_Caller") -> int:
        """Returns its number."""
        with self._lock:
            self._callers.append(caller)
            self._entered += 1
            return self._entered

    def leaves(self, caller: "_Caller") -> bool:
        """Whether this one is too many; the last one stays while there are calls to make."""
        with self._lock:
            left = len(self._callers) - 1
            if left < self._width or (left == 0 and not self.queue.empty()):
                return False
            self._callers.remove(caller)
            return True

    def lose(self, caller: "_Caller") -> None:
        with self._lock:
            self._callers.remove(caller)
            self.lost += 1

    def close(self) -> None:
        """Each leaves when it finds nothing to do any more."""
        self._is_closed = True
        self.queue.put(None)

    def is_over(self) -> bool:
        """Nothing is left to do, and the next one is told so too."""
        over = self._is_closed and self.queue.empty()
        if over:
            self.queue.put(None)
        return over


class _Caller:
    """One thread, and the call that it is making. Whoever ends the call, the thread or who writes it off, delivers the answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._call: Call | None = None
        self.since = float("inf")
        self.is_lost = False

    def begin(self, call: Call, now: float) -> None:
        with self._lock:
            self._call, self.since = call, now

    def end(self) -> Call | None:
        """The call, for the first who asks."""
        with self._lock:
            call, self._call, self.since = self._call, None, float("inf")
            return call
