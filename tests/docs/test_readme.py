"""The README is run as it stands: its files are written, its commands typed in order, by a newcomer in an empty folder."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILE = re.compile(r"<!-- file: (?P<name>[\w.]+) -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
UNTIL_CLOSED = """
for attempt in $(seq 150); do
    orderwright orders show WEB-1001 --output json 2>/dev/null | grep -q OrderClosed && break
    read -t 0.4 <> <(:) || true
done
orderwright orders show WEB-1001 --output json | grep -q OrderClosed
"""


def script() -> str:
    """All blocks of commands but `make`, with a wait after the workers were started, since readers take longer than scripts."""
    blocks = [block for block in COMMANDS.findall(README) if not block.startswith("make ")]
    parts = [block + (UNTIL_CLOSED if "orderwright worker &" in block else "") for block in blocks]
    ending = "trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
    return "set -eu\n" + ending + "\n".join(parts)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.e2e
@pytest.mark.slow
def test_every_command_of_the_readme_works_in_the_order_it_stands_there(tmp_path: Path) -> None:
    for found in FILE.finditer(README):
        (tmp_path / found["name"]).write_text(found["text"], encoding="utf-8")
    shim = tmp_path / "bin" / "orderwright"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers "$@"\n')
    shim.chmod(0o755)
    environment = {
        "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "NO_COLOR": "1",
    }
    port = str(free_port())
    done = subprocess.run(
        ["bash", "-c", script().replace("8077", port)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert "Traceback" not in done.stderr
    assert "WEB-1001" in done.stdout


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make (\w+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
