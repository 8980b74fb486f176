"""`docs/operations/projections.md` is run as it stands, on a database with a history."""

import re
from pathlib import Path

import pytest

from infrastructure.postgres.projections import status, verify
from infrastructure.postgres.projections.status import ProjectionStatus
from tests.docs.page import Page, type_in
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import execute

PAGE = Page("docs/operations/projections.md")


@pytest.mark.e2e
def test_every_command_of_the_page_works_in_the_order_it_stands_there(tmp_path: Path, database: str) -> None:
    store_events(database, company(91, 100).appended)
    type_in("\n".join(PAGE.blocks("sh")), tmp_path, DATABASE_URL=database)
    assert [(line.partitions, line.state) for line in status(database)] == [(1, "running")] * 3
    assert verify(database) == []
    (query,) = PAGE.blocks("sql")
    assert execute(database, query) == [(status(database)[0].position,)]


def test_the_page_tells_every_state_that_the_status_knows() -> None:
    told = set(re.findall(r"^\| (\w+) \|", PAGE.text, re.MULTILINE)) - {"state"}
    assert told == set(ProjectionStatus.__annotations__["state"].__args__)
