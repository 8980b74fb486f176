"""The ports to the store: events and the work list, which change in one transaction.

A `Unit` is what must happen together or not at all: events on one or more streams, the versions its decision was based on (of the
streams it only read, too), the run it belongs to with the run's epoch, and the changes of the work list that follow. `append`
takes many units in one round trip. One stale unit does not sink the others, except units that write to a stream of a refused
one: they build on events that will not be there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from domain.partitions import Portion
from domain.work import Run, RunKey, Step, Want

NO_STREAM = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """Where events come from. `causation_id` names the run or command, `correlation_id` the order they belong to."""

    command_id: str
    causation_id: str = ""
    correlation_id: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedEvent:
    """An event as stored: `version` is its place in the stream (from 1), `position` its place in the global order."""

    position: int
    stream: str
    version: int
    event: Any
    meta: Meta
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What becomes of a run that is claimed under `epoch` and not finished.

    `ready`: due again in `due_in`; with `keep_attempt` False the attempt is given back. With `parked_on` it waits for that
    dependency: it stays as due as it was and its attempt is given back. `dead`: a person decides (`error` says why).
    `running`: nothing changes, but the epoch must still be ours.
    """

    key: RunKey
    epoch: int
    state: Literal["ready", "running", "dead", "done"]
    due_in: timedelta = timedelta(0)
    keep_attempt: bool = True
    error: str = ""
    parked_on: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One atomic change of one order (or of one stock stream).

    `lock` is the consistency key: units with the same key are decided one after the other. `events` is in order of appending;
    `expected` holds the version of every stream that was looked at, those written to included, as it was before this unit.
    A unit without settled runs is deduplicated by its command id; one with them by their epochs.
    `wanted` become rows: claimed for the caller under (holder, epoch) when listed in `carried`, ready otherwise.
    `due_now`: orders whose waiting `allocate` runs became due because stock arrived. `revived`: dead runs that a person sends
    back to work: due now, their attempts and crashes forgotten.
    """

    lock: str
    expected: Mapping[str, int]
    events: Sequence[tuple[str, Any]]
    meta: Meta
    settled: Sequence[Settled] = ()
    wanted: Sequence[Want] = ()
    carried: frozenset[RunKey] = frozenset()
    dropped: Sequence[RunKey] = ()
    due_now: Sequence[str] = ()
    revived: Sequence[RunKey] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a unit.

    `appended`; `repeated`: its command was done before, nothing was appended; `conflict`: `stream` is at `current`, not at
    `expected`, or a unit it builds on was refused; `fenced`: a run of it is no longer ours, nothing may be written.
    """

    outcome: Literal["appended", "repeated", "conflict", "fenced"]
    stream: str = ""
    expected: int = 0
    current: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who claims: a number unique to a process start, and the epoch of the rows it inserts for itself."""

    id: int
    epoch: int


class Reader(Protocol):
    """Reading events."""

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """The events of these streams after the given versions, each stream in order."""
        ...

    def read_orders(self, order_ids: Sequence[str]) -> Sequence[RecordedEvent]:
        """All events of all streams of these orders (order, payment, process, fulfillments), each stream in order."""
        ...

    def read_all(
        self, *, after: int, up_to: int | None = None, limit: int = 1000, category: str | None = None
    ) -> Sequence[RecordedEvent]:
        """The next events in the global order, after a position; never past the low-water mark."""
        ...

    def low_water_mark(self) -> int:
        """A position up to which every event that will ever exist is visible now; 0 while the first appends are under way."""
        ...

    def head(self) -> int:
        """The last position that is visible now; others below it may still appear."""
        ...


class EventStore(Reader, Protocol):
    """Appending events together with the work that follows from them."""

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """Append each unit or none of it; one verdict a unit, in their order.

        Raises `StoreUnavailable` when the outcome is unknown or nothing happened; `Poison` when an event cannot be stored.
        """
        ...

    def now(self) -> datetime:
        """The time of the database, by its last answer and a monotonic clock."""
        ...


class Transaction(Protocol):
    """A transaction of a step that needs stock: lock, read, append; commits when the block ends."""

    def lock(self, keys: Sequence[str]) -> None:
        """Take the consistency keys in a fixed order; they are held until the commit."""
        ...

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]: ...

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]: ...


class WorkList(Protocol):
    """The runs that are wanted, due, running or dead."""

    def claim(self, order_ids: Sequence[str], steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """Claim the due runs of these orders; each attempt is counted before anything is tried."""
        ...

    def claim_due(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """Claim runs that have been due for a while without anybody coming for them, whatever order they belong to."""
        ...

    def claim_oldest(self, limit: int, steps: Sequence[Step], holder: Holder) -> Sequence[Run]:
        """Claim due runs of these steps, the longest waiting first, whether or not somebody is about to come for them."""
        ...

    def claim_suspect(self, steps: Sequence[Step], holder: Holder) -> Run | None:
        """Claim one suspect: a run with which two holders in a row have vanished. No other claim returns it."""
        ...

    def suspects_wait(self, steps: Sequence[Step], patience: timedelta) -> bool:
        """Whether a suspect of these steps has been due for so long."""
        ...

    def forgive(self, steps: Sequence[Step], since: datetime) -> int:
        """Give back the attempts that failed at these steps since then: it was not the runs' fault. Returns how many runs."""
        ...

    def overlook(self, steps: Sequence[Step], began: datetime, ended: datetime) -> int:
        """The time between the two is no age of the failures of these steps that were before it. Returns how many runs."""
        ...

    def wake(self, limit: int, steps: Sequence[Step], *, portion: Portion | None = None) -> Sequence[tuple[Step, str]]:
        """Due runs of these steps that nobody has claimed although they were or should have been announced; all, or a portion.

        Returns (step, order id) pairs to announce; for a while they are not returned again.
        """
        ...

    def orphans(self, *, thorough: bool = False) -> int:
        """Make the runs of vanished holders ready again; returns how many.

        Each gets its attempt back and one crash more, and is due within a short random time. It costs next to nothing while all
        holders are there; `thorough` also finds runs whose holder is not even registered, and looks at every run that is held.
        """
        ...

    def register(self, name: str, lease: timedelta) -> Holder:
        """Become a holder for the time of the lease."""
        ...

    def renew(self, holder: Holder, lease: timedelta) -> bool:
        """Stay a holder; False: the lease ran out and the runs may be another's now."""
        ...

    def excuse(self, former: Holder) -> int:
        """Say that who seemed to have vanished is alive: his runs are given back, and those taken from him lose that crash."""
        ...

    def release(self, holder: Holder) -> int:
        """Give back everything the holder has, attempts included, and stop being one; returns how many runs."""
        ...
