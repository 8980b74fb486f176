"""How far each projection has come, in memory: a batch is applied and the checkpoint moved together, or neither."""

from collections.abc import Sequence
from threading import RLock

from domain.errors import VersionConflict
from domain.ports import Projection, RecordedEvent


class MemoryCheckpoints:
    """Checkpoints by projection. Two projectors of one read model cannot both apply a batch."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._positions: dict[str, int] = {}

    def position(self, name: str) -> int:
        """The position of the last event that was applied; 0 before the first."""
        with self._lock:
            return self._positions.get(name, 0)

    def apply(self, projection: Projection, events: Sequence[RecordedEvent], *, after: int) -> int:
        """Apply the events that follow position `after`; returns the new checkpoint.

        Raises `VersionConflict` when the checkpoint is not at `after`: another projector was faster.
        """
        with self._lock:
            current = self.position(projection.name)
            if current != after:
                raise VersionConflict(f"checkpoint-{projection.name}", expected=after, current=current)
            projection.apply(events)
            self._positions[projection.name] = events[-1].position if events else after
            return self._positions[projection.name]
