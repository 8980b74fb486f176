"""Dead letters on Postgres. Runs get theirs from `change_work`, in the transaction that gave them up; messages from the keeper.

A filter becomes a WHERE clause of fixed fragments: the fields are looked up in a table, the values are parameters. Lists never touch the
bodies, which PostgreSQL stores apart from the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg.sql import SQL, Composed
from psycopg.types.json import Jsonb

from domain.ports import Holder, RecordedEvent, Unit, Verdict
from domain.review import BODY_LIMIT, Filter, Group, Letter, LetterState, Message, Note, Term
from domain.work import RunKey, Step
from infrastructure.postgres.database import Connection
from infrastructure.postgres.queries import load
from infrastructure.postgres.store import PostgresStore, PostgresTransaction

_SQL = load("letters")
_COLUMN = {
    "id": SQL("d.id"),
    "kind": SQL("d.kind"),
    "state": SQL("d.state"),
    "step": SQL("d.step"),
    "order": SQL("d.order_id"),
    "reason": SQL("d.reason"),
    "cause": SQL("d.cause"),
    "group": SQL("d.cause_hash"),
    "queue": SQL("d.origin"),
}
_TIME = {"since": SQL("d.died_at >= %s"), "until": SQL("d.died_at < %s")}


class PostgresDeadLetters:
    """`domain.review.Letters`."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store

    def keep(self, message: Message) -> int:
        """See `domain.review.Letters.keep`."""
        arguments = {
            "reason": message.reason[:2000],
            "origin": message.origin[:100],
            "message_id": message.message_id,
            "body": message.body[:BODY_LIMIT],
            "size": message.size,
            "sha256": message.sha256,
            "headers": Jsonb(message.headers),
            "copy_id": message.copy_id,
        }
        with self._connection() as connection:
            return int(_one(connection, "keep", arguments)[0])

    def page(self, wanted: Filter, *, after: int = 0, limit: int = 100, newest: bool = False) -> Sequence[Letter]:
        """See `domain.review.Letters.page`."""
        down = newest and after
        border = SQL("d.id < %s") if down else SQL("d.id > %s")
        order = SQL("ORDER BY d.id DESC LIMIT %s") if newest else SQL("ORDER BY d.id LIMIT %s")
        where, arguments = _where(wanted)
        statement = SQL(" ").join([_fragment("columns"), where, SQL("AND"), border, order])
        with self._connection() as connection:
            return [_letter(row) for row in connection.execute(statement, [*arguments, after, limit])]

    def count(self, wanted: Filter) -> int:
        """See `domain.review.Letters.count`."""
        where, arguments = _where(wanted)
        with self._connection() as connection:
            row = connection.execute(SQL("SELECT count(*) FROM dead_letters d {}").format(where), arguments).fetchone()
        return int(row[0]) if row else 0

    def groups(self, wanted: Filter, *, limit: int = 100) -> Sequence[Group]:
        """See `domain.review.Letters.groups`."""
        where, arguments = _where(wanted)
        tail = SQL("GROUP BY d.cause_hash ORDER BY count(*) DESC, d.cause_hash LIMIT %s")
        largest = SQL("({}) AS g").format(SQL(" ").join([_fragment("groups"), where, tail]))
        with_newest = SQL("JOIN dead_letters l ON l.id = g.newest ORDER BY g.letters DESC, g.cause_hash")
        statement = SQL(" ").join([_fragment("of_groups"), largest, with_newest])
        with self._connection() as connection:
            return [_group(row) for row in connection.execute(statement, [*arguments, limit])]

    def get(self, ids: Sequence[int]) -> Sequence[Letter]:
        """See `domain.review.Letters.get`."""
        with self._connection() as connection:
            return [_letter(row) for row in connection.execute(_SQL["whole"], {"ids": list(ids)})]

    def unknown_orders(self, order_ids: Sequence[str]) -> Sequence[str]:
        """Those of these orders of which no event tells."""
        with self._connection() as connection:
            return [row[0] for row in connection.execute(_SQL["unknown_orders"], {"orders": list(order_ids)})]

    @contextmanager
    def deciding(self) -> Iterator["PostgresDecision"]:
        """See `domain.review.Letters.deciding`."""
        with self._store.transaction() as transaction:
            yield PostgresDecision(transaction)

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with self._store.transaction() as transaction:
            yield transaction.connection


class PostgresDecision:
    """`domain.review.Decision`."""

    def __init__(self, transaction: PostgresTransaction) -> None:
        self._transaction = transaction
        self._connection = transaction.connection

    def lock(self, keys: Sequence[str]) -> None:
        """See `domain.ports.Transaction.lock`."""
        self._transaction.lock(keys)

    def read(self, streams: Mapping[str, int]) -> Sequence[RecordedEvent]:
        """See `domain.ports.Transaction.read`."""
        return self._transaction.read(streams)

    def append(self, units: Sequence[Unit], *, holder: Holder | None = None) -> Sequence[Verdict]:
        """See `domain.ports.Transaction.append`."""
        return self._transaction.append(units, holder=holder)

    def take(self, ids: Sequence[int]) -> Mapping[int, Letter]:
        """See `domain.review.Decision.take`."""
        rows = self._connection.execute(_SQL["take"], {"ids": list(ids)})
        return {letter.id: letter for letter in map(_letter, rows)}

    def note(self, notes: Sequence[Note]) -> None:
        """See `domain.review.Decision.note`."""
        arguments = {
            "ids": [note.letter_id for note in notes],
            "states": [note.state.value for note in notes],
            "by": [note.by for note in notes],
            "reasons": [note.reason for note in notes],
        }
        self._connection.execute(_SQL["note"], arguments)

    def copy(self, original: Letter, body: bytes, sha256: str, note: Note) -> int:
        """See `domain.review.Decision.copy`."""
        arguments = {"original": original.id, "body": body, "size": len(body), "sha256": sha256}
        row = _one(self._connection, "copy", {**arguments, "by": note.by, "reason": note.reason})
        return int(row[0])


def _one(connection: Connection, name: str, arguments: Mapping[str, Any]) -> tuple[Any, ...]:
    row = connection.execute(_SQL[name], arguments).fetchone()
    assert row is not None  # noqa: S101 - each of these statements returns a row
    return row


def _fragment(name: str) -> SQL:
    return SQL(_SQL[name].decode())


def _where(wanted: Filter) -> tuple[Composed, list[Any]]:
    conditions, arguments = [SQL("WHERE true")], []
    for term in wanted.terms:
        conditions.append(_condition(term))
        arguments.append(term.values[0] if term.field in _TIME else list(term.values))
    return SQL(" AND ").join(conditions), arguments


def _condition(term: Term) -> Any:  # noqa: ANN401 - SQL or Composed
    if term.field in _TIME:
        return _TIME[term.field]
    form = "coalesce({} = ANY (%s), false)"
    if term.within:
        form = "EXISTS (SELECT FROM unnest(%s::text[]) AS v WHERE strpos(lower({}), lower(v)) > 0)"
    return SQL(f"NOT ({form})" if term.negated else form).format(_COLUMN[term.field])


def _letter(row: Sequence[Any]) -> Letter:
    run = None if row[3] is None else RunKey(row[2], Step(row[3]), row[4], row[5])
    return Letter(
        id=row[0],
        state=LetterState(row[1]),
        run=run,
        attempts=row[6],
        deaths=row[7],
        reason=row[8],
        cause=row[9],
        group=row[10],
        origin=row[11],
        message_id=row[12],
        size=row[13],
        sha256=row[14],
        original_of=row[15],
        first_tried_at=row[16],
        first_died_at=row[17],
        died_at=row[18],
        noted_by=row[19],
        noted_at=row[20],
        noted_reason=row[21],
        headers=row[22] or {},
        body=row[23],
    )


def _group(row: Sequence[Any]) -> Group:
    names = ("group", "place", "cause", "example", "letters", "first_died_at", "died_at")
    return Group(**dict(zip(names, row, strict=True)))
