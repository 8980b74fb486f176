"""What `docs/operations/cluster.md` says is so: its settings are settings, its commands are commands, its kinds of faults happen."""

import re

import pytest

from infrastructure.settings import load
from tests.docs.page import ROOT, Page
from tests.drill.__main__ import main
from tests.drill.schedule import KINDS

PAGE = Page("docs/operations/cluster.md")


def test_the_settings_of_a_cluster_are_accepted() -> None:
    (block,) = PAGE.blocks("ini")
    given = dict(line.split("=", 1) for line in block.splitlines())
    _, origins = load(environment=given)
    told = {name for name, origin in origins.items() if origin == "environment"}
    assert len(told) == len(given), "each line is a setting"


def test_the_commands_of_the_drill_are_understood(capsys: pytest.CaptureFixture[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^drill:", makefile, re.MULTILINE)
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    known = capsys.readouterr().out
    named = set(re.findall(r"--[a-z]+", "".join(PAGE.blocks("sh"))))
    assert named
    assert [option for option in named if option not in known] == []


def test_every_kind_of_fault_of_the_drill_is_told() -> None:
    told = set(re.findall(r"^\| (\w[\w ]*) \| .*signal|^\| (freeze|cut|kill|fail over) \|", PAGE.text, re.MULTILINE))
    assert {*KINDS, "fail over"} <= {kind for pair in told for kind in pair}
