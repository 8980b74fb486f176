"""Rows that tests prove: all of their tests in one run of pytest, and each row's share of the result."""

import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from tests.chaos.matrix import Outcome, Row
from tests.faults.nursery import ROOT

PROOFS_S = 600.0


def run_proofs(rows: Sequence[Row]) -> list[Outcome]:
    """Run them; a row is green if all tests that it names ran and passed."""
    if not rows:
        return []
    started = monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        tests = {test for row in rows for test in row.tests}
        files = sorted({test.partition("::")[0] for test in tests})
        names = ["-k", " or ".join(sorted({test.rpartition("::")[2] for test in tests}))]  # wherever in the file it is
        command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:randomly"]
        options = [f"--junitxml={report}", "-o", "junit_family=xunit1"]
        subprocess.run(
            [*command, *options, *files, *names], cwd=ROOT, check=False, timeout=PROOFS_S, stdout=subprocess.DEVNULL
        )
        results = _results(report)
    took = monotonic() - started
    return [_outcome(row, results, took) for row in rows]


def _results(report: Path) -> dict[str, list[str]]:
    """What became of each test, by `path::name` without parameters, and without the group that xdist adds."""
    results = defaultdict[str, list[str]](list)
    for case in ET.parse(report).getroot().iter("testcase") if report.exists() else ():
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        name = re.split(r"[\[@]", case.get("name", ""))[0]
        results[f"{_path(case.get('classname', ''))}::{name}"].append(min(kinds, default="passed"))
    return results


def _path(name: str) -> str:
    """The file of `tests.chaos.test_matrix.TestThis`, which may have inherited the test from another file."""
    parts = name.split(".")
    last = max(place for place, part in enumerate(parts) if part.startswith("test"))
    return "/".join(parts[: last + 1]) + ".py"


def _outcome(row: Row, results: dict[str, list[str]], took_s: float) -> Outcome:
    found = {test: results.get(test, ["missing"]) for test in row.tests}
    bad = {test: states for test, states in found.items() if set(states) - {"passed"}}
    skipped = bad and all(set(states) <= {"passed", "skipped"} for states in bad.values())
    verdict = "skipped" if skipped else "failed" if bad else "passed"
    notes = [f"{sum(map(len, found.values()))} tests", *(f"{test} {states[0]}" for test, states in bad.items())]
    return Outcome(row=row, verdict=verdict, green=not bad or bool(skipped), took_s=took_s, notes=notes)
