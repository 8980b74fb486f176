"""The step worker: receive, claim, load, decide, call, append, settle, over batches.

One thread conducts: it takes what is in the mailbox (wake-ups, answers), claims the due runs of the orders it was woken for, hands
all to a `Batch`, and makes the calls that the committed units ask for. Other threads only fill the mailbox: the consumer, the call
threads, the lease. A frame is acknowledged once the claim of its orders has committed; from then on the rows remember the work.

What can go wrong, and what happens then: the store is away (inputs are kept, views forgotten, tried again), a unit conflicts (that
order is read and decided again, a limited number of times), a fence is lost (the order is another's; what we still hold of it is
given back), the lease is lost (everything in memory is dropped; the database knows), an order is broken (it is isolated and its
runs are retried or become dead letters), an answer of the store comes late or never (what is ours there and unknown here is given
back, at once and from time to time).
"""

import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from domain.errors import StoreUnavailable, Transient
from domain.ports import Meta, Unit, Verdict, WorkList
from domain.process import Policy
from domain.routing import Warehouse
from domain.work import RunKey, Step
from workers.announce import Announce
from workers.batch import Batch, Store
from workers.calls import CallThreads, World
from workers.desk import Desk
from workers.holding import Holders, Holding
from workers.mailbox import Answered, Mailbox, Nudge, WakeUp
from workers.retry import RetryPolicy
from workers.turns import Inputs, Result, Rules, settled_by

log = structlog.get_logger()

CONFLICTS = 20
Outcome = list[tuple[Result, Verdict]]


class WorkerStore(Store, WorkList, Holders, Protocol):
    """What a worker needs of the store."""

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """`batch`: orders in one append; `in_flight`: runs held at once; `threads`: calls at once to each dependency.

    `sweep`: how often we look for due work that nobody announced; `reconcile`: for work that is ours without our knowing.
    """

    name: str
    steps: frozenset[Step] = frozenset(Step)
    batch: int = 200
    in_flight: int = 1000
    threads: int = 16
    lease: timedelta = timedelta(seconds=10)
    sweep: timedelta = timedelta(seconds=2)
    reconcile: timedelta = timedelta(seconds=30)
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
        self._stop_by = float("inf")
        self._batch = Batch(store, settings.policy, settings.warehouses)
        self._calls = CallThreads(
            world, lambda run, answer: self.mailbox.put(Answered(run, answer)), threads=settings.threads
        )
        self._holding = Holding(store, settings.name, settings.lease, lambda: self.mailbox.put(Nudge()))
        self._desk = Desk()
        self._pending: deque[WakeUp] = deque()
        self._unsure = False
        self._isolating = 0
        self._swept_at = float("-inf")
        self._reconciled_at = float("-inf")

    def stop(self) -> None:
        """Ask the worker to drain; safe in any thread."""
        self._stop_by = min(self._stop_by, time.monotonic() + self._settings.grace.total_seconds())
        self._stop.set()
        self.mailbox.put(Nudge())

    def run(self) -> bool:
        """Work until stopped. True: everything was finished or given back within the grace time.

        The work is done in a thread of its own, so that a store that does not answer cannot keep us beyond the grace time.
        """
        over: Future[bool] = Future()
        threading.Thread(target=self._run_into, args=(over,), name="conductor", daemon=True).start()
        self._stop.wait()
        try:
            return over.result(timeout=max(0.0, self._stop_by - time.monotonic()))
        except TimeoutError:
            log.warning("grace time over; another worker will take over what is left", runs=len(self._desk))
            return False

    def _run_into(self, over: "Future[bool]") -> None:
        try:
            over.set_result(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again where `run` was called
            over.set_exception(error)
            self.stop()

    def _work(self) -> bool:
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
        if self._desk.waiting or (self._pending and self._room() > 0):
            return 0.0
        return min(0.5, self._settings.sweep.total_seconds())

    def _room(self) -> int:
        return self._settings.in_flight - len(self._desk)

    def _once(self, *, timeout_s: float) -> None:
        """One round. Raises `StoreUnavailable` with all inputs kept."""
        if self._holding.is_lost():
            self._start_over()
        self._disown()
        self._open_mail(timeout_s)
        self._sweep()  # before new work, so that a backlog cannot keep retries and timers waiting
        self._claim_woken()
        self._take()

    def _open_mail(self, timeout_s: float) -> None:
        for mail in self.mailbox.take(self._settings.batch, timeout_s):
            match mail:
                case Answered(run=run, answer=answer):
                    self._desk.conclude(run, answer)
                case WakeUp():
                    self._pending.append(mail)
                case Nudge():
                    pass

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
            self._desk.begin(self._store.claim(orders, list(self._settings.steps), self._holding.current))
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
        self._desk.begin(claimed)
        self.counters.swept += len(claimed)
        if len(claimed) == self._settings.batch:
            self._swept_at = float("-inf")  # there is more: do not wait

    def _take(self) -> None:
        """Decide and append what is there, a batch at most."""
        rules = self._rules()
        inputs = self._next_inputs()
        parts = self._batch.take(inputs, rules) if inputs else iter(())
        while (outcome := self._next_part(parts, inputs)) is not None:
            self.counters.batches += 1
            for result, verdict in outcome:
                self._follow(result, verdict, inputs.pop(result.unit.lock))
            self._announce_others([result for result, verdict in outcome if verdict.outcome == "appended"])

    def _next_part(self, parts: Iterator[Outcome], inputs: dict[str, Inputs]) -> Outcome | None:
        """A part of the batch that is committed; `inputs` are those of the parts that are not."""
        try:
            return next(parts, None)
        except StoreUnavailable:
            self._batch.forget(inputs)
            self._desk.put_back(inputs)
            self._unsure = True
            raise
        except Exception as error:  # noqa: BLE001 - one broken order must not stop the others
            self._batch.forget(inputs)
            self._isolate(inputs, error)
            return None

    def _next_inputs(self) -> dict[str, Inputs]:
        """Up to a batch of orders; one by one while a broken order is looked for."""
        if self._isolating > 0:
            self._isolating -= 1
            return self._desk.take(1)
        return self._desk.take(self._settings.batch)

    def _follow(self, result: Result, verdict: Verdict, inputs: Inputs) -> None:
        order_id = result.unit.lock
        match verdict.outcome:
            case "appended":
                self._done(result)
            case "fenced":
                self._give_back(order_id)
            case _:
                self._decide_again(order_id, inputs)

    def _decide_again(self, order_id: str, inputs: Inputs) -> None:
        """Somebody else was faster. Who never wins has to wait, so that a mistake cannot keep us busy for ever."""
        self.counters.conflicts += 1
        self._desk.conflicts[order_id] += 1
        if self._desk.conflicts[order_id] < CONFLICTS:
            self._desk.put_back({order_id: inputs})
            return
        log.error("order conflicts again and again", order_id=order_id)
        self._set_aside(order_id, inputs, Transient(f"{CONFLICTS} conflicts in a row"))

    def _announce_others(self, results: Iterable[Result]) -> None:
        """Wake whoever is to do what we do not do ourselves."""
        self._announce([pair for result in results for pair in result.announce])

    def _done(self, result: Result) -> None:
        """The unit is committed: follow it in memory and make its calls."""
        self.counters.events += len(result.unit.events)
        self.counters.runs += len(result.finished)
        self._log_troubles(result)
        self._desk.conflicts.pop(result.unit.lock, None)
        self._desk.finish(result.finished)
        self._desk.begin(result.deferred)
        for call in result.calls:
            self._desk.hold(call.run)
        if not any(want.key in self._desk.held for want in result.known.wants):
            self._batch.forget([result.unit.lock])
        for call in result.calls:
            self._calls.make(call)

    def _log_troubles(self, result: Result) -> None:
        meta = result.unit.meta
        ids = {"correlation_id": meta.correlation_id, "causation_id": meta.causation_id}
        for settled in result.unit.settled:
            about = {"order_id": settled.key.order_id, "run": str(settled.key), **ids}
            if settled.state == "dead":
                self.counters.dead += 1
                log.error("dead letter", reason=settled.error, **about)
            elif settled.state == "ready" and settled.error:
                log.info("run will be tried again", reason=settled.error, **about)

    def _give_back(self, order_id: str) -> None:
        """A fence was lost: whoever has the order now must find what we still hold of it."""
        self.counters.fenced += 1
        mine = self._desk.drop(order_id)
        log.warning("a run is not ours any more", order_id=order_id, runs=[str(run.key) for run in mine])
        self._unsure = True

    def _isolate(self, inputs: dict[str, Inputs], error: Exception) -> None:
        """Find the order that breaks the batch."""
        if len(inputs) > 1:
            log.warning("batch is taken order by order", reason=repr(error), orders=len(inputs))
            self._desk.put_first(inputs)
            self._isolating = len(inputs)
            return
        ((order_id, some),) = inputs.items()
        log.error("order is broken", order_id=order_id, exc_info=error)
        self._set_aside(order_id, some, error)

    def _set_aside(self, order_id: str, inputs: Inputs, error: Exception) -> None:
        """Settle the runs of an order that cannot be decided, without touching its events."""
        retry = self._settings.retry
        settled = [settled_by(retry.after(error, run.attempts, random.random), run) for run in inputs.runs()]
        meta = Meta(command_id=f"set aside:{order_id}", correlation_id=order_id, actor=self._settings.name)
        unit = Unit(lock=order_id, expected={}, events=(), meta=meta, settled=settled)
        try:
            verdict = self._store.append([unit], holder=self._holding.current)[0]
        except StoreUnavailable:
            self._desk.put_back({order_id: inputs})
            self._unsure = True
            raise
        if verdict.outcome != "appended":
            self._give_back(order_id)
            return
        self._desk.conflicts.pop(order_id, None)
        self._desk.finish(one.key for one in settled)
        self.counters.dead += sum(one.state == "dead" for one in settled)

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
        if len(self._desk):
            log.warning("lease lost, starting over", runs=len(self._desk))
        self._desk.clear()
        self._batch.known.clear()
        holder = self._holding.acquire()
        self._unsure = False
        log.info("registered", holder=holder.id, epoch=holder.epoch)

    def _disown(self) -> None:
        """Give back what is ours there and unknown here.

        That is so after an answer of the store was lost. And a statement that we gave up on may still be committed by a server that
        has not noticed, so we look from time to time as well.
        """
        now = time.monotonic()
        if not self._unsure and now - self._reconciled_at < self._settings.reconcile.total_seconds():
            return
        held = [(run.key, run.epoch) for run in self._desk.held.values()]
        given = self._store.disown(self._holding.current.id, held)
        self._unsure, self._reconciled_at = False, now
        if given:
            log.warning("runs given back after an unknown outcome", runs=given)

    def _drain(self) -> bool:
        """Conclude the calls that are being made, give the rest back; True if that was done within the grace time."""
        calling = self._stop_by - self._settings.grace.total_seconds() / 2
        self._desk.finish(call.run.key for call in self._calls.cancel())
        self._desk.drop_unbegun()
        log.info("draining", runs=len(self._desk))
        while time.monotonic() < self._stop_by:
            try:
                if len(self._desk) and not self._holding.is_lost() and time.monotonic() < calling:
                    self._open_mail(0.1)
                    self._take()
                    continue
                self._holding.leave()
                break
            except StoreUnavailable as error:
                log.warning("store unavailable while draining", reason=error.reason)
                time.sleep(0.2)
        self._calls.close()
        log.info("drained", **asdict(self.counters))
        return time.monotonic() < self._stop_by
