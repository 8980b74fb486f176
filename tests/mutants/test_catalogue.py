"""The seeded bugs can still be seeded: each text that a bug replaces is there, once. `make mutants` runs them."""

import ast
from pathlib import Path

import pytest

from tests.mutants.catalogue import MUTANTS
from tests.mutants.patch import Edit, Gone, Mutant
from tests.mutants.runs import RUNS

AT_LEAST = 20


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_bug_can_be_seeded_and_leaves_code_that_runs(mutant: Mutant) -> None:
    for path, text in mutant.texts().items():
        if path.suffix == ".py":
            ast.parse(text)


def test_every_bug_has_a_run_and_something_that_finds_it() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= AT_LEAST
    assert all(mutant.run in RUNS and mutant.caught_by for mutant in MUTANTS)


def test_a_text_that_is_gone_or_not_alone_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("a = 1\nb = 1\n", encoding="utf-8")
    for old in ("c = 1", " = 1"):
        mutant = Mutant(name="X", bug="", run="", caught_by=frozenset(), edits=(Edit("code.py", old, ""),))
        with pytest.raises(Gone):
            mutant.texts(tmp_path)
