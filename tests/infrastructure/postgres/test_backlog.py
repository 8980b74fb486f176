"""The two SQL functions that others scale by: what they count, what they do not, and who may ask."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from domain.work import Step
from infrastructure.postgres.store import PostgresStore
from tests.contracts.stores import AT, claim, run_key, want

A_MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    with closing(PostgresStore(database)) as store:
        yield store


@pytest.fixture
def asked(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def backlog(asked: psycopg.Connection[Any], step: Step | None = None) -> tuple[int, int]:
    row = asked.execute("SELECT orderwright_backlog(%(step)s), orderwright_load(%(step)s)", {"step": step}).fetchone()
    assert row is not None
    return row[0], row[1]


def test_an_empty_work_list_is_no_backlog(asked: psycopg.Connection[Any]) -> None:
    assert backlog(asked) == (0, 0)


def test_due_runs_are_counted_by_step(store: PostgresStore, asked: psycopg.Connection[Any]) -> None:
    want(store, run_key("o1", Step.LABEL), run_key("o2", Step.LABEL), run_key("o3", Step.CAPTURE))
    assert backlog(asked) == (3, 3)
    assert backlog(asked, Step.LABEL) == (2, 2)
    assert backlog(asked, Step.VOID) == (0, 0)


def test_what_a_worker_has_is_load_and_no_backlog(store: PostgresStore, asked: psycopg.Connection[Any]) -> None:
    want(store, run_key("o1"), run_key("o2"))
    claim(store, run_key("o1"), store.register("w", A_MINUTE))
    assert backlog(asked) == (1, 2)


def test_what_is_not_due_is_neither(store: PostgresStore, asked: psycopg.Connection[Any]) -> None:
    now = store.now()
    want(store, run_key("soon"), due=now + timedelta(seconds=5))
    want(store, run_key("later"), due=now + A_MINUTE)
    assert backlog(asked) == (0, 0)
    want(store, run_key("overdue"), due=AT)
    assert backlog(asked) == (1, 1)


def test_what_was_announced_and_not_taken_is_still_backlog(
    store: PostgresStore, asked: psycopg.Connection[Any]
) -> None:
    want(store, run_key("o1"), due=AT)
    assert store.wake(10, list(Step))
    assert backlog(asked) == (1, 1)


def test_a_stranger_may_count_only_when_he_is_allowed_to_and_may_read_nothing(
    store: PostgresStore, asked: psycopg.Connection[Any], database: str
) -> None:
    want(store, run_key("o1"))
    name = "scaler_" + asked.info.dbname
    asked.execute(f"CREATE ROLE {name}")
    try:
        with asked.transaction(force_rollback=True):
            asked.execute(f"SET LOCAL ROLE {name}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), asked.transaction():
                backlog(asked)
            asked.execute("RESET ROLE")
            asked.execute(f"GRANT EXECUTE ON FUNCTION orderwright_backlog(text), orderwright_load(text) TO {name}")
            asked.execute(f"SET LOCAL ROLE {name}")
            assert backlog(asked) == (1, 1)
            with pytest.raises(psycopg.errors.InsufficientPrivilege), asked.transaction():
                asked.execute("SELECT FROM step_runs")
    finally:
        asked.execute(f"DROP ROLE {name}")


def test_a_temporary_table_does_not_take_the_place_of_ours(
    store: PostgresStore, asked: psycopg.Connection[Any]
) -> None:
    want(store, run_key("o1"))
    asked.execute("CREATE TEMP TABLE step_runs AS SELECT * FROM step_runs WHERE false")
    assert backlog(asked) == (1, 1)


def test_the_count_is_by_the_index_of_announcements(store: PostgresStore, asked: psycopg.Connection[Any]) -> None:
    asked.execute(
        "INSERT INTO step_runs (order_id, step, part, ordinal, state, due_at, wake_at) "
        "SELECT 'later-' || n, 'label', 0, 1, 'ready', now() + interval '1 day', now() + interval '1 day' "
        "FROM generate_series(1, 20000) AS n"
    )
    want(store, run_key("o1"))
    asked.execute("ANALYZE step_runs")
    row = asked.execute("SELECT prosrc FROM pg_proc WHERE proname = 'orderwright_backlog'").fetchone()
    assert row is not None
    body = str(row[0]).replace("of_step", "NULL::text")
    plan = "\n".join(str(line[0]) for line in asked.execute("EXPLAIN " + body))
    assert "step_runs_wake" in plan
    assert "Seq Scan" not in plan
