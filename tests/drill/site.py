"""The installation that a drill strikes: every engine as a cluster, every role twice or more, all real processes on this machine."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.groups import FAST, QUIET
from tests.chaos.processes import Role, nursery
from tests.chaos.shop import Plan, Shop
from tests.drill import probes
from tests.drill.postgres import FailOver, Server, is_streaming
from tests.drill.series import Probe, Series
from tests.drill.targets import Node, Process, Target
from tests.faults.proxy import Proxy
from tests.servers.etcd import EtcdCluster, EtcdMember
from tests.servers.postgres_pair import PrimaryAndReplica
from tests.servers.rabbitmq_cluster import RabbitCluster

ROLES = (
    *("worker-1", "worker-2", "worker-3", "worker-4", "relay-1", "relay-2", "projector-1", "projector-2"),
    *("intake-1", "keeper-1"),
)
SHARED = ("relay", "projector")
PARTITIONS = 4
CUT_OFF = "worker-3"
QUEUE = "ow_authorize"
UNRELIABLE: dict[str, Any] = {**QUIET, "faults": {"drop_before": 0.005, "drop_after": 0.01}}
ADDRESSES = (
    "DATABASE_URL",
    "ORDERWRIGHT_BROKER_URL",
    "ORDERWRIGHT_COORDINATION_URL",
    "ORDERWRIGHT_GATEWAY_URL",
)


class ClusterShop(Shop):
    """A shop with one role whose every connection leads through a proxy of its own."""

    ports: tuple[int, ...] = ()

    def add(self, name: str, **more: str) -> Role:
        role = super().add(name, **more)
        if name.startswith(SHARED):
            role.arguments += ["--partitions", str(PARTITIONS)]
        return role

    def _through_proxies(self) -> dict[str, str]:
        ports = (*self.ports, self._port())
        self.proxies = {str(port): Proxy("127.0.0.1", port) for port in ports}
        known = re.compile(rf"\b({'|'.join(self.proxies)})\b")

        def lead(text: str) -> str:
            return known.sub(lambda port: str(self.proxies[port[1]].port), text)

        return {name: lead(self._base[name]) for name in ADDRESSES if name in self._base}


@dataclass(kw_only=True)
class Site:
    """All that runs. Without a RabbitMQ of its own the broker is in the database."""

    shop: Shop
    rabbit: RabbitCluster | None
    etcd: EtcdCluster
    pair: PrimaryAndReplica

    def nodes(self) -> list[Target]:
        return [_rabbit_node(self.rabbit, number) for number in range(3)] if self.rabbit else []

    def members(self) -> list[Target]:
        return [self._etcd_member(one) for one in self.etcd.members]

    def replica(self) -> Target:
        return self._server("replica", lambda: self.pair.replica, lambda: "")

    def primary(self) -> Target:
        return self._server("primary", lambda: self.pair.primary, lambda: "leader")

    def failover(self) -> Target:
        return FailOver(self.pair)

    def role(self, name: str) -> Target:
        return Process(self.shop.role(name), list(self.shop.proxies.values()) if name == CUT_OFF else ())

    def watch(self) -> dict[str, Series]:
        """The observers, by what they look at."""
        looks: dict[str, Probe] = {
            "orders": probes.Appends(self.pair.dsn),
            "read models": probes.Appends(self.pair.dsn, probes.VIEWS),
            "commits": probes.Commits(self.pair.dsn),
            **({"publishes": probes.Publishes(self.rabbit)} if self.rabbit else {}),
            "puts": probes.Puts(self.etcd),
            "replica": probes.Appends(self.pair.replica_dsn),
        }
        return {name: Series(name, look) for name, look in looks.items()}

    def _etcd_member(self, member: EtcdMember) -> Target:
        return Node(
            f"member {member.number + 1}",
            "etcd",
            member,
            revive=member.start,
            place=lambda: "leader" if self.etcd.leader() is member else "",
            is_whole=lambda: _agree(self.etcd),
        )

    def _server(self, name: str, which: Callable[[], Any], place: Callable[[], str]) -> Target:
        server = Server(self.pair, which)
        return Node(
            name, "PostgreSQL", server, revive=server.start, place=place, is_whole=lambda: is_streaming(self.pair)
        )


def _rabbit_node(cluster: RabbitCluster, number: int) -> Target:
    member = cluster.members[number]
    return Node(
        f"node {number + 1}",
        "RabbitMQ",
        member,
        revive=cluster.start,
        place=lambda: f"leader of {QUEUE}" if cluster.leader_of(QUEUE) is member else "",
        is_whole=lambda: cluster.whole,
    )


def _agree(cluster: EtcdCluster) -> bool:
    """All members answer, and name the same leader."""
    named = {(one.status() or {}).get("leader", "0") for one in cluster.members}
    return len(named) == 1 and named != {"0"}


@contextmanager
def open_site(folder: Path, chance: Random, *, coordination: str = "etcd", broker: str = "rabbitmq") -> Iterator[Site]:
    """Started from nothing; everything is ended by its pid at the end, whatever happened."""
    nursery()
    with ExitStack() as stack:
        pair = PrimaryAndReplica(folder / "postgres")
        stack.callback(pair.stop)
        pair.start()
        etcd = EtcdCluster(folder / "etcd")
        stack.callback(etcd.stop)
        etcd.start()
        rabbit = RabbitCluster(folder / "rabbitmq") if broker == "rabbitmq" else None
        if rabbit is not None:
            stack.callback(rabbit.stop)
            rabbit.start()
        plan = Plan(
            dsn=pair.dsn,
            broker_url=rabbit.url if rabbit else "pgmq://",
            roles=ROLES,
            settings={**FAST, **({"ORDERWRIGHT_COORDINATION_URL": etcd.url} if coordination == "etcd" else {})},
            behaviour=UNRELIABLE,
            behind_proxy=[CUT_OFF],
        )
        (folder / "shop").mkdir()
        shop = ClusterShop(folder / "shop", pair.primary, chance, plan)
        members = [*(rabbit.members if rabbit else ()), *etcd.members]
        shop.ports = (pair.primary.port, pair.replica.port, *(member.port for member in members))
        stack.callback(shop.close)
        shop.start()
        yield Site(shop=shop, rabbit=rabbit, etcd=etcd, pair=pair)
