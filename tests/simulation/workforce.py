"""Workers and relays as processes: they start, go on, freeze, jump with their clocks, die at any statement, and start again.

A process that dies loses its memory; the calls that it was making end at the gateway or never got there, and nobody hears the
answers. A frozen one does nothing, not even renew its lease, and goes on afterwards as if nothing had been.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from domain.errors import BrokerUnavailable, StoreUnavailable
from domain.outside import Answer
from domain.work import Run
from infrastructure.messaging.wakeups import WakeUps
from tests.simulation.calls import Calls, FlakyBoard
from tests.simulation.database import Connection, Killed
from workers.announce import patiently
from workers.breakers import Breakers
from workers.conductor import Conductor
from workers.holding import Holding
from workers.mailbox import Answered, Mailbox, Nudge, WakeUp
from workers.relay import Relay, RelaySettings
from workers.tools import Tools
from workers.worker_settings import WorkerSettings

if TYPE_CHECKING:
    from tests.simulation.world import World

LEASE_S = 10.0
LOOK_S, LIMITED_LOOK_S = 2.0, 0.5
RESTART_S = 1.0


class Process:
    """What all have in common. `life` counts the starts, so that what belonged to a former life is told apart."""

    def __init__(self, world: "World", name: str, chance: Random) -> None:
        self.name = name
        self.alive = False
        self.life = 0
        self.frozen_until = 0.0
        self.world = world
        self.chance = chance
        self.connection = Connection(world.database, self)
        self._offset = chance.uniform(0, 1e6)
        self._pace = chance.choice([1.0, 1.0, 0.9, 1.05])

    def monotonic(self) -> float:
        """The process's own clock: it began somewhere, goes a little wrong, and does not count the time that was skipped."""
        return self.world.agenda.lived * self._pace + self._offset

    def start(self) -> None:
        """A new life."""
        if self.alive:
            return
        self.alive = True
        self.life += 1
        self.frozen_until = 0.0
        self.world.trace.note(self.name, f"starts (life {self.life})")
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def die(self) -> None:
        """Everything in memory is gone; somebody starts it again."""
        if not self.alive:
            return
        self.alive = False
        self.world.bus.died(self.name)
        self.world.trace.note(self.name, "is dead")
        self.world.agenda.after(self.chance.uniform(0.1, 2 * RESTART_S), self.name, "start", self.start)

    def freeze(self, lasts: float) -> None:
        self.frozen_until = max(self.frozen_until, self.world.agenda.now + lasts)

    def soon(self, delay_s: float, what: str, action: Callable[[], None], *, idle: bool = False) -> None:
        """Do something in this life, when not frozen."""
        life = self.life

        def act() -> None:
            if not self.alive or self.life != life:
                return
            frozen = self.frozen_until - self.world.agenda.now
            if frozen > 0:
                self.world.agenda.after(frozen, self.name, what, act)
                return
            try:
                self.world.as_process(self, action)
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001 - whatever ends a process is a finding
                self.world.oracle.find(self.name, f"ended by {error!r}")
                self.die()

        self.world.agenda.after(delay_s, self.name, what, act, idle=idle)


class Worker(Process):
    """A step worker."""

    def begin(self) -> None:
        world, self._failures, self._turning = self.world, 0, False
        settings = WorkerSettings(
            name=self.name,
            threads=0,
            batch=world.batch,
            in_flight=50,
            lease=timedelta(seconds=LEASE_S),
            policy=world.policy,
            retry=world.retry,
            warehouses=world.warehouses,
        )
        self.mailbox = Mailbox()
        lost = lambda: self.mailbox.put(Nudge())  # noqa: E731
        self.holding = Holding(self.connection, self.name, settings.lease, lost, self.monotonic)
        self.breakers = Breakers(
            FlakyBoard(world.board, self.connection),
            process=f"{self.name}.{self.life}",
            forgive=self.connection.over(world.database.store.forgive),
            overlook=self.connection.over(world.database.store.overlook),
            clock=self.monotonic,
            random=self.chance.random,
        )
        tools = Tools(
            store=self.connection,
            calls=Calls(self),
            announce=patiently(WakeUps(world.bus).announce, self.monotonic),  # type: ignore[arg-type]
            mailbox=self.mailbox,
            holding=self.holding,
            breakers=self.breakers,
            clock=self.monotonic,
            random=self.chance.random,
        )
        self.conductor = Conductor(tools, settings)
        self.soon(self.chance.uniform(0, 0.1), "look", self._look, idle=True)
        self.soon(LEASE_S / 3, "renew", self._renew, idle=True)

    def take(self, orders: Sequence[str], settle: Callable[[], None]) -> bool:
        """A frame from the broker."""
        if not self.alive:
            return False
        self.mailbox.put(WakeUp(orders, settle))
        self.turn_soon()
        return True

    def answer(self, life: int, run: Run, answer: Answer | Exception) -> None:
        """What a call brought, if who made it still lives."""
        if self.alive and self.life == life:
            self.mailbox.put(Answered(run, answer))
            self.turn_soon()

    def turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self.soon(self.chance.uniform(0.0002, 0.003), "", self._turn)

    def _look(self) -> None:
        self._turn()
        pause = LIMITED_LOOK_S if self.breakers.limited() else LOOK_S  # mail is looked at when it comes
        self.soon(pause * self.chance.uniform(0.9, 1.1), "look", self._look, idle=True)

    def _turn(self) -> None:
        self._turning = False
        try:
            self.conductor.once(timeout_s=0.0)
            self._failures = 0
        except StoreUnavailable:
            self._failures += 1
            self._turning = True
            self.soon(min(5.0, 0.1 * 2 ** min(self._failures, 6)), "", self._turn)
            return
        if self.conductor.is_busy():
            self.turn_soon()

    def _renew(self) -> None:
        self.holding.renew()
        self.soon(LEASE_S / 3, "renew", self._renew, idle=True)


class RelayProcess(Process):
    """A relay."""

    def begin(self) -> None:
        wakeups = WakeUps(self.world.bus)  # type: ignore[arg-type]
        self._failures = 0
        self._settings = RelaySettings(interval_s=1.0)
        self.relay = Relay(self.connection, wakeups.announce, wakeups.backlog, self._settings, clock=self.monotonic)
        self.soon(self.chance.uniform(0, 0.5), "look", self._look, idle=True)

    def _look(self) -> None:
        busy = False
        try:
            busy = self.relay.look()
            self._failures = 0
        except (StoreUnavailable, BrokerUnavailable):
            self._failures += 1
        pause = self._settings.interval_s * 2 ** min(self._failures, 4) * self.chance.uniform(0.75, 1.25)
        self.soon(0.001 if busy else pause, "look", self._look, idle=True)
