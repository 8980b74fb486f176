"""The migration runner on a real database: order, refusals, twins, kills and locks."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from domain.errors import Misconfigured, StoreUnavailable
from infrastructure.embedded.waiting import wait_until
from infrastructure.postgres import migrate
from infrastructure.postgres.migration_lock import LOCK_KEY, MigrationsBusy, connect
from tests.infrastructure.postgres.migrator import start_migrator

GATE = 42  # an advisory lock at which a migration of a test waits until the test lets it through


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "migrations"
    place.mkdir()
    (place / "0001_orders.sql").write_text("CREATE TABLE orders (id int);\nINSERT INTO orders VALUES (1);\n")
    (place / "0002_notes.sql").write_text("ALTER TABLE orders ADD COLUMN note text;\n")
    return place


@contextmanager
def holding_lock(dsn: str, key: int, name: str = "test") -> Iterator[None]:
    with psycopg.connect(dsn, autocommit=True, application_name=name) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [key])
        yield


@contextmanager
def reading_orders(dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dsn, application_name="long report") as reader:
        reader.execute("SELECT * FROM orders")
        yield reader


def waiting_at_gate(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted", [GATE]
        ).fetchone()
        return found is not None


def applied(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT name FROM orderwright_migrations WHERE version > 0 ORDER BY version")
        return [row[0] for row in rows]


def test_files_are_applied_in_order_and_only_once(empty_database: str, folder: Path) -> None:
    told: list[str] = []
    assert migrate.up(empty_database, folder=folder, on_progress=told.append) == told
    assert told == ["pgmq 1.13.0", "0001_orders", "0002_notes"]
    assert migrate.up(empty_database, folder=folder) == []
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT id, note FROM orders").fetchall() == [(1, None)]


def test_status_and_check_tell_what_is_applied_and_what_is_pending(empty_database: str, folder: Path) -> None:
    assert migrate.check(empty_database, folder=folder) == ["pgmq", "0001_orders", "0002_notes"]
    migrate.up(empty_database, folder=folder)
    (folder / "0003_more.sql").write_text("SELECT 1;")
    lines = [(line.version, line.name, line.state) for line in migrate.status(empty_database, folder=folder)]
    assert lines == [
        (0, "pgmq 1.13.0", "applied"),
        (1, "0001_orders", "applied"),
        (2, "0002_notes", "applied"),
        (3, "0003_more", "pending"),
    ]
    assert migrate.check(empty_database, folder=folder) == ["0003_more"]


def test_our_own_migrations_leave_nothing_pending(database: str) -> None:
    assert migrate.check(database) == []


def test_a_file_that_fails_is_rolled_back_whole_and_named(empty_database: str, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("CREATE TABLE half (x int);\nSELECT 1/0;\n")
    with pytest.raises(Misconfigured, match="0003_broken failed and is rolled back: division by zero"):
        migrate.up(empty_database, folder=folder)
    assert applied(empty_database) == ["0001_orders", "0002_notes"]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('half')").fetchone() == (None,)


def test_an_edited_file_is_refused(empty_database: str, folder: Path) -> None:
    migrate.up(empty_database, folder=folder)
    (folder / "0002_notes.sql").write_text("ALTER TABLE orders ADD COLUMN notes text;\n")
    for refused in (migrate.check, migrate.up):
        with pytest.raises(Misconfigured, match="0002_notes.sql was changed after it had been applied"):
            refused(empty_database, folder=folder)


def test_line_ends_of_another_system_are_no_edit(empty_database: str, folder: Path) -> None:
    migrate.up(empty_database, folder=folder)
    (folder / "0001_orders.sql").write_bytes((folder / "0001_orders.sql").read_bytes().replace(b"\n", b"\r\n"))
    assert migrate.check(empty_database, folder=folder) == []


def test_a_newer_database_is_refused(empty_database: str, folder: Path) -> None:
    migrate.up(empty_database, folder=folder)
    (folder / "0002_notes.sql").unlink()
    with pytest.raises(
        Misconfigured, match="has migration 0002_notes, which this version of Orderwright does not know"
    ):
        migrate.up(empty_database, folder=folder)


def test_a_file_numbered_below_the_last_applied_one_is_refused(empty_database: str, folder: Path) -> None:
    (folder / "0001_orders.sql").rename(folder / "0003_orders.sql")
    (folder / "0002_notes.sql").write_text("SELECT 1;")
    migrate.up(empty_database, folder=folder)
    (folder / "0001_late.sql").write_text("SELECT 1;")
    with pytest.raises(Misconfigured, match="0001_late.sql is numbered below"):
        migrate.up(empty_database, folder=folder)


@pytest.mark.parametrize("name", ["0002_twice.sql", "2_short.sql", "0000_zero.sql", "0003 space.sql"])
def test_a_misnamed_file_is_refused(empty_database: str, folder: Path, name: str) -> None:
    (folder / name).write_text("SELECT 1;")
    with pytest.raises(Misconfigured, match="same number|is not named like"):
        migrate.up(empty_database, folder=folder)


def test_a_file_without_transaction_may_build_an_index_concurrently(empty_database: str, folder: Path) -> None:
    (folder / "0003_index.sql").write_text(
        "-- migrate:no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS orders_id ON orders (id);\n"
    )
    migrate.up(empty_database, folder=folder)
    with psycopg.connect(empty_database) as connection:
        assert connection.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'orders_id'::regclass"
        ).fetchone() == (True,)


def test_two_migrators_at_once_apply_every_file_once(empty_database: str, folder: Path) -> None:
    (folder / "0003_gate.sql").write_text(f"SELECT pg_advisory_xact_lock({GATE});\n")
    with holding_lock(empty_database, GATE):
        runners = [start_migrator(empty_database, folder), start_migrator(empty_database, folder)]
        assert wait_until(lambda: waiting_at_gate(empty_database), timeout_s=20)
    told = sorted(runner.communicate(timeout=30)[0].strip() for runner in runners)
    assert told == ["", "pgmq 1.13.0 0001_orders 0002_notes 0003_gate"]
    assert [runner.returncode for runner in runners] == [0, 0]


def test_a_killed_migrator_leaves_whole_files_and_the_next_one_goes_on(empty_database: str, folder: Path) -> None:
    (folder / "0003_gate.sql").write_text(f"CREATE TABLE late (x int);\nSELECT pg_advisory_xact_lock({GATE});\n")
    with holding_lock(empty_database, GATE), start_migrator(empty_database, folder) as runner:
        assert wait_until(lambda: waiting_at_gate(empty_database), timeout_s=20)
        runner.kill()
        runner.wait(timeout=10)
    assert applied(empty_database) == ["0001_orders", "0002_notes"]
    assert migrate.up(empty_database, folder=folder) == ["0003_gate"]


def test_who_waits_too_long_is_told_who_migrates(empty_database: str, folder: Path) -> None:
    with (
        holding_lock(empty_database, LOCK_KEY, name="the twin"),
        pytest.raises(MigrationsBusy, match=r"another migration has been running.*the twin, server process \d+, since"),
    ):
        migrate.up(empty_database, folder=folder, lock_wait_s=0.1)


def test_behind_a_long_reader_the_migration_gives_way_and_says_who_it_is(empty_database: str, folder: Path) -> None:
    migrate.up(empty_database, folder=folder)
    (folder / "0003_more.sql").write_text("ALTER TABLE orders ADD COLUMN more int;\n")
    with (
        reading_orders(empty_database),
        pytest.raises(MigrationsBusy, match="0003_more could not lock its tables.*long report"),
    ):
        migrate.up(empty_database, folder=folder, retry_for_s=0.1)
    assert applied(empty_database) == ["0001_orders", "0002_notes"]


def test_behind_a_long_reader_other_readers_go_on_and_the_migration_comes_after(
    empty_database: str, folder: Path
) -> None:
    migrate.up(empty_database, folder=folder)
    (folder / "0003_more.sql").write_text("ALTER TABLE orders ADD COLUMN more int;\n")
    runner = threading.Thread(target=migrate.up, args=[empty_database], kwargs={"folder": folder})
    with reading_orders(empty_database):
        runner.start()
        assert wait_until(lambda: _waits_for_orders(empty_database), timeout_s=20)
        with psycopg.connect(empty_database, options="-c statement_timeout=5s") as other:
            assert other.execute("SELECT id FROM orders").fetchone() == (1,)
    runner.join(timeout=30)
    assert applied(empty_database) == ["0001_orders", "0002_notes", "0003_more"]


def _waits_for_orders(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return (
            connection.execute("SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted").fetchone()
            is not None
        )


def test_waiting_ends_when_somebody_else_has_migrated(empty_database: str, folder: Path) -> None:
    waiting = threading.Thread(target=migrate.wait, args=[empty_database], kwargs={"timeout_s": 30, "folder": folder})
    waiting.start()
    migrate.up(empty_database, folder=folder)
    waiting.join(timeout=30)
    assert not waiting.is_alive()


def test_waiting_in_vain_names_what_is_pending(empty_database: str, folder: Path) -> None:
    with pytest.raises(Misconfigured, match="0001_orders, 0002_notes not applied yet: run `orderwright migrate up`"):
        migrate.wait(empty_database, timeout_s=0, folder=folder)


def test_a_database_that_is_away_is_told_as_such(tmp_path: Path, folder: Path) -> None:
    dsn = f"host={tmp_path} dbname=none"
    with pytest.raises(StoreUnavailable, match="does not answer"):
        migrate.up(dsn, folder=folder)
    with pytest.raises(Misconfigured, match=r"not ready after 0 s.*does not answer"):
        migrate.wait(dsn, timeout_s=0, folder=folder)


def test_an_unreadable_database_address_is_refused(folder: Path) -> None:
    with pytest.raises(Misconfigured, match="cannot be read"):
        migrate.up("host=x nonsense", folder=folder)


def test_a_database_that_goes_away_in_the_midst_of_a_check_is_told_as_such(database: str) -> None:
    with pytest.raises(StoreUnavailable), connect(database) as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
