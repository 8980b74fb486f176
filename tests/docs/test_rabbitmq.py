"""`docs/operations/rabbitmq.md` says what is so: its commands work, its settings exist, its faults were measured."""

import json
import re
from pathlib import Path

import pytest

from infrastructure.settings import PREFIX, Settings
from tests.docs.page import Page, type_in
from workers.bootstrap import Runtime
from workers.bootstrap.broker_admin import read_passwords

PAGE = Page("docs/operations/rabbitmq.md")


@pytest.mark.e2e
def test_every_command_of_the_page_works_in_the_order_it_stands_there(tmp_path: Path, database: str) -> None:
    """On the queues in the database: what is said of RabbitMQ alone is tested elsewhere."""
    type_in("\n".join(PAGE.blocks("sh")), tmp_path, DATABASE_URL=database)
    printed = json.loads((tmp_path / "definitions.json").read_text())
    assert len(printed["users"]) == len(printed["permissions"]) == 7
    secret = read_passwords(
        tmp_path / "passwords", {one["name"].removeprefix("orderwright-") for one in printed["users"]}
    )
    assert not any(password in str(printed) for password in secret.values())


def test_every_setting_of_the_page_exists() -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z_]+)=", PAGE.text))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_table_of_users_has_every_role() -> None:
    definitions = Runtime.broker_definitions(vhost="/", nodes=3, max_length=100_000, passwords=None)
    rows = set(re.findall(r"^\| `([a-z]+)` \|", PAGE.text, re.MULTILINE))
    assert rows == {"setup", "worker", "relay", "intake", "keeper", "producer", "doctor"}
    assert {str(one["name"]) for one in definitions["policies"]} <= set(
        re.findall(r"`(orderwright-[a-z]+)`", PAGE.text)
    )
