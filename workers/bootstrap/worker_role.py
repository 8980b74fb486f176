"""A step worker and the consumer that fills its mailbox, as one role."""

import gc
from collections.abc import Sequence

from domain.errors import UndecodableMessage
from domain.messaging import Inbound
from domain.work import Step
from infrastructure.messaging.broker import Broker
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.frames import decode_frame
from workers.announce import Announcing
from workers.bootstrap.queues import DEAD_QUEUE
from workers.mailbox import WakeUp
from workers.step_worker import StepWorker
from workers.strangers import FindUnknown, Strangers


class WorkerRole:
    """A step worker and the consumer that fills its mailbox; `run` returns whether it drained in time."""

    def __init__(
        self,
        worker: StepWorker,
        announcing: Announcing,
        broker: Broker,
        queues: list[str],
        find_unknown: FindUnknown,
    ) -> None:
        self.worker = worker
        self._announcing = announcing
        self._dead = broker.publisher()
        bury = DeadLetterSender(publisher=self._dead, queue=DEAD_QUEUE)
        self.consumer = broker.consumer(queues, on_unreadable=bury, prefetch=20)
        self._strangers = Strangers(find_unknown, bury)

    def run(self) -> bool:
        """Work until `stop`; frames are taken no more when the worker drains."""
        collect_garbage_seldom()
        self._strangers.start()
        self._announcing.start(self.worker.fail)
        self.consumer.start(self._on_message)
        try:
            return self.worker.run()
        finally:
            self.consumer.stop(3.0)
            self._strangers.stop(3.0)
            self._announcing.stop(3.0)
            self._dead.close()

    def stop(self) -> None:
        """Ask for the drain; safe in a signal handler."""
        self.worker.stop()

    def _on_message(self, inbound: Inbound) -> None:
        frame = decode_frame(inbound.body)
        if frame.step not in set(Step):
            raise UndecodableMessage(f"step {frame.step!r} is unknown to this version")
        self.worker.mailbox.put(WakeUp(frame.orders, lambda: self._claimed(inbound, frame.orders)))

    def _claimed(self, inbound: Inbound, orders: Sequence[str]) -> None:
        """The frame's runs are claimed; called by the thread whose desk this is."""
        inbound.settle()
        waiting = self.worker.conductor.desk.waiting
        if not any(order_id in waiting for order_id in orders):
            self._strangers.came(inbound, orders)


def collect_garbage_seldom() -> None:
    """Thousands of views live at once and none is part of a cycle: looking through them cost a seventh of a worker's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
