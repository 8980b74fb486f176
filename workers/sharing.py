"""Who has which share of named work: the rule by which processes agree without talking to each other.

Everybody knows the names, how many members there are, its own rank among them, and which names nobody has. The quota of each follows
from that alone, and the quotas add up: who has more gives up, who has less takes what is free. While nobody comes or goes nothing moves;
when somebody leaves nobody gives anything up; when somebody comes, as much moves as it is to have.

A name is `MODEL` or `MODEL/NUMBER`. Names with one number are best kept together: the same events are read once for all of them.
"""

from collections import Counter
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What to change about what one has."""

    give_up: list[str]
    take: list[str]


def quota(names: int, members: int, rank: int) -> int:
    """How many of the names the member of this rank (from 0) is to have."""
    return names // members + (rank < names % members)


def deal(*, names: Collection[str], mine: AbstractSet[str], free: Collection[str], rank: int, members: int) -> Move:
    """The move of one member; `mine` may hold names that are none any more."""
    have = mine & set(names)
    due = quota(len(names), members, rank)
    columns = Counter(map(number_of, have))
    kept = sorted(have, key=lambda name: (-columns[number_of(name)], number_of(name), name))[:due]
    near = {number_of(name) for name in kept}
    wanted = sorted(free, key=lambda name: (number_of(name) not in near, number_of(name), name))
    return Move(give_up=sorted(mine - set(kept)), take=wanted[: due - len(kept)])


def number_of(name: str) -> int:
    """The number in a name; -1 if it has none."""
    number = name.rpartition("/")[2]
    return int(number) if number.isdecimal() else -1
