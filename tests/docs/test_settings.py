"""`docs/operations/settings.md` is run as it stands, and leaves out no setting."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infrastructure.live_settings import known_names
from tests.docs.page import Page
from workers.cli.commands import app

PAGE = Page("docs/operations/settings.md")


def typed(line: str) -> tuple[int, str, str]:
    """Exit code, output and messages of one line, in this process: seventeen of their own would take their time."""
    program, *arguments = shlex.split(line.removesuffix(" || true"))
    assert program == "orderwright"
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def _newcomer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an empty folder, and without logging to the stream of a call that is over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("infrastructure.logs.configure", lambda **_: None)


def test_every_command_of_the_page_works_in_the_order_it_stands_there(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    said = ""
    for line in "".join(PAGE.blocks("sh")).splitlines():
        code, out, err = typed(line)
        assert code == 0 or line.endswith("|| true"), (line, err)
        said += out
    assert "carrier's maintenance until 14:00" in said
    assert "closed since" in said
    [console] = PAGE.blocks("console")
    command, answer = console.removeprefix("$ ").split("\n", 1)
    assert typed(command) == (3, "", answer)


def test_the_page_tells_of_every_live_setting() -> None:
    told = set(re.findall(r"`([a-z_]+)(?:=false)?\*?`", PAGE.text))
    missing = {name for name in known_names() if name not in told and not name.startswith("breaker_")}
    assert missing == set()
    assert "`breaker_*`" in PAGE.text
