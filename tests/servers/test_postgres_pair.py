"""The pair of servers that others build their tests on."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.servers.postgres_pair import PrimaryAndReplica


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[PrimaryAndReplica]:
    with PrimaryAndReplica(tmp_path / "pair") as pair:
        yield pair


def _write(dsn: str, number: int) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS written (x int)")
        connection.execute("INSERT INTO written VALUES (%s)", [number])


def _numbers(dsn: str) -> list[int]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute("SELECT x FROM written ORDER BY x")]


def test_what_did_not_reach_the_replica_is_lost_with_the_primary_and_the_old_one_can_join_again(
    pair: PrimaryAndReplica,
) -> None:
    _write(pair.dsn, 1)
    pair.await_replica()
    assert _numbers(pair.replica_dsn) == [1]
    pair.cut_replica()
    _write(pair.dsn, 2)
    pair.kill_primary()
    pair.promote()
    _write(pair.dsn, 3)
    assert _numbers(pair.dsn) == [1, 3]
    pair.rejoin()
    pair.await_replica()
    assert _numbers(pair.replica_dsn) == [1, 3]
    pair.cut_replica()
    _write(pair.dsn, 4)
    pair.heal_replica()
    pair.await_replica()
    assert _numbers(pair.replica_dsn) == [1, 3, 4]
