"""`docs/operations/rabbitmq.md` says what is so: its commands work, its settings exist, its faults were measured."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.settings import PREFIX, Settings
from workers.bootstrap import Runtime
from workers.bootstrap.broker_admin import read_passwords

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/operations/rabbitmq.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.e2e
def test_every_command_of_the_page_works_in_the_order_it_stands_there(tmp_path: Path, database: str) -> None:
    """On the queues in the database: what is said of RabbitMQ alone is tested elsewhere."""
    shim = tmp_path / "bin" / "orderwright"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers "$@"\n')
    shim.chmod(0o755)
    environment = {
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "DATABASE_URL": database,
    }
    script = "set -eu\n" + "\n".join(blocks("sh"))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = json.loads((tmp_path / "definitions.json").read_text())
    assert len(printed["users"]) == len(printed["permissions"]) == 7
    secret = read_passwords(
        tmp_path / "passwords", {one["name"].removeprefix("orderwright-") for one in printed["users"]}
    )
    assert not any(password in str(printed) for password in secret.values())


def test_every_setting_of_the_page_exists() -> None:
    named = set(re.findall(rf"{PREFIX}([A-Z_]+)=", TEXT))
    assert named
    assert {name.lower() for name in named} <= set(Settings.model_fields)


def test_the_table_of_users_has_every_role() -> None:
    definitions = Runtime.broker_definitions(vhost="/", nodes=3, max_length=100_000, passwords=None)
    rows = set(re.findall(r"^\| `([a-z]+)` \|", TEXT, re.MULTILINE))
    assert rows == {"setup", "worker", "relay", "intake", "keeper", "producer", "doctor"}
    assert {str(one["name"]) for one in definitions["policies"]} <= set(re.findall(r"`(orderwright-[a-z]+)`", TEXT))
