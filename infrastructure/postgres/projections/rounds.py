"""One round of one read model: the partitions that are ours are brought forward by a page.

Partitions that stand at the same position go on together, over one page. Those that are behind the others (taken over from a process
that died, or just started again) go first and exactly to where the next ones stand, so that they soon go together.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from domain.partitions import partition_key, partition_of
from infrastructure.failpoints import reach
from infrastructure.postgres.database import Connection
from infrastructure.postgres.projections import checkpoints
from infrastructure.postgres.projections.applying import Stop, apply
from infrastructure.postgres.projections.checkpoints import Checkpoint
from infrastructure.postgres.projections.models import ReadModel
from infrastructure.postgres.projections.pages import Pages, Some


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A projection, or a partition of it, that stands before an event that it cannot take."""

    name: str
    position: int
    reason: str


@dataclass(slots=True)
class Round:
    """What one call of `advance` did.

    `more`: there was more than a page; `lost`: leases that are not ours any more; `changed`: there are other partitions now than we
    thought; `at_barrier`: read models of which a partition can go no further before their number is changed.
    """

    events: int = 0
    more: bool = False
    changed: bool = False
    stopped: list[Stopped] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    at_barrier: list[str] = field(default_factory=list)


class Advance:
    """The round of one read model, inside the caller's transaction."""

    def __init__(
        self,
        connection: Connection,
        model: ReadModel,
        pages: Pages,
        refused: MutableMapping[str, int],
        done: Round,
    ) -> None:
        self._connection = connection
        self._model = model
        self._pages = pages
        self._refused = refused
        self._done = done

    def run(self, names: list[str], mark: int) -> Mapping[str, int]:
        """Bring these checkpoints forward; returns how far each is now, of those that were to be had."""
        there = self._take(names)
        reached = {one.name: one.position for one in there}
        able = [one for one in there if one.stopped_at is None or self._refused.get(one.name) != one.stopped_at]
        limit = min([mark, *(one.barrier for one in able if one.barrier is not None)])
        groups = [list(some) for _, some in groupby(sorted(able, key=_place), attrgetter("position"))]
        together: list[Checkpoint] = []
        for place, group in enumerate(groups):
            together += group
            after = group[0].position
            following = groups[place + 1][0].position if place + 1 < len(groups) else limit
            if after < following:
                moved = self._apply_page(together, after, following)
                reached |= moved
                together = [one for one in together if moved[one.name] == following]
        if any(one.barrier is not None and reached[one.name] >= one.barrier for one in able):
            self._done.at_barrier.append(self._model.name)
        return reached

    def _take(self, names: list[str]) -> list[Checkpoint]:
        ours = checkpoints.take(self._connection, self._model.name, names)
        there = checkpoints.read(self._connection, ours) if ours else []
        self._done.changed |= len(there) < len(ours)
        return there

    def _apply_page(self, group: list[Checkpoint], after: int, up_to: int) -> dict[str, int]:
        page = self._pages.read(self._connection, after=after, up_to=up_to, only=_only(group))
        stop = apply(self._connection, self._model, page.facts)
        reach("before_checkpoint")
        if stop is not None:
            return self._halt(group, stop)
        checkpoints.move(self._connection, [one.name for one in group], page.last)
        self._done.events = max(self._done.events, len(page.facts))
        self._done.more |= page.full
        return {one.name: page.last for one in group}

    def _halt(self, group: list[Checkpoint], stop: Stop) -> dict[str, int]:
        """The partition of the event stops there; the others have come as far, and go on without it in the next round."""
        number = partition_of(partition_key(stop.stream), group[0].partitions)
        (halted,) = [one.name for one in group if one.partition == number or one.partitions == 1]
        if others := [one.name for one in group if one.name != halted]:
            checkpoints.move(self._connection, others, stop.position - 1)
            self._done.more = True
        checkpoints.stop(self._connection, halted, stop.position, stop.reason)
        self._refused[halted] = stop.position
        self._done.stopped.append(Stopped(name=halted, position=stop.position, reason=stop.reason))
        return {one.name: stop.position - 1 for one in group}


def _place(checkpoint: Checkpoint) -> tuple[int, int]:
    return checkpoint.position, checkpoint.partition


def _only(group: Iterable[Checkpoint]) -> Some | None:
    """The partitions of the group; None if they are all that there are."""
    mine = sorted(one.partition for one in group)
    partitions = next(iter(group)).partitions
    return None if len(mine) == partitions else Some(partitions=partitions, mine=tuple(mine))
