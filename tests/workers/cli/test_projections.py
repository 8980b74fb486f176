"""`orderwright projections`, as a person and as a program read it."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from infrastructure.postgres.projections import partition
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import catch_up, execute
from workers.cli.commands import app


@pytest.fixture
def dsn(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", database)
    store_events(database, company(82, 60).appended)
    return database


def call(*arguments: str) -> tuple[int, Any, str]:
    result = CliRunner().invoke(app, ["projections", *arguments])
    try:
        return result.exit_code, json.loads(result.stdout), result.stderr
    except ValueError:
        return result.exit_code, result.stdout, result.stderr


def test_a_single_partition_becomes_several_at_once(dsn: str) -> None:
    code, rows, _ = call("partition", "3", "order_timeline", "--json")
    assert (code, [(row["name"], row["partitions"], row["state"]) for row in rows]) == (
        0,
        [("order_timeline", 3, "running")],
    )
    catch_up(dsn)
    _, rows, _ = call("status", "--json")
    assert {row["name"]: (row["partitions"], row["lag_events"]) for row in rows} == {
        "order_summary": (1, 0),
        "order_timeline": (3, 0),
        "stock_levels": (1, 0),
    }


def test_a_change_that_waits_is_shown_with_its_barrier(dsn: str) -> None:
    partition(dsn, 3, ["order_timeline"])
    execute(dsn, "UPDATE checkpoints SET position = 5 WHERE name = 'order_timeline/1'")
    code, _, said = call("partition", "2", "order_timeline", "--wait", "0.2")
    assert (code, "barrier" in said) == (1, True)
    _, (row,), _ = call("status", "order_timeline", "--json")
    assert (row["state"], row["partitions"], row["wanted"], row["barrier"]) == ("repartitioning", 3, 2, 5)
    catch_up(dsn)
    assert call("partition", "2", "order_timeline", "--wait", "0.2")[0] == 0


def test_who_asks_for_a_change_that_can_never_happen_is_told_why_and_how_to_give_it_up(dsn: str) -> None:
    partition(dsn, 3, ["order_timeline"])
    execute(dsn, "UPDATE checkpoints SET position = 5 WHERE name = 'order_timeline/1'")
    execute(
        dsn,
        "UPDATE checkpoints SET state = 'stopped', stopped_at = 6, reason = 'unknown event' WHERE name = 'order_timeline/0'",
    )
    _, _, said = call("partition", "2", "order_timeline")
    assert "partition 0: unknown event" in said
    assert "orderwright projections partition 3 order_timeline" in said
    call("partition", "3", "order_timeline")
    _, (row,), _ = call("status", "order_timeline", "--json")
    assert row["wanted"] is None


def test_what_cannot_be_partitioned_so_is_refused(dsn: str) -> None:
    assert call("partition", "65")[0] == 2
    assert call("partition", "0")[0] == 2
    assert call("partition", "2", "nothing")[0] == 3
