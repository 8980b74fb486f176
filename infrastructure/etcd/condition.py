"""How a cluster is: what each member says of itself, whether a majority answers, and where the epochs of leases would go on.

A member's own word is from its memory: it may be frozen, cut off, or the leader of nobody. So each is asked by a client that knows only it,
and whether the cluster can be used is shown by a read that the majority has to confirm.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from domain.errors import Misconfigured, StoreUnavailable
from infrastructure.cluster import Cluster, Member
from infrastructure.etcd.address import Access
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.wire import Json, number

MEMBER_S = 2.0
MAJORITY_S = 5.0


def examine(access: Access) -> Cluster:
    """Ask each member, then the majority. Raises `Misconfigured` where the way in is wrong for all of them."""
    members = [_member(replace(access, endpoints=(endpoint,))) for endpoint in access.endpoints]
    with closing(Etcd(access, deadline_s=MAJORITY_S)) as client:
        try:
            client.get(client.key("base"))
        except StoreUnavailable as error:
            return Cluster(members=members, disagrees=str(error))
        return Cluster(members=members, alarms=_alarms(client))


def reached(client: Etcd) -> int | None:
    """No epoch that the cluster gives out from now on is less than this; None if it would ask PostgreSQL first."""
    found = client.get(client.key("base"))
    return next((int(kept.value) + found.revision for kept in found.kept), None)


def _member(access: Access) -> Member:
    address = str(access.endpoints[0])
    with closing(Etcd(access, deadline_s=MEMBER_S)) as client:
        try:
            return _told(address, client.status())
        except (StoreUnavailable, Misconfigured) as error:
            return Member(address=address, trouble=str(error))


def _told(address: str, said: Json) -> Member:
    leader = str(said.get("leader") or "")
    return Member(
        address=address,
        version=str(said.get("version", "?")),
        id=str(said.get("header", {}).get("member_id", "")),
        leader="" if leader == "0" else leader,
        size=number(said, "dbSize"),
    )


def _alarms(client: Etcd) -> Sequence[str] | None:
    """Newer servers tell them to nobody but root."""
    try:
        return client.alarms()
    except (StoreUnavailable, Misconfigured):
        return None
