"""`orderwright dlq edit` at a terminal: the operator's own editor is opened, and what it leaves behind counts."""

import os
import subprocess
from pathlib import Path

import pytest

from infrastructure.postgres.dead_letters import PostgresDeadLetters
from infrastructure.postgres.store import PostgresStore
from tests.contracts.letters import message
from tests.e2e.program import COMMAND, LIMIT_S, Program, order_line

pytestmark = pytest.mark.e2e


def edit(program: Program, editor: Path) -> "subprocess.CompletedProcess[bytes]":
    """Edit the first letter with a terminal as standard input."""
    ours, terminal = os.openpty()
    try:
        return subprocess.run(
            [*COMMAND, "dlq", "edit", "1", "--reason", "a brace was missing"],
            cwd=program.folder,
            env={**program.environment, "VISUAL": "", "EDITOR": f"{editor} --wait"},
            stdin=terminal,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    finally:
        os.close(terminal)
        os.close(ours)


@pytest.mark.parametrize(
    ("does", "told", "letters"),
    [
        ('printf "}" >> "$2"', b"letter 2 is the edited copy of 1", 2),
        ("true", b"nothing was changed", 1),
        ('echo "nonsense" > "$2"; exit 3', b"ended with an error; nothing was changed", 1),
    ],
)
def test_what_the_editor_leaves_behind_counts(
    program: Program, database: str, tmp_path: Path, does: str, told: bytes, letters: int
) -> None:
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ntest "$1" = --wait || exit 9\n{does}\n', encoding="utf-8")
    editor.chmod(0o755)
    store = PostgresStore(database)
    kept = PostgresDeadLetters(store)
    kept.keep(message(body=order_line(1)[:-1], origin="ow_orders"))
    ended = edit(program, editor)
    found = store.dead_letters()
    store.close()
    assert told in ended.stderr, ended.stderr
    assert len(found) == letters
    assert found[-1].body == (order_line(1) if letters == 2 else order_line(1)[:-1])
