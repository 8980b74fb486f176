"""The page about containers names only commands, settings, functions and files that exist; its SQL is run."""

import re
import shlex
from pathlib import Path

import psycopg

from infrastructure.postgres import migrate
from tests.deploy.manifests import is_command, is_setting

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations" / "containers.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def commands() -> list[list[str]]:
    """What the page tells people to type after `cli`."""
    lines = re.findall(r"^\$ docker compose run .*? cli (.*)$", PAGE, re.MULTILINE)
    return [shlex.split(line.split(" < ")[0]) for line in lines]


def test_the_page_names_commands_and_settings_that_exist() -> None:
    assert len(commands()) >= 3
    assert all(is_command(words) for words in commands())
    settings = set(re.findall(r"ORDERWRIGHT_[A-Z_]+", PAGE)) - {"ORDERWRIGHT_IMAGE", "ORDERWRIGHT_TEST_SERVERS"}
    assert all(is_setting(name) for name in settings), settings


def test_the_page_tells_every_variable_of_the_compose_file_that_people_need() -> None:
    variables = set(re.findall(r"\$\{([A-Z_]+)[:-]", COMPOSE)) - {"LOG_LEVEL", "PIP_NO_INDEX"}
    assert {name for name in variables if f"`{name}`" not in PAGE} == set()


def test_the_files_that_the_page_names_are_there() -> None:
    named = re.findall(r"`((?:deploy|tools|tests|requirements)/[\w./-]+)`", PAGE)
    assert named
    assert all((ROOT / name).exists() for name in named)


def test_the_sql_of_the_page_makes_a_role_that_can_count_and_nothing_else(empty_database: str) -> None:
    (statements,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    migrate.up(empty_database)
    with psycopg.connect(empty_database) as connection:
        connection.execute(statements)
        connection.execute("SET ROLE scaler")
        assert connection.execute("SELECT orderwright_load()").fetchone() == (0,)
        connection.rollback()
