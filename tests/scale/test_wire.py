"""Rules that hold for the whole program: what listens, how SQL is written, and that the documented limits are the real ones."""

import re
import tomllib
from pathlib import Path

import pytest

from infrastructure import secret_files
from infrastructure.gateways import classify, connection
from infrastructure.intake import parse, refusal, submission
from infrastructure.messaging import frames
from infrastructure.messaging.settings import BrokerSettings
from tests.e2e.program import Program

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "docs" / "operations" / "security.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost.example"])
def test_the_simulator_listens_to_other_machines_only_if_that_is_said(tmp_path: Path, host: str) -> None:
    program = Program(tmp_path, {"ORDERWRIGHT_DATA_DIR": str(tmp_path)})
    ended = program.call("simulator", "--host", host)
    assert ended.code == 2
    assert "--exposed" in ended.err


def test_sql_is_never_put_together_from_text() -> None:
    """The rule is on, nowhere in the program is an exception made, and `make check` runs it."""
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["ruff"]["lint"]
    assert lint["select"] == ["ALL"]
    assert not {"S", "S6", "S608"} & set(lint["ignore"])
    for folder in ("domain", "infrastructure", "workers", "migrations"):
        assert not {"S", "S608"} & set(lint.get("per-file-ignores", {}).get(f"{folder}/**", []))
        for path in (ROOT / folder).rglob("*.py"):
            assert "S608" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize(
    ("door", "limits"),
    [
        ("an order's document", [parse.MAX_BYTES, parse.MAX_VALUES, submission.MAX_LINES]),
        ("quantity of a line", [submission.MAX_QUANTITY]),
        ("refusal of one document", [refusal.MAX_ERRORS]),
        ("a wake-up frame", [frames.MAX_BYTES, frames.MAX_ORDERS]),
        ("a broker message", [BrokerSettings(url="memory://").body_limit]),
        ("an answer of a gateway", [connection.MAX_HEAD, connection.MAX_BODY]),
        ("`Retry-After` of a gateway", [int(classify.MAX_RETRY_AFTER_S)]),
        ("a secret file", [secret_files.LARGEST]),
    ],
)
def test_the_limits_in_the_documents_are_the_real_ones(door: str, limits: list[int]) -> None:
    [line] = [line for line in SECURITY.splitlines() if line.startswith(f"| {door}")]
    told = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", line)]
    assert told[: len(limits)] == limits


def test_the_tests_that_the_document_names_exist() -> None:
    for name in re.findall(r"`([a-z_/]+\.py)`", SECURITY):
        assert (ROOT / "tests" / name).is_file() or (ROOT / name).is_file(), name
