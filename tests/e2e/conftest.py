"""The program on a database of its own."""

from pathlib import Path

import pytest

from tests.e2e.program import Program


@pytest.fixture
def program(tmp_path: Path, database: str) -> Program:
    """On a fresh migrated database, with queues in the same one."""
    return Program(tmp_path, {"DATABASE_URL": database})


@pytest.fixture
def alone(tmp_path: Path) -> Program:
    """With nothing but a folder."""
    return Program(tmp_path, {})
