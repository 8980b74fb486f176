"""The low-water mark: the position up to which a reader has seen everything that will ever exist.

Appenders hold a shared advisory lock from before their first position is drawn until their commit. The reader notes H, the highest
visible position, and then C, who holds the lock. Whoever can still commit a position <= H is in C; once none of C holds the lock
any more, H is final. No time-out, no stall by transactions of strangers, and holes left by rollbacks do not matter. The mark lives
in memory, and only the primary can give it: a standby does not show the locks.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass


@dataclass(slots=True)
class LowWaterMark:
    """The pure part: `observe` is told (H, C) again and again and answers with the mark."""

    safe: int = 0
    _pending: tuple[int, frozenset[str]] | None = None

    def observe(self, head: int, holders: AbstractSet[str]) -> int:
        """`head` must have been read in an earlier statement than `holders`."""
        if self._pending is not None:
            waiting_head, waiting_for = self._pending
            still = (waiting_for & holders) | _prepared_before_a_restart(holders)
            if not still:
                self.safe, self._pending = max(self.safe, waiting_head), None
            else:
                self._pending = (waiting_head, still)
        if self._pending is None:
            if holders:
                self._pending = (head, frozenset(holders))
            else:
                self.safe = max(self.safe, head)
        return self.safe


def _prepared_before_a_restart(holders: AbstractSet[str]) -> set[str]:
    """Prepared transactions that the server found on disk when it started: they hold under a new name, "-1/xid", what they held before."""
    return {holder for holder in holders if holder.startswith("-1/")}
