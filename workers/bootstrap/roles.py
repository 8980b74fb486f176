"""The long-running roles, and the doors through which orders and commands come in."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from domain.errors import Misconfigured
from domain.work import Step
from infrastructure.gateways.http import http_world
from infrastructure.gateways.outside import OutsideWorld
from infrastructure.live_settings import Effective
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.hardening import anything
from infrastructure.messaging.wakeups import queue_of
from workers.announce import Announcing
from workers.bootstrap.breaking import Breaking
from workers.bootstrap.queues import DEAD_QUEUE, INTAKE_QUEUE
from workers.bootstrap.schema import Projections
from workers.bootstrap.terms import breaker_limits, default_name, policy, worker_settings
from workers.bootstrap.worker_role import WorkerRole
from workers.handle import Handler
from workers.health import Heartbeat, Silent
from workers.keeper import Keeper, leave
from workers.pausing import Pausing
from workers.projector import Projector
from workers.rationing import Rationing
from workers.relay import Relay
from workers.relay_share import RelayShare
from workers.step_worker import StepWorker

if TYPE_CHECKING:
    from workers.intake import Intake
    from workers.intake_consumer import IntakeConsumer


MOST_CALLS = 1000  # connections are opened when they are needed; how many calls there are at once is decided elsewhere


class Roles(Breaking):
    """What runs until it is told to stop."""

    heart: Heartbeat | Silent = Silent()

    def pulse(self, role: str) -> Heartbeat | Silent:
        """Where the loop of a role shows that it turns; it goes away when everything is closed."""
        folder = self.settings.runtime_dir
        if folder is not None:
            self.heart = Heartbeat(folder, role, live_s=self.settings.stuck_s)
            self.opened.callback(self.heart.close)
        return self.heart

    def handler(self) -> Handler:
        """Commands of a person."""
        return Handler(store=self.store(), announce=self.announce(), policy=policy(self.settings))

    def world(self) -> OutsideWorld:
        """The outside world over HTTP."""
        url = self.settings.gateway_url
        if not url:
            raise Misconfigured(
                "gateway_url is not set: the pipeline needs a payment gateway, carrier, mail and risk service"
            )
        world = http_world(url, threads=MOST_CALLS, deadline_s=self.settings.call_deadline_s)
        self.opened.callback(world.close)
        return world

    def step_worker(
        self, steps: Iterable[Step] = tuple(Step), *, name: str | None = None, world: OutsideWorld | None = None
    ) -> WorkerRole:
        """A step worker with its consumer; `world` replaces the one that the settings name."""
        live, called = self.live(), name or default_name("worker")
        settings = worker_settings(live.now(), called, frozenset(steps))
        shared = self.breakers("worker")
        rationing = Rationing(shared, self.call_rates())
        breakers = Pausing(rationing, settings.steps, queue_of)
        announcing = Announcing(self.announce())
        worker = StepWorker(self.store(), world or self.world(), announcing, settings, breakers=breakers)
        queues = [queue_of(step) for step in sorted(settings.steps)]
        role = WorkerRole(worker, announcing, self.broker(), queues, self.letters().unknown_orders)
        breakers.consumer = role.consumer
        worker.hears = lambda: role.consumer.connected

        def adopt(now: Effective) -> None:
            shared.change(breaker_limits(now.settings))
            rationing.rates = now.rates
            breakers.stopped = now.paused
            worker.adopt(worker_settings(now, called, settings.steps))

        live.on_change(adopt)
        worker.pulse = self.pulse("worker")
        return role

    def intake(self, actor: str = "intake") -> "Intake":
        """The door for orders."""
        from workers.intake import Intake

        live = self.live()
        return Intake(
            self.store(),
            self.announce_unpaused(),
            policy(self.settings),
            actor=actor,
            is_open=lambda: live.now().intake_open,
        )

    def intake_consumer(self) -> "IntakeConsumer":
        """The door for orders that come over the broker."""
        from workers.intake_consumer import IntakeConsumer
        from workers.replies import Replies

        broker = self.broker()
        self.declare(broker)
        replies, dead = broker.publisher(), broker.publisher()
        self.opened.callback(replies.close)
        self.opened.callback(dead.close)
        bury = DeadLetterSender(publisher=dead, queue=DEAD_QUEUE)
        consumer = broker.consumer([INTAKE_QUEUE], on_unreadable=bury, prefetch=100)
        role = IntakeConsumer(consumer, self.intake("broker"), Replies(replies), bury)
        role.pulse = self.pulse("intake")
        live = self.live()
        role.is_open = lambda: live.now().intake_open
        return role

    def keeper(self) -> Keeper:
        """Stores the broker's dead letters."""
        broker = self.broker()
        self.declare(broker)
        consumer = broker.consumer([DEAD_QUEUE], on_unreadable=leave, check=anything)
        publisher = broker.publisher()
        self.opened.callback(publisher.close)
        role = Keeper(consumer, self.letters().keep, publisher.tidy, doubt=broker.doubt)
        role.pulse = self.pulse("keeper")
        return role

    def projector(self, *, partitions: int | None = None) -> Projector:
        """Keeps its share of the read models up to date; `partitions` is how many each is to have from now on."""
        projections = Projections(self.migrated(), direct=self.direct())
        if partitions is not None:
            projections.partition(partitions)
        role = projections.projector(self.leases("projector"))
        role.pulse = self.pulse("projector")
        return role

    def relay(self, *, partitions: int | None = None) -> Relay:
        """A relay over this runtime's store and broker, for its share of the work; `partitions`: in how many parts from now on."""
        wake_ups, breakers = self.wake_ups(), self.breakers("relay")
        role = Relay(self.store(), wake_ups.announce, wake_ups.backlog, breakers=breakers)

        def adopt(now: Effective) -> None:
            breakers.change(breaker_limits(now.settings))
            role.paused = now.paused

        self.live().on_change(adopt)
        role.pulse = self.pulse("relay")
        if partitions is not None:
            self.store().set_partitions("relay", partitions)
        role.share = RelayShare(self.leases("relay"), lambda: self.store().partitions("relay"))
        return role
