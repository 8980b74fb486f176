"""`python -m tests.chaos`: run the fault matrix and print it row by row. Exit code 1 if any row is red.

python -m tests.chaos [--level C] [--level N] [--row F24 ...] [--group database ...] [--seed 1] [--jobs 2] [--again 4] [--markdown FILE]

A red row leaves its evidence (history, logs, tables, books, verdict) in `chaos-evidence/` and says how to run it again.
"""

import argparse
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic

from infrastructure.failpoints import POINTS
from tests.chaos.matrix import Outcome, Row, load_rows, place, select
from tests.chaos.proofs import run_proofs
from tests.chaos.rows_in_group import run_group
from tests.chaos.table import HEAD, line, markdown, tell
from tests.faults.nursery import ROOT

EVIDENCE = ROOT / "chaos-evidence"


class Matrix:
    """One run of some rows."""

    def __init__(self, rows: Sequence[Row], seed: int, folder: Path) -> None:
        self.rows = rows
        self.seed = seed
        self.folder = folder
        self.outcomes: list[Outcome] = []
        self._lock = Lock()

    def run(self, jobs: int) -> None:
        """Proofs and groups side by side, the large ones first; a line is told as soon as its row has ended."""
        tell(HEAD)
        sizes = Counter(row.group for row in self.rows if row.inject)
        groups = [group for group, _ in sizes.most_common()]
        with ThreadPoolExecutor(jobs) as pool:
            waiting = [pool.submit(self._run_group, group) for group in groups]
            waiting.append(pool.submit(self._prove))
            for one in waiting:
                one.result()
        for row in self.rows:
            if row.untested:
                verdict = f"not tested: {row.untested}"
                self._done(Outcome(row=row, verdict=verdict, green=True, tested=False))

    def run_again(self, most: int) -> None:
        """Run red rows once more, each alone: the machine may be shared. What is green then says so in its verdict."""
        red = [outcome for outcome in self.outcomes if not outcome.green]
        if not red or len(red) > most:
            return
        tell(f"\nonce more, alone: {', '.join(outcome.row.number for outcome in red)}")
        for outcome in red:
            self.outcomes.remove(outcome)
            if outcome.row.inject:
                place = self.folder / "again" / outcome.row.number
                run_group(outcome.row.group, [outcome.row], seed=self.seed, folder=place, done=self._done)
            else:
                for proven in run_proofs([outcome.row]):
                    self._done(proven)
            self.outcomes[-1].verdict += f" (at the second time; at the first: {outcome.verdict})"

    def _run_group(self, group: str) -> None:
        rows = [row for row in self.rows if row.group == group and row.inject]
        run_group(group, rows, seed=self.seed, folder=self.folder / group, done=self._done)

    def _prove(self) -> None:
        for outcome in run_proofs([row for row in self.rows if row.tests]):
            self._done(outcome)

    def _done(self, outcome: Outcome) -> None:
        with self._lock:
            self.outcomes.append(outcome)
            tell(line(outcome))


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    known = list(load_rows().values())
    rows = select(known, options.row, options.level or ["C"])
    rows = [row for row in rows if not options.group or row.group in options.group]
    started = monotonic()
    folder = Path(tempfile.mkdtemp(prefix="orderwright-chaos-"))
    folder.chmod(0o755)
    matrix = Matrix(rows, options.seed, folder)
    matrix.run(options.jobs)
    if options.again:
        matrix.run_again(options.again)
    outcomes = sorted(matrix.outcomes, key=lambda outcome: place(outcome.row.number))
    if options.markdown:
        options.markdown.write_text(markdown(outcomes), encoding="utf-8")
    red = [outcome for outcome in outcomes if not outcome.green]
    whole = not options.row and not options.group and "C" in (options.level or ["C"])
    return _sum_up(outcomes, red, folder, options.seed, monotonic() - started, whole=whole)


def _sum_up(
    outcomes: Sequence[Outcome], red: Sequence[Outcome], folder: Path, seed: int, took_s: float, *, whole: bool
) -> int:
    for outcome in red:
        _keep(outcome, folder)
        tell(f"\n{outcome.row.number} is red: {outcome.verdict}\n  evidence: {outcome.evidence or 'see above'}")
        tell(f"  again:    make chaos ROW={outcome.row.number} SEED={seed}")
    missed = sorted(set(POINTS) - _reached(folder)) if whole else []
    if missed:
        tell(f"\nfail points that no row has reached: {', '.join(missed)}")
    shutil.rmtree(folder, ignore_errors=True)
    ran = [outcome for outcome in outcomes if outcome.tested]
    green, rest = sum(outcome.green for outcome in ran), len(outcomes) - len(ran)
    tell(f"\n{green} of {len(ran)} rows green, {rest} not tested, seed {seed}, {took_s:.0f} s")
    return 1 if red or missed else 0


def _reached(folder: Path) -> set[str]:
    logs = folder.rglob("failpoints.log")
    lines = [line for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    return {line.split()[1] for line in lines if line.startswith("reached ")}


def _keep(outcome: Outcome, folder: Path) -> None:
    """Everything but the server's own files."""
    if not outcome.evidence:
        return
    kept = EVIDENCE / f"{outcome.row.number}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder / outcome.evidence, kept, ignore=shutil.ignore_patterns("postgres", "data", "*.pipe"))
    outcome.evidence = str(kept)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos", description="Runs the fault matrix.")
    parser.add_argument("--level", action="append", choices=["C", "N", "R"], help="rows of this level")
    parser.add_argument("--row", action="append", default=[], help="only this row")
    parser.add_argument("--group", action="append", default=[], help="only the live rows of this group")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="groups side by side")
    parser.add_argument("--again", type=int, default=0, metavar="N", help="run up to N red rows once more, alone")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
