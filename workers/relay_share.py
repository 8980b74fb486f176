"""Which part of a relay's work is this relay's: some of the partitions of the due work, and perhaps what is done once for all.

The leases are `relay:0`, `relay:1`, ... for the partitions and `relay:sweep` for orphans and tidying. They only save doubled work: a
row is marked as announced before it is, so two relays that both think a partition theirs announce each row once all the same. So
where something is wrong, more is done and never less:

    nobody has the lease of a partition     its work is announced by any relay once it has waited for the time of a lease
    nobody has the lease to sweep           every relay sweeps, but seldom
    the leases cannot be reached            the relay does everything
    two relays count partitions otherwise   for a second at most: the number is one row, and everybody looks there
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.errors import StoreUnavailable
from domain.partitions import Portion
from workers.leases import Leases
from workers.shares import Shares

SWEEP = "sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    """`portion` None: all due work."""

    portion: Portion | None = None
    sweeps: bool = True

    @property
    def stands_by(self) -> bool:
        """No partition is ours."""
        return self.portion is not None and not self.portion.mine


def everything() -> Mine:
    """What a relay without leases does."""
    return Mine()


class RelayShare:
    """For the relay's thread. `partitions` tells how many there are now."""

    def __init__(self, leases: Leases, partitions: Callable[[], int], *, look_every_s: float = 0.5) -> None:
        self._patience = leases.time
        self._partitions = partitions
        self._count = 1
        self._shares = Shares(leases, "relay", self._names, look_every_s=look_every_s)

    def __call__(self) -> Mine:
        """What is ours now."""
        try:
            held = self._shares.held()
        except StoreUnavailable:
            return everything()
        mine = frozenset(int(name) for name in held if name != SWEEP)
        if len(mine) >= self._count:
            return Mine(sweeps=SWEEP in held)
        portion = Portion(partitions=self._count, mine=mine, patience=self._patience)
        return Mine(portion=portion, sweeps=SWEEP in held)

    def close(self) -> None:
        """Give everything back."""
        self._shares.close()

    def _names(self) -> Sequence[str]:
        self._count = self._partitions()
        return [*map(str, range(self._count)), SWEEP]
