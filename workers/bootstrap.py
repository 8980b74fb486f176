"""The composition root: the only module that names adapters. It connects nothing until it is asked to.

`Runtime` is what a command of the CLI or a long-running role gets: the settings and, on demand, the store, the broker, the outside
world. Without a `database_url` it brings up the embedded PostgreSQL of the data folder; processes that share the folder share the
server, and the last one to leave stops it.
"""

import gc
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from domain.errors import BrokerUnavailable, CommandRefused, Misconfigured, UndecodableMessage
from domain.messaging import Inbound
from domain.process import Policy
from domain.routing import Warehouse
from domain.values import Money
from domain.work import Step
from infrastructure.embedded.shared import embedded_server
from infrastructure.embedded.shared import stop_left_behind as stop_left_behind  # noqa: PLC0414 - for the demo's folder
from infrastructure.gateways.http import http_world
from infrastructure.gateways.outside import OutsideWorld
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.dead import DeadLetterSender
from infrastructure.messaging.frames import decode_frame
from infrastructure.messaging.hardening import anything
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.wakeups import WakeUps, queue_of
from infrastructure.postgres import migrate
from infrastructure.postgres.database import readable
from infrastructure.postgres.diagnosis import Diagnosis
from infrastructure.postgres.migration_files import read_migrations
from infrastructure.postgres.store import PostgresStore
from infrastructure.schemas import export_schemas as export_schemas  # noqa: PLC0414 - for `orderwright schemas export`
from infrastructure.settings import Settings, load
from workers.announce import Announce, patiently
from workers.handle import Handler
from workers.keeper import Keeper, leave
from workers.mailbox import WakeUp
from workers.projector import Projector
from workers.relay import Relay
from workers.replay import Replay
from workers.retry import RetryPolicy
from workers.step_worker import StepWorker, WorkerSettings

if TYPE_CHECKING:
    from domain.ports import RecordedEvent
    from infrastructure.embedded import EmbeddedPostgres
    from infrastructure.postgres.projections.queries import ReadModelQueries
    from infrastructure.postgres.projections.rebuild import Rebuilt
    from infrastructure.projections.order_summary import OrderSummary
    from workers.intake import Intake
    from workers.intake_consumer import IntakeConsumer

INTAKE_QUEUE = "ow_orders"
DEAD_QUEUE = "ow_dead"
QUEUES = (*(queue_of(step) for step in Step), INTAKE_QUEUE)


class Runtime:
    """Everything that a role is made of, opened once and closed together, in reverse order."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open = ExitStack()
        self._dsn: str | None = None
        self._server: EmbeddedPostgres | None = None
        self._store: PostgresStore | None = None
        self._wake_ups: WakeUps | None = None
        self._queries: ReadModelQueries | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened, the embedded server last."""
        self._open.close()

    def dsn(self) -> str:
        """The database's DSN; starts the embedded server if there is no other."""
        if self._dsn is None:
            url = self.settings.database_url
            self._dsn = readable(url.get_secret_value()) if url else self._embedded()
        return self._dsn

    def _embedded(self) -> str:
        self._server = self._open.enter_context(embedded_server(self.settings.data_dir))
        return self._server.start().dsn

    def revive(self) -> bool:
        """Start the embedded server again if it died under us; True if that was so."""
        if self._server is None or self._server.status().running:
            return False
        self._server.start()
        return True

    def migrated(self) -> str:
        """The DSN of a database that has all migrations.

        The embedded database is migrated on the way; any other is only checked: raises `Misconfigured`.
        """
        dsn = self.dsn()
        if self.settings.database_url is None:
            migrate.up(dsn)
        elif pending := migrate.check(dsn):
            names = ", ".join(str(one) for one in pending)
            raise Misconfigured(f"the database lacks {names}: run `orderwright migrate up`")
        return dsn

    def migrations(self) -> "Migrations":
        """The schema of this runtime's database."""
        return Migrations(self.dsn())

    def store(self) -> PostgresStore:
        """The event store and work list."""
        if self._store is None:
            self._store = PostgresStore(self.migrated())
            self._open.callback(self._store.close)
        return self._store

    def broker(self) -> Broker:
        """The broker. Only a `pgmq://` that names no database has its queues in ours."""
        settings = BrokerSettings(url=self.settings.broker_url.get_secret_value(), dead_queue=DEAD_QUEUE)
        return connect(replace(settings, dsn=self.migrated()) if settings.needs_dsn else settings)

    def wake_ups(self) -> WakeUps:
        """Where work is announced."""
        if self._wake_ups is None:
            publisher = self.broker().publisher()
            self._open.callback(publisher.close)
            with suppress(BrokerUnavailable):
                publisher.declare([*QUEUES, DEAD_QUEUE])
            self._wake_ups = WakeUps(publisher)
        return self._wake_ups

    def announce(self) -> Announce:
        """Announces work after a commit; a broker that is away is logged, not raised."""
        return patiently(self.wake_ups().announce)

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
        world = http_world(url, threads=self.settings.call_threads, deadline_s=self.settings.call_deadline_s)
        self._open.callback(world.close)
        return world

    def gateway_trouble(self) -> str | None:
        """Why the outside world does not answer; None if it does."""
        from infrastructure.gateways.health import trouble

        return trouble(self.settings.gateway_url or "")

    def step_worker(
        self, steps: Iterable[Step] = tuple(Step), *, name: str | None = None, world: OutsideWorld | None = None
    ) -> "WorkerRole":
        """A step worker with its consumer; `world` replaces the one that the settings name."""
        settings = worker_settings(self.settings, name or default_name("worker"), frozenset(steps))
        worker = StepWorker(self.store(), world or self.world(), self.announce(), settings)
        return WorkerRole(worker, self.broker(), [queue_of(step) for step in sorted(settings.steps)])

    def intake(self, actor: str = "intake") -> "Intake":
        """The door for orders."""
        from workers.intake import Intake

        return Intake(self.store(), self.announce(), policy(self.settings), actor=actor)

    def intake_consumer(self) -> "IntakeConsumer":
        """The door for orders that come over the broker."""
        from workers.intake_consumer import IntakeConsumer
        from workers.replies import Replies

        broker = self.broker()
        self._declare(broker)
        replies, dead = broker.publisher(), broker.publisher()
        self._open.callback(replies.close)
        self._open.callback(dead.close)
        bury = DeadLetterSender(publisher=dead, queue=DEAD_QUEUE)
        consumer = broker.consumer([INTAKE_QUEUE], on_unreadable=bury, prefetch=100)
        return IntakeConsumer(consumer, self.intake("broker"), Replies(replies), bury)

    def queries(self) -> "ReadModelQueries":
        """What the read models answer."""
        from infrastructure.postgres.database import Database
        from infrastructure.postgres.projections.queries import ReadModelQueries

        if self._queries is None:
            database = Database(self.migrated(), application="orderwright queries", size=2)
            self._open.callback(database.close)
            self._queries = ReadModelQueries(database)
        return self._queries

    def orders(
        self, wanted: Mapping[str, str | None], *, limit: int = 50, before: int | None = None
    ) -> "list[OrderSummary]":
        """Orders by stage, payment, fulfillment, hold or the beginning of the id, the newest first."""
        from infrastructure.postgres.projections.queries import OrderFilter

        return self.queries().list_orders(OrderFilter(**wanted), limit=limit, before=before)

    def order(self, order_id: str) -> "tuple[OrderSummary, Sequence[RecordedEvent]]":
        """One order's status and events, from the events themselves. Raises `CommandRefused` if there is none."""
        from infrastructure.projections.order_summary import fold_order

        events = self.store().read_orders([order_id])
        if not events:
            raise CommandRefused(f"there is no order {order_id}")
        return fold_order(events), events

    @staticmethod
    def words(event: object) -> str:
        """One line about an event."""
        from infrastructure.projections.order_timeline import words

        return words(event)

    @staticmethod
    def money(amount: int, currency: str) -> str:
        """An amount as people write it."""
        from infrastructure.projections.order_timeline import money

        return money(Money(amount=amount, currency=currency))

    def policy(self) -> Policy:
        """The process manager's durations."""
        return policy(self.settings)

    def projections(self) -> "Projections":
        """The read models themselves: to keep up to date, to rebuild, to check."""
        return Projections(self.migrated())

    def diagnosis(self) -> Diagnosis:
        """What can be asked about the database's health and the work list."""
        return Diagnosis(self.dsn())

    def keeper(self) -> Keeper:
        """Stores the broker's dead letters."""
        broker = self.broker()
        self._declare(broker)
        consumer = broker.consumer([DEAD_QUEUE], on_unreadable=leave, check=anything)
        publisher = broker.publisher()
        self._open.callback(publisher.close)
        return Keeper(consumer, self.store().bury_message, publisher.tidy)

    def _declare(self, broker: Broker) -> None:
        """Consumers declare again whenever they connect, so a broker that is away is no reason not to start."""
        with suppress(BrokerUnavailable):
            broker.declare(QUEUES)

    def relay(self) -> Relay:
        """A relay over this runtime's store and broker."""
        return Relay(self.store(), self.wake_ups().announce, self.wake_ups().backlog)


class Migrations:
    """The migration runner on one database."""

    def __init__(self, dsn: str) -> None:
        self.up = partial(migrate.up, dsn)
        self.status = partial(migrate.status, dsn)
        self.check = partial(migrate.check, dsn)
        self.wait = partial(migrate.wait, dsn)


class Projections:
    """The read models of one database."""

    def __init__(self, dsn: str) -> None:
        from infrastructure.postgres import projections

        self._dsn = dsn
        self._module = projections
        self.status = partial(projections.status, dsn)
        self.verify = partial(projections.verify, dsn)

    def projector(self) -> Projector:
        """The role that keeps all of them up to date."""
        return Projector(self._module.PostgresProjector(self._dsn))

    def replay(
        self,
        names: Iterable[str] | None,
        *,
        on_progress: Callable[[int, int], object],
        stopping: Callable[[], bool],
    ) -> "Replay[Rebuilt]":
        """Rebuild the named ones, or all."""
        return Replay(self._module.PostgresRebuild(self._dsn, names), on_progress=on_progress, stopping=stopping)


def migration_sql() -> list[tuple[str, str]]:
    """Name and text of every migration; connects to nothing."""
    return [(migration.name, migration.sql) for migration in read_migrations()]


class WorkerRole:
    """A step worker and the consumer that fills its mailbox; `run` returns whether it drained in time."""

    def __init__(self, worker: StepWorker, broker: Broker, queues: list[str]) -> None:
        self.worker = worker
        self._dead = broker.publisher()
        self._consumer = broker.consumer(
            queues, on_unreadable=DeadLetterSender(publisher=self._dead, queue=DEAD_QUEUE), prefetch=20
        )

    def run(self) -> bool:
        """Work until `stop`; frames are taken no more when the worker drains."""
        collect_garbage_seldom()
        self._consumer.start(self._on_message)
        try:
            return self.worker.run()
        finally:
            self._consumer.stop(3.0)
            self._dead.close()

    def stop(self) -> None:
        """Ask for the drain; safe in a signal handler."""
        self.worker.stop()

    def _on_message(self, inbound: Inbound) -> None:
        frame = decode_frame(inbound.body)
        if frame.step not in set(Step):
            raise UndecodableMessage(f"step {frame.step!r} is unknown to this version")
        self.worker.mailbox.put(WakeUp(frame.orders, inbound.settle))


def collect_garbage_seldom() -> None:
    """Thousands of views live at once and none is part of a cycle: looking through them cost a seventh of a worker's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def worker_settings(settings: Settings, name: str, steps: frozenset[Step] = frozenset(Step)) -> WorkerSettings:
    """The part of the settings that a step worker needs, in its own terms."""
    return WorkerSettings(
        name=name,
        steps=steps,
        batch=settings.batch,
        in_flight=settings.in_flight,
        threads=settings.call_threads,
        lease=timedelta(seconds=settings.lease_s),
        sweep=timedelta(seconds=settings.sweep_s),
        grace=timedelta(seconds=settings.grace_s),
        policy=policy(settings),
        retry=RetryPolicy(attempts=settings.attempts, base_s=settings.backoff_s, cap_s=settings.backoff_cap_s),
        warehouses=warehouses(settings),
    )


def settings_of(file: Path) -> Settings:
    """The settings of one file and nothing else, whatever the environment says."""
    return load(environment={}, file=file)[0]


def policy(settings: Settings) -> Policy:
    """The process manager's durations."""
    return Policy(
        backorder_recheck=timedelta(seconds=settings.backorder_recheck_s),
        backorder_wait=timedelta(seconds=settings.backorder_wait_s),
        payment_answer=timedelta(seconds=settings.payment_answer_s),
    )


def warehouses(settings: Settings) -> tuple[Warehouse, ...]:
    """The warehouses in order of preference."""
    return tuple(Warehouse(id=place.id, countries=place.countries) for place in settings.warehouses)


def default_name(role: str) -> str:
    """A name that a person recognises: role, host and pid."""
    return f"{role}@{socket.gethostname()}:{os.getpid()}"
