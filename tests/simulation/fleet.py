"""Thousands of seeds on all cores, with progress and a summary.

Each process takes a chunk of seeds at a time. A red seed is told at once, with the command that repeats it.
"""

import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from tests.simulation.run import Outcome, simulate
from tests.simulation.shape import shape_of
from tests.simulation.trace import say

CHUNK = 20
SHOWN = 20


@dataclass(slots=True)
class Summary:
    """What many runs came to."""

    seeds: int = 0
    steps: int = 0
    events: int = 0
    days: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    red: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.steps += outcome.steps
        self.events += outcome.events
        self.days += outcome.days
        self.faults.update(outcome.faults)
        if outcome.findings:
            self.red.append(outcome)

    def text(self, seconds: float) -> str:
        faults = "\n".join(f"  {count:>12,}  {kind}" for kind, count in self.faults.most_common())
        return (
            f"{faults}\n{self.seeds:,} seeds in {seconds:,.0f} s ({self.seeds / max(seconds, 0.001):,.0f} a second): "
            f"{self.steps:,} steps, {self.events:,} events, {self.days:,.0f} simulated days, "
            f"{self.faults.total():,} faults; {self.seeds - len(self.red):,} green, {len(self.red):,} red"
        )


def run_chunk(first: int, count: int) -> list[Outcome]:
    """The outcomes of some seeds; the lines are left out, a run can be repeated."""
    gc.disable()  # a run leaves a few megabytes behind, and looking for them costs more than keeping them until here
    try:
        return [_brief(simulate(shape_of(seed))) for seed in range(first, first + count)]
    finally:
        gc.enable()
        gc.collect()


def _brief(outcome: Outcome) -> Outcome:
    return Outcome(
        seed=outcome.seed,
        findings=outcome.findings,
        fingerprint=outcome.fingerprint,
        steps=outcome.steps,
        events=outcome.events,
        days=outcome.days,
        faults=outcome.faults,
    )


def run_fleet(first: int, count: int, *, jobs: int = 0) -> int:
    """Run these seeds and tell about it; 1 if one of them is red."""
    summary, started = Summary(), time.monotonic()
    for outcomes in _chunks(first, count, jobs or os.cpu_count() or 1):
        for outcome in outcomes:
            summary.add(outcome)
            if outcome.findings and len(summary.red) <= SHOWN:
                _tell_red(outcome)
        _progress(summary, count, time.monotonic() - started)
    sys.stderr.write("\n")
    say(summary.text(time.monotonic() - started))
    return 1 if summary.red else 0


def _chunks(first: int, count: int, jobs: int) -> Iterator[list[Outcome]]:
    starts = range(first, first + count, CHUNK)
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        running = [pool.submit(run_chunk, start, min(CHUNK, first + count - start)) for start in starts]
        for done in as_completed(running):
            yield done.result()


def _tell_red(outcome: Outcome) -> None:
    who, what = outcome.findings[0]
    say(f"\nseed {outcome.seed}: {who}: {what}\n  python -m tests.simulation --seed {outcome.seed} --trace")


def _progress(summary: Summary, count: int, seconds: float) -> None:
    pace = summary.seeds / max(seconds, 0.001)
    sys.stderr.write(f"\r{summary.seeds:,} of {count:,} seeds, {pace:,.0f} a second, {len(summary.red)} red ")
    sys.stderr.flush()
