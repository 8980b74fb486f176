"""Wake-ups over a publisher: (step, order id) pairs in, frames out, one publish for all of them."""

from collections.abc import Iterable

from domain.messaging import Outbound, Publisher
from infrastructure.messaging.frames import encode_frame, frames


def queue_of(step: str) -> str:
    """The queue that workers of a step listen to."""
    return f"ow_{step}"


class WakeUps:
    """Announces work. Raises `BrokerUnavailable`; the rows stay due, so nothing is lost by it."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def announce(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Frames for these (step, order id) pairs."""
        by_step: dict[str, dict[str, None]] = {}
        for step, order_id in pairs:
            by_step.setdefault(step, {})[order_id] = None
        messages = [
            Outbound(queue=queue_of(step), body=encode_frame(frame))
            for step, orders in by_step.items()
            for frame in frames(step, orders)
        ]
        if messages:
            self._publisher.publish(messages)

    def backlog(self, step: str) -> int | None:
        """How many frames wait for a step."""
        return self._publisher.depth(queue_of(step))
