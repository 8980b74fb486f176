"""Dead letters as an operator sees them, and the events that say what became of one.

A letter is one run or one message. What an operator decides about a run is an event of its order (`StepRetried`, `StepDiscarded`,
`StepRestored`); what he decides about a message, which may belong to no order at all, is one of the events below, on the stream
`letter-{id}`. The letter itself is a row: state, last words, bytes. It is changed in the transaction of the event.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from domain.ports import Transaction
from domain.work import DeadLetter, RunKey

BODY_LIMIT = 64 * 1024
STREAM = "letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRetried:
    """Sent to the queue that it had come from."""

    queue: str
    by: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageEdited:
    """A copy with another body was made; the original stays as it came and is done with."""

    copy: int
    by: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDiscarded:
    """Nobody will look at it any more, unless it is restored. Also for a run of an order that does not exist."""

    by: str
    note: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRestored:
    by: str
    note: str
    at: datetime


ReviewEvent = MessageRetried | MessageEdited | MessageDiscarded | MessageRestored


def letter_stream(letter_id: int) -> str:
    """The stream of what was decided about a message."""
    return f"{STREAM}-{letter_id}"


class LetterState(StrEnum):
    """`open` waits for a person; all others are what a person made of it, `obsolete` what the order made of it."""

    OPEN = "open"
    RETRIED = "retried"
    DISCARDED = "discarded"
    EDITED = "edited"
    CONCLUDED = "concluded"
    OBSOLETE = "obsolete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """`run` is None for a message. `body` holds at most the first 64 KiB of `size` bytes; lists leave it out."""

    id: int
    state: LetterState
    run: RunKey | None
    attempts: int
    deaths: int
    reason: str
    cause: str
    group: str
    origin: str
    message_id: str
    size: int
    sha256: str
    headers: Mapping[str, object] = field(default_factory=dict)
    body: bytes | None = None
    original_of: int | None = None
    first_tried_at: datetime | None = None
    first_died_at: datetime
    died_at: datetime
    noted_by: str | None = None
    noted_at: datetime | None = None
    noted_reason: str | None = None

    @property
    def kind(self) -> str:
        return "message" if self.run is None else "run"

    @property
    def place(self) -> str:
        """Where it died: the step, or the queue."""
        return self.origin if self.run is None else self.run.step.value

    @property
    def is_whole(self) -> bool:
        """All bytes of the message were kept."""
        return self.body is not None and len(self.body) == self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message as the keeper hands it over. `copy_id` names the copy that the broker brought: one brought twice counts once."""

    reason: str
    origin: str
    body: bytes
    size: int
    sha256: str
    message_id: str = ""
    copy_id: str = ""
    headers: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Letters of one cause. `example` is the reason of the newest."""

    group: str
    place: str
    cause: str
    example: str
    letters: int
    first_died_at: datetime
    died_at: datetime


@dataclass(frozen=True, slots=True)
class Term:
    """One condition: any of the values (all of them fail it if `negated`). `within`: the field contains the value."""

    field: str
    values: tuple[object, ...]
    negated: bool = False
    within: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    """All terms hold. Fields: id, kind, state, step, order, reason, cause, group, queue, since, until."""

    terms: tuple[Term, ...] = ()


def dead_letter(letter: Letter) -> DeadLetter:
    """The same as plain columns, for tests and auditors."""
    order_id, step, part, ordinal = letter.run or (None, None, None, None)
    return DeadLetter(
        id=letter.id,
        kind=letter.kind,
        order_id=order_id,
        step=step,
        part=part,
        ordinal=ordinal,
        attempts=letter.attempts,
        reason=letter.reason,
        origin=letter.origin,
        body=letter.body,
        first_tried_at=letter.first_tried_at,
        died_at=letter.died_at,
    )


def matches(wanted: Filter, letter: Letter) -> bool:
    """Whether all terms hold of a letter."""
    return all(_holds(term, letter) for term in wanted.terms)


def _holds(term: Term, letter: Letter) -> bool:
    if term.field in {"since", "until"}:
        return (letter.died_at >= term.values[0]) is (term.field == "since")  # type: ignore[operator] # a time
    value = _VALUE[term.field](letter)
    if term.within:
        found = any(str(one).lower() in str(value or "").lower() for one in term.values)
    else:
        found = value in term.values
    return found is not term.negated


_VALUE: Mapping[str, Callable[[Letter], object]] = {
    "id": lambda letter: letter.id,
    "kind": lambda letter: letter.kind,
    "state": lambda letter: letter.state.value,
    "step": lambda letter: letter.run.step.value if letter.run else None,
    "order": lambda letter: letter.run.order_id if letter.run else None,
    "reason": lambda letter: letter.reason,
    "cause": lambda letter: letter.cause,
    "group": lambda letter: letter.group,
    "queue": lambda letter: letter.origin,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Who decided, and why. `state` is what the letter becomes."""

    letter_id: int
    state: LetterState
    by: str
    reason: str


class Letters(Protocol):
    """The dead letters, as the keeper and an operator use them."""

    def keep(self, message: Message) -> int:
        """Store a message, or count it if it is there already; its letter's id. `Poison`: no database takes these labels."""
        ...

    def page(self, wanted: Filter, *, after: int = 0, limit: int = 100, newest: bool = False) -> Sequence[Letter]:
        """Letters without bodies in the order of their ids, from `after` on (`newest`: downwards, 0 is the end)."""
        ...

    def count(self, wanted: Filter) -> int: ...

    def groups(self, wanted: Filter, *, limit: int = 100) -> Sequence[Group]:
        """Groups, the largest first."""
        ...

    def get(self, ids: Sequence[int]) -> Sequence[Letter]:
        """These letters with bodies and headers; those that do not exist are missing."""
        ...

    def deciding(self) -> AbstractContextManager["Decision"]:
        """A transaction in which letters and events change together; nothing happened if the block raises."""
        ...


class Decision(Transaction, Protocol):
    """Within one transaction. Take consistency keys first: whoever settles runs takes them before letters, too."""

    def take(self, ids: Sequence[int]) -> Mapping[int, Letter]:
        """These letters as they are now, without bodies; nobody else changes them until the end."""
        ...

    def note(self, notes: Sequence[Note]) -> None: ...

    def copy(self, original: Letter, body: bytes, sha256: str, note: Note) -> int:
        """Add an open letter with another body, linked to the original; its id. `note` says who and why."""
        ...
