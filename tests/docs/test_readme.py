"""The README is run as it stands: its files are written, its commands typed in order, by a newcomer in an empty folder."""

import re
import socket
from pathlib import Path

import pytest

from tests.docs.page import ROOT, Page, type_in

README = Page("README.md").text
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
    return "\n".join(parts)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.e2e
@pytest.mark.slow
def test_every_command_of_the_readme_works_in_the_order_it_stands_there(tmp_path: Path) -> None:
    for found in FILE.finditer(README):
        (tmp_path / found["name"]).write_text(found["text"], encoding="utf-8")
    done = type_in(script().replace("8077", str(free_port())), tmp_path, within_s=240)
    assert "WEB-1001" in done.stdout


def test_every_file_that_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make (\w+)`", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
