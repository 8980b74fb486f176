"""What the contracts of the store share: the type of a store, and short ways to write units.

A text stands for an event: `note` makes one that every codec knows, and `texts` gets it back. The lock of a unit is its order.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol

from domain.order import HoldPlaced, HoldReason
from domain.ports import EventStore, Holder, Meta, RecordedEvent, Settled, Transaction, Unit, Verdict, WorkList
from domain.work import DeadLetter, Run, RunKey, RunRow, Step, Want

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
HOUR = timedelta(hours=1)
_numbers = count(1)


class Store(EventStore, WorkList, Protocol):
    """Both ports in one object, as every adapter has them, and what people see of the work list."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def runs(self, order_id: str | None = None) -> Sequence[RunRow]: ...

    def dead_letters(self) -> Sequence[DeadLetter]: ...

    def want(self, wants: Iterable[Want]) -> int: ...

    def disown(self, holder: int, held: Iterable[tuple[RunKey, int]]) -> int: ...

    def forget_holders(self) -> int: ...

    def close(self) -> None: ...


class Advance(Protocol):
    """Let so much time pass for the store."""

    def __call__(self, time: timedelta, /) -> None: ...


def note(text: str) -> HoldPlaced:
    return HoldPlaced(reason=HoldReason.OTHER, note=text, by="test", at=AT)


def texts(events: Iterable[RecordedEvent]) -> list[str]:
    return [event.event.note for event in events]


def meta(command_id: str | None = None) -> Meta:
    return Meta(command_id=command_id or f"command-{next(_numbers)}")


def unit(expected: Mapping[str, int], *events: tuple[str, str], command: str | None = None, **rest: Any) -> Unit:
    """Make a unit that appends the texts and has seen `expected`; a stream that is written but not named is new."""
    looked_at = {**{stream: 0 for stream, _ in events}, **expected}
    written = [(stream, note(text)) for stream, text in events]
    rest.setdefault("lock", "o1")
    return Unit(expected=looked_at, events=written, meta=meta(command), **rest)


def work(**rest: Any) -> Unit:
    """Make a unit that changes nothing but the work list."""
    return unit({}, **rest)


def outcomes(verdicts: Iterable[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def run_key(order_id: str = "o1", step: Step = Step.LABEL, part: int = 0, ordinal: int = 1) -> RunKey:
    return RunKey(order_id, step, part, ordinal)


def want(store: Store, *keys: RunKey, due: datetime | None = None) -> None:
    """Put ready runs on the list."""
    assert outcomes(store.append([work(wanted=[Want(key, due) for key in keys])])) == ["appended"]


def claim(store: Store, key: RunKey, holder: Holder) -> Run:
    """Claim the run, which must be due."""
    [run] = [run for run in store.claim([key.order_id], [key.step], holder) if run.key == key]
    return run


def settle(store: Store, run: Run, state: str, **rest: Any) -> str:
    """Settle a claimed run; returns the outcome."""
    settled = Settled(key=run.key, epoch=run.epoch, state=state, **rest)  # type: ignore[arg-type]
    [verdict] = store.append([work(settled=[settled])])
    return verdict.outcome


def row(store: Store, key: RunKey) -> RunRow | None:
    return next((row for row in store.runs(key.order_id) if row.key == key), None)


def state(store: Store, key: RunKey) -> str | None:
    found = row(store, key)
    return found and found.state
