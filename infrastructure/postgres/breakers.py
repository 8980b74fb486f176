"""The breakers of the fleet in Postgres: `domain.breaker.Board` on a row a dependency.

A change is written only over the version that it was made from; the record of it is in the same transaction, so there is no change of
state without its reason. The clock is the database's.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.breaker import Breaker, Changed, Permit, State, Transition
from domain.work import Step
from infrastructure.postgres.database import Database, transaction
from infrastructure.postgres.queries import load

_SQL = load("breakers")
_COLUMNS = (
    "dependency", "version", "state", "since", "why", "forced", "forced_until", "failure_rate", "troubled_since", "openings",
    "probe_at", "hold_until", "issued", "succeeded", "failed", "normal_rate", "release_rate", "steady_until", "tokens", "tokens_at",
)  # fmt: skip
_KEPT_S = 7200
_TEXT_LIMIT = 1000


class PostgresBreakers:
    """`domain.breaker.Board`. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> tuple[datetime, Mapping[str, Breaker]]:
        """See `domain.breaker.Board.read`."""
        with self._database.connection() as connection:
            found = [_breaker(row) for row in connection.execute(_SQL["read"], binary=True)]
            now = connection.execute(_SQL["now"], binary=True).fetchone()
        assert now is not None  # noqa: S101 - it has one row
        return now[0], {breaker.dependency: breaker for breaker in found}

    def change(self, after: Breaker, changes: Sequence[Changed], *, process: str) -> bool:
        """See `domain.breaker.Board.change`."""
        statement = _SQL["insert" if after.version == 0 else "update"]
        with self._database.connection() as connection, transaction(connection):
            if connection.execute(statement, _arguments(after)).rowcount == 0:
                return False
            if changes:
                connection.execute(_SQL["record"], _record(after.dependency, changes, process))
        return True

    def count(self, calls: Mapping[tuple[str, int], int], *, slot_s: float) -> None:
        """See `domain.breaker.Board.count`."""
        names, slots = [name for name, _ in calls], [slot for _, slot in calls]
        arguments = {"dependencies": names, "slots": slots, "calls": list(calls.values())}
        with self._database.connection() as connection:
            connection.execute(_SQL["count"], arguments)
            connection.execute(_SQL["forget_calls"], {"before": max(slots) - int(_KEPT_S / slot_s)})

    def normal_rate(self, dependency: str, *, slot_s: float) -> float:
        """See `domain.breaker.Board.normal_rate`."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL["normal_calls"], {"dependency": dependency, "slot_s": slot_s}).fetchone()
        return float(row[0]) / slot_s if row else 0.0

    def waiting(self, steps: Sequence[Step], limit: int) -> int:
        """See `domain.breaker.Board.waiting`."""
        with self._database.connection() as connection:
            row = connection.execute(_SQL["waiting"], {"steps": list(steps), "limit": limit}).fetchone()
        return int(row[0]) if row else 0

    def transitions(self, dependency: str | None = None, limit: int = 100) -> Sequence[Transition]:
        """See `domain.breaker.Board.transitions`."""
        with self._database.connection() as connection:
            rows = connection.execute(_SQL["transitions"], {"dependency": dependency, "limit": limit}).fetchall()
        return [
            Transition(
                dependency=name, at=at, before=State(before), after=State(after), why=why, who=who, process=process
            )
            for name, at, before, after, why, who, process in rows
        ]


def _breaker(row: Sequence[Any]) -> Breaker:
    values = dict(zip(_COLUMNS, row, strict=False))
    permits = zip(*row[len(_COLUMNS) :], strict=True)
    return Breaker(
        **{**values, "state": State(values["state"])},
        permits=tuple(Permit(id=number, holder=holder, expires_at=until) for number, holder, until in permits),
    )


def _arguments(breaker: Breaker) -> dict[str, Any]:
    return {
        **{name: getattr(breaker, name) for name in _COLUMNS},
        "why": _text(breaker.why),
        "permit_ids": [permit.id for permit in breaker.permits],
        "permit_holders": [_text(permit.holder) for permit in breaker.permits],
        "permit_expiries": [permit.expires_at for permit in breaker.permits],
    }


def _record(dependency: str, changes: Sequence[Changed], process: str) -> dict[str, Any]:
    return {
        "dependency": dependency,
        "process": _text(process),
        "befores": [change.before for change in changes],
        "afters": [change.after for change in changes],
        "whys": [_text(change.why) for change in changes],
        "whos": [_text(change.who) for change in changes],
    }


def _text(text: str) -> str:
    """What every database takes, of whatever an outside service may have said."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)[:_TEXT_LIMIT]
