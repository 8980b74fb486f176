"""The contract of the dead letters, against Postgres, and what only a database has: a twin of our grouping, pages that stay fast."""

from collections.abc import Iterator
from functools import partial

import psycopg
import pytest

from domain.causes import cause_of, group_of, words_of
from domain.review import Filter, Letters, Term
from infrastructure.postgres.dead_letters import PostgresDeadLetters
from infrastructure.postgres.store import PostgresStore
from tests.contracts.letters import LettersContract
from tests.contracts.stores import Advance
from tests.infrastructure.postgres.stores import age

REASONS = (
    "",
    "no JSON",
    "Transient: HTTP 503 for order A-1 after 12.5 s",
    "RateLimited: HTTP 429",
    "OutcomeUnknown: key 8c7e6f5a-1b2c-4d3e-9f00-aa11bb22cc33 of 2026-11-23T12:00:00.123Z",
    "Poison: 'it''s' \"said\" 'and' not 'closed",
    "content type 'application/x-python-serialize', not application/json",
    "20000 bytes, more than 262144",
    "back\\slash \\x41 and \\ end, Ünïcödé 7ß, 99 1000 100 599 600 a100 100a 1-2",
    "x" * 499 + "123",
)


@pytest.fixture
def store(database: str) -> Iterator[PostgresStore]:
    store = PostgresStore(database)
    yield store
    store.close()


@pytest.fixture
def letters(store: PostgresStore) -> Letters:
    return PostgresDeadLetters(store)


@pytest.fixture
def advance(database: str) -> Advance:
    return partial(age, database)


class TestLetters(LettersContract):
    """Against Postgres."""


def test_the_database_groups_like_its_twin_in_python(module_database: str) -> None:
    ask = "SELECT letter_cause(%(r)s), letter_words(%(r)s), letter_group('label', %(r)s)"
    with psycopg.connect(module_database) as connection:
        for reason in REASONS:
            found = connection.execute(ask, {"r": reason}).fetchone()
            assert found == (cause_of(reason), words_of(reason), group_of("label", reason))


def test_the_words_keep_what_tells_causes_apart() -> None:
    assert words_of(REASONS[2]) == "Transient: HTTP 503 for order # after # s"
    assert len({group_of("label", reason) for reason in REASONS}) == len(REASONS)
    assert group_of("label", "HTTP 503 at 1") == group_of("label", "HTTP 503 at 2") != group_of("void", "HTTP 503 at 2")


def test_a_page_of_many_letters_is_found_by_its_index(database: str, letters: Letters) -> None:
    with psycopg.connect(database) as connection:
        connection.execute(
            "INSERT INTO dead_letters (kind, reason, origin, body_sha256)"
            " SELECT 'message', 'no JSON at ' || n + 1000, 'ow_orders', n::text FROM generate_series(1, 20000) AS n"
        )
        connection.execute("UPDATE dead_letters SET state = 'discarded' WHERE id < 19990")
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE dead_letters")
        plan = connection.execute(
            "EXPLAIN SELECT id FROM dead_letters WHERE state = ANY ('{open}') AND id > 5 ORDER BY id LIMIT 100"
        ).fetchall()
    assert "dead_letters_state" in str(plan)
    [group] = letters.groups(Filter())
    assert group.letters == 20_000
    assert len(letters.page(Filter((Term("state", ("open",)),)), limit=100)) == 11
