"""Three RabbitMQ nodes as one broker: each of them may be killed, cut off, frozen or restarted, and nothing confirmed is lost."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.inspection import inspect_amqp
from infrastructure.messaging.settings import BrokerSettings
from tests.chaos.load import Submission, make_orders
from tests.chaos.shop import NO_PERSON_NEEDED, Plan, open_shop
from tests.cluster.stream import PATIENCE_S, Stream
from tests.servers.rabbitmq import required_script
from tests.servers.rabbitmq_cluster import RabbitCluster
from tests.servers.simulator import await_that

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("cluster"),
]

ORDERS = 20
_numbers = count()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    required_script()
    cluster = RabbitCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def broker(cluster: RabbitCluster) -> Broker:
    return connect(
        BrokerSettings(url=cluster.url, confirm_timeout_s=3.0, io_timeout_s=3.0, connect_timeout_s=2.0, heartbeat_s=4)
    )


@pytest.fixture
def stream(broker: Broker) -> Iterator[Stream]:
    """Over a queue of its own: one that was made while only some nodes were up, as after a wipe, has no copies on the others."""
    with Stream(broker, f"ow_stream_{next(_numbers)}") as stream:
        yield stream


def test_the_leader_is_killed(cluster: RabbitCluster, stream: Stream) -> None:
    leader = cluster.leader_of(stream.queue)
    leader.kill()
    stream.goes_on()
    assert cluster.leader_of(stream.queue) is not leader
    leader.start()
    cluster.await_whole()
    stream.goes_on()
    assert stream.missing() == set()
    stream.report("kill -9 of the leader")


def test_the_leader_is_cut_off_from_the_others(cluster: RabbitCluster, stream: Stream) -> None:
    leader = cluster.leader_of(stream.queue)
    leader.cut_off()
    stream.goes_on()
    leader.heal()
    cluster.await_whole()
    stream.goes_on()
    assert stream.missing() == set()
    stream.report("the leader in a minority of one")


def test_the_leader_is_frozen(cluster: RabbitCluster, stream: Stream) -> None:
    leader = cluster.leader_of(stream.queue)
    leader.freeze()
    try:
        stream.goes_on()
    finally:
        leader.thaw()
    cluster.await_whole()
    stream.goes_on()
    assert stream.missing() == set()
    stream.report("the leader frozen")


def test_all_nodes_are_restarted_one_after_the_other(cluster: RabbitCluster, stream: Stream) -> None:
    for member in cluster.members:
        member.shut_down()
        stream.goes_on()
        member.start()
        cluster.await_whole()
    stream.goes_on()
    assert stream.missing() == set()
    stream.report("a rolling restart")


def test_every_node_and_queue_passes_the_check(cluster: RabbitCluster, broker: Broker, stream: Stream) -> None:
    found = list(inspect_amqp(broker.settings, [stream.queue]))
    assert [one for one in found if one.state != "ok"] == []
    assert sum(one.what.startswith("node ") for one in found) == len(cluster.members)


def test_the_whole_broker_is_wiped_and_every_order_is_finished_all_the_same(
    cluster: RabbitCluster, tmp_path: Path
) -> None:
    """What was in the queues is gone; the rows remember."""
    plan = Plan(broker_url=cluster.url, behaviour=NO_PERSON_NEEDED)
    with open_shop(tmp_path, Random(7), plan) as shop:
        shop.stock_up(orders=ORDERS, rare=4 * ORDERS)
        orders = make_orders(ORDERS, prefix="W", chance=shop.chance)
        submission = Submission(shop.command_line, shop.history, orders, shop.folder)
        shop.await_progress(placed=1, closed=0, within_s=PATIENCE_S)
        cluster.wipe()
        submission.finish()
        shop.await_progress(placed=ORDERS, closed=ORDERS, within_s=PATIENCE_S)
        await_that(shop.is_quiet, within_s=PATIENCE_S)
        assert shop.check()["closed"] == ORDERS
