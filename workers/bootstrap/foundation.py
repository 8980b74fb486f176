"""What everything else stands on: the settings and, on demand, the database, the store, the broker.

Without a `database_url` it brings up the embedded PostgreSQL of the data folder; processes that share the folder share the
server, and the last one to leave stops it.
"""

from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from domain.errors import BrokerUnavailable, Misconfigured
from domain.lease import LeaseTable
from domain.process import Policy
from infrastructure.embedded.shared import embedded_server
from infrastructure.messaging.broker import Broker, connect
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.wakeups import WakeUps
from infrastructure.postgres import migrate
from infrastructure.postgres.database import readable, same_database
from infrastructure.postgres.dead_letters import PostgresDeadLetters
from infrastructure.postgres.store import PostgresStore
from infrastructure.settings import Settings
from workers.announce import Announce, patiently
from workers.bootstrap.coordination import lease_table
from workers.bootstrap.queues import DEAD_QUEUE, QUEUES
from workers.bootstrap.terms import default_name, policy
from workers.leases import Leases

if TYPE_CHECKING:
    from infrastructure.embedded import EmbeddedPostgres


class Foundation:
    """Opened once and closed together, in reverse order: what is to be closed with it goes on `opened`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.opened = ExitStack()
        self._dsn: str | None = None
        self._direct: str | None = None
        self._server: EmbeddedPostgres | None = None
        self._store: PostgresStore | None = None
        self._wake_ups: WakeUps | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened, the embedded server last."""
        self.opened.close()

    def dsn(self) -> str:
        """The database's DSN; starts the embedded server if there is no other."""
        if self._dsn is None:
            url = self.settings.database_url
            self._dsn = readable(url.get_secret_value()) if url else self._embedded()
        return self._dsn

    def direct(self) -> str:
        """The DSN of the same database past a pooler, if there is one, for what needs a session of its own."""
        if self._direct is None:
            url = self.settings.direct_url
            self._direct = readable(url.get_secret_value(), "direct_url") if url else self.dsn()
            if url and same_database(self.dsn(), self._direct) is False:
                raise Misconfigured("direct_url names another database than database_url")
        return self._direct

    def _embedded(self) -> str:
        self._server = self.opened.enter_context(embedded_server(self.settings.data_dir))
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

    def store(self) -> PostgresStore:
        """The event store and work list."""
        if self._store is None:
            self._store = PostgresStore(self.migrated(), direct=self.direct())
            self.opened.callback(self._store.close)
        return self._store

    def letters(self) -> PostgresDeadLetters:
        """The dead letters."""
        return PostgresDeadLetters(self.store())

    def lease_table(self) -> LeaseTable:
        """Where leases are: Postgres, or etcd."""
        return lease_table(self.settings, self.direct(), self.opened)

    def leases(self, role: str) -> Leases:
        """Exclusive use of named things, given back when everything is closed."""
        self.migrated()
        time = timedelta(seconds=self.settings.lease_s)
        leases = Leases(self.lease_table(), default_name(role), time)
        self.opened.callback(leases.close)
        return leases

    def broker(self) -> Broker:
        """The broker. Only a `pgmq://` that names no database has its queues in ours."""
        settings = BrokerSettings(
            url=self.settings.broker_url.get_secret_value(),
            dead_queue=DEAD_QUEUE,
            visibility_timeout_s=self.settings.visibility_timeout_s,
            ca=self.settings.broker_ca,
            certificate=self.settings.broker_cert,
            key=self.settings.broker_key,
            message_keys=self.settings.message_keys_file,
        )
        return connect(replace(settings, dsn=self._queues()) if settings.needs_dsn else settings)

    def _queues(self) -> str:
        """Past the pooler, if we can: a session of one's own hears of messages instead of asking for them."""
        self.migrated()
        return self.direct()

    def wake_ups(self) -> WakeUps:
        """Where work is announced."""
        if self._wake_ups is None:
            publisher = self.broker().publisher()
            self.opened.callback(publisher.close)
            with suppress(BrokerUnavailable):
                publisher.declare([*QUEUES, DEAD_QUEUE])
            self._wake_ups = WakeUps(publisher)
        return self._wake_ups

    def announce(self) -> Announce:
        """Announces work after a commit; a broker that is away is logged, not raised."""
        return patiently(self.wake_ups().announce)

    def policy(self) -> Policy:
        """The process manager's durations."""
        return policy(self.settings)

    def declare(self, broker: Broker) -> None:
        """Consumers declare again whenever they connect, so a broker that is away is no reason not to start."""
        with suppress(BrokerUnavailable):
            broker.declare(QUEUES)
