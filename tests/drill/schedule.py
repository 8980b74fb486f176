"""Which fault comes when. Every node meets one, every engine meets every kind; the order is shuffled by the seed.

A leader is what hurts most to lose, so each kind of fault looks for the leader first among the nodes of its engine that had none yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from tests.drill.targets import Kind, Target

KINDS: tuple[Kind, ...] = ("kill", "freeze", "cut")
LEADER = "leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One fault: a kind, and the targets that it may choose from."""

    kind: Kind
    among: tuple[Target, ...]


def acts_on_each(targets: Sequence[Target], kinds: Sequence[Kind] = KINDS) -> list[Act]:
    """As many as there are targets, or kinds if these are more; each target is struck at least once."""
    times = max(len(targets), len(kinds)) if targets else 0
    return [Act(kind=kind, among=tuple(targets)) for kind, _ in zip(cycle(kinds), range(times), strict=False)]


def shuffled(acts: Sequence[Act], chance: Random) -> list[Act]:
    mixed = list(acts)
    chance.shuffle(mixed)
    return mixed


class Choice:
    """Remembers who was struck already, so that each gets its turn."""

    def __init__(self) -> None:
        self._struck: list[Target] = []

    def of(self, act: Act) -> Target:
        """The leader, if its turn is to come, or whoever was struck least."""
        least = min(map(self._struck.count, act.among))
        free = [target for target in act.among if self._struck.count(target) == least]
        leaders = [target for target in free if LEADER in target.place()]
        self._struck.append((leaders or free)[0])
        return self._struck[-1]
