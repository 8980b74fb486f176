"""The broker: frames that wait for a worker, are lost, doubled, held up, or wiped away.

The program's own code makes the frames and reads them. Whoever takes a frame keeps it until it is settled; when he dies first, it
comes again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from domain.errors import BrokerUnavailable
from domain.messaging import Outbound
from infrastructure.messaging.frames import decode_frame
from tests.simulation.agenda import Agenda
from tests.simulation.trace import Trace

NOBODY_S = 0.5


class Taker(Protocol):
    """Who takes frames."""

    name: str

    def take(self, orders: Sequence[str], settle: Callable[[], None]) -> bool: ...


@dataclass(eq=False, slots=True)
class Message:
    queue: str
    body: bytes
    taken_by: str = ""


class Bus:
    """One for all. `away` is set while nothing can be published."""

    def __init__(self, agenda: Agenda, trace: Trace, chance: Random, strikes: Callable[[str], bool]) -> None:
        self.away = False
        self.takers: list[Taker] = []
        self._agenda = agenda
        self._trace = trace
        self._chance = chance
        self._strikes = strikes
        self._waiting: dict[Message, None] = {}

    def publish(self, messages: Sequence[Outbound]) -> None:
        """See `domain.messaging.Publisher`."""
        if self.away:
            raise BrokerUnavailable("the broker is away")
        for message in messages:
            self._take_in(message)

    def depth(self, queue: str) -> int | None:
        if not self._waiting:
            return 0
        return sum(message.queue == queue and not message.taken_by for message in self._waiting)

    def wipe(self) -> None:
        """Every frame is gone, those that are being worked on as well."""
        self._waiting.clear()

    def died(self, name: str) -> None:
        """What he had taken and not settled comes again."""
        for message in self._waiting:
            if message.taken_by == name:
                message.taken_by = ""
                self._send(message, 0.1)

    def _take_in(self, message: Outbound) -> None:
        if self._strikes("frame lost"):
            self._trace.fault("frame lost", "broker", message.body.decode())
            return
        copies = 1
        if self._strikes("frame doubled"):
            copies = self._chance.randint(2, 4)
            self._trace.fault("frame doubled", "broker", f"{copies} times")
        for _ in range(copies):
            self._send(self._keep(message), self._delay())

    def _keep(self, outbound: Outbound) -> Message:
        message = Message(outbound.queue, outbound.body)
        self._waiting[message] = None
        return message

    def _delay(self) -> float:
        if not self._strikes("frame delayed"):
            return self._chance.uniform(0.0005, 0.01)
        delay = self._chance.choice([0.2, 2.0, 30.0, 3600.0])
        self._trace.fault("frame delayed", "broker", f"{delay:g} s")
        return delay

    def _send(self, message: Message, delay_s: float) -> None:
        self._agenda.after(delay_s, "broker", "", lambda: self._deliver(message), idle=delay_s == NOBODY_S)

    def _deliver(self, message: Message) -> None:
        if message not in self._waiting or message.taken_by:
            return
        takers = list(self.takers)
        self._chance.shuffle(takers)
        for taker in takers:
            message.taken_by = taker.name
            if taker.take(decode_frame(message.body).orders, lambda: self._settle(message)):
                return
        message.taken_by = ""
        self._send(message, NOBODY_S)

    def _settle(self, message: Message) -> None:
        self._waiting.pop(message, None)
