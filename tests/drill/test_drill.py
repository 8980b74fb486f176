"""A small drill, for a gate that has a minute to spare: the whole thing but RabbitMQ, whose cluster takes longer to start than this may last.

`make drill` is the large one. What this one tells is that every role works with three etcd members and two database servers, that
losing the etcd leader, a host or the primary costs nobody an order, and that the drill itself still runs.
"""

import os
import shutil

import pytest

from tests.drill.__main__ import main

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("cluster"),
]


@pytest.mark.skipif(
    os.environ.get("ORDERWRIGHT_TEST_DRILL") != "1" or shutil.which("etcd") is None,
    reason="takes a minute on a quiet machine and etcd: ORDERWRIGHT_TEST_DRILL=1",
)
def test_a_cluster_that_loses_one_node_after_the_other_loses_no_order() -> None:
    faults = ["--only", "cut", "fail over", "--target", "member", "worker-3", "primary"]
    assert main(["--broker", "pgmq", "--orders", "60", "--hold", "3", *faults]) == 0
