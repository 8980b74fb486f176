"""The checker judges the product, so it may share nothing with it: neither code nor anything that imports it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = {"domain", "infrastructure", "workers", "migrations"}
ALLOWED = {"psycopg", "pytest", "tests", *sys.stdlib_module_names}
FILES = sorted((ROOT / "tests" / "checker").glob("*.py"))


def _imported(path: Path) -> set[str]:
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_checker_imports_nothing_of_what_it_judges(path: Path) -> None:
    for name in _imported(path):
        assert name.split(".")[0] in ALLOWED
        assert not name.startswith("tests.") or name.startswith("tests.checker")


def test_running_the_checker_loads_no_module_of_the_product() -> None:
    script = "import sys, tests.checker.__main__; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    seen = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert not PRODUCT & set(seen.stdout.split())
