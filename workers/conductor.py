"""The worker without its threads: one round takes in mail, claims, decides, appends, and hands out the calls.

`once` is one round and never waits longer than it is told to; clock, chance and calls are tools that come from outside, so the
same code runs under a simulated clock in one thread. What goes wrong with the store is raised as `StoreUnavailable`, with all inputs kept.

What can go wrong, and what happens then: the store is away (inputs are kept, views forgotten, tried again), a unit conflicts (that
order is read and decided again, a limited number of times), a fence is lost (the order is another's; what we still hold of it is
given back), the lease is lost (everything in memory is dropped; the database knows), an order is broken (it is isolated and its
runs are retried or become dead letters), an answer of the store comes late or never (what is ours there and unknown here is given
back, at once and from time to time).
"""

from collections.abc import Iterable, Iterator

import structlog

from domain.errors import StoreUnavailable, Transient
from domain.ports import Verdict
from domain.work import DEPENDENCY
from infrastructure.failpoints import reach
from workers.aside import aside, kills_who_looks
from workers.batch import Batch
from workers.claims import Claims
from workers.desk import Desk
from workers.mailbox import Answered, Nudge, WakeUp
from workers.retry import Judge
from workers.retry_budget import RetryBudget
from workers.tools import Tools
from workers.turns import Inputs, Result, Rules
from workers.worker_settings import Counters, WorkerSettings

log = structlog.get_logger()

CONFLICTS = 20
Outcome = list[tuple[Result, Verdict]]


class Conductor:
    """Used by one thread; only the mailbox is filled by others."""

    def __init__(self, tools: Tools, settings: WorkerSettings) -> None:
        self.settings = settings
        self.counters = Counters()
        self.desk = Desk()
        self.batch = Batch(tools.store, settings.policy, settings.warehouses)
        self._tools = tools
        self._holding = tools.holding
        self._claims = Claims(tools, settings, self.desk, self.counters)
        self._budget = RetryBudget(tools.clock, share=settings.retry_share, floor=settings.retry_floor)
        self.alive_at = tools.clock()
        self._isolating = 0
        self._draining = False
        self._reconciled_at = float("-inf")

    def once(self, *, timeout_s: float = 0.0) -> None:
        """One round; waits at most so long for mail. Raises `StoreUnavailable` with all inputs kept."""
        self._live()
        if self._holding.is_lost():
            self._start_over()
        self._disown()
        self._tools.breakers.refresh()
        self._open_mail(timeout_s)
        self._tools.calls.look_after()
        self._live()
        self._claims.look()
        self._take()

    def adopt(self, settings: WorkerSettings) -> None:
        """From now on. What is begun already goes on as it was."""
        self.settings = settings
        self._claims.adopt(settings)
        self._budget.change(share=settings.retry_share)

    def _live(self) -> None:
        """Note the time: a round that does not get on is stuck, and whoever watches must end the process."""
        self.alive_at = self._tools.clock()

    def is_busy(self) -> bool:
        """There is something to do without any mail."""
        return bool(self.desk.waiting) or self._claims.is_hungry()

    def drain(self) -> None:
        """Claim and begin nothing more; from now on `conclude` instead of `once`."""
        self._draining = True
        self.desk.finish(call.run.key for call in self._tools.calls.cancel())
        self.desk.drop_unbegun()

    def conclude(self, *, timeout_s: float) -> None:
        """A round of draining: only answers are taken in. Raises `StoreUnavailable` with all inputs kept."""
        self._live()
        self._open_mail(timeout_s)
        self._tools.calls.look_after()
        self._take()

    def _open_mail(self, timeout_s: float) -> None:
        for mail in self._tools.mailbox.take(self.settings.batch, timeout_s):
            match mail:
                case Answered(run=run, answer=answer):
                    self.desk.conclude(run, answer)
                case WakeUp():
                    self._claims.woken(mail)
                case Nudge():
                    pass

    def _take(self) -> None:
        """Decide and append what is there, a batch at most."""
        inputs = self._without_killers(self._next_inputs())
        rules = self._rules(inputs)
        parts = self.batch.take(inputs, rules) if inputs else iter(())
        while (outcome := self._next_part(parts, inputs)) is not None:
            self._live()
            self.counters.batches += 1
            reach("after_append_before_calls")
            for result, verdict in outcome:
                self._follow(result, verdict, inputs.pop(result.unit.lock))
            self._announce_others([result for result, verdict in outcome if verdict.outcome == "appended"])

    def _next_part(self, parts: Iterator[Outcome], inputs: dict[str, Inputs]) -> Outcome | None:
        """A part of the batch that is committed; `inputs` are those of the parts that are not."""
        try:
            return next(parts, None)
        except StoreUnavailable:
            self.batch.forget_all()
            self.desk.put_back(inputs)
            self.desk.unsure = True
            raise
        except Exception as error:  # noqa: BLE001 - one broken order must not stop the others
            self.batch.forget(inputs)
            self._isolate(inputs, error)
            return None

    def _next_inputs(self) -> dict[str, Inputs]:
        """Up to a batch of orders; one by one while a broken order is looked for."""
        if self._isolating > 0:
            self._isolating -= 1
            return self.desk.take(1)
        return self.desk.take(self.settings.batch)

    def _without_killers(self, inputs: dict[str, Inputs]) -> dict[str, Inputs]:
        """An order that ends even whoever wants to give it up is set aside unseen."""
        for order_id in [order_id for order_id, some in inputs.items() if kills_who_looks(some)]:
            log.error("order ends its workers", order_id=order_id)
            some = inputs.pop(order_id)
            try:
                self._set_aside(order_id, some, Transient("another run of this order ends its workers"))
            except StoreUnavailable:
                self.desk.put_back(inputs)
                raise
        return inputs

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
        self.desk.conflicts[order_id] += 1
        if self.desk.conflicts[order_id] < CONFLICTS:
            self.desk.put_back({order_id: inputs})
            return
        log.error("order conflicts again and again", order_id=order_id)
        self._set_aside(order_id, inputs, Transient(f"{CONFLICTS} conflicts in a row"))

    def _announce_others(self, results: Iterable[Result]) -> None:
        """Wake whoever is to do what we do not do ourselves."""
        reach("before_announce")
        limited = self._tools.breakers.limited()
        pairs = [pair for result in results for pair in result.announce]
        paused = self.settings.paused
        self._tools.announce(
            [pair for pair in pairs if pair[0] not in paused and DEPENDENCY.get(pair[0]) not in limited]
        )

    def _done(self, result: Result) -> None:
        """The unit is committed: follow it in memory and make its calls."""
        self.counters.events += len(result.unit.events)
        self.counters.runs += len(result.finished)
        self._log_troubles(result)
        self.desk.conflicts.pop(result.unit.lock, None)
        self.desk.finish(result.finished)
        self.desk.begin(result.deferred)
        for call in result.calls:
            self.desk.hold(call.run)
        if not any(want.key in self.desk.held for want in result.known.wants):
            self.batch.forget([result.unit.lock])
        for call in result.calls:
            self._budget.called(DEPENDENCY[call.run.key.step])
            self._tools.calls.make(call)

    def _log_troubles(self, result: Result) -> None:
        meta = result.unit.meta
        ids = {"correlation_id": meta.correlation_id, "causation_id": meta.causation_id}
        for settled in result.unit.settled:
            about = {"order_id": settled.key.order_id, "run": str(settled.key), **ids}
            if settled.state == "dead":
                self.counters.dead += 1
                log.error("dead letter", reason=settled.error, **about)
            elif settled.parked_on:
                log.debug("run is parked", dependency=settled.parked_on, **about)
            elif settled.state == "ready" and settled.error:
                log.info("run will be tried again", reason=settled.error, **about)

    def _give_back(self, order_id: str) -> None:
        """A fence was lost: whoever has the order now must find what we still hold of it."""
        self.counters.fenced += 1
        mine = self.desk.drop(order_id)
        log.warning("a run is not ours any more", order_id=order_id, runs=[str(run.key) for run in mine])
        self.desk.unsure = True

    def _isolate(self, inputs: dict[str, Inputs], error: Exception) -> None:
        """Find the order that breaks the batch."""
        if len(inputs) > 1:
            log.warning("batch is taken order by order", reason=repr(error), orders=len(inputs))
            self.desk.put_first(inputs)
            self._isolating = len(inputs)
            return
        ((order_id, some),) = inputs.items()
        log.error("order is broken", order_id=order_id, exc_info=error)
        self._set_aside(order_id, some, error)

    def _set_aside(self, order_id: str, inputs: Inputs, error: Exception) -> None:
        """Settle the runs of an order that cannot be decided, without looking at it."""
        judge, store, now = self._judge(), self._tools.store, self._tools.store.now()
        fates = [(run, judge.crashed(run) or judge.fate(error, run, now)) for run in inputs.runs()]
        try:
            unit = aside(store, order_id, fates, now=now, actor=self.settings.name)
            verdict = store.append([unit], holder=self._holding.current)[0]
        except StoreUnavailable:
            self.desk.put_back({order_id: inputs})
            self.desk.unsure = True
            raise
        if verdict.outcome != "appended":
            self._give_back(order_id)
            return
        self.desk.conflicts.pop(order_id, None)
        self.desk.finish(one.key for one in unit.settled)
        self.counters.dead += sum(one.state == "dead" for one in unit.settled)

    def _rules(self, inputs: dict[str, Inputs]) -> Rules:
        return Rules(
            steps=self._claims.steps_to_carry(),
            holder=self._holding.current,
            actor=self.settings.name,
            judge=self._judge(),
            carry=not self._draining and self._claims.may_carry(),
            room=self._claims.room_beside(inputs),
        )

    def _judge(self) -> Judge:
        return Judge(
            retries=self.settings.retry,
            random=self._tools.random,
            limited=self._tools.breakers.troubled(),
            may_retry=self._budget.may_retry,
        )

    def _start_over(self) -> None:
        """The lease is lost, or there never was one: nothing in memory is ours any more."""
        if len(self.desk):
            log.warning("lease lost, starting over", runs=len(self.desk))
        self.desk.clear()
        self.batch.forget_all()
        holder = self._holding.acquire()
        log.info("registered", holder=holder.id, epoch=holder.epoch)

    def _disown(self) -> None:
        """Give back what is ours there and unknown here.

        That is so after an answer of the store was lost. And a statement that we gave up on may still be committed by a server that
        has not noticed, so we look from time to time as well.
        """
        now = self._tools.clock()
        if not self.desk.unsure and now - self._reconciled_at < self.settings.reconcile.total_seconds():
            return
        held = [(run.key, run.epoch) for run in self.desk.held.values()]
        reach("before_disown")
        given = self._tools.store.disown(self._holding.current.id, held)
        self.desk.unsure, self._reconciled_at = False, now
        if given:
            log.warning("runs given back after an unknown outcome", runs=given)
