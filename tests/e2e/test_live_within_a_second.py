"""What `orderwright settings set` changes is in force in every running worker within a second, wherever the settings are kept.

The bound here is wider, because the machine may be busy with other tests; `python -m benchmarks.settings` prints what it takes.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import REQUIRE_ETCD
from tests.e2e.program import Program
from tests.servers.etcd import EtcdCluster, find_etcd
from tests.servers.simulator import await_that

pytestmark = pytest.mark.e2e

BOUND_S = 5.0
NOBODY = "http://127.0.0.1:9"  # no order comes, so nobody is called
IN_FORCE = '"settings in force"'  # said once all parts of a worker were told


@pytest.fixture(params=["postgres", "etcd"])
def installation(request: pytest.FixtureRequest, program: Program, tmp_path: Path) -> Iterator[Program]:
    """With its settings in PostgreSQL or in etcd; one member is enough to keep them."""
    if request.param == "postgres":
        yield program
        return
    if find_etcd() is None and os.environ.get(REQUIRE_ETCD) != "1":
        pytest.skip("etcd is not installed (Debian: apt install etcd-server)")
    cluster = EtcdCluster(tmp_path / "etcd", size=1)
    try:
        program.environment["ORDERWRIGHT_COORDINATION_URL"] = cluster.start()
        yield program
    finally:
        cluster.stop()


def test_a_change_is_in_force_in_every_running_worker_within_a_second(installation: Program) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(installation.running("worker", "--gateway-url", NOBODY)) for _ in range(2)]
        for worker in workers:
            worker.await_word("registered")
        done = installation.call("settings", "set", "batch=7", "--reason", "a test", "--json")
        assert done.json()["version"] == 1, done.err
        await_that(lambda: all(worker.says(IN_FORCE) for worker in workers), within_s=BOUND_S)
