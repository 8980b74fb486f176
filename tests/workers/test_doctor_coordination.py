"""What the doctor says of a cluster of etcd, and what it advises."""

from dataclasses import replace

from workers.bootstrap import Cluster, Going, Member
from workers.doctor.coordination import judge, judge_epochs

MEMBERS = tuple(
    Member(address=f"etcd{number}:2379", version="3.5.9", id=str(number), leader="1", size=2 * 1024 * 1024)
    for number in (1, 2, 3)
)
WELL = Cluster(members=MEMBERS)


def said(cluster: Cluster) -> dict[str, tuple[str, str, str]]:
    return {one.check: (one.state, one.why, one.fix) for one in judge(cluster)}


def test_a_cluster_that_is_well_is_described_in_one_line() -> None:
    assert said(WELL) == {"etcd": ("ok", "3 of 3 members answer, leader etcd1:2379, version 3.5.9, 2.0 MB", "")}


def test_members_of_different_worlds_are_named() -> None:
    other = replace(MEMBERS[2], leader="31", version="3.4.23")
    found = said(replace(WELL, members=(*MEMBERS[:2], other)))
    assert found["etcd leader"][:2] == (
        "warn",
        "the members follow different leaders: etcd1:2379: etcd1:2379; etcd2:2379: etcd1:2379; etcd3:2379: id 1f",
    )
    assert found["etcd version"][:2] == ("warn", "the members run different versions: 3.4.23, 3.5.9")


def test_an_alarm_is_a_failure_with_the_command_that_shows_it() -> None:
    state, why, fix = said(replace(WELL, alarms=("CORRUPT", "NOSPACE")))["etcd alarms"]
    assert (state, "CORRUPT, NOSPACE" in why, "etcdctl alarm list" in fix) == ("fail", True, True)


def test_alarms_that_we_are_not_told_of_are_no_good_news() -> None:
    assert said(replace(WELL, alarms=None))["etcd alarms"][0] == "warn"


def test_a_cluster_whose_epochs_are_behind_those_of_postgres_was_set_back() -> None:
    for reached in (None, 99):
        found = judge_epochs(Going(reached=reached, fenced=100))
        assert (found.state, "wiped or set back" in found.why) == ("warn", True)
        assert "orderwright settings restore" in found.fix


def test_a_cluster_that_nobody_has_asked_for_a_lease_is_well() -> None:
    assert judge_epochs(Going(reached=None, fenced=0)).state == "ok"
    assert judge_epochs(Going(reached=100, fenced=100)).state == "ok"
