"""The cluster of etcd, if there is one: its members one by one, whether they agree, and whether it remembers the leases it gave out."""

from collections import Counter
from collections.abc import Iterator

from workers.bootstrap import Cluster, Going, Member, Runtime
from workers.doctor.findings import Finding

CHECK = "etcd"
PAGE = "docs/operations/etcd.md"
MEGABYTE = 1024 * 1024


def examine(runtime: Runtime) -> Iterator[Finding]:
    """Nothing, if leases and settings are in PostgreSQL."""
    cluster = runtime.etcd_cluster()
    if cluster is not None:
        yield from judge(cluster)


def judge(cluster: Cluster) -> Iterator[Finding]:
    """The majority first: without one nothing else matters."""
    away = [one for one in cluster.members if one.trouble]
    if cluster.disagrees:
        why = f"{_answering(cluster)}, and no majority of them agrees: {cluster.disagrees}"
        fix = "start the members that are away; what is held and set stays as it is until then"
        yield Finding(check=CHECK, state="fail", why=why, fix=fix)
    elif away:
        why = f"{_answering(cluster)}; {'; '.join(f'{one.address}: {one.trouble}' for one in away)}"
        yield Finding(check=CHECK, state="warn", why=why, fix="start it, or look at its log: etcdctl endpoint status")
    else:
        yield Finding(check=CHECK, state="ok", why=f"{_answering(cluster)}, {_described(cluster)}")
    yield from _at_odds(cluster)
    yield from _alarms(cluster)


def _answering(cluster: Cluster) -> str:
    answering = sum(not one.trouble for one in cluster.members)
    return f"{answering} of {len(cluster.members)} members answer"


def _described(cluster: Cluster) -> str:
    size = max(one.size for one in cluster.members) / MEGABYTE
    leaders = [one.address for one in cluster.members if one.id == one.leader]
    named = f"leader {leaders[0]}, " if leaders else ""
    return f"{named}version {cluster.members[0].version}, {size:.1f} MB"


def _at_odds(cluster: Cluster) -> Iterator[Finding]:
    """Members that live in different worlds: cut off from each other, of two clusters, in the midst of an upgrade."""
    here = [one for one in cluster.members if not one.trouble]
    if len({one.leader for one in here}) > 1:
        why = (
            f"the members follow different leaders: {'; '.join(f'{one.address}: {_leader(one, here)}' for one in here)}"
        )
        fix = f"look again; then look at the network between them, and whether all are of one cluster ({PAGE})"
        yield Finding(check="etcd leader", state="warn", why=why, fix=fix)
    versions = Counter(one.version for one in here)
    if len(versions) > 1:
        why = f"the members run different versions: {', '.join(sorted(versions))}"
        yield Finding(check="etcd version", state="warn", why=why, fix="finish the upgrade")


def _leader(member: Member, here: list[Member]) -> str:
    if not member.leader:
        return "none"
    return next((one.address for one in here if one.id == member.leader), f"id {int(member.leader):x}")


def _alarms(cluster: Cluster) -> Iterator[Finding]:
    if cluster.alarms is None:
        why = "the cluster does not tell us of its alarms"
        yield Finding(check="etcd alarms", state="warn", why=why, fix="etcdctl alarm list, as root")
    elif cluster.alarms:
        why = f"the cluster has raised {', '.join(cluster.alarms)}: it takes no change and no new lease"
        yield Finding(check="etcd alarms", state="fail", why=why, fix=f"etcdctl alarm list; what to do: {PAGE}")


def epochs(runtime: Runtime) -> Iterator[Finding]:
    """Whether the cluster is the one that gave out the leases which PostgreSQL remembers. Needs the schema."""
    going = runtime.epochs_going()
    if going is not None:
        yield judge_epochs(going)


def judge_epochs(going: Going) -> Finding:
    """Leases mend themselves, for whoever is refused one raises the base. What was set since is lost all the same."""
    if going.reached is None and going.fenced:
        return _set_back("the cluster has given out no lease yet", going)
    if going.reached is not None and going.reached < going.fenced:
        return _set_back(f"the cluster has come to epoch {going.reached}", going)
    return Finding(check="etcd epochs", state="ok", why=f"PostgreSQL has seen none beyond {going.fenced}")


def _set_back(found: str, going: Going) -> Finding:
    why = f"{found}, PostgreSQL has seen {going.fenced}: the cluster was wiped or set back"
    fix = "leases go on by themselves when they are taken next; settings: orderwright settings restore --reason ..."
    return Finding(check="etcd epochs", state="warn", why=why, fix=fix)
