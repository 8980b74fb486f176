"""What a store should hold, in the simplest words: lists of texts, a dictionary of runs, a dictionary of leases.

Time is a number of hours. The model does not foresee verdicts; it checks that the given ones can be defended, and follows them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from domain.ports import Holder, Settled, Unit, Verdict
from domain.work import Run, RunKey, Step
from tests.contracts.stores import HOUR, Store, texts

SUSPECT = 2
SOON = 0.01  # hours: longer than the store waits for announcements, shorter than any step of the clock


@dataclass(frozen=True, kw_only=True)
class Row:
    """A run as it should be; `wake` is when it may be announced at the latest, `soonest` when at the earliest."""

    state: str
    due: float
    soonest: float
    wake: float
    attempts: int = 0
    holder: int | None = None
    epoch: int | None = None
    crashes: int = 0


@dataclass(kw_only=True)
class StoreModel:
    """The state, and what each operation does to it."""

    now: float = 0.0
    streams: dict[str, list[str]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    commands: set[str] = field(default_factory=set)
    rows: dict[RunKey, Row] = field(default_factory=dict)
    leases: dict[int, float] = field(default_factory=dict)
    letters: set[RunKey] = field(default_factory=set)

    def version(self, stream: str) -> int:
        return len(self.streams.get(stream, []))

    def is_ours(self, settled: Settled) -> bool:
        row = self.rows.get(settled.key)
        return row is not None and row.state == "running" and row.epoch == settled.epoch

    def append(
        self, units: Sequence[Unit], verdicts: Sequence[Verdict], holder: Holder, dues: dict[RunKey, float]
    ) -> None:
        """Check each verdict, then do what the accepted units say; `dues` are the hours of the wanted timers."""
        assert len(verdicts) == len(units)
        before = set(self.commands)
        fences = [all(map(self.is_ours, unit.settled)) for unit in units]
        for place in range(len(units)):
            self._check(units, verdicts, place, fences[place], before)
        good = [unit for unit, verdict in zip(units, verdicts, strict=True) if verdict.outcome == "appended"]
        self._settle([settled for unit in good for settled in unit.settled])
        for key in [key for unit in good for key in unit.dropped]:
            if key in self.rows and self.rows[key].state != "running":
                del self.rows[key]
        for key in [key for unit in good for key in unit.revived]:
            if key in self.rows and self.rows[key].state == "dead":
                self.rows[key] = Row(state="ready", due=self.now, soonest=self.now, wake=self.now)
        for unit in good:
            self._want(unit, holder, dues)
        for order_id in [order_id for unit in good for order_id in unit.due_now]:
            self._hasten(order_id)

    def _check(
        self, units: Sequence[Unit], verdicts: Sequence[Verdict], place: int, ours: bool, before: set[str]
    ) -> None:
        unit, verdict = units[place], verdicts[place]
        match verdict.outcome:
            case "appended":
                assert ours
                assert unit.settled or unit.meta.command_id not in self.commands
                assert {stream: self.version(stream) for stream in unit.expected} == dict(unit.expected)
                for stream, event in unit.events:
                    self.streams.setdefault(stream, []).append(event.note)
                    self.log.append(event.note)
                if not unit.settled:
                    self.commands.add(unit.meta.command_id)
            case "fenced":
                assert not ours
            case "repeated":
                assert not unit.settled
                assert unit.meta.command_id in self.commands
            case "conflict":
                assert ours
                assert unit.settled or unit.meta.command_id not in before
                assert self._is_stale(verdict) or _leans_on_a_refused_one(units, verdicts, place)

    def _is_stale(self, verdict: Verdict) -> bool:
        return verdict.stream != "" and verdict.current != verdict.expected

    def _settle(self, settlements: Iterable[Settled]) -> None:
        for settled in settlements:
            row = self.rows[settled.key]
            if settled.state == "done":
                del self.rows[settled.key]
            elif settled.state != "running":
                due = self.now + settled.due_in / HOUR
                attempts = row.attempts - (0 if settled.keep_attempt else 1)
                self.rows[settled.key] = Row(state=settled.state, due=due, soonest=due, wake=due, attempts=attempts)
                self.letters |= {settled.key} if settled.state == "dead" else set()

    def _want(self, unit: Unit, holder: Holder, dues: dict[RunKey, float]) -> None:
        for want in unit.wanted:
            if want.key in self.rows:
                continue
            due = self.now if want.due is None else dues[want.key]
            row = Row(state="ready", due=due, soonest=due, wake=due + (SOON if want.due is None else 0))
            if want.key in unit.carried:
                row = replace(row, state="running", attempts=1, holder=holder.id, epoch=holder.epoch)
            self.rows[want.key] = row

    def _hasten(self, order_id: str) -> None:
        for key, row in self.rows.items():
            if (key.order_id, key.step, row.state) == (order_id, Step.ALLOCATE, "ready") and row.due > self.now:
                self.rows[key] = replace(row, due=self.now, soonest=self.now, wake=self.now)

    def due(self, steps: Sequence[Step]) -> set[RunKey]:
        return {k for k in self.ready(steps) if self.rows[k].crashes < SUSPECT}

    def suspects(self, steps: Sequence[Step]) -> set[RunKey]:
        return {k for k in self.ready(steps) if self.rows[k].crashes >= SUSPECT}

    def ready(self, steps: Sequence[Step]) -> set[RunKey]:
        return {k for k, row in self.rows.items() if row.state == "ready" and row.due <= self.now and k.step in steps}

    def overdue(self, steps: Sequence[Step]) -> tuple[set[RunKey], set[RunKey]]:
        """Runs that must be seen as overdue, and those that may be."""
        due = self.due(steps)
        return {k for k in due if self.rows[k].wake <= self.now}, {k for k in due if self.rows[k].soonest <= self.now}

    def claimed(self, runs: Sequence[Run], holder: Holder) -> None:
        epochs = {row.epoch for row in self.rows.values()}
        for run in runs:
            row = self.rows[run.key]
            assert (run.attempts, run.crashes) == (row.attempts + 1, row.crashes)
            assert run.epoch not in epochs
            self.rows[run.key] = replace(row, state="running", attempts=run.attempts, holder=holder.id, epoch=run.epoch)

    def announced(self, keys: Iterable[RunKey]) -> None:
        for key in keys:
            self.rows[key] = replace(self.rows[key], soonest=self.now, wake=self.now + SOON)

    def set_free(self, holders: Iterable[int], *, crashed: bool) -> int:
        lost = {k: r for k, r in self.rows.items() if r.state == "running" and r.holder in set(holders)}
        for key, row in lost.items():
            crashes, attempts = row.crashes + crashed, row.attempts - 1
            self.rows[key] = Row(
                state="ready", due=self.now, soonest=self.now, wake=self.now, attempts=attempts, crashes=crashes
            )
        return len(lost)

    def check(self, store: Store, after: int) -> None:
        """Everything that the store holds after this position is what it should hold."""
        found = {r.key: (r.state, r.attempts, r.holder, r.epoch, r.crashes) for r in store.runs()}
        assert found == {k: (r.state, r.attempts, r.holder, r.epoch, r.crashes) for k, r in self.rows.items()}
        assert texts(store.read_all(after=after)) == self.log
        for stream, expected in self.streams.items():
            events = store.read({stream: 0})
            assert texts(events) == expected
            assert [event.version for event in events] == list(range(1, len(expected) + 1))


def _leans_on_a_refused_one(units: Sequence[Unit], verdicts: Sequence[Verdict], place: int) -> bool:
    """Another unit was refused, and the two look at a common stream or are one command."""
    unit = units[place]
    return any(
        verdict.outcome != "appended"
        and other is not unit
        and (set(other.expected) & set(unit.expected) or other.meta.command_id == unit.meta.command_id)
        for other, verdict in zip(units, verdicts, strict=True)
    )
