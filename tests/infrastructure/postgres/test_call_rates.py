"""The rate of a dependency is one for all who ask."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic

import psycopg
import pytest

from infrastructure.postgres.call_rates import BURST_S, PostgresCallRates
from infrastructure.postgres.database import Database


@pytest.fixture
def rates(database: str) -> Iterator[PostgresCallRates]:
    with closing(Database(database, size=4)) as connections:
        yield PostgresCallRates(connections)


def later(database: str, seconds: float) -> None:
    """What was given out was given out so much earlier."""
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE call_rates SET next_at = next_at - make_interval(secs => %s)", [seconds])


def test_after_a_quiet_time_there_is_a_little_and_then_nothing_for_a_while(rates: PostgresCallRates) -> None:
    assert rates.take("payment", 1000, 0.2) == 1
    assert rates.take("payment", 1000, 0.2) == 0


def test_what_accrues_is_given_out(database: str, rates: PostgresCallRates) -> None:
    rates.take("payment", 1000, 0.2)
    later(database, 5)
    assert rates.take("payment", 1000, 0.2) == 1
    later(database, 3600)
    assert rates.take("payment", 1000, 0.2) == 1


def test_nobody_gets_more_than_is_wanted_and_the_rest_stays(rates: PostgresCallRates) -> None:
    assert rates.take("payment", 3, 0.0001) == 1
    assert rates.take("mail", 3, 1000.0) == 3
    assert rates.take("mail", 300, 1000.0) >= 300


def test_what_is_given_back_can_be_had_again(rates: PostgresCallRates) -> None:
    assert rates.take("payment", 1, 0.2) == 1
    rates.give_back("payment", 1, 0.2)
    assert rates.take("payment", 1, 0.2) == 1


def test_many_at_once_get_no_more_than_one(rates: PostgresCallRates) -> None:
    rate, began = 50.0, monotonic()
    with ThreadPoolExecutor(4) as pool:
        taken = sum(pool.map(lambda _: rates.take("payment", 5, rate), range(100)))
    assert 1 <= taken <= rate * (monotonic() - began + BURST_S) + 1
