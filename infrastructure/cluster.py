"""What can be told of a cluster that keeps leases and settings. Apart from what asks it, so that nothing of etcd is loaded for it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What one member says, or (`trouble`) why it says nothing. `leader` is an id, empty if it knows of none."""

    address: str
    version: str = ""
    id: str = ""
    leader: str = ""
    size: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """All members that the URL names. `disagrees`: why the majority did not answer; `alarms` None: we are not told of them."""

    members: Sequence[Member]
    disagrees: str = ""
    alarms: Sequence[str] | None = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Going:
    """Where epochs go on: `reached` is what the cluster has come to, None before its first lease; `fenced` what PostgreSQL has seen."""

    reached: int | None
    fenced: int
