"""The entry: `judge(evidence, expect=...) -> Verdict`, and `gather` for whoever has a database and files."""

from pathlib import Path

from tests.checker.endings import open_orders
from tests.checker.evidence import Evidence
from tests.checker.expect import Expect
from tests.checker.invariants import invariants
from tests.checker.sources import read_database, read_history, read_ledger, read_logs
from tests.checker.verdict import OF_THE_LOG, Verdict, counts, judge_all


def judge(evidence: Evidence, *, expect: Expect | None = None) -> Verdict:
    """Judge everything. The verdict's `valid` is True, False, or None for "unknown"."""
    expect = expect or Expect()
    judgements = judge_all(evidence, invariants(expect), expect.required)
    broken = {judgement.name for judgement in judgements if judgement.state == "broken"}
    still_open = {} if broken & OF_THE_LOG else open_orders(evidence)
    return Verdict(counts=counts(evidence), judgements=judgements, open_orders=still_open)


def gather(
    dsn: str,
    *,
    ledger: Path | None = None,
    history: Path | None = None,
    watched: Path | None = None,
    logs: Path | None = None,
) -> Evidence:
    """All there is now. `watched` is what `tests.checker.watch` wrote, `logs` a folder of *.log."""
    return Evidence(
        read_database(dsn),
        read_ledger(ledger) if ledger else None,
        read_history(history) if history else None,
        watched=read_history(watched) if watched and watched.exists() else None,
        logs=read_logs(logs) if logs else None,
    )
