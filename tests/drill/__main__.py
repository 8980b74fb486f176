"""`python -m tests.drill`: run the whole cluster drill on this machine. Exit code 1 unless the checker finds every promise kept.

python -m tests.drill [--orders 5000] [--seed 1] [--only kill ...] [--target etcd ...] [--rate 20] [--markdown FILE]

Needs RabbitMQ and etcd (Debian: rabbitmq-server, etcd-server); PostgreSQL is the embedded one. Evidence of a red run stays in
`drill-evidence/`.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import monotonic
from types import FrameType

import pytest

from tests.chaos.judging import judge_shop
from tests.chaos.processes import Supervisor
from tests.chaos.shop import broken
from tests.checker.sources import record
from tests.drill.drill import Drill, all_acts
from tests.drill.schedule import Act
from tests.drill.site import Site, open_site
from tests.drill.table import HEAD, line, markdown, moved, tell
from tests.faults.nursery import ROOT

EVIDENCE = ROOT / "drill-evidence"
ERRORS = ("broker", "Connection", "coordination", "etcd", "lease", "database")


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    folder = Path(tempfile.mkdtemp(prefix="orderwright-drill-"))
    folder.chmod(0o755)
    started = monotonic()
    try:
        green = run(folder, options)
    except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever it was, the drill is red
        (folder / "shop").mkdir(exist_ok=True)
        (folder / "shop" / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        tell(traceback.format_exc())
        green = False
    tell(f"{'green' if green else 'RED'}: {options.orders} orders, seed {options.seed}, {monotonic() - started:.0f} s")
    if not green:
        keep(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return 0 if green else 1


def run(folder: Path, options: argparse.Namespace) -> bool:
    """The drill and its verdict."""
    chance = Random(options.seed)
    with open_site(folder, chance, coordination=options.coordination, broker=options.broker) as site:
        shop = site.shop
        supervisor = Supervisor(lambda: [*shop.roles, shop.simulator])
        try:
            shop.watch()
            acts = select(all_acts(site, failover="fail over" in options.only), options.only, options.target)
            tell(f"{options.orders} orders, {len(acts)} faults, at most {options.rate:g} orders a second\n\n{HEAD}")
            drill = Drill(
                site,
                orders=options.orders,
                rate=options.rate,
                hold_s=options.hold,
                tell=lambda struck: tell(line(struck)),
            )
            found = drill.run(acts)
        finally:
            supervisor.close()
        tell("\nwhile it lasted:\n" + "\n".join(map(moved, found)))
        tell(f"\n{supervisor.restarts} roles ended by themselves and were started again{ended(site, supervisor)}")
        if options.markdown:
            options.markdown.write_text(markdown(found), encoding="utf-8")
        settled, told = drill.changes.judge()
        tell(told)
        return judge(site, options.orders) and settled


def ended(site: Site, supervisor: Supervisor) -> str:
    """Who ended by itself, with the last that it said before."""
    told = ""
    for name, code in supervisor.codes:
        lines = (site.shop.folder / f"{name}.log").read_text(encoding="utf-8").splitlines()
        errors = [one for one in lines if '"error"' in one or "Error" in one or "stuck" in one]
        told += f"\n  {name} with code {code}; errors in its log:\n    " + "\n    ".join(
            one[:400] for one in errors[-5:]
        )
    return told


def judge(site: Site, orders: int) -> bool:
    """The checker's verdict, in its own words."""
    shop = site.shop
    evidence, verdict = judge_shop(shop, ERRORS)
    (shop.folder / "verdict.txt").write_text(verdict.as_text(), encoding="utf-8")
    tell("\n" + "\n".join(f"{name:14}{count:>9,}" for name, count in verdict.counts.items()))
    tell(f"valid? {verdict.valid}")
    if not verdict.valid:
        tell(broken(verdict))
        (shop.folder / "evidence.jsonl").write_text("\n".join(record(evidence)) + "\n", encoding="utf-8")
    return verdict.valid is True and verdict.counts["closed"] == orders


def select(acts: Sequence[Act], kinds: Sequence[str], targets: Sequence[str]) -> list[Act]:
    """Those of these kinds, on targets whose engine or name has one of these words in it."""

    def is_wanted(act: Act) -> bool:
        names = " ".join(f"{one.engine} {one.name}".lower() for one in act.among)
        return act.kind in kinds and (not targets or any(word.lower() in names for word in targets))

    return [act for act in acts if is_wanted(act)]


def keep(folder: Path) -> None:
    """Everything but the servers' own files."""
    shutil.rmtree(EVIDENCE, ignore_errors=True)
    shutil.copytree(folder / "shop", EVIDENCE)
    tell(f"evidence: {EVIDENCE}")


def _leave(number: int, frame: FrameType | None) -> None:
    """End everything that was started on the way out."""
    sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    kinds = ("kill", "freeze", "cut", "fail over")
    parser = argparse.ArgumentParser(prog="drill", description="The cluster drill.")
    parser.add_argument("--orders", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=20.0, help="orders a second at most")
    parser.add_argument("--hold", type=float, default=8.0, help="seconds that a fault lasts")
    parser.add_argument("--only", nargs="+", choices=kinds, default=list(kinds), help="these kinds of faults")
    parser.add_argument("--target", nargs="+", default=[], help="only targets or engines with one of these words")
    parser.add_argument("--coordination", choices=["etcd", "postgres"], default="etcd")
    parser.add_argument("--broker", choices=["rabbitmq", "pgmq"], default="rabbitmq")
    parser.add_argument("--markdown", type=Path, help="write the table to this file, too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
