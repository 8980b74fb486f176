"""Fresh seeds on every run of the tests, and that a seed means the same everywhere."""

import os
import subprocess
import sys
from random import SystemRandom

import pytest

from tests.simulation.fleet import Summary, run_chunk
from tests.simulation.run import simulate
from tests.simulation.shape import shape_of

FRESH = 160
PARTS = 4
SEEDS = (3, 15, 44)
FINGERPRINTS = f"""
from tests.simulation.shape import shape_of
from tests.simulation.run import simulate
for seed in {SEEDS}:
    print(simulate(shape_of(seed)).fingerprint)
"""


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_strikes_every_order_ends_well(part: int) -> None:
    first = SystemRandom().randrange(10**9) + part
    outcomes = run_chunk(first, FRESH // PARTS)
    wrong = [
        f"{who}: {what}\n    python -m tests.simulation --seed {outcome.seed} --trace"
        for outcome in outcomes
        for who, what in outcome.findings[:1]
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_the_faults_do_strike_and_the_orders_do_move() -> None:
    summary = Summary()
    for outcome in run_chunk(1, 30):
        summary.add(outcome)
    assert summary.faults.total() > 500
    assert len(summary.faults) > 20
    assert summary.events > 2_000


def test_a_seed_means_the_same_in_every_process() -> None:
    here = [simulate(shape_of(seed)).fingerprint for seed in SEEDS]
    for hashing in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        command = [sys.executable, "-c", FINGERPRINTS]
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        assert told.stdout.split() == here


def test_another_seed_means_something_else() -> None:
    assert len({simulate(shape_of(seed)).fingerprint for seed in SEEDS}) == len(SEEDS)
