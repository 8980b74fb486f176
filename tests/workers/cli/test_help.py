"""Every command can be found, explains itself, and is quick about it."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from workers.cli.commands import app

GROUPS = {
    "orders": {"list", "show", "timeline", "cancel", "hold", "release"},
    "stock": {"receive", "show"},
    "migrate": {"up", "status", "check", "wait", "sql", "grants"},
    "work": {"list", "rebuild", "audit"},
    "health": {"live", "ready"},
    "leases": {"list"},
    "settings": {"get", "set", "unset", "rollback", "restore", "history", "diff", "watch"},
    "broker": {"check", "definitions", "setup"},
    "projections": {"status", "partition"},
    "breakers": {"list", "history", "open", "close", "auto"},
    "config": {"show"},
    "schemas": {"export"},
    "dlq": {"list", "groups", "show", "export", "retry", "discard", "restore", "edit", "conclude"},
}
SINGLE = {
    "reconcile",
    *("demo", "dev", "submit", "replay", "doctor"),
    *("worker", "relay", "projector", "intake", "keeper", "simulator"),
}
SLOW_TO_IMPORT = ("kombu", "psycopg", "pydantic", "structlog", "workers.bootstrap", "urllib3")


def paths(command: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command's place in the tree."""
    yield before
    for name, child in getattr(command, "commands", {}).items():
        yield from paths(child, (*before, name))


EVERY = sorted(paths(typer.main.get_command(app)))


def test_the_tree_of_commands_is_what_the_manual_promises() -> None:
    assert set(EVERY) == {
        (),
        *((name,) for name in SINGLE | GROUPS.keys()),
        *((group, name) for group, names in GROUPS.items() for name in names),
    }


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_every_command_explains_itself_and_lists_what_it_holds(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    assert result.exception is None
    assert "Usage:" in result.output
    for child in EVERY:
        if child[:-1] == path and child:
            assert child[-1] in result.output


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; sys.argv = ['orderwright', '--help']\n"
        "from workers.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {SLOW_TO_IMPORT!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"


def test_an_unknown_command_is_a_usage_error() -> None:
    assert CliRunner().invoke(app, ["ordres"]).exit_code == 2


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output
