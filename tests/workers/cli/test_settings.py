"""Settings on the command line: precedence, origins, refusals; nothing here connects to anything."""

import json
from pathlib import Path

import pytest

from tests.e2e.program import Program

NOWHERE = "host=127.0.0.1 port=9 connect_timeout=2 password=hunter2"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path, {"DATABASE_URL": NOWHERE})


def test_the_origin_of_every_value_is_told(program: Program, tmp_path: Path) -> None:
    (tmp_path / "orderwright.toml").write_text("batch = 7\nattempts = 3\n")
    arguments = ("config", "show", "--origin", "--json", "--log-level", "debug")
    shown = {row["setting"]: row for row in program.call(*arguments, ORDERWRIGHT_ATTEMPTS="4").json()}
    assert (shown["batch"]["value"], shown["batch"]["origin"]) == (7, "orderwright.toml")
    assert (shown["attempts"]["value"], shown["attempts"]["origin"]) == (4, "environment")
    assert (shown["log_level"]["value"], shown["log_level"]["origin"]) == ("debug", "flag")
    assert shown["lease_s"]["origin"] == "default"


@pytest.mark.parametrize("form", ["table", "json"])
def test_secrets_are_masked(program: Program, form: str) -> None:
    assert "hunter2" not in program.call("config", "show", "--output", form).out


@pytest.mark.parametrize(
    ("file", "hint"),
    [
        ("btach = 7\n", "did you mean batch"),
        ("batch = 'many'\n", "batch (orderwright.toml)"),
        ("batch = 1\nbatch = 2\n", "orderwright.toml"),
        ("\0", "orderwright.toml"),
    ],
)
def test_a_settings_file_with_a_fault_is_refused_with_the_place(
    program: Program, tmp_path: Path, file: str, hint: str
) -> None:
    (tmp_path / "orderwright.toml").write_text(file)
    ended = program.call("config", "show")
    assert (ended.code, ended.out) == (3, "")
    assert hint in ended.err


def test_a_line_break_in_a_setting_of_the_environment_is_refused(program: Program) -> None:
    assert program.call("config", "show", ORDERWRIGHT_DATABASE_URL="host=x\npassword=y").code == 3


@pytest.mark.parametrize(
    "option",
    [("--database-url", "postgresql://me:hunter2@127.0.0.1/x"), ("--broker-url", "amqp://me:hunter2@127.0.0.1/")],
)
def test_a_password_on_the_command_line_earns_a_warning(program: Program, option: tuple[str, str]) -> None:
    ended = program.call("config", "show", *option)
    assert "can be seen by everybody" in ended.err
    assert "hunter2" not in ended.err + ended.out


def test_an_option_value_that_looks_like_an_option_is_a_usage_error(program: Program) -> None:
    assert program.call("config", "show", "--log-level").code == 2


def test_schemas_are_written_for_the_order_and_for_every_event(program: Program, tmp_path: Path) -> None:
    from infrastructure.codec import EVENT_TYPES

    assert program.call("schemas", "export", "out").code == 0
    events = {path.name.split(".")[0] for path in (tmp_path / "out" / "events").iterdir()}
    assert events == EVENT_TYPES.keys()
    for path in (tmp_path / "out").rglob("*.json"):
        assert json.loads(path.read_text())["$schema"].endswith("2020-12/schema")


def test_the_sql_of_all_migrations_is_printed(program: Program) -> None:
    assert "CREATE TABLE events" in program.call("migrate", "sql").out


def test_closed_standard_streams_are_no_reason_to_fail(program: Program) -> None:
    import subprocess

    from tests.e2e.program import COMMAND

    shell = subprocess.run(
        ["sh", "-c", 'exec "$@" >&- 2>&- 0<&-', "sh", *COMMAND, "config", "show"],
        cwd=program.folder,
        env=program.environment,
        timeout=60,
        check=False,
    )
    assert shell.returncode == 0


def test_a_narrow_terminal_without_colours_shows_help(program: Program) -> None:
    ended = program.call("submit", "--help", COLUMNS="20", TERM="dumb", NO_COLOR="1")
    assert ended.code == 0
    assert "\x1b" not in ended.out
