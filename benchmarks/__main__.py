"""`python -m benchmarks [--orders N] [--json]`: the whole flow with different outside worlds."""

import argparse
import json
import sys
from dataclasses import asdict

from benchmarks.flow import Case, fresh_database, measure
from benchmarks.machine import describe


def cases(orders: int) -> list[Case]:
    """The rows, the yardstick first. Slow worlds get fewer orders: their rate is threads divided by latency.

    Gateways in the process serve one worker only: those of another do not know its labels, and any worker may carry any order.
    """
    return [
        Case(name="in-process gateways, 1 worker", orders=orders),
        Case(name="HTTP simulator at 0 ms, 1 worker", orders=orders // 2, latency_ms=0, threads=16),
        Case(name="HTTP simulator at 0 ms, 2 workers", orders=orders // 2, workers=2, latency_ms=0, threads=16),
        Case(name="HTTP simulator at 50 ms, 2 workers", orders=orders // 2, workers=2, latency_ms=50, threads=64),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--orders", type=int, default=4000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with fresh_database() as dsn:
        machine = describe(dsn)
    out = sys.stdout.write
    out("".join(f"{line}\n" for line in machine))
    out(f"{'case':38}{'orders/s':>10}{'ratio':>7}{'worker µs/order':>17}{'accepted/s':>12}{'events/order':>14}\n")
    first = 0.0
    for case in cases(options.orders):
        figures = measure(case)
        first = first or figures.flow_per_s
        if options.json:
            out(json.dumps({**asdict(case), **asdict(figures)}) + "\n")
            continue
        out(
            f"{case.name:38}{figures.flow_per_s:>10.0f}{figures.flow_per_s / first:>7.2f}{figures.worker_us:>17.0f}"
            f"{figures.intake_per_s:>12.0f}{figures.events_per_order:>14.1f}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
