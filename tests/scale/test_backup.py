"""P7 and F38: a backup taken while orders run, restored elsewhere by the runbook, is whole; and what is newer than it does no harm."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import psycopg
import pytest

from domain.work import Step
from infrastructure.embedded.account import choose_account
from infrastructure.embedded.binaries import find_binaries
from infrastructure.messaging.broker import connect as connect_broker
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.wakeups import WakeUps
from tests.chaos.load import Submission, make_orders
from tests.chaos.shop import NO_PERSON_NEEDED, Plan, Shop, broken
from tests.checker.expect import Expect
from tests.checker.judging import gather, judge
from tests.checker.verdict import Verdict
from tests.faults.postgres import Cluster
from tests.servers.simulator import await_that

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "operations" / "postgres.md").read_text(encoding="utf-8")
ORDERS = 30
PLAN = Plan(behaviour={**NO_PERSON_NEEDED, "faults": {}})

pytestmark = [pytest.mark.chaos, pytest.mark.xdist_group("cluster"), pytest.mark.timeout(300)]


def commands(title: str) -> list[str]:
    """The blocks of one chapter of the runbook."""
    chapter = RUNBOOK.split(f"\n## {title}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    assert blocks, f"the runbook says nothing to type under {title}"
    return blocks


def type_in(script: str, folder: Path, **environment: str) -> str:
    """As an operator would, with our programs on the path."""
    shim = folder / "bin" / "orderwright"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers "$@"\n')
    shim.chmod(0o755)
    path = os.pathsep.join([str(shim.parent), str(find_binaries().folder), os.environ["PATH"]])
    given = {"PATH": path, "PYTHONPATH": str(ROOT), "HOME": str(folder), "NO_COLOR": "1", **environment}
    command = ["bash", "-euc", script]
    done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path / "postgres")
    yield cluster
    cluster.close()


def backup_while_running(shop: Shop, cluster: Cluster, folder: Path) -> Path:
    """Take it in the midst of a load; what was acknowledged before is in the history, what came later is not."""
    early, late = (
        make_orders(ORDERS, prefix="EARLY", chance=Random(1)),
        make_orders(ORDERS, prefix="LATE", chance=Random(2)),
    )
    submission = Submission(shop.command_line, shop.history, early, folder, rate=500)
    submission.finish()
    late_ones = Submission(shop.command_line, shop.history, late, folder, rate=60)
    backup = folder / "copy" / "data"
    backup.parent.mkdir(mode=0o700)
    account = choose_account(backup)
    assert account.owner is None, "needs user namespaces, or an ordinary user"
    type_in(commands("Backup")[0], folder, PRIMARY=_without_database(cluster.dsn), BACKUP=str(backup))
    assert late_ones.code() == 0
    shop.history.tell(late, "unknown")
    shop.await_progress(placed=2 * ORDERS, closed=ORDERS // 2)
    return backup


def _without_database(dsn: str) -> str:
    return re.sub(r"dbname=\S+", "", dsn)


def test_a_backup_of_a_running_system_is_whole_and_goes_on_where_it_ended(tmp_path: Path, cluster: Cluster) -> None:
    shop = Shop(tmp_path, cluster, Random(5), PLAN)
    try:
        shop.start()
        shop.stock_up(orders=2 * ORDERS, rare=500)
        backup = backup_while_running(shop, cluster, tmp_path)
        for role in shop.roles:
            role.kill()
        cluster.close()
        type_in(commands("Restore")[0], tmp_path, BACKUP=str(backup))
        shutil.copy2(cluster.folder / "password", backup.parent / "password")
        restored = Cluster(backup.parent, port=cluster.port)
        try:
            check_restored(shop, restored, tmp_path)
        finally:
            restored.close()
    finally:
        shop.close()


def check_restored(shop: Shop, restored: Cluster, folder: Path) -> None:
    assert restored.dsn == shop.dsn
    found = replace(gather(restored.dsn, history=shop.history.path), whole=False)
    verdict = judge(found, expect=Expect(required=frozenset({"history"}), letters=True))
    assert not unexplained(verdict), (
        "what was accepted before the backup ended is there, and all of it fits together: " + broken(verdict)
    )

    surroundings = {"DATABASE_URL": restored.dsn, "ORDERWRIGHT_GATEWAY_URL": shop.gateway_url}
    type_in(commands("Restore")[1], folder, **surroundings)
    announce_unknown_orders(restored.dsn)
    for role in shop.roles:
        role.start()
    await_that(lambda: has_gone_on(restored.dsn), within_s=60)
    shop.settle(within_s=90)
    assert all(role.is_running() for role in shop.roles), "a message from after the backup ends nobody"

    late = make_orders(ORDERS, prefix="LATE", chance=Random(2))
    Submission(shop.command_line, shop.history, late, folder).finish()
    shop.settle(within_s=90)
    evidence, verdict = shop.judge()
    assert verdict.valid, broken(verdict)
    assert verdict.counts["closed"] == 2 * ORDERS
    assert len({row["key"] for row in evidence.books("captures")}) == len(evidence.books("captures"))


def unexplained(verdict: Verdict) -> list[tuple[str, str, str]]:
    """What is broken, but for a letter that was being sent when the backup ended: closing an order does not wait for its last one.

    That run is still in the hands of who sent it; when everything has ended, all is judged again, and nothing is forgiven.
    """
    found = [(one.name, *finding) for one in verdict.judgements if one.state == "broken" for finding in one.findings]
    return [one for one in found if not is_letter_on_its_way(*one)]


def is_letter_on_its_way(name: str, subject: str, wrong: str) -> bool:
    return name == "K18" and f"/{Step.NOTIFY}/" in subject and wrong == "of a closed order is running"


def has_gone_on(dsn: str) -> bool:
    """The new history was noticed, and each announcement of unknown orders is a dead letter (which no keeper takes here)."""
    with psycopg.connect(dsn) as connection:
        noticed = connection.execute("SELECT count(*) = 2 FROM histories").fetchone()
        buried = connection.execute("SELECT queue_length FROM pgmq.metrics('ow_dead')").fetchone()
    return (noticed, buried) == ((True,), (len(Step),))


def announce_unknown_orders(dsn: str) -> None:
    """What a broker still has that was not restored with the database."""
    broker = connect_broker(BrokerSettings(url="pgmq://", dsn=dsn))
    with broker.publisher() as publisher:
        WakeUps(publisher).announce([(step, f"NEWER-{number}") for number in range(5) for step in Step])
