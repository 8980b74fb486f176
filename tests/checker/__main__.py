"""`python -m tests.checker`: judges a run and prints the verdict. Exit code 0: valid, 1: broken, 2: not all could be judged.

python -m tests.checker --dsn DSN --ledger ledger.db --history history.jsonl [--all-closed] [--json] [--record FILE]
python -m tests.checker --recorded FILE
"""

import argparse
import json
import sys
from pathlib import Path

from tests.checker.endings import open_orders
from tests.checker.evidence import Evidence
from tests.checker.invariants import invariants
from tests.checker.sources import read_database, read_history, read_ledger, read_recorded, record
from tests.checker.verdict import OF_THE_LOG, Verdict, counts, judge


def verdict_on(evidence: Evidence, *, all_closed: bool = False) -> Verdict:
    """Judge everything."""
    judgements = judge(evidence, invariants(all_closed=all_closed))
    broken = {judgement.name for judgement in judgements if judgement.state == "broken"}
    still_open = {} if broken & OF_THE_LOG else open_orders(evidence)
    return Verdict(counts=counts(evidence), judgements=judgements, open_orders=still_open)


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    evidence = _gather(options)
    if options.record:
        options.record.write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")
    verdict = verdict_on(evidence, all_closed=options.all_closed)
    text = json.dumps(verdict.as_json(), indent=2, ensure_ascii=False) if options.json else verdict.as_text()
    sys.stdout.write(text + "\n")
    return {True: 0, False: 1, None: 2}[verdict.valid]


def _gather(options: argparse.Namespace) -> Evidence:
    if options.recorded:
        return read_recorded(options.recorded.read_text(encoding="utf-8").splitlines())
    return Evidence(
        read_database(options.dsn),
        read_ledger(options.ledger) if options.ledger else None,
        read_history(options.history) if options.history else None,
        whole=not options.running,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="checker", description="Judges a run by what it left behind.")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dsn", help="the database, which is only read")
    source.add_argument("--recorded", type=Path, help="evidence written by --record, instead of database and files")
    parser.add_argument("--ledger", type=Path, help="the simulator's books (SQLite)")
    parser.add_argument("--history", type=Path, help="what the load was told (JSON Lines)")
    parser.add_argument("--all-closed", action="store_true", help="an open order is a broken promise")
    parser.add_argument("--running", action="store_true", help="projections may be behind")
    parser.add_argument("--record", type=Path, help="also write all evidence to this file")
    parser.add_argument("--json", action="store_true", help="print the verdict as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
