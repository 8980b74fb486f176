"""kombu's `pgmq://` transport, made fit to run for ever next to strangers.

Differences: one connection without a pool; reading that survives any row; a batch of messages or acknowledgements in one statement;
no DDL unless a queue is missing; a notification tells which queue to look into instead of asking all of them.
"""

from base64 import b64decode
from collections import defaultdict
from collections.abc import Sequence
from queue import Empty
from time import monotonic

import kombu.transport.pgmq as kombu_pgmq
import orjson
from kombu.message import Message
from kombu.transport import virtual
from pgmq import PGMQueue
from psycopg.types.json import Jsonb

from domain.errors import Misconfigured
from domain.messaging import TEMPORARY_REPLIES
from infrastructure.messaging.hardening import MALFORMED
from infrastructure.messaging.pgmq_link import Link
from infrastructure.messaging.untyped import Untyped
from infrastructure.messaging.virtual import PromptTransport

EXISTS = "SELECT to_regclass(format('pgmq.%%I', 'q_' || %s::text)) IS NOT NULL"
READ = "SELECT msg_id, read_ct, left(message::text, %s) FROM pgmq.read(%s::text, %s::integer, %s::integer)"
SEND = """WITH sent AS (SELECT * FROM pgmq.send_batch(%s::text, %s::jsonb[]))
SELECT count(*), pg_notify(%s, '') FROM sent"""
GIVE_BACK = "SELECT count(*) FROM pgmq.set_vt(%s::text, %s::bigint[], 0)"
LENGTH = "SELECT queue_length FROM pgmq.metrics(%s::text)"
DROP = "SELECT pgmq.drop_queue(%s::text)"

READER = 7305
HOLD = "SELECT pg_advisory_lock_shared(%s, hashtext(%s))"
LET_ALONE = """SELECT queue_name FROM pgmq.meta
WHERE starts_with(queue_name, %s) AND created_at < clock_timestamp() - make_interval(secs => %s)"""
DROP_UNHELD = """SELECT pgmq.drop_queue(%(queue)s::text)
WHERE pg_try_advisory_xact_lock(%(reader)s, hashtext(%(queue)s))"""


def notify_channel(queue: str) -> str:
    """The name that PGMQ's own trigger uses, so that a foreign producer's trigger wakes us as well."""
    return f"pgmq.q_{queue}.INSERT"


def heal(text: str, *, limit: int) -> dict[str, Untyped]:
    """Untyped row as an envelope that kombu can open. What cannot be one is carried as the body of a message that will be refused."""
    if len(text) >= limit:
        return _malformed(text)
    try:
        envelope = orjson.loads(text)
        encoding = envelope["properties"].get("body_encoding")
        body = _decoded(envelope.get("body"), encoding)
        if not isinstance(envelope.get("headers") or {}, dict):
            return _malformed(text)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # orjson refuses deep nesting and huge numbers with ValueError
        return _malformed(text)
    return {**envelope, "body": body, "properties": {**envelope["properties"], "body_encoding": None}}


def _decoded(body: object, encoding: object) -> bytes:
    if not isinstance(body, str):
        raise TypeError("no body")
    if encoding == "base64":
        return b64decode(body, validate=True)
    if encoding in {None, "utf-8"}:
        return body.encode()
    raise ValueError("unknown encoding")


def _malformed(text: str) -> dict[str, Untyped]:
    return {
        "body": text.encode(errors="replace"),
        "content-type": MALFORMED,
        "headers": {},
        "properties": {"body_encoding": None},
    }


class Channel(kombu_pgmq.Channel):
    """Sends and acknowledges in batches: `basic_publish` collects until `flush`."""

    def __init__(self, connection: Untyped, **kwargs: Untyped) -> None:
        super().__init__(connection, **kwargs)  # type: ignore[no-untyped-call]
        self.outbox: dict[str, list[Jsonb]] = defaultdict(list)

    @property
    def link(self) -> Link:
        link: Link = self.connection.link
        return link

    # --- queues -------------------------------------------------------------------------------------------------------------------

    def _has_queue(self, queue: str, **kwargs: Untyped) -> bool:
        with self.link.connection() as connection:
            row = connection.execute(EXISTS, [queue]).fetchone()
        return bool(row and row[0])

    def _new_queue(self, queue: str, **kwargs: Untyped) -> None:
        if self.link.is_pooled and queue.startswith(TEMPORARY_REPLIES):
            raise Misconfigured(
                "answers over pgmq:// need a database session of their own: name the way past the connection pooler"
            )
        if not self._has_queue(queue):
            self.pgmq.create_queue(queue)

    def drop(self, queue: str) -> None:
        with self.link.connection() as connection:
            connection.execute(DROP, [queue])

    def tidy(self, older_than_s: float) -> int:
        """A reader holds a lock as long as it is connected, so a queue whose lock is free has none."""
        with self.link.connection() as connection:
            old = connection.execute(LET_ALONE, [TEMPORARY_REPLIES, older_than_s]).fetchall()
        return sum(self._drop_unheld(queue) for (queue,) in old)

    def _drop_unheld(self, queue: str) -> int:
        with self.link.connection() as connection:
            return connection.execute(DROP_UNHELD, {"queue": queue, "reader": READER}).rowcount

    def _size(self, queue: str) -> int:
        with self.link.connection() as connection:
            row = connection.execute(LENGTH, [queue]).fetchone()
        return int(row[0]) if row else 0

    def queue_declare(self, queue: str | None = None, passive: bool = False, **kwargs: Untyped) -> Untyped:  # noqa: FBT001, FBT002
        """Kombu counts the whole queue at every declaration: leave it out."""
        if queue is not None:
            self._new_queue(queue)
        return virtual.base.queue_declare_ok_t(queue, 0, 0)

    def _maybe_enable_notify(self, queue: str, queue_name: str | None = None) -> None:
        """PGMQ's trigger updates one row a queue at every insert, which makes senders wait for each other: `flush` notifies instead."""
        self.link.listen(notify_channel(queue))
        if queue.startswith(TEMPORARY_REPLIES):
            with self.link.connection() as connection:
                connection.execute(HOLD, [READER, queue])

    # --- sending ------------------------------------------------------------------------------------------------------------------

    def _put(self, queue: str, message: Untyped, **kwargs: Untyped) -> None:
        self.outbox[queue].append(Jsonb(message, dumps=orjson.dumps))

    def flush(self) -> None:
        outbox, self.outbox = self.outbox, defaultdict(list)
        with self.link.connection() as connection, connection.transaction():
            for queue in sorted(outbox):
                connection.execute(SEND, [queue, outbox[queue], notify_channel(queue)])

    # --- receiving ----------------------------------------------------------------------------------------------------------------

    def _get_bulk(
        self, queue: str, callback: Untyped = None, timeout: Untyped = None, max_if_unlimited: int = 10
    ) -> None:
        wanted = min(self.qos.can_consume_max_estimate() or 0, self.connection.read_at_once)
        if not wanted or not self.connection.is_ripe(queue):
            raise Empty
        self.connection.ripe.discard(queue)
        limit = self.connection.row_limit
        with self.link.connection() as connection:
            rows = connection.execute(READ, [limit, queue, self.visibility_timeout, wanted]).fetchall()
        if not rows:
            raise Empty
        if len(rows) == wanted:
            self.connection.ripe.add(queue)
        for msg_id, read_ct, text in rows:
            self._deliver(queue, msg_id, read_ct, heal(text, limit=limit))

    def _deliver(self, queue: str, msg_id: int, read_ct: int, envelope: dict[str, Untyped]) -> None:
        envelope["properties"] |= {
            "delivery_tag": f"{queue}:{msg_id}:{read_ct}",
            "delivery_info": {"pgmq_queue": queue, "pgmq_msg_id": msg_id, "read_ct": read_ct},
        }
        self.connection._deliver(envelope, queue)  # noqa: SLF001 - kombu's transports call it so

    def acknowledge(self, messages: Sequence[Message]) -> None:
        for queue, done in _by_queue(messages).items():
            with self.link.connection() as connection:
                self.pgmq.delete_batch(
                    queue, [message.delivery_info["pgmq_msg_id"] for message in done], conn=connection
                )
            for message in done:
                self.qos.ack(message.delivery_tag)
                message._state = "ACK"  # noqa: SLF001 - what Message.ack does

    def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002
        message = self.qos.get(delivery_tag)
        if requeue:
            self._give_back([message])
            self.connection.ripe.add(message.delivery_info["pgmq_queue"])
            self.qos.ack(delivery_tag)
        else:
            self.acknowledge([message])

    def give_back_all(self) -> None:
        """Else they would stay invisible until the visibility timeout."""
        self.qos._flush()  # noqa: SLF001 - acknowledged ones are only marked until the next append
        self._give_back(list(self.qos._delivered.values()))  # noqa: SLF001

    def _give_back(self, messages: Sequence[Message]) -> None:
        for queue, back in _by_queue(messages).items():
            with self.link.connection() as connection:
                connection.execute(GIVE_BACK, [queue, [message.delivery_info["pgmq_msg_id"] for message in back]])


def _by_queue(messages: Sequence[Message]) -> dict[str, list[Message]]:
    groups: dict[str, list[Message]] = defaultdict(list)
    for message in messages:
        groups[message.delivery_info["pgmq_queue"]].append(message)
    return groups


class Transport(PromptTransport, kombu_pgmq.Transport):
    """`ripe` holds the queues that may have something; a sweep now and then looks into all of them."""

    Channel = Channel

    def __init__(self, client: Untyped, **kwargs: Untyped) -> None:
        super().__init__(client, **kwargs)  # type: ignore[no-untyped-call]
        options = client.transport_options
        settings = options["settings"]
        self.link = Link(settings, consuming=options["consuming"])
        self.ripe: set[str] = set()
        self.read_at_once = 50
        self.row_limit = 2 * settings.body_limit + 65_536
        self._poll_interval_s = settings.poll_interval_s
        self._next_sweep = 0.0
        self._heard = False

    def establish_connection(self) -> Untyped:
        self.link.open()
        self.link.on_notify(self._hear)
        return virtual.Transport.establish_connection(self)

    def _create_pgmq_client(self) -> PGMQueue:
        return PGMQueue(conn_string=None, pool=self.link, init_extension=False)  # type: ignore[arg-type]

    def drain_events(self, connection: Untyped, timeout: float | None = None, **_: Untyped) -> None:
        now = monotonic()
        if now >= self._next_sweep:
            self._next_sweep = now + self._poll_interval_s
            self.ripe |= set(self._callbacks)
        while True:
            self._heard = False
            try:
                return super().drain_events(connection, timeout=timeout)
            except TimeoutError:
                self.link.collect_notifies(from_socket=False)
                if not self._heard:
                    raise

    def _hear(self, channel: str) -> None:
        """Called in the midst of any call to the database."""
        self._heard = True
        self.ripe.add(channel.removeprefix("pgmq.q_").removesuffix(".INSERT"))

    def is_ripe(self, queue: str) -> bool:
        return queue in self.ripe

    def verify_connection(self, connection: Untyped) -> bool:
        return True  # kombu's lists all queues, at every glance at `Connection.connection`

    def close_connection(self, connection: Untyped) -> None:
        self._pgmq_client = None
        super().close_connection(connection)
        self.link.close()
