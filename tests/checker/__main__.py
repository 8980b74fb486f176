"""`python -m tests.checker`: judges a run and prints the verdict. Exit code 0: valid, 1: broken, 2: not all could be judged.

python -m tests.checker --dsn DSN --ledger ledger.db --history history.jsonl [--watched watch.jsonl] [--logs FOLDER] [--all-closed]
                        [--expect '{"attempts": 4}'] [--json] [--record FILE]
python -m tests.checker --recorded FILE
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from tests.checker.evidence import Evidence
from tests.checker.expect import Expect
from tests.checker.judging import gather, judge
from tests.checker.sources import read_recorded, record


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    evidence = _gather(options)
    if options.record:
        options.record.write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")
    verdict = judge(evidence, expect=_expect(options))
    text = json.dumps(verdict.as_json(), indent=2, ensure_ascii=False) if options.json else verdict.as_text()
    sys.stdout.write(text + "\n")
    return {True: 0, False: 1, None: 2}[verdict.valid]


def _gather(options: argparse.Namespace) -> Evidence:
    if options.recorded:
        return read_recorded(options.recorded.read_text(encoding="utf-8").splitlines())
    gathered = gather(
        options.dsn, ledger=options.ledger, history=options.history, watched=options.watched, logs=options.logs
    )
    return replace(gathered, whole=not options.running)


def _expect(options: argparse.Namespace) -> Expect:
    """`--expect` names fields of `Expect`; lists stand for sets and tuples."""
    given = {"all_closed": options.all_closed, **json.loads(options.expect)}
    for name, kind in (("required", frozenset), ("errors", tuple), ("canaries", tuple)):
        if name in given:
            given[name] = kind(given[name])
    return Expect(**given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="checker", description="Judges a run by what it left behind.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dsn", help="the database, which is only read")
    source.add_argument("--recorded", type=Path, help="evidence written by --record, instead of database and files")
    parser.add_argument("--ledger", type=Path, help="the simulator's books (SQLite)")
    parser.add_argument("--history", type=Path, help="what the load was told (JSON Lines)")
    parser.add_argument("--watched", type=Path, help="what the observer saw (JSON Lines)")
    parser.add_argument("--logs", type=Path, help="a folder with the logs of the processes (*.log)")
    parser.add_argument("--expect", default="{}", help="what the run was meant to do, as JSON; see expect.py")
    parser.add_argument("--all-closed", action="store_true", help="an open order is a broken promise")
    parser.add_argument("--running", action="store_true", help="projections may be behind")
    parser.add_argument("--record", type=Path, help="also write all evidence to this file")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
