"""The checker is checked: a recorded good run passes, and every kind of spoiled history is found by the invariant that names it.

The good run (`golden/good.jsonl`) was recorded from real processes: nine orders that were delivered, split, cut short, backordered,
reviewed, declined, paid at the second try, cancelled, and captured with the answer lost; and one that still waits for stock.

A second one (`golden/watched.jsonl`) was watched and logged from its first to its last process: `python -m tests.mutants --run everything
--keep FOLDER` records it. Each of its spoiled histories breaks the one invariant that it is listed with, and no other.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.checker.__main__ import main
from tests.checker.evidence import Evidence
from tests.checker.expect import Expect
from tests.checker.judging import judge
from tests.checker.sources import read_recorded, record
from tests.checker.spoiled import BAD, Spoil, a_parcel_was_captured_twice, an_acknowledged_order_is_lost
from tests.checker.spoiled_runs import BAD_RUNS
from tests.checker.tampering import Tampered

GOOD = Path(__file__).parent / "golden" / "good.jsonl"
WATCHED = GOOD.with_name("watched.jsonl")
AS_PLANNED = Expect(
    required=frozenset({"ledger", "history", "watched", "logs", "server", "calm"}),
    quiet_within_s=24,
    errors=("dead letter", "refused a message"),
)


@cache
def good() -> Evidence:
    return read_recorded(GOOD.read_text(encoding="utf-8").splitlines())


def test_a_good_run_is_valid_and_every_invariant_was_judged() -> None:
    verdict = judge(good())
    assert verdict.valid is True, verdict.as_text()
    assert {judgement.state for judgement in verdict.judgements} == {"kept", "not asked"}
    assert verdict.open_orders == {"B1-open": "allocate/0/2 is ready"}


@pytest.mark.parametrize(("invariant", "spoil"), BAD, ids=lambda value: getattr(value, "__name__", value))
def test_a_spoiled_history_is_found_by(invariant: str, spoil: Spoil) -> None:
    run = Tampered(good())
    spoil(run)
    verdict = judge(run.evidence())
    assert verdict.valid is False
    assert invariant in verdict.broken(), verdict.as_text()


@cache
def watched() -> Evidence:
    return read_recorded(WATCHED.read_text(encoding="utf-8").splitlines())


def test_a_good_run_that_was_watched_is_valid_and_everything_was_judged() -> None:
    verdict = judge(watched(), expect=AS_PLANNED)
    assert verdict.valid is True, verdict.as_text()
    assert {judgement.state for judgement in verdict.judgements} == {"kept"}


@pytest.mark.parametrize(("invariant", "spoil"), BAD_RUNS, ids=lambda value: getattr(value, "__name__", value))
def test_a_spoiled_run_is_found_by_one_invariant(invariant: str, spoil: Spoil) -> None:
    run = Tampered(watched())
    spoil(run)
    verdict = judge(run.evidence(), expect=AS_PLANNED)
    assert verdict.broken() == [invariant], verdict.as_text()


def test_every_invariant_has_a_history_that_breaks_it() -> None:
    judged = {judgement.name for judgement in judge(good()).judgements}
    assert judged == {invariant for invariant, _ in (*BAD, *BAD_RUNS)}


def test_evidence_that_is_required_and_missing_leaves_the_verdict_unknown() -> None:
    unseen = Evidence(watched().tables, watched().ledger, watched().history, logs=watched().logs)
    assert judge(unseen, expect=AS_PLANNED).valid is None
    assert judge(unseen, expect=replace(AS_PLANNED, required=frozenset())).valid is True


def test_an_open_order_breaks_a_run_that_should_have_closed_all() -> None:
    assert judge(good(), expect=Expect(all_closed=True)).broken() == ["K8"]


def test_what_cannot_be_judged_is_unknown_and_never_valid() -> None:
    verdict = judge(Evidence(good().tables))
    assert verdict.valid is None
    assert verdict.as_json()["valid?"] == "unknown"


def test_evidence_that_was_recorded_is_judged_the_same() -> None:
    again = read_recorded(record(good()))
    assert judge(again).as_json() == judge(good()).as_json()


def test_the_counts_are_told_in_the_words_of_the_suite() -> None:
    run = Tampered(good())
    an_acknowledged_order_is_lost(run)
    run.history[1]["outcome"] = "unknown"
    run.history = [line for line in run.history if line.get("order_id") != "A3-remainder"]
    a_parcel_was_captured_again = run.ledger["captures"][-1] | {"reference": "again"}
    run.ledger["captures"].append(a_parcel_was_captured_again)
    counts = judge(run.evidence()).counts
    words = ("attempts", "acknowledged", "ok", "lost", "unexpected", "duplicated", "recovered")
    assert {word: counts[word] for word in words} == dict(zip(words, (10, 8, 7, 1, 1, 1, 1), strict=True))


def test_the_program_says_by_its_exit_code_whether_the_run_was_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--recorded", str(GOOD)]) == 0
    assert capsys.readouterr().out.endswith("valid? true\n")
    run, bad = Tampered(good()), tmp_path / "bad.jsonl"
    a_parcel_was_captured_twice(run)
    bad.write_text("\n".join(record(run.evidence())), encoding="utf-8")
    assert main(["--recorded", str(bad), "--json"]) == 1
    assert '"valid?": false' in capsys.readouterr().out
