"""The work list in memory: rows by order, and what settling, wanting and claiming do to them.

Rows are immutable; a change replaces a row, and every replacement notes how to undo it. `wake_at` is when somebody should announce a
run: five seconds after it became due where the appender announces it himself, at its due time for a timer or a retry, and ten
seconds after each announcement.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import TypeVar

from domain.partitions import Portion, partition_of
from domain.ports import Holder, Settled, Unit
from domain.work import Run, RunKey, RunRow, Step, Want
from infrastructure.memory.changes import Changes
from infrastructure.memory.letter_table import LetterTable

T = TypeVar("T")

SUSPECT = 2
APPENDER_ANNOUNCES = timedelta(seconds=5)
ANNOUNCE_AGAIN = timedelta(seconds=10)


class WorkTable:
    """The rows. The caller holds the lock of the store."""

    def __init__(
        self, changes: Changes, clock: Callable[[], datetime], next_epoch: Callable[[], int], letters: LetterTable
    ) -> None:
        self._changes = changes
        self._letters = letters
        self._clock = clock
        self._next_epoch = next_epoch
        self._orders: dict[str, dict[RunKey, RunRow]] = {}
        self._first_tried: dict[RunKey, datetime] = {}
        self._failed: dict[RunKey, tuple[datetime, ...]] = {}
        self._lost_by: dict[RunKey, int] = {}

    def rows(self, order_id: str | None = None) -> Iterator[RunRow]:
        orders = self._orders.values() if order_id is None else [self._orders.get(order_id, {})]
        return (row for order in list(orders) for row in list(order.values()))

    def is_ours(self, settled: Settled) -> bool:
        """Whether the run is still claimed under the epoch of who settles it."""
        row = self._row(settled.key)
        return row is not None and row.state == "running" and row.epoch == settled.epoch

    def change(self, units: Sequence[Unit], holder: Holder | None) -> None:
        """What the accepted units do, in this order: settle, drop, revive, want, hasten."""
        for settled in chain.from_iterable(unit.settled for unit in units):
            self._settle(settled)
        for key in chain.from_iterable(unit.dropped for unit in units):
            self._drop(key)
        for key in chain.from_iterable(unit.revived for unit in units):
            self._revive(key)
        for unit in units:
            for want in unit.wanted:
                self.want(want, carrier=holder if want.key in unit.carried else None, grace=APPENDER_ANNOUNCES)
        for order_id in chain.from_iterable(unit.due_now for unit in units):
            self._hasten(order_id)

    def due(self, rows: Iterable[RunRow], steps: Sequence[Step]) -> list[RunRow]:
        """The rows of these steps that are ready and due, but no suspects."""
        return [row for row in self._ready(rows, steps) if row.crashes < SUSPECT]

    def suspects(self, steps: Sequence[Step]) -> list[RunRow]:
        """The suspects of these steps that are ready and due."""
        return [row for row in self._ready(self.rows(), steps) if row.crashes >= SUSPECT]

    def overdue(self, limit: int, steps: Sequence[Step], portion: Portion | None = None) -> list[RunRow]:
        """The due rows that somebody should have announced or claimed by now, the longest waiting first."""
        now = self._clock()
        waiting = [row for row in self.due(self.rows(), steps) if row.wake_at <= now and _is_in(row, portion, now)]
        return sorted(waiting, key=lambda row: row.wake_at)[:limit]

    def claim(self, rows: Iterable[RunRow], holder: Holder) -> list[Run]:
        runs = []
        for row in rows:
            failing_since = next(iter(self._failed.get(row.key, ())), None)
            run = Run(row.key, row.attempts + 1, self._next_epoch(), row.crashes, failing_since)
            self._note_try(row.key)
            self._remember_loss(row.key, None)
            claimed = row._replace(state="running", attempts=run.attempts, holder=holder.id, epoch=run.epoch)
            self._put(claimed._replace(parked_on=None))
            runs.append(run)
        return runs

    def want(self, want: Want, *, carrier: Holder | None = None, grace: timedelta = timedelta(0)) -> bool:
        """Insert the run if it is missing; claimed at once for who carries it on. Tells whether it was missing."""
        if self._row(want.key) is not None:
            return False
        now = self._clock()
        row = RunRow(want.key, "ready", 0, want.due or now, want.due or now + grace, None, None, None)
        if carrier is not None:
            self._note_try(want.key)
            row = row._replace(state="running", attempts=1, holder=carrier.id, epoch=carrier.epoch)
        self._put(row)
        return True

    def announced(self, row: RunRow) -> None:
        self._put(row._replace(wake_at=self._clock() + ANNOUNCE_AGAIN))

    def set_free(self, row: RunRow, *, keep_attempt: bool) -> None:
        """Make a running row ready again, due now."""
        self._put(_free(row, keep_attempt=keep_attempt, due=self._clock()))

    def take_from_the_vanished(self, row: RunRow, *, due: datetime) -> None:
        """Make a row ready whose holder is gone: it gets its attempt back and one crash more."""
        if row.holder is not None:
            self._remember_loss(row.key, row.holder)
        self._put(_free(row, keep_attempt=False, due=due)._replace(crashes=row.crashes + 1))

    def excuse(self, holder: int) -> int:
        """Take back a crash from the rows that were taken from this holder and that nobody has claimed since."""
        lost = [row for row in self.rows() if row.state == "ready" and self._lost_by.get(row.key) == holder]
        for row in lost:
            self._remember_loss(row.key, None)
            self._put(row._replace(crashes=max(row.crashes - 1, 0)))
        return len(lost)

    def forgive(self, row: RunRow, since: datetime) -> bool:
        """Give back the attempts that failed since then; tells whether there were any."""
        failed = self._failed.get(row.key, ())
        kept = tuple(at for at in failed if at < since)
        if kept == failed:
            return False
        self._set_failed(row.key, kept)
        self._put(row._replace(attempts=max(row.attempts - len(failed) + len(kept), 0)))
        return True

    def overlook(self, row: RunRow, began: datetime, ended: datetime) -> bool:
        """Take this time out of the age of the failures before it; tells whether there were any."""
        failed = self._failed.get(row.key, ())
        if not failed or failed[0] >= began:
            return False
        self._set_failed(row.key, tuple(sorted(at + (ended - began) if at < began else at for at in failed)))
        return True

    def _ready(self, rows: Iterable[RunRow], steps: Sequence[Step]) -> list[RunRow]:
        now = self._clock()
        return [row for row in rows if row.state == "ready" and row.due_at <= now and row.key.step in steps]

    def _settle(self, settled: Settled) -> None:
        row = self._row(settled.key)
        if row is None or settled.state == "running":
            return
        if settled.state == "done":
            self._remove(row.key)
            return
        parked = bool(settled.parked_on)
        keep = settled.keep_attempt and not parked
        row = _free(row, keep_attempt=keep, due=row.due_at if parked else self._clock() + settled.due_in)
        crashes = row.crashes if parked else 0
        error = settled.error or row.last_error
        row = row._replace(state=settled.state, last_error=error, crashes=crashes, parked_on=settled.parked_on or None)
        self._put(row)
        if keep:
            self._set_failed(row.key, (*self._failed.get(row.key, ()), self._clock()))
        if settled.state == "dead":
            self._letters.run_died(row, settled.error, self._first_tried.get(row.key))

    def _revive(self, key: RunKey) -> None:
        row = self._row(key)
        if row is not None and row.state == "dead":
            now = self._clock()
            row = row._replace(state="ready", attempts=0, crashes=0, parked_on=None, due_at=now, wake_at=now)
            self._put(row)
            self._set_failed(key, ())

    def _drop(self, key: RunKey) -> None:
        row = self._row(key)
        if row is not None and row.state != "running":
            self._remove(key)
            self._letters.run_is_not_wanted(key)

    def _hasten(self, order_id: str) -> None:
        now = self._clock()
        for row in self.rows(order_id):
            if row.key.step is Step.ALLOCATE and row.state == "ready" and row.due_at > now:
                self._put(row._replace(due_at=now, wake_at=now))

    def _note_try(self, key: RunKey) -> None:
        if key not in self._first_tried:
            self._changes.note(lambda: self._first_tried.pop(key, None))
            self._first_tried[key] = self._clock()

    def _set_failed(self, key: RunKey, times: tuple[datetime, ...]) -> None:
        self._change(self._failed, key, times or None)

    def _remember_loss(self, key: RunKey, holder: int | None) -> None:
        self._change(self._lost_by, key, holder)

    def _change(self, table: dict[RunKey, T], key: RunKey, value: T | None) -> None:
        """Set what a table says of a run, None: nothing."""
        before = table.pop(key, None)
        if value is not None:
            table[key] = value
        self._changes.note(lambda: table.pop(key, None) if before is None else table.update({key: before}))

    def _row(self, key: RunKey) -> RunRow | None:
        return self._orders.get(key.order_id, {}).get(key)

    def _put(self, row: RunRow) -> None:
        order = self._orders.setdefault(row.key.order_id, {})
        before = order.get(row.key)
        if before is None:
            self._changes.note(lambda: order.pop(row.key))
        else:
            self._changes.note(lambda: order.update({before.key: before}))
        order[row.key] = row

    def _remove(self, key: RunKey) -> None:
        order = self._orders[key.order_id]
        before, tried = order.pop(key), self._first_tried.pop(key, None)
        self._changes.note(lambda: order.update({key: before}))
        self._set_failed(key, ())
        self._remember_loss(key, None)
        if tried is not None:
            self._changes.note(lambda: self._first_tried.update({key: tried}))


def _is_in(row: RunRow, portion: Portion | None, now: datetime) -> bool:
    if portion is None or row.wake_at <= now - portion.patience:
        return True
    return partition_of(row.key.order_id, portion.partitions) in portion.mine


def _free(row: RunRow, *, keep_attempt: bool, due: datetime) -> RunRow:
    attempts = row.attempts if keep_attempt else row.attempts - 1
    return row._replace(state="ready", attempts=attempts, due_at=due, wake_at=due, holder=None, epoch=None)
