"""What `docs/operations/etcd.md` says can be done: its settings are settings, its commands are commands, its flags are etcd's."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infrastructure.settings import load
from tests.docs.page import Page
from workers.bootstrap.coordination import etcd
from workers.cli.commands import app

PAGE = Page("docs/operations/etcd.md")


def test_the_settings_are_accepted_and_lead_to_a_cluster(tmp_path: Path) -> None:
    (block,) = PAGE.blocks("ini")
    given = dict(line.split("=", 1) for line in block.splitlines())
    settings, origins = load(environment=given, file=None)
    assert [name for name, origin in origins.items() if origin == "environment"] == [
        name.removeprefix("ORDERWRIGHT_").lower() for name in given
    ]
    without_files = settings.model_copy(update={"etcd_ca": None, "etcd_cert": None, "etcd_key": None})
    etcd(without_files).close()


def test_the_commands_are_commands() -> None:
    told = re.findall(r"^orderwright (\w+) (\w+)(.*)$", "".join(PAGE.blocks("sh")), re.MULTILINE)
    assert len(told) == 3
    for group, name, rest in told:
        shown = CliRunner().invoke(app, [group, name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
        assert shown.exit_code == 0, f"{group} {name}"
        assert all(option in shown.output for option in re.findall(r"--\w+", rest))


@pytest.mark.skipif(shutil.which("etcd") is None, reason="etcd is not installed (Debian: apt install etcd-server)")
def test_the_flags_are_those_of_etcd() -> None:
    (start,) = [block for block in PAGE.blocks("sh") if block.startswith("etcd --name")]
    known = subprocess.run(["etcd", "--help"], capture_output=True, text=True, check=False, timeout=30)
    flags = re.findall(r" (--[a-z-]+)", start)
    assert len(flags) > 15
    assert [flag for flag in flags if f"{flag} " not in known.stdout + known.stderr] == []
