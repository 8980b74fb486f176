"""What is told of a cluster of which members are away, one after the other."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from infrastructure.embedded.waiting import wait_until
from infrastructure.etcd.address import access
from infrastructure.etcd.client import Etcd
from infrastructure.etcd.condition import examine, reached
from infrastructure.etcd.wire import put
from tests.servers.etcd import EtcdCluster
from workers.doctor.coordination import judge

Judged = Callable[[], dict[str, tuple[str, str]]]


@pytest.fixture
def judged(etcd: EtcdCluster, monkeypatch: pytest.MonkeyPatch) -> Judged:
    monkeypatch.setattr("infrastructure.etcd.condition.MEMBER_S", 1.0)
    monkeypatch.setattr("infrastructure.etcd.condition.MAJORITY_S", 2.0)
    way = access(etcd.url, prefix=uuid4().hex)
    return lambda: {one.check: (one.state, one.why) for one in judge(examine(way))}


def test_members_that_are_away_are_a_warning_until_no_majority_is_left(etcd: EtcdCluster, judged: Judged) -> None:
    whole = judged()
    assert list(whole) == ["etcd"]
    state, why = whole["etcd"]
    assert (state, why.partition(",")[0]) == ("ok", "3 of 3 members answer")
    assert f"leader {etcd.leader().address}, version 3." in why
    first, second = etcd.followers()
    first.kill()
    state, why = judged()["etcd"]
    assert (state, first.address in why) == ("warn", True)
    second.kill()
    state, why = judged()["etcd"]
    assert (state, why.startswith("1 of 3 members answer, and no majority")) == ("fail", True)


def test_a_member_that_is_cut_off_is_told_by_its_leader(etcd: EtcdCluster, judged: Judged) -> None:
    lonely = etcd.followers()[0]
    lonely.cut_off()
    assert wait_until(lambda: (lonely.status() or {}).get("leader", "0") == "0", timeout_s=30.0)
    found = judged()
    assert found["etcd"][0] == "ok", "it does answer"
    state, why = found["etcd leader"]
    assert (state, f"{lonely.address}: none" in why) == ("warn", True)


def test_a_cluster_that_is_full_says_so(etcd: EtcdCluster, judged: Judged) -> None:
    def alarm(action: str) -> None:
        member: Any = etcd.leader().status()
        told = {"action": action, "memberID": member["header"]["member_id"], "alarm": "NOSPACE"}
        etcd.ask(etcd.leader(), "/v3/maintenance/alarm", told)

    alarm("ACTIVATE")
    try:
        state, why = judged()["etcd alarms"]
    finally:
        alarm("DEACTIVATE")
    assert (state, "NOSPACE" in why) == ("fail", True)
    assert "etcd alarms" not in judged()


def test_epochs_go_on_beyond_the_base_and_the_clusters_revision(client: Etcd) -> None:
    assert reached(client) is None
    revision = client.transact([], [put(client.key("base"), b"5000")]).revision
    assert (reached(client) or 0) >= 5000 + revision
