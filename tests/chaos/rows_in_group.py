"""The rows of one group, one after the other in one installation; after a red one in a new one."""

import shutil
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from tests.chaos.groups import GROUPS, Installation
from tests.chaos.judging import counts_of, judge_shop
from tests.chaos.matrix import NotHere, Outcome, Row
from tests.chaos.processes import Supervisor
from tests.chaos.pulse import Pulse
from tests.chaos.run import Run
from tests.chaos.shop import broken
from tests.checker.sources import record
from tests.servers.simulator import await_that

QUIET_S = 90.0
Done = Callable[[Outcome], None]


def run_group(group: str, rows: Sequence[Row], *, seed: int, folder: Path, done: Done) -> None:
    """Run them all; each gets its outcome told as soon as it is known."""
    left = list(rows)
    while left:
        place = folder / left[0].number
        place.mkdir(parents=True)
        try:
            left = _in_one_installation(group, left, seed, place, done)
        except NotHere as reason:
            for row in left:
                done(Outcome(row=row, verdict=f"not tested here: {reason}", green=True, tested=False))
            return
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - a red row must not end the others
            done(_failed(left[0], error, place))
            left = left[1:]


def _in_one_installation(group: str, rows: Sequence[Row], seed: int, place: Path, done: Done) -> list[Row]:
    """Runs rows until one is red; returns what is left."""
    errors: list[str] = []
    letters = doubled = False  # those of an earlier row are there still
    with GROUPS[group](place, Random(seed)) as installation:
        installation.shop.watch()
        shop = installation.shop
        supervisor = Supervisor(lambda: [*shop.roles, shop.simulator])
        try:
            for number, row in enumerate(rows):
                errors += row.errors
                letters, doubled = letters or row.letters, doubled or row.doubled_numbers
                allowed = Allowed(errors=errors, letters=letters, doubled_numbers=doubled)
                outcome = _run(installation, row, seed, supervisor, allowed)
                done(outcome)
                if not outcome.green:
                    return list(rows[number + 1 :])
        finally:
            supervisor.close()
    if place.exists():
        shutil.rmtree(place / "postgres", ignore_errors=True)
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What this row and those before it may have left in the logs, among the dead letters and at the carrier."""

    errors: Sequence[str]
    letters: bool
    doubled_numbers: bool


def _run(installation: Installation, row: Row, seed: int, supervisor: Supervisor, allowed: Allowed) -> Outcome:
    shop, started = installation.shop, monotonic()
    pulse = Pulse(shop.dsn)
    run = Run(shop, row, seed, supervisor)
    run.node, run.clock = installation.node, installation.clock
    run.etcd, run.disk = installation.etcd, installation.disk
    outcome = Outcome(row=row)
    try:
        assert row.inject is not None
        row.inject(run)
        run.heal()
        await_that(shop.is_quiet, within_s=QUIET_S)
        _judge(run, outcome, allowed)
    except NotHere as reason:
        outcome.verdict, outcome.green, outcome.tested = f"not tested here: {reason}", True, False
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever it was, the row is red
        _blame(run, outcome, error)
    outcome.outage_s = pulse.stop()
    outcome.injected, outcome.took_s = run.injected, monotonic() - started
    outcome.notes += run.notes
    if outcome.green and outcome.outage_s > row.outage_s:
        outcome.green, outcome.verdict = False, f"outage longer than {row.outage_s:g} s"
    if not outcome.green:
        outcome.evidence = str(shop.folder)
    return outcome


def _judge(run: Run, outcome: Outcome, allowed: Allowed) -> None:
    evidence, verdict = judge_shop(
        run.shop, allowed.errors, letters=allowed.letters, doubled_numbers=allowed.doubled_numbers
    )
    outcome.counts = counts_of(evidence, f"{run.row.number}-")
    outcome.verdict = {True: "valid", False: "broken", None: "unknown"}[verdict.valid]
    outcome.green = verdict.valid is True and run.injected > 0
    if run.injected == 0:
        outcome.notes.append("nothing was injected")
    if verdict.valid is not True:
        outcome.notes.append(", ".join(verdict.broken()) or "not all could be judged")
        folder = run.shop.folder
        (folder / "verdict.txt").write_text(verdict.as_text(), encoding="utf-8")
        (folder / "evidence.jsonl").write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")
        (folder / "findings.txt").write_text(broken(verdict), encoding="utf-8")


def _blame(run: Run, outcome: Outcome, error: BaseException) -> None:
    """What went wrong, and what the checker says of the state that it was left in."""
    outcome.verdict, outcome.green = f"{type(error).__name__}: {error}"[:200].replace("\n", " "), False
    folder = run.shop.folder
    (folder / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    try:
        run.heal()
        evidence, verdict = judge_shop(run.shop, (".*",), letters=True)
    except Exception as worse:  # noqa: BLE001 - there is an error to be told already
        (folder / "error.txt").open("a", encoding="utf-8").write(f"\nand then: {worse!r}\n")
        return
    outcome.counts = counts_of(evidence, f"{run.row.number}-")
    (folder / "verdict.txt").write_text(verdict.as_text(), encoding="utf-8")
    (folder / "evidence.jsonl").write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")


def _failed(row: Row, error: BaseException, place: Path) -> Outcome:
    (place / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return Outcome(row=row, verdict=f"could not begin: {error}"[:200], evidence=str(place))
