"""`python -m tests.simulation`: one seed in full, or many on all cores.

--seed 123            what became of it; the last steps if something is wrong
--seed 123 --trace    every step
--seed 123 --minimize the smallest run that still fails
--seeds 10000         that many seeds, from --first (default: 1), with progress and a summary
"""

import argparse
import sys
from collections.abc import Sequence

from tests.simulation.fleet import run_fleet
from tests.simulation.minimize import minimize, told
from tests.simulation.run import Outcome, simulate
from tests.simulation.shape import shape_of
from tests.simulation.trace import say

LAST = 60


def run(arguments: Sequence[str] | None = None) -> int:
    """0 if everything was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--minimize", action="store_true")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.seed is None:
        return run_fleet(asked.first, asked.seeds, jobs=asked.jobs)
    shape = shape_of(asked.seed)
    if asked.minimize:
        shape = minimize(shape)
        say(told(shape))
    outcome = simulate(shape, say if asked.trace else None)
    if outcome.findings and not asked.trace:
        say("\n".join(outcome.lines[-LAST:]))
    return _verdict(outcome)


def _verdict(outcome: Outcome) -> int:
    size = f"{outcome.steps} steps, {outcome.events} events, {outcome.days:.1f} days"
    say(f"seed {outcome.seed}: {size}, fingerprint {outcome.fingerprint}")
    for who, what in outcome.findings:
        say(f"  {who}: {what}")
    return 1 if outcome.findings else 0


if __name__ == "__main__":
    sys.exit(run())
