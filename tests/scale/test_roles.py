"""Least rights: each role does its own work with its own login, and nothing else, whatever it tries."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as pg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from domain.errors import Misconfigured
from infrastructure.postgres import grants, migrate
from infrastructure.postgres.projections import verify
from tests.e2e.program import Program, order_file
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import catch_up, execute, row_versions
from tests.servers.simulator import Simulator, await_that

Logins = dict[str, str]


@pytest.fixture
def logins(database: str) -> Iterator[Logins]:
    """A DSN for each role of the product, and for the owner."""
    with _roles_of(database) as logins:
        yield logins


@pytest.fixture(scope="module")
def shared(module_database: str) -> Iterator[Logins]:
    """The same, for tests that leave nothing behind."""
    with _roles_of(module_database) as logins:
        yield logins


@contextmanager
def _roles_of(database: str) -> Iterator[Logins]:
    names = {kind: f"ow_{kind}_{secrets.token_hex(4)}" for kind in grants.ROLES}
    with psycopg.connect(database, autocommit=True) as connection:
        for name in names.values():
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(name)))
    grants.grant(database, names)
    yield {kind: make_conninfo(database, user=name, password=name) for kind, name in names.items()} | {
        "owner": database
    }
    with psycopg.connect(database, autocommit=True) as connection:
        for name in names.values():
            connection.execute(sql.SQL("DROP OWNED BY {0} CASCADE").format(sql.Identifier(name)))
            connection.execute(sql.SQL("DROP ROLE {0}").format(sql.Identifier(name)))


EVENT = "INSERT INTO events (stream, version, type, schema, data, meta) VALUES ('s', 1, 'X', 1, '{}', '{}')"
STATEMENTS: dict[str, set[str]] = {
    EVENT: {"writer"},
    "UPDATE events SET type = 'Y'": set(),
    "DELETE FROM events": set(),
    "TRUNCATE events": set(),
    "ALTER TABLE events DISABLE TRIGGER ALL": set(),
    "DROP TABLE events CASCADE": set(),
    "SELECT count(*) FROM events": {"writer", "projector", "reader"},
    "SELECT pg_catalog.setval('event_positions', 1)": set(),
    "SELECT pg_catalog.setval('epochs', 1)": set(),
    "UPDATE step_runs SET due_at = due_at": {"writer"},
    "SELECT count(*) FROM step_runs": {"writer", "reader"},
    "SELECT body FROM dead_letters": {"writer", "reader"},
    "DELETE FROM dead_letters": set(),
    "UPDATE breaker_transitions SET why = ''": set(),
    "UPDATE settings_changes SET why = ''": set(),
    "INSERT INTO settings_changes (version, request, document, who, why) VALUES (1, 'r', '{}', 'w', 'y')": {"writer"},
    "UPDATE order_summary_v1 SET country = country": {"projector"},
    "SELECT count(*) FROM order_summary_v1": {"writer", "projector", "reader"},
    "UPDATE checkpoints SET position = position": {"projector"},
    "UPDATE leases SET epoch = epoch": {"writer", "projector"},
    "SELECT raise_fence('thing', 1)": {"writer", "projector"},
    "SELECT nextval('epochs')": {"writer", "projector"},
    "SELECT epoch FROM fences FOR SHARE": {"writer", "projector"},
    "SELECT orderwright_backlog()": {"writer", "reader"},
    "DELETE FROM orderwright_migrations": set(),
    "CREATE TABLE mine ()": set(),
    "CREATE SCHEMA mine": set(),
    "CREATE ROLE mine": set(),
    "SELECT pgmq.create('ow_mine')": {"broker"},
    "SELECT count(*) FROM pgmq.meta": {"broker"},
    "COPY (SELECT 1) TO PROGRAM 'true'": set(),
}


@pytest.mark.parametrize("statement", STATEMENTS)
def test_each_role_may_do_its_own_and_nothing_else(statement: str, shared: Logins) -> None:
    assert {kind for kind in grants.ROLES if _allowed(shared[kind], statement)} == STATEMENTS[statement]


def _allowed(dsn: str, statement: str) -> bool:
    with psycopg.connect(dsn) as connection:
        try:
            connection.execute(statement.encode())
        except pg.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
    return True


def test_the_owner_too_changes_no_event(shared: Logins) -> None:
    with psycopg.connect(shared["owner"]) as connection, pytest.raises(pg.InsufficientPrivilege, match="append-only"):
        connection.execute("UPDATE events SET type = 'Y'")


def test_a_right_that_is_not_listed_is_taken_away_again(logins: Logins, database: str) -> None:
    writer = str(conninfo_to_dict(logins["writer"])["user"])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("GRANT ALL ON events TO {}").format(sql.Identifier(writer)))
    assert _allowed(logins["writer"], "ALTER TABLE events ENABLE TRIGGER ALL") is False
    grants.grant(database, {"writer": writer})
    with psycopg.connect(logins["writer"]) as connection:
        rights = "SELECT has_table_privilege('events', 'INSERT'), has_table_privilege('events', 'DELETE')"
        assert connection.execute(rights).fetchone() == (True, False)


def test_every_table_and_sequence_of_the_schema_has_its_rights_written_down(database: str) -> None:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT c.relname, c.relkind::text FROM pg_class c"
            " WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'S', 'v', 'm')"
        ).fetchall()
    assert {name for name, kind in rows if kind != "S"} == set(grants.TABLES)
    assert {name for name, kind in rows if kind == "S"} == set(grants.SEQUENCES)


def test_functions_with_the_rights_of_their_owner_look_nowhere_else(database: str) -> None:
    with psycopg.connect(database) as connection:
        loose = connection.execute(
            "SELECT p.proname FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = current_schema()::regnamespace"
            " AND NOT coalesce(p.proconfig::text LIKE '%search_path=%pg_temp%', false)"
        ).fetchall()
    assert loose == []


def test_the_search_path_of_every_role_is_fixed(shared: Logins) -> None:
    for kind in grants.ROLES:
        with psycopg.connect(shared[kind]) as connection:
            assert connection.execute("SHOW search_path").fetchone() == ("public, pg_temp",)


def test_a_role_that_no_grant_limits_is_refused(database: str) -> None:
    superuser = str(conninfo_to_dict(database)["user"])
    with pytest.raises(Misconfigured, match="superuser"):
        grants.grant(database, {"writer": superuser})
    with pytest.raises(Misconfigured, match="there is no role"):
        grants.grant(database, {"writer": "nobody_of_that_name"})


@pytest.mark.e2e
def test_orders_go_all_the_way_while_each_process_has_its_own_login(
    tmp_path: Path, logins: Logins, simulator: Simulator
) -> None:
    given = conninfo_to_dict(logins["broker"])
    queues = f"pgmq://{given['user']}:{given['password']}@127.0.0.1:{given['port']}/{given['dbname']}"
    shared = {"ORDERWRIGHT_LEASE_S": "2"}
    projector = Program(tmp_path, {"DATABASE_URL": logins["projector"], **shared})  # which opens no broker
    writer, reader = (
        Program(tmp_path, {"DATABASE_URL": logins[kind], "ORDERWRIGHT_BROKER_URL": queues, **shared})
        for kind in ("writer", "reader")
    )
    gateway = ("--gateway-url", simulator.url)
    assert writer.call("stock", "receive", "MAIN", "TEA", "10", "--delivery", "D-1").code == 0
    order_file(tmp_path / "o.jsonl", 3)
    with (
        writer.running("worker", *gateway) as worker,
        writer.running("relay") as relay,
        projector.running("projector") as projecting,
        writer.running("intake") as intake,
        writer.running("keeper") as keeper,
    ):
        assert writer.call("submit", "o.jsonl").code == 0
        await_that(lambda: _closed(reader) == 3, within_s=60)
        ended = [role.end() for role in (worker, relay, projecting, intake, keeper)]
    assert [one.code for one in ended] == [0] * 5
    assert not [one.err for one in ended if "permission denied" in one.err or "InsufficientPrivilege" in one.err]
    assert reader.call("orders", "show", "A-1").code == 0
    assert "permission denied" not in reader.call("doctor").err
    for program in (writer, reader):
        assert "rows differ" not in program.call("doctor", "--verify-all").out, (
            "it is folded beside the tables, not into them"
        )


@pytest.mark.parametrize("kind", ["projector", "writer", "reader"])
def test_verification_finds_what_differs_and_changes_nothing_with_any_login(
    kind: str, logins: Logins, database: str
) -> None:
    store_events(database, company(35, 60).appended)
    catch_up(logins["projector"])
    found = row_versions(database)
    assert verify(logins[kind]) == []
    assert row_versions(database) == found
    execute(database, "UPDATE pipeline_counts_v1 SET orders = orders + 1 WHERE stage = 'closed'")
    execute(database, "DELETE FROM stock_levels_v1 WHERE sku = 'mug'")
    found = row_versions(database)
    assert {one.table for one in verify(logins[kind])} == {"pipeline_counts_v1", "stock_levels_v1"}
    assert row_versions(database) == found, "a projector might write to them, and a verification of his must not"


def _closed(reader: Program) -> int:
    rows = reader.call("orders", "list", "--json").json()
    return sum(row["outcome"] is not None for row in rows)


def test_the_statements_can_be_read_before_anything_is_done(tmp_path: Path, database: str) -> None:
    program = Program(tmp_path, {"DATABASE_URL": database})
    shown = program.call("migrate", "grants", "--writer", "somebody", "--sql")
    assert shown.code == 0
    assert 'GRANT SELECT, INSERT ON TABLE "public"."events" TO "somebody";' in shown.out
    assert program.call("migrate", "grants").code == 2


def test_a_login_without_rights_waits_for_its_grants(logins: Logins, database: str) -> None:
    writer = str(conninfo_to_dict(logins["writer"])["user"])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(sql.Identifier(writer)))
    with pytest.raises(Misconfigured, match="may see nothing yet: run `orderwright migrate grants`"):
        migrate.wait(logins["writer"], timeout_s=0)
    grants.grant(database, {"writer": writer})
    migrate.wait(logins["writer"], timeout_s=0)
