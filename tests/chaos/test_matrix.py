"""The matrix itself: no fault of the list is forgotten, and every proof that a row names exists."""

import ast
from pathlib import Path

import pytest

from tests.chaos.groups import GROUPS
from tests.chaos.matrix import Row, load_rows, place, select

ROOT = Path(__file__).parents[2]
ROWS = load_rows()
INHERITED = ("broker", "gateways")
PROOFS = sorted({test for row in ROWS.values() for test in row.tests})


def test_every_fault_of_the_list_has_a_row_or_a_reason_why_not() -> None:
    assert {place(number)[0] for number in ROWS} == set(range(1, 101))
    assert all(row.inject or row.tests or row.untested for row in ROWS.values())


def test_every_live_row_has_an_installation() -> None:
    assert {row.group for row in ROWS.values() if row.inject} == set(GROUPS)


@pytest.mark.parametrize("test", PROOFS)
def test_every_proof_exists(test: str) -> None:
    path, *_, name = test.split("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    inherited = "".join((ROOT / f"tests/contracts/{name}.py").read_text(encoding="utf-8") for name in INHERITED)
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in names or f"def {name}(" in inherited


def test_a_row_is_chosen_by_its_number_or_its_level() -> None:
    rows: list[Row] = list(ROWS.values())
    assert {row.number for row in select(rows, ["F19"], [])} == {"F19", "F19b"}
    assert {row.level for row in select(rows, [], ["N"])} == {"N"}
