"""The looks at what is due end where the future begins: timers that lie ahead are not read, however many there are."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from domain.work import Step
from infrastructure.postgres.queries import load

_SQL = load("work")
PORTION = {"partitions": 4, "patience": timedelta(seconds=10)}


@pytest.mark.parametrize(
    ("query", "more"),
    [
        ("claim_due", {"ahead": timedelta(0), "holder": 1}),
        ("wake", {}),
        ("wake_portion", {**PORTION, "mine": [1, 2]}),
        ("wake_portion", {**PORTION, "mine": []}),
    ],
)
def test_the_index_ends_at_the_present(module_database: str, query: str, more: dict[str, Any]) -> None:
    arguments = {"limit": 10, "steps": list(Step), **more}
    with psycopg.connect(module_database) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(b"EXPLAIN " + _SQL[query], arguments).fetchall()
    assert any("Index Cond: (wake_at <=" in line for (line,) in plan), plan
