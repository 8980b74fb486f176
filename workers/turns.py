"""One order's turn: from what came in for it (runs to begin, answers to conclude) to one unit to append. No I/O.

A turn goes as far as it can: whatever the process manager wants next and needs nothing from outside is done in the same unit, and
where the outside has to be asked, the intent is recorded and the call handed back. The worker carries such runs itself, claimed by
the rows that the unit inserts. A run that needs stock is carried, too, but begun in the next batch, which locks that stock first.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from domain import process as processes
from domain import steps
from domain.errors import Poison
from domain.outside import Answer, Request
from domain.ports import Holder, Meta, Settled, Unit
from domain.process import OrderView, StepFailed
from domain.steps import Context, Turn
from domain.stock import AllocationReleased, BackorderWithdrawn
from domain.work import Run, RunKey, Step, Want
from infrastructure.failpoints import reach
from workers.retry import Again, GiveUp, Judge


@dataclass(frozen=True, slots=True)
class Call:
    """A request to be made once the unit is committed; `act` False: only ask what became of it. `act_within`: not later, None: at any time."""

    run: Run
    request: Request
    inquire: bool
    act: bool = True
    act_within: timedelta | None = None


@dataclass(slots=True)
class Inputs:
    """What came in for one order."""

    begin: list[Run] = field(default_factory=list)
    answers: list[tuple[Run, Answer | Exception]] = field(default_factory=list)

    def runs(self) -> list[Run]:
        """All runs that are concerned."""
        return [*self.begin, *(run for run, _ in self.answers)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An order's view with what the process manager wants of it."""

    view: OrderView
    wants: frozenset[Want]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The unit to append, and what to do when it is: calls to make, runs to begin next, rows to announce."""

    unit: Unit
    known: Known
    calls: tuple[Call, ...]
    deferred: tuple[Run, ...]
    finished: tuple[RunKey, ...]
    announce: tuple[tuple[Step, str], ...]


def always(step: Step) -> bool:
    """There is a place for a run of any step."""
    del step
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How this worker takes turns: which steps it carries on itself, if `room` has a place; what else it leaves to the woken.

    `carry` False leaves every next step to them.
    """

    steps: frozenset[Step]
    holder: Holder
    actor: str
    judge: Judge
    carry: bool = True
    room: Callable[[Step], bool] = always


def settled_by(fate: Again | GiveUp, run: Run) -> Settled:
    """What becomes of a run that failed."""
    if isinstance(fate, GiveUp):
        return Settled(key=run.key, epoch=run.epoch, state="dead", error=fate.reason)
    return Settled(
        key=run.key,
        epoch=run.epoch,
        state="ready",
        due_in=fate.due_in,
        keep_attempt=fate.keep_attempt,
        error=fate.reason,
        parked_on=fate.parked_on,
    )


def empty_view(order_id: str) -> OrderView:
    """A view that has seen nothing; it still expects the order's own streams not to exist."""
    streams = (processes.order_stream, processes.payment_stream, processes.process_stream)
    return OrderView(order_id=order_id, versions={stream(order_id): 0 for stream in streams})


def take_turn(known: Known, inputs: Inputs, context: Context, rules: Rules) -> Result:
    """Decide everything that can be decided now for one order."""
    reach("before_turn", known.view.order_id)
    turn = _Turn(known, context, rules)
    for run, answer in inputs.answers:
        turn.conclude(run, answer)
    for run in inputs.begin:
        turn.begin(run)
    if rules.carry:
        turn.carry_on()
    return turn.result(inputs)


class _Turn:
    def __init__(self, known: Known, context: Context, rules: Rules) -> None:
        self._before = known
        self._view = known.view
        self._wants: frozenset[Want] | None = known.wants
        self._context = context
        self._rules = rules
        self._events: list[tuple[str, Any]] = []
        self._expected = dict(known.view.versions)
        self._calls: dict[RunKey, Call] = {}
        self._later: dict[RunKey, Turn] = {}
        self._troubles: dict[RunKey, Again | GiveUp] = {}
        self._carried: dict[RunKey, Run] = {}
        self._deferred: list[Run] = []
        self._left: set[RunKey] = set()

    def conclude(self, run: Run, answer: Answer | Exception) -> None:
        if isinstance(answer, Exception):
            self._trouble(run, answer)
            return
        self._attempt(run, lambda: steps.conclude(self._view, run, answer, self._context))

    def begin(self, run: Run) -> None:
        if self._view.order.placed is None:
            self._troubles[run.key] = GiveUp(reason="there is no such order")  # and nothing to record it in
        elif run.key not in {want.key for want in self._wanted()}:
            return
        elif (fate := self._rules.judge.crashed(run)) is not None:
            self._give_up(run, fate)
        else:
            self._attempt(run, lambda: steps.begin(self._view, run, self._context))

    def carry_on(self) -> None:
        """Begin whatever became wanted by this turn, again and again until nothing new does."""
        known = {want.key for want in self._before.wants}
        while True:
            new = [want.key for want in self._wanted() if want.key not in known and want.due is None]
            mine = [key for key in sorted(new, key=str) if self._carries(key)]
            if not mine:
                return
            for key in mine:
                run = Run(key, 1, self._rules.holder.epoch)
                self._carried[key] = run
                if steps.stock_to_begin(self._view, key, self._context.warehouses):
                    self._deferred.append(run)
                else:
                    self.begin(run)

    def _carries(self, key: RunKey) -> bool:
        mine = key.step in self._rules.steps and key not in self._carried and key not in self._left
        if mine and not self._rules.room(key.step):
            self._left.add(key)
            return False
        return mine

    def result(self, inputs: Inputs) -> Result:
        wanted = {want.key: want for want in self._wanted()}
        touched = {run.key: run for run in inputs.runs()}
        self._give_up_circles(touched, wanted)
        settled = [self._settle(run, wanted) for run in touched.values()]
        waiting = self._waiting_for_freed_stock()
        before = {want.key for want in self._before.wants}
        deferred = {run.key for run in self._deferred}
        carried = {key for key in self._carried if key in wanted and (key in self._calls or key in deferred)}
        fresh = sorted(want for key, want in wanted.items() if key not in before and key not in touched)
        unit = Unit(
            lock=self._view.order_id,
            expected=self._expected,
            events=self._events,
            meta=self._meta(inputs),
            settled=settled,
            wanted=fresh,
            carried=frozenset(carried),
            dropped=sorted(key for key in before if key not in wanted and key not in touched),
            due_now=waiting,
        )
        return Result(
            unit=unit,
            known=Known(view=self._view, wants=self._wanted()),
            calls=tuple(call for key, call in self._calls.items() if key in wanted and key in {*touched, *carried}),
            deferred=tuple(run for run in self._deferred if run.key in carried),
            finished=tuple(run.key for run in settled if run.state != "running"),
            announce=(
                *((want.key.step, want.key.order_id) for want in fresh if want.key not in carried and want.due is None),
                *((Step.ALLOCATE, order_id) for order_id in waiting),
            ),
        )

    def _give_up_circles(self, touched: Mapping[RunKey, Run], wanted: Collection[RunKey]) -> None:
        """A run that did nothing and is still wanted would come again for ever."""
        fates = {*self._calls, *self._later, *self._troubles}
        for key, run in touched.items():
            if key in wanted and key not in fates:
                self._trouble(run, Poison(f"{key} made no progress"))

    def _waiting_for_freed_stock(self) -> list[str]:
        """Orders at the head of the queue of a stock that this turn set free."""
        freed = {
            stream for stream, event in self._events if isinstance(event, (AllocationReleased, BackorderWithdrawn))
        }
        waiting = dict.fromkeys(
            order_id for stream in sorted(freed) for order_id in self._context.stock[stream].fillable()
        )
        return [order_id for order_id in waiting if order_id != self._view.order_id]

    def _wanted(self) -> frozenset[Want]:
        if self._wants is None:
            self._wants = processes.react(self._view, self._context.policy)
        return self._wants

    def _attempt(self, run: Run, step: Callable[[], Turn]) -> None:
        stock = self._context.stock.entries()
        try:
            reach("in_turn", run.key.order_id)
            turn = step()
        except Exception as error:  # noqa: BLE001 - the one place where any failure of a step becomes its run's fate
            self._context.stock.go_back(stock)
            self._trouble(run, error)
            return
        self._apply(turn)
        if turn.request is not None:
            inquire = turn.inquire or run.attempts > 1 or run.crashes > 0
            self._calls[run.key] = Call(run, turn.request, inquire, turn.act, turn.act_within)
        elif turn.again_after is not None:
            self._later[run.key] = turn

    def _apply(self, turn: Turn) -> None:
        for stream, events in turn.changes:
            self._events += [(stream, event) for event in events]
            if stream.startswith("stock-"):
                if stream not in self._expected:
                    written = sum(len(some) for name, some in turn.changes if name == stream)
                    self._expected[stream] = self._context.stock.version(stream) - written
            else:
                self._expected.setdefault(stream, 0)
                self._view = processes.extend(self._view, stream, events)  # type: ignore[arg-type]
        if turn.changes:
            self._wants = None

    def _trouble(self, run: Run, error: Exception) -> None:
        if run.key in self._carried:
            return  # its row is inserted as ready, and the trouble counted when it is claimed
        fate = self._rules.judge.fate(error, run, self._context.now)
        if isinstance(fate, GiveUp):
            self._give_up(run, fate)
            return
        if fate.unknown:
            self._apply(steps.unknown(self._view, run, fate.reason, self._context.now))
        self._troubles[run.key] = fate

    def _give_up(self, run: Run, fate: GiveUp) -> None:
        if fate.unknown:
            self._apply(steps.unknown(self._view, run, fate.reason, self._context.now))
        self._apply(self._failed(run, fate))
        self._troubles[run.key] = fate

    def _failed(self, run: Run, fate: GiveUp) -> Turn:
        key = run.key
        failed = StepFailed(
            step=key.step,
            part=key.part,
            ordinal=key.ordinal,
            attempts=run.attempts,
            reason=fate.reason,
            at=self._context.now,
            unknown=fate.unknown or steps.doubtful(self._view, run),
        )
        return Turn(changes=((processes.process_stream(key.order_id), (failed,)),))

    def _settle(self, run: Run, wanted: Collection[RunKey]) -> Settled:
        key, epoch = run.key, run.epoch
        fate = self._troubles.get(key)
        if fate is not None:
            return settled_by(fate, run)
        if key not in wanted:
            return Settled(key=key, epoch=epoch, state="done")
        if key in self._calls:
            return Settled(key=key, epoch=epoch, state="running")
        if key in self._later:
            again_after = self._later[key].again_after
            assert again_after is not None  # noqa: S101 - only such turns are put there
            return Settled(key=key, epoch=epoch, state="ready", due_in=again_after, keep_attempt=False)
        raise AssertionError(f"{key} has no fate")

    def _meta(self, inputs: Inputs) -> Meta:
        runs: Sequence[Run] = inputs.runs()
        cause = runs[0]
        return Meta(
            command_id=f"{cause.key}@{cause.epoch}",
            causation_id=str(cause.key),
            correlation_id=self._view.order_id,
            actor=self._rules.actor,
        )
