"""Fail points: inert without a test, exact within one."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import Misconfigured, OutcomeUnknown
from infrastructure import failpoints
from infrastructure.failpoints import InjectedFault, arm, passing, reach

ROOT = Path(__file__).parents[2]
CODE = [path for name in ("infrastructure", "workers") for path in (ROOT / name).rglob("*.py")]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def plan(text: str, log: Path | None = None) -> None:
    assert arm({"ORDERWRIGHT_TEST_MODE": "1", "ORDERWRIGHT_FAILPOINTS": text, failpoints.LOG: str(log or "")})


def strikes(times: int, key: str = "") -> list[int]:
    """At which of so many visits the relay's point raised."""
    struck = []
    for number in range(1, times + 1):
        try:
            reach("before_orphans", key)
        except InjectedFault:
            struck.append(number)
    return struck


def named_in_code() -> list[str]:
    """The first argument of every call of `reach` and `passing`."""
    calls = [node for path in CODE for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    ours = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"reach", "passing"}]
    return [str(call.args[0].value) for call in ours if isinstance(call.args[0], ast.Constant)]


def test_every_named_point_is_in_the_code_and_every_point_in_the_code_has_a_name() -> None:
    assert set(named_in_code()) == set(failpoints.POINTS)
    assert len(failpoints.POINTS) >= 25


@pytest.mark.parametrize("environment", [{}, {"ORDERWRIGHT_TEST_MODE": "0"}, {"ORDERWRIGHT_TEST_MODE": "yes"}])
def test_outside_test_mode_a_plan_means_nothing(environment: dict[str, str]) -> None:
    assert not arm({**environment, "ORDERWRIGHT_FAILPOINTS": "before_orphans:raise"})
    assert strikes(3) == []


def test_a_rule_strikes_every_time_unless_it_says_when() -> None:
    plan("before_orphans:raise")
    assert strikes(3) == [1, 2, 3]


@pytest.mark.parametrize(
    ("when", "struck"), [("@3", [3]), ("@3+", [3, 4, 5]), ("@3+;times=2", [3, 4]), (";times=1", [1]), ("@0%", [])]
)
def test_a_rule_strikes_at_the_times_that_it_names(when: str, struck: list[int]) -> None:
    plan(f"before_orphans:raise{when}")
    assert strikes(5) == struck


def test_a_rule_may_wait_for_one_order() -> None:
    plan("before_orphans:raise@key=A-7")
    assert strikes(2, "A-8") == []
    assert strikes(2, "A-7") == [1, 2]


def test_a_share_strikes_about_as_often_as_it_says() -> None:
    plan("before_orphans:raise@20%;seed=7")
    assert 120 < len(strikes(1000)) < 280


def test_an_answer_is_dropped_as_if_the_outcome_were_unknown() -> None:
    plan("after_call_before_commit:drop-response")
    with pytest.raises(OutcomeUnknown):
        reach("after_call_before_commit", "A-1")


def test_messages_pass_unchanged_doubled_or_out_of_order() -> None:
    assert passing("before_publish", [1, 2]) == [1, 2]
    plan("before_publish:dup")
    assert passing("before_publish", [1, 2]) == [1, 2, 1, 2]
    plan("before_publish:reorder(10)")
    passed = [one for start in range(0, 100, 5) for one in passing("before_publish", range(start, start + 5))]
    assert 90 <= len(passed) <= 99
    assert passed != sorted(passed)
    plan("before_publish:lose")
    assert passing("before_publish", [1, 2]) == []


@pytest.mark.parametrize(
    "text", ["nowhere:kill", "before_orphans:melt", "before_orphans", "before_orphans:kill@often", "a:kill;loud=1"]
)
def test_a_plan_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured):
        plan(text)


def test_what_was_reached_and_what_fired_is_on_record_before_anything_happens(tmp_path: Path) -> None:
    plan("before_orphans:raise@2", tmp_path / "log")
    strikes(3, "A-1")
    assert (tmp_path / "log").read_text().splitlines() == [
        "reached before_orphans",
        "fired before_orphans raise A-1",
    ]


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--test-mode"], -signal.SIGKILL)])
def test_the_program_dies_at_a_fail_point_only_in_test_mode(
    arguments: list[str], code: int, empty_database: str
) -> None:
    environment = {**os.environ, "DATABASE_URL": empty_database, failpoints.PLAN: "before_migration:kill"}
    command = [sys.executable, "-m", "workers", "migrate", "up", *arguments]
    assert (
        subprocess.run(command, env=environment, cwd=ROOT, check=False, timeout=60, capture_output=True).returncode
        == code
    )


def test_a_plan_that_cannot_be_read_ends_the_program_with_one_sentence() -> None:
    environment = {**os.environ, failpoints.TEST_MODE: "1", failpoints.PLAN: "nowhere:kill"}
    command = [sys.executable, "-m", "workers", "--help"]
    seen = subprocess.run(command, env=environment, cwd=ROOT, check=False, timeout=60, capture_output=True, text=True)
    assert (seen.returncode, seen.stderr.count("\n")) == (1, 1)
    assert "there is no fail point 'nowhere'" in seen.stderr
