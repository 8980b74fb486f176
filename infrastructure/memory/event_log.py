"""The events in memory: one list in the global order, the same events by stream, and the streams of each order.

An event is kept as the object it is, but only after the codec has written and read it, so nothing gets in here that a database would
refuse.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from domain.ports import NO_STREAM, Meta, RecordedEvent
from infrastructure.memory.changes import Changes


class EventLog:
    """Append-only; taking back belongs to the transaction alone."""

    def __init__(self, changes: Changes, clock: Callable[[], datetime]) -> None:
        self._changes = changes
        self._clock = clock
        self._all: list[RecordedEvent] = []
        self._streams: dict[str, list[RecordedEvent]] = {}
        self._of_order: dict[str, dict[str, None]] = {}
        self._commands: set[str] = set()

    def version(self, stream: str) -> int:
        return len(self._streams.get(stream, ())) or NO_STREAM

    def append(self, stream: str, event: object, meta: Meta) -> None:
        """Add an event as the next version of its stream."""
        recorded = RecordedEvent(
            position=len(self._all) + 1,
            stream=stream,
            version=self.version(stream) + 1,
            event=event,
            meta=meta,
            recorded_at=self._clock(),
        )
        self._changes.note(lambda: (self._all.pop(), self._streams[stream].pop()))
        self._all.append(recorded)
        self._streams.setdefault(stream, []).append(recorded)
        if order_id := _order_of(stream):
            self._of_order.setdefault(order_id, {})[stream] = None

    def is_done(self, command_id: str) -> bool:
        return command_id in self._commands

    def mark_done(self, command_id: str) -> None:
        self._changes.note(lambda: self._commands.discard(command_id))
        self._commands.add(command_id)

    def read(self, streams: Mapping[str, int]) -> list[RecordedEvent]:
        return [event for stream, after in streams.items() for event in self._streams.get(stream, [])[after:]]

    def read_orders(self, order_ids: Iterable[str]) -> list[RecordedEvent]:
        orders = dict.fromkeys(order_ids)
        return self.read({stream: 0 for order_id in orders for stream in self._of_order.get(order_id, ())})

    def read_all(self, after: int, up_to: int | None, limit: int, category: str | None) -> Sequence[RecordedEvent]:
        return [event for _, event in zip(range(limit), self._between(after, up_to, category), strict=False)]

    def last_position(self) -> int:
        return len(self._all)

    def _between(self, after: int, up_to: int | None, category: str | None) -> Iterator[RecordedEvent]:
        for index in range(max(after, 0), len(self._all) if up_to is None else min(up_to, len(self._all))):
            event = self._all[index]
            if category is None or event.stream.startswith(f"{category}-"):
                yield event


def _order_of(stream: str) -> str | None:
    category, _, identity = stream.partition("-")
    match category:
        case "order" | "payment" | "process":
            return identity
        case "fulfillment":
            return identity.rpartition("+")[0]
        case _:
            return None
