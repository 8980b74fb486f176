"""Apply facts to a read model up to the first that it cannot take.

Which fact of a batch is at fault a failed batch does not say: it is rolled back to its savepoint and tried in halves, until one
fact alone fails. What comes before it stays applied.

    undecodable, refused by the fold or by the table   stops this projection, with position and reason
    connection lost, time-out, deadlock                nobody's fault: raised, the transaction is tried again later
"""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg

from domain.errors import OrderwrightError
from infrastructure.postgres.database import Connection
from infrastructure.postgres.projections.models import ReadModel
from infrastructure.projections.facts import Fact, Undecodable

_NOBODYS_FAULT = (psycopg.OperationalError, psycopg.InterfaceError, MemoryError)
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The fact at which a projection stopped, and why."""

    position: int
    stream: str
    reason: str


def apply(connection: Connection, model: ReadModel, facts: Sequence[Fact]) -> Stop | None:
    """Apply the facts that the model reads, inside the caller's transaction."""
    own = [fact for fact in facts if fact.category in model.categories]
    for place, fact in enumerate(own):
        if isinstance(fact.event, Undecodable):
            return _apply(connection, model, own[:place]) or _stop(fact, fact.event)
    return _apply(connection, model, own)


def _apply(connection: Connection, model: ReadModel, facts: Sequence[Fact]) -> Stop | None:
    if not facts:
        return None
    try:
        with connection.transaction():
            model.apply(connection, facts)
    except _NOBODYS_FAULT:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be seen and must not stop the other projections
        if len(facts) == 1:
            return _stop(facts[0], error)
        middle = len(facts) // 2
        return _apply(connection, model, facts[:middle]) or _apply(connection, model, facts[middle:])
    return None


def _stop(fact: Fact, error: Exception) -> Stop:
    """Database errors in short: their details show whole rows."""
    what = str(error) if isinstance(error, OrderwrightError) else f"{type(error).__name__}: {error}"
    if isinstance(error, psycopg.Error):
        what = f"{type(error).__name__}: {error.diag.message_primary or 'refused'}"
    reason = f"{fact.stream} version {fact.version} (position {fact.position}): {what}"
    return Stop(position=fact.position, stream=fact.stream, reason=reason[:_LONGEST_REASON])
