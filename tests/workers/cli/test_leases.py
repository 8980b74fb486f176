"""`orderwright leases list`, as a person and as a program read it."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from infrastructure.postgres.leases import PostgresLeases
from workers.cli.commands import app

TIME = timedelta(seconds=30)


@pytest.fixture
def table(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresLeases]:
    monkeypatch.setenv("DATABASE_URL", database)
    yield (table := PostgresLeases(database))
    for beacon in list(table._beacons.values()):
        table.forget(beacon.holder)


def test_people_see_who_holds_what(table: PostgresLeases) -> None:
    assert "nobody holds a lease" in CliRunner().invoke(app, ["leases", "list"]).output
    holder = table.enter("projector@here:1", TIME)
    grant = table.take("projector:stock_levels", holder, TIME)
    assert grant is not None
    shown = CliRunner().invoke(app, ["leases", "list", "--json"])
    assert shown.exit_code == 0
    [row] = json.loads(shown.stdout)
    assert (row["name"], row["state"], row["holder"], row["beacon"]) == (
        "projector:stock_levels",
        "held",
        "projector@here:1",
        True,
    )
    assert row["epoch"] == grant.epoch
    assert "projector:stock_levels" in CliRunner().invoke(app, ["leases", "list"]).stdout
