"""The schedule of a drill: nobody is left out, leaders come first, and the same seed gives the same faults."""

from dataclasses import dataclass, field
from random import Random

import pytest

from tests.drill.__main__ import select
from tests.drill.schedule import KINDS, Act, Choice, acts_on_each, shuffled
from tests.drill.series import Series
from tests.drill.targets import Kind


@dataclass
class Fake:
    name: str
    engine: str = "etcd"
    leads: bool = False
    struck: list[Kind] = field(default_factory=list)

    def place(self) -> str:
        return "leader" if self.leads else ""

    def strike(self, kind: Kind) -> None:
        self.struck.append(kind)

    def heal(self, kind: Kind) -> None:
        self.struck.remove(kind)

    def is_whole(self) -> bool:
        return not self.struck


class Still:
    def __call__(self) -> bool:
        return False

    def close(self) -> None: ...


def test_every_node_is_struck_and_every_kind_of_fault_happens() -> None:
    nodes = [Fake("one"), Fake("two"), Fake("three")]
    acts, choice = acts_on_each(nodes), Choice()
    assert {choice.of(act).name for act in acts} == {"one", "two", "three"}
    assert [act.kind for act in acts] == list(KINDS)


def test_a_lonely_node_meets_every_kind_of_fault() -> None:
    assert [act.kind for act in acts_on_each([Fake("replica")])] == list(KINDS)


def test_more_nodes_than_kinds_are_struck_all_the_same() -> None:
    nodes = [Fake(str(number)) for number in range(5)]
    choice = Choice()
    assert len({choice.of(act).name for act in acts_on_each(nodes)}) == 5


def test_the_leader_of_the_moment_is_struck_before_its_followers() -> None:
    one, two = Fake("one"), Fake("two", leads=True)
    act, choice = Act(kind="kill", among=(one, two)), Choice()
    assert choice.of(act) is two
    assert choice.of(act) is one, "who was struck already is spared until all had their turn"


def test_a_seed_decides_the_order_of_faults() -> None:
    acts = acts_on_each([Fake(str(number)) for number in range(12)])
    assert shuffled(acts, Random(7)) == shuffled(acts, Random(7))
    assert shuffled(acts, Random(7)) != shuffled(acts, Random(8))


@pytest.mark.parametrize(
    ("kinds", "targets", "expected"),
    [(["kill"], [], 2), (["kill", "freeze"], [], 4), (["kill"], ["ETCD"], 1), (["cut"], [], 0)],
)
def test_a_part_of_the_drill_can_be_asked_for(kinds: list[str], targets: list[str], expected: int) -> None:
    acts = [
        Act(kind=kind, among=(target,))
        for kind in KINDS[:2]
        for target in (Fake("member 1"), Fake("worker-1", engine="roles"))
    ]
    assert len(select(acts, kinds, targets)) == expected


def test_the_longest_pause_counts_from_the_strike_and_to_the_end() -> None:
    series = Series("still", Still())
    series.stop()
    series._moments = [1.0, 2.0, 5.0, 5.5]
    assert series.longest_s(0.0, 6.0) == 3.0
    assert series.longest_s(3.0, 6.0) == 2.0, "what was before the strike is not the fault's"
    assert series.longest_s(5.5, 10.0) == 4.5, "nothing moved until the end"
    assert series.has_moved(5.4)
    assert not series.has_moved(5.5)
