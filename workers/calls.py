"""Calls to the outside, made side by side by a bounded number of threads for each dependency.

A slow dependency uses up its own threads and nobody else's (a bulkhead). Answers and errors go to one mailbox as they come. A
world that answers without waiting (the in-process one) is called on the spot: threads would only cost.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol

from domain import outside
from domain.outside import Answer, Request
from domain.work import Run
from infrastructure.failpoints import reach
from workers.turns import Call


class World(Protocol):
    """The outside as one callable object."""

    def call(self, request: Request, *, inquire_first: bool) -> Answer: ...


Deliver = Callable[[Run, "Answer | Exception"], None]

_DEPENDENCY: Mapping[type[Request], str] = {
    outside.AssessRisk: "risk",
    outside.AuthorizePayment: "payment",
    outside.CapturePayment: "payment",
    outside.VoidPayment: "payment",
    outside.BuyLabel: "carrier",
    outside.RefundLabel: "carrier",
    outside.HandOverParcel: "carrier",
    outside.TrackParcel: "carrier",
    outside.NotifyCustomer: "mail",
}


class CallThreads:
    """`threads` for each dependency; 0 calls on the spot."""

    def __init__(self, world: World, deliver: Deliver, *, threads: int) -> None:
        self._world = world
        self._deliver = deliver
        self._queues: dict[str, SimpleQueue[Call | None]] = {}
        self._width = threads
        for name in sorted(set(_DEPENDENCY.values())) if threads else ():
            self._queues[name] = SimpleQueue()
            for number in range(threads):
                thread = threading.Thread(
                    target=self._work, args=(self._queues[name],), name=f"{name}-{number}", daemon=True
                )
                thread.start()

    def make(self, call: Call) -> None:
        """Hand the call to its dependency's threads; the answer is delivered later."""
        if self._queues:
            self._queues[_DEPENDENCY[type(call.request)]].put(call)
        else:
            self._make(call)

    def cancel(self) -> list[Call]:
        """Take back the calls that no thread has begun."""
        taken: list[Call] = []
        for queue in self._queues.values():
            with suppress(Empty):
                while (call := queue.get_nowait()) is not None:
                    taken.append(call)
        return taken

    def close(self) -> None:
        """End the threads when they have made the calls that they have."""
        for queue in self._queues.values():
            for _ in range(self._width):
                queue.put(None)

    def _work(self, queue: "SimpleQueue[Call | None]") -> None:
        while (call := queue.get()) is not None:
            self._make(call)

    def _make(self, call: Call) -> None:
        order_id = call.run.key.order_id
        try:
            reach("before_call", order_id)
            answer: Answer | Exception = self._world.call(call.request, inquire_first=call.inquire)
            reach("after_call_before_commit", order_id)
        except Exception as error:  # noqa: BLE001 - every failure of a call is classified by the retry policy
            answer = error
        self._deliver(call.run, answer)
