"""The step worker: receive, claim, load, decide, call, append, settle, over batches.

One thread conducts (`workers.conductor`). Other threads only fill its mailbox: the consumer, the call threads, the lease. `run`
itself waits for the end and watches: a store that does not answer cannot keep a stopping process beyond its grace time, a thread
that ends by an error ends the process, and so does a round that never ends. Half a worker is worse than none: it would hold runs
under a lease that goes on being renewed. What such a process leaves behind is taken over, and counted as a crash.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict

import structlog

from domain.errors import OrderwrightError, StoreUnavailable
from infrastructure.chance import chance
from workers.announce import Announce
from workers.breaking import AllClosed, Breakers
from workers.calls import CallThreads, World
from workers.claims import ASK_AGAIN_S
from workers.conductor import Conductor
from workers.health import Pulse, Silent
from workers.holding import Holding
from workers.mailbox import Answered, Mailbox, Nudge
from workers.tools import Tools, WorkerStore
from workers.worker_settings import Counters, WorkerSettings

log = structlog.get_logger()

WATCH_S = 1.0


class Stuck(OrderwrightError):
    """A round of the conductor did not end in time."""


class ThreadDied(Exception):
    """A thread ended in a way that is no error for itself, and is one for all."""


class StepWorker:
    """`run` returns when it was stopped and has drained."""

    def __init__(
        self,
        store: WorkerStore,
        world: World,
        announce: Announce,
        settings: WorkerSettings,
        *,
        breakers: Breakers | None = None,
    ) -> None:
        self._breakers = breakers = breakers or AllClosed()
        self.mailbox = Mailbox()
        self.holding = Holding(store, settings.name, settings.lease, lambda: self.mailbox.put(Nudge()))
        self.calls = CallThreads(
            world,
            lambda run, answer: self.mailbox.put(Answered(run, answer)),
            threads=settings.threads,
            breakers=breakers,
            limit_s=settings.call_limit.total_seconds(),
            fail=self.fail,
            lease=self.holding.in_force,
        )
        tools = Tools(
            store=store,
            calls=self.calls,
            announce=announce,
            mailbox=self.mailbox,
            holding=self.holding,
            breakers=breakers,
            hears=lambda: self.hears(),  # noqa: PLW0108 - it may be set later
        )
        self.conductor = Conductor(tools, settings)
        self.pulse: Pulse = Silent()
        self.hears: Callable[[], bool] = lambda: True
        self._settings = settings
        self._told = settings
        self._over: Future[bool] = Future()
        self._ending = threading.Lock()
        self._stop = threading.Event()
        self._stop_by = float("inf")

    @property
    def counters(self) -> Counters:
        """What was done since the start."""
        return self.conductor.counters

    def adopt(self, settings: WorkerSettings) -> None:
        """Go by these from the next round on; safe in any thread. Name, steps, lease and times of the end stay as they were."""
        self._told = settings
        self.mailbox.put(Nudge())

    def stop(self) -> None:
        """Ask the worker to drain; safe in any thread."""
        self._stop_by = min(self._stop_by, time.monotonic() + self._settings.grace.total_seconds())
        self._stop.set()
        self.mailbox.put(Nudge())

    def run(self) -> bool:
        """Work until stopped. True: everything was finished or given back within the grace time.

        Raises what ended one of the threads, and `Stuck`.
        """
        conductor = self._start(lambda: self._end(self._work()), "conductor")
        self._start(self.holding.keep, "lease")
        try:
            while not self._stop.wait(WATCH_S):
                self._watch(conductor)
            return self._over.result(timeout=max(0.0, self._stop_by - time.monotonic()))
        except TimeoutError:
            runs = len(self.conductor.desk)
            log.warning("grace time over; another worker will take over what is left", runs=runs)
            return False
        except BaseException:
            self._stop_by = 0.0  # give nothing back: whatever ended us must be counted
            self.stop()
            conductor.join(1.0)
            raise
        finally:
            self.holding.stop()

    def _start(self, work: Callable[[], None], name: str) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised again where `run` was called
                self.fail(error)

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()
        return thread

    def _end(self, drained: bool) -> None:  # noqa: FBT001 - the result of `run`
        with self._ending:
            if not self._over.done():
                self._over.set_result(drained)

    def fail(self, error: BaseException) -> None:
        """End the worker: a thread of its own, or one that works for it, has ended."""
        log.error("a thread of the worker has ended", thread=threading.current_thread().name, exc_info=error)
        with self._ending:
            if not self._over.done():
                self._over.set_exception(error if isinstance(error, Exception) else ThreadDied(repr(error)))
        self.stop()

    def _watch(self, conductor: threading.Thread) -> None:
        silent_s = time.monotonic() - self.conductor.alive_at
        if silent_s > self._settings.stuck_after.total_seconds():
            frame = sys._current_frames().get(conductor.ident or 0)  # noqa: SLF001 - the only way to say where it is
            log.error("a round does not end", exception="".join(traceback.format_stack(frame)))
            raise Stuck(f"the worker has been stuck for {silent_s:.0f} s; the log says where")

    def _work(self) -> bool:
        failures = 0
        while not self._stop.is_set():
            try:
                self._heed()
                self.conductor.once(timeout_s=self._patience())
                self.pulse.beat(reached=self.holding.in_force() is not None)
                failures = 0
            except StoreUnavailable as error:
                failures += 1
                self.pulse.beat(reached=False)
                log.warning("store unavailable", reason=error.reason, failures=failures)
                self._stop.wait(min(5.0, 0.1 * 2 ** min(failures, 6)) * chance.uniform(0.5, 1))
        return self._drain()

    def _heed(self) -> None:
        """Between two rounds, so that none of them goes by two versions."""
        told = self._told
        if told is not self._settings:
            self._settings = told
            self.conductor.adopt(told)
            self.calls.resize(told.threads)

    def _patience(self) -> float:
        """While a dependency is limited we ask often for a few of its runs, so that they flow instead of coming in bursts."""
        if self.conductor.is_busy():
            return 0.0
        return min(ASK_AGAIN_S if self._breakers.limited() else 0.5, self._settings.sweep.total_seconds())

    def _drain(self) -> bool:
        """Conclude the calls that are being made, give the rest back; True if that was done within the grace time."""
        calling = self._stop_by - self._settings.grace.total_seconds() / 2
        self.conductor.drain()
        log.info("draining", runs=len(self.conductor.desk))
        while time.monotonic() < self._stop_by:
            self.pulse.beat(reached=False)
            try:
                if len(self.conductor.desk) and not self.holding.is_lost() and time.monotonic() < calling:
                    self.conductor.conclude(timeout_s=0.1)
                    continue
                self.holding.leave()
                break
            except StoreUnavailable as error:
                log.warning("store unavailable while draining", reason=error.reason)
                time.sleep(0.2)
        self.calls.close()
        log.info("drained", **asdict(self.counters))
        return time.monotonic() < self._stop_by
