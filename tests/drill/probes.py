"""What the observers of a drill look at. None of it goes through the product: each talks to an engine by itself, with short deadlines.

A probe of an engine tries one node after the other, as any client would, so it tells how long the engine as a whole was away.
"""

from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import amqp
import psycopg
from amqp.exceptions import MessageNacked

from tests.chaos.observer import Observer
from tests.servers.etcd import EtcdCluster, EtcdMember
from tests.servers.rabbitmq_cluster import RabbitCluster, RabbitMember

DEADLINE_S = 1.0
BROKEN = (
    OSError,
    amqp.AMQPError,
    MessageNacked,
    TypeError,
    AttributeError,
)  # the last two: py-amqp on what has just ended
QUEUE = "drill_probe"
QUORUM = {"x-queue-type": "quorum", "x-max-length": 10}
PROGRESS = "SELECT max(position), EXISTS (SELECT FROM step_runs WHERE state <> 'dead') FROM events"
VIEWS = """
    SELECT coalesce(min(position), 0), coalesce(min(position), 0) < (SELECT max(position) FROM events) FROM checkpoints
"""
COMMIT = "SELECT pg_logical_emit_message(true, 'drill', 'probe')"


class Appends:
    """A position moved, or there is nothing that could move it."""

    def __init__(self, dsn: str, query: str = PROGRESS) -> None:
        self._observer = Observer(dsn)
        self._query = query
        self._last: object = None

    def __call__(self) -> bool:
        rows = self._observer.ask(self._query)
        if not rows:
            return False
        before, (self._last, is_behind) = self._last, rows[0]
        return not is_behind or before != self._last

    def close(self) -> None:
        self._observer.close()


class Commits:
    """A transaction was committed."""

    def __init__(self, dsn: str) -> None:
        self._observer = Observer(dsn)

    def __call__(self) -> bool:
        try:
            return self._observer.ask(COMMIT) is not None
        except psycopg.Error:
            return False

    def close(self) -> None:
        self._observer.close()


class Publishes:
    """A message to a quorum queue was confirmed."""

    def __init__(self, cluster: RabbitCluster) -> None:
        self._members = cluster.members
        self._turn = 0
        self._channel: amqp.Channel | None = None

    def __call__(self) -> bool:
        try:
            if self._channel is None:
                self._channel = _opened(self._members[self._turn % len(self._members)])
            self._channel.basic_publish_confirm(amqp.Message("probe"), routing_key=QUEUE, confirm_timeout=DEADLINE_S)
        except BROKEN:
            self._turn += 1
            self.close()
            return False
        return True

    def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None and channel.connection is not None:
            with suppress(*BROKEN):
                channel.connection.collect()


def _opened(member: RabbitMember) -> amqp.Channel:
    url = urlsplit(member.url)
    connection = amqp.Connection(
        host=f"127.0.0.1:{member.port}",
        userid=url.username,
        password=url.password,
        confirm_publish=True,
        connect_timeout=DEADLINE_S,
        read_timeout=2 * DEADLINE_S,
        write_timeout=DEADLINE_S,
    )
    connection.connect()
    channel = connection.channel(1)
    channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments=QUORUM)
    return channel


class Puts:
    """A key was written by a majority."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self._cluster = cluster
        self._turn = 0

    def __call__(self) -> bool:
        body = {"key": b64encode(b"drill/probe").decode(), "value": b64encode(b"x").decode()}
        try:
            self._cluster.ask(self._member(self._cluster.members), "/v3/kv/put", body)
        except (OSError, ValueError):
            self._turn += 1
            return False
        return True

    def close(self) -> None:
        """Every put has a connection of its own."""

    def _member(self, members: Sequence[EtcdMember]) -> EtcdMember:
        return members[self._turn % len(members)]
