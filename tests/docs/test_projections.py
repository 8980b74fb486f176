"""`docs/operations/projections.md` is run as it stands, on a database with a history."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.postgres.projections import status, verify
from infrastructure.postgres.projections.status import ProjectionStatus
from tests.infrastructure.projections.histories import company, store_events
from tests.infrastructure.projections.read_side import execute

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/operations/projections.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.e2e
def test_every_command_of_the_page_works_in_the_order_it_stands_there(tmp_path: Path, database: str) -> None:
    store_events(database, company(91, 100).appended)
    shim = tmp_path / "bin" / "orderwright"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers "$@"\n')
    shim.chmod(0o755)
    environment = {
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "NO_COLOR": "1",
        "DATABASE_URL": database,
    }
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n" + "\n".join(blocks("sh"))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert "Traceback" not in done.stderr
    assert [(line.partitions, line.state) for line in status(database)] == [(1, "running")] * 3
    assert verify(database) == []
    (query,) = blocks("sql")
    assert execute(database, query) == [(status(database)[0].position,)]


def test_the_page_tells_every_state_that_the_status_knows() -> None:
    told = set(re.findall(r"^\| (\w+) \|", TEXT, re.MULTILINE)) - {"state"}
    assert told == set(ProjectionStatus.__annotations__["state"].__args__)
