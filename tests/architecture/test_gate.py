"""The gate itself as tests, so that nobody can forget it, and the promises about the shape of the code."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "infrastructure", "workers", "migrations")
LONGEST_FILE = 400
LONGEST_FUNCTION = 40

pytestmark = pytest.mark.xdist_group("gate")  # one after the other: each of them takes all the processors it gets


def test_tests_of_one_group_are_given_to_one_process(request: pytest.FixtureRequest) -> None:
    """By their names: pytest-xdist adds the group, and some versions of pytest do not hear of it."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("not in one of several processes (--dist loadgroup)")
    assert request.node.nodeid.endswith("@gate")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["ruff format --check .", "ruff check .", "mypy", "importlinter"],
)
def test_the_gate_is_green(command: str) -> None:
    program, *arguments = command.split()
    run = ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    if program != "importlinter":
        run = ["-m", program, *arguments]
    seen = subprocess.run([sys.executable, *run], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert seen.returncode == 0, seen.stdout + seen.stderr


@pytest.mark.parametrize(
    "path", sorted(p for name in (*PACKAGES, "tests") for p in (ROOT / name).rglob("*.py")), ids=str
)
def test_files_and_functions_stay_short_and_modules_say_what_they_are(path: Path) -> None:
    source = path.read_text()
    tree = ast.parse(source)
    assert len(source.splitlines()) <= LONGEST_FILE
    assert ast.get_docstring(tree)
    long = [
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and _length(node) > LONGEST_FUNCTION
    ]
    assert not long


def _length(function: ast.FunctionDef) -> int:
    """Lines of the body without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_wheel_holds_the_packages_with_their_data_and_nothing_else(tmp_path: Path) -> None:
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == set(PACKAGES)
    data = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.suffix in {".sql", ".json", ".typed"}
    }
    assert data <= names
