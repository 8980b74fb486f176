"""Least rights: what each kind of process may do in the database, as GRANTs to roles that exist already.

    owner      migrations, rebuilds of read models; nothing else logs in as it
    writer     intake, workers, relay, keeper and the commands that decide; may add events, and never change or remove one
    projector  the tables of the read models and their checkpoints; of the rest it may only read what it needs
    reader     reads everything, writes nothing: consoles, exports, `orders list`
    broker     the queues behind `pgmq://` (schema pgmq), and nothing of ours

Roles belong to the whole server and making them takes rights that an application should not have, so that is left to whoever has them.
What is granted is written down per table and checked by a test to be complete; a right that is not listed is taken away again.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import psycopg
from psycopg import sql

from domain.errors import Misconfigured
from infrastructure.postgres.database import Connection, translated
from infrastructure.postgres.migration_lock import connect

ROLES: Final = ("writer", "projector", "reader", "broker")

_ADD = "SELECT, INSERT"
_KEEP = "SELECT, INSERT, UPDATE"
_ALL = "SELECT, INSERT, UPDATE, DELETE"
_SEE = "SELECT"
_READ_MODELS = (
    "order_summary_v1",
    "pipeline_counts_v1",
    "order_timeline_v1",
    "stock_levels_v1",
    "stock_backorders_v1",
)
# By table: the rights of writer and projector. The reader sees them all.
TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "events": (_ADD, _SEE),
    "commands": (_ADD, ""),
    "holders": (_ALL, _ALL),
    "step_runs": (_ALL, ""),
    "dead_letters": (_KEEP, ""),
    "breakers": (_KEEP, ""),
    "breaker_transitions": (_ADD, ""),
    "breaker_calls": (_ALL, ""),
    "leases": (_KEEP, _KEEP),
    "fences": (_KEEP, _KEEP),
    "settings_changes": (_ADD, _SEE),
    "call_rates": (_KEEP, ""),
    "role_partitions": (_KEEP, _SEE),
    "histories": (_SEE, _SEE),
    "orderwright_migrations": (_SEE, _SEE),
    "checkpoints": (_SEE, _ALL),
    **dict.fromkeys(_READ_MODELS, (_SEE, _ALL)),
}
SEQUENCES: Final[Mapping[str, tuple[str, str]]] = {
    "event_positions": ("USAGE", ""),
    "epochs": ("USAGE", "USAGE"),
    "holders_id_seq": ("USAGE", "USAGE"),
    "dead_letters_id_seq": ("USAGE", ""),
    "breaker_transitions_id_seq": ("USAGE", ""),
}


def grant(dsn: str, names: Mapping[str, str]) -> list[str]:
    """Give each named role what is its own, and take away the rest. Returns what an administrator has yet to do. Raises `Misconfigured`."""
    with translated(), connect(dsn) as connection:
        _refuse_missing(connection, names)
        with connection.transaction():
            for statement in _statements(_schema(connection), names):
                connection.execute(statement)
        return [text for name in names.values() if (text := _fix_search_path(connection, name))]


def script(dsn: str, names: Mapping[str, str]) -> str:
    """The same as SQL, to be read and run by somebody else."""
    with translated(), connect(dsn) as connection:
        schema = _schema(connection)
        statements = [*_statements(schema, names), *(_search_path(schema, name) for name in names.values())]
        return "".join(f"{statement.as_string(connection)};\n" for statement in statements)


def _schema(connection: Connection) -> str:
    row = connection.execute("SELECT current_schema()").fetchone()
    return str(row[0]) if row else "public"


def _refuse_missing(connection: Connection, names: Mapping[str, str]) -> None:
    rows = connection.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = ANY (%s)", [[*names.values()]])
    found: dict[str, bool] = dict(rows.fetchall())
    for kind, name in names.items():
        if name not in found:
            raise Misconfigured(f"there is no role {name!r}: CREATE ROLE ... LOGIN first, as whoever may")
        if found[name]:
            raise Misconfigured(f"{name!r} is a superuser, whom no grant limits: give the {kind} a role of its own")


def _statements(schema: str, names: Mapping[str, str]) -> Iterator[sql.Composed]:
    """All of them are harmless when repeated."""
    yield sql.SQL("REVOKE CREATE ON SCHEMA {} FROM PUBLIC").format(sql.Identifier(schema))
    for kind, name in names.items():
        role = sql.Identifier(name)
        for text in ("ALL ON ALL TABLES", "ALL ON ALL SEQUENCES", "CREATE"):
            place = sql.SQL("ON SCHEMA" if text == "CREATE" else "IN SCHEMA")
            yield sql.SQL("REVOKE {} {} {} FROM {}").format(sql.SQL(text), place, sql.Identifier(schema), role)
        if kind == "broker":
            yield from _queues(role)
        else:
            yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), role)
            yield from _tables(schema, kind, role)


def _tables(schema: str, kind: str, role: sql.Identifier) -> Iterator[sql.Composed]:
    place = {"writer": 0, "projector": 1}.get(kind)
    for what, rights in (("TABLE", TABLES), ("SEQUENCE", SEQUENCES)):
        for name, both in rights.items():
            given = both[place] if place is not None else _SEE
            if given:
                target = sql.Identifier(schema, name)
                yield sql.SQL("GRANT {} ON {} {} TO {}").format(sql.SQL(given), sql.SQL(what), target, role)
    for function in ("orderwright_backlog(text)", "orderwright_load(text)"):
        if kind != "projector":
            counted = sql.SQL("{}.{}").format(sql.Identifier(schema), sql.SQL(function))
            yield sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(counted, role)


def _queues(role: sql.Identifier) -> Iterator[sql.Composed]:
    for text in (
        "GRANT USAGE, CREATE ON SCHEMA pgmq TO {}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pgmq TO {}",
        "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pgmq TO {}",
        "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA pgmq TO {}",
    ):
        yield sql.SQL(text).format(role)


def _search_path(schema: str, name: str) -> sql.Composed:
    path = sql.Identifier(schema)
    return sql.SQL("ALTER ROLE {} SET search_path = {}, pg_temp").format(sql.Identifier(name), path)


def _fix_search_path(connection: Connection, name: str) -> str:
    """What is left to an administrator, if it is not ours to do."""
    statement = _search_path(_schema(connection), name)
    try:
        connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return f"{statement.as_string(connection)};"
    return ""
