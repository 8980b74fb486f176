"""A decision about one letter, before it is written; and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from domain.messaging import Outbound
from domain.ports import Meta, Unit
from domain.review import Letter, LetterState
from workers.turns import Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who decides, and why. Both are kept in the event."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was read before deciding: the orders of the letters, and how long the letters' own streams are.

    `unreadable` orders hold events that this version of the program does not know; the value says which.
    """

    now: datetime
    orders: Mapping[str, Known]
    versions: Mapping[str, int]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, letter: Letter) -> str:
        """Why nothing can be decided about a letter; empty if its order was read."""
        why = self.unreadable.get(letter.run.order_id) if letter.run else None
        return f"its order cannot be read: {why}" if why else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be written: the events, what the letter becomes, a message to send, work to announce.

    `refused` says why nothing is done; a state may be noted even so.
    """

    unit: Unit | None = None
    state: LetterState | None = None
    message: Outbound | None = None
    announce: Sequence[tuple[str, str]] = ()
    words: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a decision about one letter."""

    letter: int
    done: bool
    words: str


def meta(letter: Letter, verb: str, person: Person) -> Meta:
    """Where the events of a decision come from."""
    command = f"{verb}:letter-{letter.id}:{uuid4()}"
    order_id = letter.run.order_id if letter.run else ""
    return Meta(command_id=command, causation_id=command, correlation_id=order_id, actor=person.by)
