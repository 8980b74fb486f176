"""A fact: a recorded event as a projection sees it, with its stream taken apart once for all projections.

A named tuple and not `RecordedEvent`, because a replay makes millions of them and no projection wants the metadata.
"""

from datetime import datetime
from typing import Any, NamedTuple

from domain.errors import Poison
from domain.ports import RecordedEvent

ORDER_CATEGORIES = frozenset({"order", "payment", "fulfillment", "process"})


class Fact(NamedTuple):
    """`subject` is the order id, or for stock the warehouse and SKU; `part` is the number of the fulfillment or 0."""

    position: int
    category: str
    subject: str
    part: int
    version: int
    event: Any
    at: datetime

    @property
    def stream(self) -> str:
        identity = f"{self.subject}+{self.part}" if self.category == "fulfillment" else self.subject
        return f"{self.category}-{identity}"


class Undecodable(Poison):
    """Stands in for an event that cannot be read, until a projection that needs it comes to it."""


def fact(position: int, stream: str, version: int, event: object, at: datetime) -> Fact:
    """Take the name of the stream apart."""
    category, _, subject = stream.partition("-")
    part = 0
    if category == "fulfillment":
        subject, _, number = subject.rpartition("+")
        part = int(number) if number.isdecimal() else 0
    return Fact(position, category, subject, part, version, event, at)


def of(recorded: RecordedEvent) -> Fact:
    """A fact from what a `Reader` gives."""
    return fact(recorded.position, recorded.stream, recorded.version, recorded.event, recorded.recorded_at)
