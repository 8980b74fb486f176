"""`python -m tests.mutants`: seeds every bug, and prints which invariant of the checker found it. Exit code 0: all were caught.

python -m tests.mutants [NAME ...] [--quick] [--clean-only] [--run RUN ...] [--at-once N] [--keep FOLDER]

What goes wrong is carried out once more, alone: a machine that others use may be too slow for a run that waits for something to happen.
`--run everything --keep FOLDER` records the golden history of the checker: FOLDER/clean-everything/evidence.jsonl.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.mutants.bench import ON_RABBITMQ, Bench, Outcome, open_bench
from tests.mutants.catalogue import MUTANTS
from tests.mutants.patch import Mutant

SLOW = {*ON_RABBITMQ, "outage"}


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    chosen = [one for one in MUTANTS if not options.names or one.name in options.names]
    wanted = [] if options.run else [one for one in chosen if not (options.quick and one.run in SLOW)]
    runs = dict.fromkeys(options.run or [mutant.run for mutant in wanted])
    started = time.monotonic()
    with open_bench(options.keep, rabbitmq=bool(ON_RABBITMQ & runs.keys())) as bench:
        outcomes = _carry_out(bench, wanted, list(runs), options)
    _tell(f"{time.monotonic() - started:.0f} s in all")
    return _sum(outcomes)


def _carry_out(bench: Bench, mutants: list[Mutant], runs: list[str], options: argparse.Namespace) -> list[Outcome]:
    clean: list[tuple[str, Mutant | None]] = [(run, None) for run in runs]
    seeded: list[tuple[str, Mutant | None]] = [(mutant.run, mutant) for mutant in mutants]
    jobs = clean if options.clean_only else [*clean, *seeded]
    outcomes = bench.carry_out(jobs, lambda outcome: _tell(_line(outcome)), at_once=options.at_once)
    again = [(outcome.run, outcome.mutant) for outcome in outcomes if not outcome.is_right]
    if not again:
        return outcomes
    _tell(f"once more, alone: {len(again)}")
    return [
        *(outcome for outcome in outcomes if outcome.is_right),
        *bench.carry_out(again, lambda outcome: _tell(_line(outcome)), at_once=1),
    ]


def _line(outcome: Outcome) -> str:
    name = outcome.mutant.name if outcome.mutant else "clean"
    bug = outcome.mutant.bug if outcome.mutant else "nothing is wrong here"
    missed = {True: "not caught" if outcome.mutant else "valid", None: "not judged"}
    found = (
        outcome.trouble or ", ".join(outcome.caught_by) or missed[outcome.verdict.valid if outcome.verdict else None]
    )
    mark = "ok  " if outcome.is_right else "WRONG"
    line = f"{mark:6}{name:7}{outcome.run:22}{outcome.seconds:5.1f} s  {bug:58.58}  {found}"
    return "\n".join([line, *(f"          {finding}" for finding in outcome.unexpected())])


def _sum(outcomes: list[Outcome]) -> int:
    seeded = [outcome for outcome in outcomes if outcome.mutant]
    clean = [outcome for outcome in outcomes if not outcome.mutant]
    valid = {outcome.run for outcome in clean if outcome.is_right}
    caught = [outcome for outcome in seeded if outcome.is_right and outcome.run in valid]
    _tell(f"{len(caught)} of {len(seeded)} bugs caught, {len(valid)} of {len(clean)} clean runs valid")
    return 0 if len(caught) == len(seeded) and len(valid) == len(clean) else 1


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mutants", description="Seeds bugs and lets the checker find them.")
    parser.add_argument("names", nargs="*", help="only these, such as M2")
    parser.add_argument("--quick", action="store_true", help="without the two that need RabbitMQ or a long outage")
    parser.add_argument("--clean-only", action="store_true", help="only the runs without a bug")
    parser.add_argument("--run", nargs="*", help="only these runs, without a bug")
    parser.add_argument("--at-once", type=int, default=4, help="how many runs go on at the same time (default: 4)")
    parser.add_argument("--keep", type=Path, help="keep logs, history, books and verdicts in this folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
