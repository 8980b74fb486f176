"""The step worker: receive, claim, load, decide, call, append, settle, over batches.

One thread conducts: it takes what is in the mailbox (wake-ups, answers), claims the due runs of the orders it was woken for, hands
all to a `Batch`, and makes the calls that the committed units ask for. Other threads only fill the mailbox: the consumer, the call
threads, the lease. A frame is acknowledged once the claim of its orders has committed; from then on the rows remember the work.

What can go wrong, and what happens then: the store is away (inputs are kept, views forgotten, tried again), a unit conflicts (that
order is read and decided again), a fence is lost (the order is another's; what we still hold of it is given back), the lease is
lost (everything in memory is dropped; the database knows), an order is broken (it is isolated and its runs become dead letters).
"""

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from itertools import islice
from typing import Protocol

import structlog

from domain.errors import StoreUnavailable
from domain.ports import Meta, Settled, Unit, Verdict, WorkList
from domain.process import Policy
from domain.routing import Warehouse
from domain.work import Run, RunKey, Step
from workers.announce import Announce
from workers.batch import Batch, Store
from workers.calls import CallThreads, World
from workers.holding import Holders, Holding
from workers.mailbox import Answered, Mailbox, Nudge, WakeUp
from workers.retry import RetryPolicy
from workers.turns import Inputs, Result, Rules

log = structlog.get_logger()


class WorkerStore(Store, WorkList, Holders, Protocol):
    """What a worker needs of the store."""

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`batch`: orders in one append; `in_flight`: runs held at once; `threads`: calls at once to each dependency."""

    name: str
    steps: frozenset[Step] = frozenset(Step)
    batch: int = 200
    in_flight: int = 1000
    threads: int = 16
    lease: timedelta = timedelta(seconds=10)
    sweep: timedelta = timedelta(seconds=2)
    grace: timedelta = timedelta(seconds=25)
    policy: Policy = field(default_factory=Policy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    warehouses: tuple[Warehouse, ...] = ()


@dataclass(slots=True)
class Counters:
    """What the worker did since it started."""

    runs: int = 0
    events: int = 0
    batches: int = 0
    conflicts: int = 0
    fenced: int = 0
    dead: int = 0
    swept: int = 0


class StepWorker:
    """`run` returns when it was stopped and has drained."""

    def __init__(self, store: WorkerStore, world: World, announce: Announce, settings: WorkerSettings) -> None:
        self.mailbox = Mailbox()
        self.counters = Counters()
        self._store = store
        self._announce = announce
        self._settings = settings
        self._stop = threading.Event()
        self._batch = Batch(store, settings.policy, settings.warehouses)
        self._calls = CallThreads(
            world, lambda run, answer: self.mailbox.put(Answered(run, answer)), threads=settings.threads
        )
        self._holding = Holding(store, settings.name, settings.lease, lambda: self.mailbox.put(Nudge()))
        self._held: dict[RunKey, Run] = {}
        self._pending: deque[WakeUp] = deque()
        self._again: dict[str, Inputs] = {}
        self._unsure = False
        self._isolating = 0
        self._swept_at = 0.0

    def stop(self) -> None:
        """Ask the worker to drain; safe in a signal handler's thread."""
        self._stop.set()
        self.mailbox.put(Nudge())

    def run(self) -> bool:
        """Work until stopped. True: everything was finished or given back within the grace time."""
        failures = 0
        while not self._stop.is_set():
            try:
                self._once(timeout_s=self._patience())
                failures = 0
            except StoreUnavailable as error:
                failures += 1
                log.warning("store unavailable", reason=error.reason, failures=failures)
                self._stop.wait(min(5.0, 0.1 * 2 ** min(failures, 6)) * random.uniform(0.5, 1))
        return self._drain()

    def _patience(self) -> float:
        if self._again or (self._pending and self._room()):
            return 0.0
        return min(0.5, self._settings.sweep.total_seconds())

    def _room(self) -> int:
        return self._settings.in_flight - len(self._held)

    def _once(self, *, timeout_s: float, claiming: bool = True) -> None:
        """One round. Raises `StoreUnavailable` with all inputs kept."""
        if self._holding.is_lost():
            self._start_over()
        if self._unsure:
            self._disown()
        for mail in self.mailbox.take(self._settings.batch, timeout_s):
            match mail:
                case Answered(run=run) if self._is_ours(run):
                    self._inputs_of(run).answers.append((run, mail.answer))
                case WakeUp():
                    self._pending.append(mail)
                case Answered() | Nudge():
                    pass  # an answer to a call of a lease that was lost; whoever has the run now asks again
        if claiming:
            self._claim_woken()
            self._sweep()
        self._take()

    def _claim_woken(self) -> None:
        """Claim the due runs of the orders that we were woken for, then acknowledge the frames."""
        frames: list[WakeUp] = []
        room = min(self._room(), self._settings.batch)
        while self._pending and room > 0:
            frame = self._pending.popleft()
            frames.append(frame)
            room -= len(frame.orders)
        if not frames:
            return
        orders = list(dict.fromkeys(order_id for frame in frames for order_id in frame.orders))
        try:
            self._accept(self._store.claim(orders, list(self._settings.steps), self._holding.current))
        except StoreUnavailable:
            self._pending.extendleft(reversed(frames))
            self._unsure = True
            raise
        for frame in frames:
            frame.settle()

    def _sweep(self) -> None:
        """Claim what has been due for a while and nobody came for: a lost wake-up costs time only."""
        now = time.monotonic()
        room = min(self._room(), self._settings.batch)
        if room <= 0 or now - self._swept_at < self._settings.sweep.total_seconds():
            return
        self._swept_at = now
        try:
            claimed = self._store.claim_due(room, list(self._settings.steps), self._holding.current)
        except StoreUnavailable:
            self._unsure = True
            raise
        self._accept(claimed)
        self.counters.swept += len(claimed)

    def _accept(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self._held[run.key] = run
            self._inputs_of(run).begin.append(run)

    def _inputs_of(self, run: Run) -> Inputs:
        return self._again.setdefault(run.key.order_id, Inputs())

    def _is_ours(self, run: Run) -> bool:
        held = self._held.get(run.key)
        return held is not None and held.epoch == run.epoch

    def _take(self) -> None:
        """Decide and append what is there, a batch at most."""
        inputs = self._next_inputs()
        if not inputs:
            return
        try:
            outcome = self._batch.take(inputs, self._rules())
        except StoreUnavailable:
            self._batch.forget(inputs)
            self._put_back(inputs)
            self._unsure = True
            raise
        except Exception as error:  # noqa: BLE001 - one broken order must not stop the others
            self._batch.forget(inputs)
            self._isolate(inputs, error)
            return
        self.counters.batches += 1
        for result, verdict in outcome:
            self._follow(result, verdict, inputs)
        self._announce_others([result for result, verdict in outcome if verdict.outcome == "appended"])

    def _next_inputs(self) -> dict[str, Inputs]:
        """Up to a batch of orders; one by one while a broken order is looked for."""
        limit = self._settings.batch
        if self._isolating > 0:
            self._isolating -= 1
            limit = 1
        orders = list(islice(self._again, limit))
        return {order_id: self._again.pop(order_id) for order_id in orders}

    def _follow(self, result: Result, verdict: Verdict, inputs: Mapping[str, Inputs]) -> None:
        order_id = result.unit.lock
        match verdict.outcome:
            case "appended":
                self._done(result)
            case "fenced":
                self._give_back(order_id)
            case _:
                self.counters.conflicts += 1
                self._put_back({order_id: inputs[order_id]})

    def _announce_others(self, results: Iterable[Result]) -> None:
        """Wake whoever is to do what we do not do ourselves."""
        wanted = [pair for result in results for pair in result.announce]
        self._announce(wanted)

    def _put_back(self, inputs: Mapping[str, Inputs]) -> None:
        for order_id, some in inputs.items():
            waiting = self._again.setdefault(order_id, Inputs())
            waiting.begin[:0] = some.begin
            waiting.answers[:0] = some.answers

    def _done(self, result: Result) -> None:
        """The unit is committed: follow it in memory and make its calls."""
        self.counters.events += len(result.unit.events)
        self.counters.runs += len(result.finished)
        self._log_troubles(result)
        for key in result.finished:
            self._held.pop(key, None)
        for call in result.calls:
            self._held[call.run.key] = call.run
        for run in result.deferred:
            self._held[run.key] = run
            self._inputs_of(run).begin.append(run)
        if not any(want.key in self._held for want in result.known.wants):
            self._batch.forget([result.unit.lock])
        for call in result.calls:
            self._calls.make(call)

    def _log_troubles(self, result: Result) -> None:
        for settled in result.unit.settled:
            if settled.state == "dead":
                self.counters.dead += 1
                log.error("dead letter", order_id=settled.key.order_id, run=str(settled.key), reason=settled.error)
            elif settled.state == "ready" and settled.error:
                about = {"order_id": settled.key.order_id, "run": str(settled.key)}
                log.warning("run will be tried again", reason=settled.error, **about)

    def _give_back(self, order_id: str) -> None:
        """A fence was lost: whoever has the order now must find what we still hold of it."""
        self.counters.fenced += 1
        mine = [run for key, run in self._held.items() if key.order_id == order_id]
        log.warning("lease lost", order_id=order_id, runs=[str(run.key) for run in mine])
        for run in mine:
            del self._held[run.key]
        self._again.pop(order_id, None)
        self._unsure = True

    def _isolate(self, inputs: Mapping[str, Inputs], error: Exception) -> None:
        """Find the order that breaks the batch, and make dead letters of its runs without touching its events."""
        if len(inputs) > 1:
            log.warning("batch is taken order by order", reason=repr(error), orders=len(inputs))
            self._again = {**inputs, **self._again}
            self._isolating = len(inputs)
            return
        ((order_id, some),) = inputs.items()
        log.error("order is broken", order_id=order_id, exc_info=error)
        reason = f"{type(error).__name__}: {error}"
        settled = [Settled(key=run.key, epoch=run.epoch, state="dead", error=reason) for run in some.runs()]
        meta = Meta(command_id=f"bury:{order_id}", correlation_id=order_id, actor=self._settings.name)
        unit = Unit(lock=order_id, expected={}, events=(), meta=meta, settled=settled)
        self._put_back(inputs)
        self._store.append([unit], holder=self._holding.current)
        del self._again[order_id]
        self.counters.dead += len(settled)
        for run in some.runs():
            self._held.pop(run.key, None)

    def _rules(self) -> Rules:
        settings = self._settings
        return Rules(
            steps=settings.steps,
            holder=self._holding.current,
            actor=settings.name,
            retry=settings.retry,
            random=random.random,
            carry=not self._stop.is_set(),
        )

    def _start_over(self) -> None:
        """The lease is lost, or there never was one: nothing in memory is ours any more."""
        if self._held:
            log.warning("lease lost, starting over", runs=len(self._held))
        self._held.clear()
        self._again.clear()
        self._batch.known.clear()
        holder = self._holding.acquire()
        self._unsure = False
        log.info("registered", holder=holder.id, epoch=holder.epoch)

    def _disown(self) -> None:
        """After an answer of the store was lost: give back what is ours there and unknown here."""
        holder = self._holding.current
        given = self._store.disown(holder.id, [(run.key, run.epoch) for run in self._held.values()])
        self._unsure = False
        if given:
            log.info("runs given back after an unknown outcome", runs=given)

    def _drain(self) -> bool:
        """Conclude the calls that were made, give the rest back; True if that was done within the grace time."""
        deadline = time.monotonic() + self._settings.grace.total_seconds()
        calling = time.monotonic() + self._settings.grace.total_seconds() / 2
        log.info("draining", runs=len(self._held))
        while time.monotonic() < deadline:
            try:
                if self._held and not self._holding.is_lost() and time.monotonic() < calling:
                    self._once(timeout_s=0.1, claiming=False)
                    continue
                if not self._holding.is_lost():
                    self._store.release(self._holding.current)
                break
            except StoreUnavailable as error:
                log.warning("store unavailable while draining", reason=error.reason)
                time.sleep(0.2)
        else:
            log.warning("grace time over; another worker will take over what is left", runs=len(self._held))
        self._holding.stop()
        self._calls.close()
        log.info("drained", **asdict(self.counters))
        return time.monotonic() < deadline
