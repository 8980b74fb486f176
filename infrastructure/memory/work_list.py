"""The work list in memory: claims, announcements, orphans, and the holders who claim."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import count

from domain.partitions import Portion
from domain.ports import Holder
from domain.review import dead_letter
from domain.work import DeadLetter, Run, RunKey, RunRow, Step, Want
from infrastructure.memory.changes import Changes
from infrastructure.memory.letter_table import LetterTable
from infrastructure.memory.work_table import WorkTable

KEEP_HOLDERS = timedelta(hours=1)


class MemoryWorkList:
    """The part of the store that implements `domain.ports.WorkList`."""

    def __init__(self, changes: Changes, clock: Callable[[], datetime], random: Callable[[], float]) -> None:
        self._clock = clock
        self._changes = changes
        epochs, self._holder_ids = count(1), count(1)
        self._next_epoch = partial(next, epochs)
        self.letters = LetterTable(changes, clock)
        self._work = WorkTable(changes, clock, self._next_epoch, self.letters)
        self._leases: dict[int, datetime] = {}
        self._random = random

    def claim(self, order_ids: Sequence[str], steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """See `domain.ports.WorkList.claim`."""
        with self._changes.block():
            rows = [row for order_id in dict.fromkeys(order_ids) for row in self._work.rows(order_id)]
            return self._work.claim(self._work.due(rows, steps), holder)

    def claim_due(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """See `domain.ports.WorkList.claim_due`."""
        with self._changes.block():
            return self._work.claim(self._work.overdue(limit, steps), holder)

    def claim_oldest(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """See `domain.ports.WorkList.claim_oldest`."""
        with self._changes.block():
            rows = sorted(self._work.due(self._work.rows(), steps), key=lambda row: row.wake_at)
            return self._work.claim(rows[:limit], holder)

    def claim_suspect(self, steps: Sequence[Step], holder: Holder) -> Run | None:
        """See `domain.ports.WorkList.claim_suspect`."""
        with self._changes.block():
            rows = sorted(self._work.suspects(steps), key=lambda row: row.due_at)
            return next(iter(self._work.claim(rows[:1], holder)), None)

    def suspects_wait(self, steps: Sequence[Step], patience: timedelta) -> bool:
        """See `domain.ports.WorkList.suspects_wait`."""
        with self._changes.block():
            long_ago = self._clock() - patience
            return any(row.due_at <= long_ago for row in self._work.suspects(steps))

    def forgive(self, steps: Sequence[Step], since: datetime) -> int:
        """See `domain.ports.WorkList.forgive`."""
        with self._changes.block():
            rows = [row for row in self._work.rows() if row.state != "dead" and row.key.step in steps]
            return sum(self._work.forgive(row, since) for row in rows)

    def overlook(self, steps: Sequence[Step], began: datetime, ended: datetime) -> int:
        """See `domain.ports.WorkList.overlook`."""
        with self._changes.block():
            rows = [row for row in self._work.rows() if row.state != "dead" and row.key.step in steps]
            return sum(self._work.overlook(row, began, ended) for row in rows)

    def wake(self, limit: int, steps: Sequence[Step], *, portion: Portion | None = None) -> Sequence[tuple[Step, str]]:
        """See `domain.ports.WorkList.wake`."""
        with self._changes.block():
            rows = self._work.overdue(limit, steps, portion)
            for row in rows:
                self._work.announced(row)
            return [(row.key.step, row.key.order_id) for row in rows]

    def orphans(self, *, thorough: bool = False) -> int:
        """See `domain.ports.WorkList.orphans`. Here every look is thorough."""
        del thorough
        with self._changes.block():
            now = self._clock()
            alive = {holder for holder, expires_at in self._leases.items() if expires_at > now}
            lost = [row for row in self._work.rows() if row.state == "running" and row.holder not in alive]
            for row in lost:
                pause = 0.25 * min(row.crashes + 1, 8) * self._random()
                self._work.take_from_the_vanished(row, due=now + timedelta(seconds=pause))
            return len(lost)

    def register(self, name: str, lease: timedelta) -> Holder:
        """See `domain.ports.WorkList.register`."""
        with self._changes.block():
            holder = Holder(id=next(self._holder_ids), epoch=self._next_epoch())
            self._leases[holder.id] = self._clock() + lease
            return holder

    def renew(self, holder: Holder, lease: timedelta) -> bool:
        """See `domain.ports.WorkList.renew`."""
        with self._changes.block():
            now = self._clock()
            if self._leases.get(holder.id, now) <= now:
                return False
            self._leases[holder.id] = now + lease
            return True

    def release(self, holder: Holder) -> int:
        """See `domain.ports.WorkList.release`."""
        with self._changes.block():
            self._leases.pop(holder.id, None)
            return self._set_free(lambda row: row.holder == holder.id, keep_attempt=False)

    def excuse(self, former: Holder) -> int:
        """See `domain.ports.WorkList.excuse`."""
        with self._changes.block():
            return self.release(former) + self._work.excuse(former.id)

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int:
        """Give back the runs that are the holder's here and that it does not know of; returns how many."""
        known = set(held)
        with self._changes.block():
            return self._set_free(lambda row: row.holder == holder and (row.key, row.epoch) not in known)

    def forget(self, holder: Holder) -> None:
        """Let the lease end without touching the runs: they are orphans from now on."""
        with self._changes.block():
            self._leases.pop(holder.id, None)

    def forget_all(self) -> None:
        """Let every lease end."""
        with self._changes.block():
            self._leases.clear()

    def forget_holders(self) -> int:
        """Forget leases that ended long ago and hold nothing."""
        with self._changes.block():
            busy = {row.holder for row in self._work.rows()}
            long_ago = self._clock() - KEEP_HOLDERS
            gone = [holder for holder, end in self._leases.items() if end < long_ago and holder not in busy]
            for holder in gone:
                del self._leases[holder]
            return len(gone)

    def runs(self, order_id: str | None = None) -> list[RunRow]:
        """The work list, or one order's part of it."""
        with self._changes.block():
            return sorted(self._work.rows(order_id), key=lambda row: (row.key.order_id, row.due_at))

    def dead_letters(self) -> list[DeadLetter]:
        """All dead letters, oldest first."""
        with self._changes.block():
            return [dead_letter(letter) for letter in self.letters.all()]

    def want(self, wants: Iterable[Want]) -> int:
        """Insert the rows that are missing, as `work rebuild` does; returns how many were."""
        with self._changes.block():
            return sum(self._work.want(want) for want in wants)

    def _set_free(self, lost: Callable[[RunRow], bool], *, keep_attempt: bool = True) -> int:
        rows = [row for row in self._work.rows() if row.state == "running" and lost(row)]
        for row in rows:
            self._work.set_free(row, keep_attempt=keep_attempt)
        return len(rows)
