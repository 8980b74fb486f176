"""Read models on a replica: read there while it keeps up, waited for where somebody must see what they wrote, and never trusted blindly."""

import json
from pathlib import Path

import pytest

from infrastructure.postgres import migrate, replica
from infrastructure.postgres.projections import PostgresProjector
from tests.e2e.program import Program, order_file
from tests.servers.postgres_pair import PrimaryAndReplica
from tests.servers.simulator import await_that

SAID = "the primary is asked instead of the replica"


@pytest.fixture
def program(tmp_path: Path, pair: PrimaryAndReplica) -> Program:
    """Three orders placed and projected, and both servers know it."""
    migrate.up(pair.primary_dsn)
    settings = {"DATABASE_URL": pair.primary_dsn, "ORDERWRIGHT_REPLICA_URL": pair.replica_dsn}
    program = Program(tmp_path, {**settings, "ORDERWRIGHT_REPLICA_WAIT_S": "1"})
    order_file(tmp_path / "o.jsonl", 3)
    assert program.call("submit", "o.jsonl").code == 0
    project(pair)
    pair.await_replica()
    return program


def project(pair: PrimaryAndReplica) -> int:
    """Bring the read models up to date; returns how far that is."""
    projector = PostgresProjector(pair.primary_dsn)
    while projector.advance().events:
        pass
    projector.close()
    with pair.primary.ask() as connection:
        row = connection.execute("SELECT max(position) FROM events").fetchone()
    assert row is not None
    return int(row[0])


def listed(program: Program, *more: str, **environment: str) -> tuple[int, str]:
    """How many orders, and what was said about it."""
    ended = Program(program.folder, {**program.environment, **environment}).call("orders", "list", "--json", *more)
    assert ended.code == 0, ended.err
    return len(json.loads(ended.out)), ended.err


def test_lists_come_from_the_replica_and_the_primary_is_not_asked(program: Program, pair: PrimaryAndReplica) -> None:
    pair.cut_replica()
    with pair.primary.ask() as connection:
        connection.execute("DELETE FROM order_summary_v1")
    assert listed(program, ORDERWRIGHT_REPLICA_LAG_S="1000") == (3, "")


def test_who_needs_its_own_write_waits_until_the_replica_shows_it(program: Program, pair: PrimaryAndReplica) -> None:
    pair.pause_replay()
    order_file(program.folder / "more.jsonl", 5)
    assert program.call("submit", "more.jsonl").code == 0
    position = project(pair)
    late = {"ORDERWRIGHT_REPLICA_LAG_S": "1000", "ORDERWRIGHT_REPLICA_WAIT_S": "60"}
    assert listed(program, **late) == (3, "")
    with program.running("orders", "list", "--json", "--at-least", str(position), **late) as waiting:
        await_that(lambda: _waits(pair))
        pair.resume_replay()
        assert waiting.process.wait(60) == 0
    said = waiting.log.read_text(encoding="utf-8")
    assert (said.count('"order_id"'), SAID in said) == (5, False)


def _waits(pair: PrimaryAndReplica) -> bool:
    with pair.replica.ask() as connection:
        asks = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'orderwright replica'"
        return connection.execute(asks).fetchone() == (True,)


def test_a_replica_that_does_not_get_there_in_time_is_passed_by_and_that_is_said(
    program: Program, pair: PrimaryAndReplica
) -> None:
    pair.cut_replica()
    order_file(program.folder / "more.jsonl", 5)
    assert program.call("submit", "more.jsonl").code == 0
    position = project(pair)
    count, said = listed(program, "--at-least", str(position), ORDERWRIGHT_REPLICA_LAG_S="1000")
    assert (count, said.count(SAID)) == (5, 1)
    never = program.call("orders", "list", "--at-least", str(position + 1000))
    assert never.code != 0
    assert f"not {position + 1000}" in never.err


def test_a_replica_that_is_too_far_behind_or_away_is_not_asked(program: Program, pair: PrimaryAndReplica) -> None:
    pair.cut_replica()
    found = replica.state(pair.replica_dsn)
    assert found.is_standby
    await_that(lambda: (replica.state(pair.replica_dsn).lag_s or 0) > 0.2)
    count, said = listed(program, ORDERWRIGHT_REPLICA_LAG_S="0.1")
    assert (count, said.count(SAID)) == (3, 1)
    assert doctor(program, ORDERWRIGHT_REPLICA_LAG_S="0.1")["state"] == "warn"
    pair.heal_replica()
    assert doctor(program) == {"check": "replica", "state": "ok", "why": "0.0 s behind"}
    pair.replica.kill()
    count, said = listed(program)
    assert (count, said.count(SAID)) == (3, 1)


def doctor(program: Program, **environment: str) -> dict[str, str]:
    findings = Program(program.folder, {**program.environment, **environment}).call("doctor", "--json").json()
    [found] = [one for one in findings if one["check"] == "replica"]
    return {name: found[name] for name in ("check", "state", "why")}
