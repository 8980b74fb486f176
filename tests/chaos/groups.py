"""The installations that groups of rows share. Each is made for its group and ends with it."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.chaos.matrix import NotHere
from tests.chaos.shop import NO_PERSON_NEEDED, ROLES, Plan, Shop, open_shop
from tests.faults import power
from tests.faults.clocks import ServerClock, why_no_server_clock
from tests.faults.disk import small_disk, why_not
from tests.servers.etcd import EtcdCluster, find_etcd
from tests.servers.rabbitmq import RabbitNode, find_server_script

LEASE_S = 3.0
DISK_MB = 200
SMALL = {"max_wal_size": "48MB", "min_wal_size": "32MB", "shared_buffers": "16MB"}
QUIET = {**NO_PERSON_NEEDED, "faults": {}, "latency": {"fixed_ms": 5, "jitter_ms": 10}}
FAST = {
    "ORDERWRIGHT_LEASE_S": str(LEASE_S),
    "ORDERWRIGHT_SWEEP_S": "1",
    "ORDERWRIGHT_BACKOFF_CAP_S": "1",
    "ORDERWRIGHT_GRACE_S": "10",
    "ORDERWRIGHT_VISIBILITY_TIMEOUT_S": "3",
    "ORDERWRIGHT_BREAKER_OPEN_S": "1.0",
    "ORDERWRIGHT_BREAKER_OPEN_CAP_S": "2",
    "ORDERWRIGHT_BREAKER_RELEASE_FLOOR": "50",
    "ORDERWRIGHT_WAREHOUSES": "EAST:US,CA;WEST",
}
NO_RABBITMQ = "RabbitMQ is not installed"


@dataclass(kw_only=True)
class Installation:
    """A shop, and the broker's node if it has one of its own."""

    shop: Shop
    node: RabbitNode | None = None
    clock: ServerClock | None = None
    etcd: EtcdCluster | None = None
    disk: power.Disk | None = None


Open = Callable[[Path, Random], AbstractContextManager[Installation]]


def _on_pgmq(plan: Plan, settings: Mapping[str, str] | None = None) -> Open:
    @contextmanager
    def opened(folder: Path, chance: Random) -> Iterator[Installation]:
        with open_shop(folder, chance, plan, settings) as shop:
            shop.stock_up(orders=3000, rare=6000)
            yield Installation(shop=shop)

    return opened


@contextmanager
def _on_rabbitmq(folder: Path, chance: Random) -> Iterator[Installation]:
    script = find_server_script()
    if script is None:
        raise NotHere(NO_RABBITMQ)
    with tempfile.TemporaryDirectory(prefix="orderwright-rabbitmq-") as place:
        node = RabbitNode(Path(place), script)
        try:
            plan = Plan(broker_url=node.start(), settings=FAST, behaviour=QUIET, behind_proxy=["worker-1"])
            with open_shop(folder, chance, plan) as shop:
                shop.stock_up(orders=3000, rare=6000)
                yield Installation(shop=shop, node=node)
        finally:
            node.stop()


@contextmanager
def _on_a_small_disk(folder: Path, chance: Random) -> Iterator[Installation]:
    if reason := why_not():
        raise NotHere(reason)
    plan = Plan(settings=FAST, behaviour=QUIET)
    with small_disk(folder / "postgres", DISK_MB), open_shop(folder, chance, plan, SMALL) as shop:
        shop.stock_up(orders=3000, rare=6000)
        yield Installation(shop=shop)


@contextmanager
def _on_a_disk_with_a_plug(folder: Path, chance: Random) -> Iterator[Installation]:
    if reason := power.why_not():
        raise NotHere(reason)
    plan = Plan(settings=FAST, behaviour=QUIET)
    with (
        power.disk(folder / "disk.image", folder / "postgres", 3 * DISK_MB) as disk,
        open_shop(folder, chance, plan, SMALL) as shop,
    ):
        shop.stock_up(orders=3000, rare=6000)
        disk.synchronize()
        yield Installation(shop=shop, disk=disk)


@contextmanager
def _by_a_wrong_clock(folder: Path, chance: Random) -> Iterator[Installation]:
    if reason := why_no_server_clock():
        raise NotHere(reason)
    clock, plan = ServerClock(folder / "clock"), Plan(settings=FAST, behaviour=QUIET)
    with open_shop(folder, chance, plan, binaries=clock.binaries) as shop:
        shop.stock_up(orders=3000, rare=6000)
        yield Installation(shop=shop, clock=clock)


@contextmanager
def _by_etcd(folder: Path, chance: Random) -> Iterator[Installation]:
    if find_etcd() is None:
        raise NotHere("etcd is not installed")
    cluster = EtcdCluster(folder / "etcd")
    try:
        settings = {**FAST, "ORDERWRIGHT_COORDINATION_URL": cluster.start()}
        with open_shop(folder, chance, Plan(settings=settings, behaviour=QUIET)) as shop:
            shop.stock_up(orders=3000, rare=6000)
            yield Installation(shop=shop, etcd=cluster)
    finally:
        cluster.stop()


GROUPS: dict[str, Open] = {
    "workers": _on_pgmq(Plan(settings=FAST, behaviour=NO_PERSON_NEEDED)),
    "poison": _on_pgmq(
        Plan(settings={**FAST, "ORDERWRIGHT_ATTEMPTS": "4", "ORDERWRIGHT_STUCK_S": "5"}, behaviour=QUIET)
    ),
    "database": _on_pgmq(Plan(settings=FAST, behaviour=QUIET), {"max_connections": "40"}),
    "network": _on_pgmq(Plan(settings=FAST, behaviour=QUIET, behind_proxy=["worker-1", "relay"])),
    "pgmq": _on_pgmq(Plan(settings=FAST, behaviour=QUIET)),
    "rabbitmq": _on_rabbitmq,
    "gateway": _on_pgmq(Plan(settings=FAST, behaviour=QUIET)),
    "reading": _on_pgmq(Plan(settings=FAST, behaviour=QUIET)),
    "doors": _on_pgmq(Plan(settings=FAST, behaviour=QUIET, roles=[*ROLES, "intake", "keeper"])),
    "capacity": _on_pgmq(Plan(settings=FAST, behaviour=QUIET)),
    "disk": _on_a_small_disk,
    "power": _on_a_disk_with_a_plug,
    "clock": _by_a_wrong_clock,
    "coordination": _by_etcd,
}
