"""Clients that know nothing of this program but its queue: one speaks AMQP, one speaks SQL to PGMQ.

So they show what any language has to do. Over PGMQ a message is an envelope of kombu's: body, content type, and labels under `properties`.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import amqp
import psycopg
from psycopg.types.json import Jsonb

INTAKE = "ow_orders"
ANSWERS = "ow_reply_stranger"
JSON = "application/json"

Answer = tuple[str, list[dict[str, Any]]]


class Stranger(Protocol):
    """`hear` gives what has been answered since the last time: the label, and one object an order."""

    def send(self, body: bytes, label: str | None = None, *, content_type: str = JSON) -> None: ...

    def hear(self) -> list[Answer]: ...

    def waiting(self) -> int: ...


class AmqpStranger:
    """With py-amqp alone, and a queue for answers that is its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._channel.confirm_select()
        self._channel.queue_declare(ANSWERS, exclusive=True)

    def send(self, body: bytes, label: str | None = None, *, content_type: str = JSON) -> None:
        labels = {"reply_to": ANSWERS, "correlation_id": label} if label else {}
        message = amqp.Message(body, content_type=content_type, delivery_mode=2, **labels)
        self._channel.basic_publish_confirm(message, routing_key=INTAKE, mandatory=True)

    def hear(self) -> list[Answer]:
        return list(iter(self._next, None))

    def _next(self) -> Answer | None:
        message = self._channel.basic_get(ANSWERS, no_ack=True)
        return None if message is None else (message.properties["correlation_id"], objects(message.body))

    def waiting(self) -> int:
        channel = self._connection.channel()  # one that asks for what is not there is lost
        count = int(channel.queue_declare(INTAKE, passive=True).message_count)
        channel.close()
        return count


class SqlStranger:
    """With SQL alone."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection
        connection.execute("SELECT pgmq.create(%s)", [ANSWERS])

    def send(self, body: bytes, label: str | None = None, *, content_type: str = JSON) -> None:
        labels = {"reply_to": ANSWERS, "correlation_id": label} if label else {}
        envelope = {
            "body": b64encode(body).decode(),
            "content-type": content_type,
            "properties": {"body_encoding": "base64", **labels},
        }
        self._connection.execute("SELECT pgmq.send(%s, %s)", [INTAKE, Jsonb(envelope)])

    def hear(self) -> list[Answer]:
        rows = self._connection.execute("SELECT message FROM pgmq.pop(%s, 1000)", [ANSWERS]).fetchall()
        return [
            (envelope["properties"]["correlation_id"], objects(b64decode(envelope["body"]))) for (envelope,) in rows
        ]

    def waiting(self) -> int:
        rows = self._connection.execute("SELECT queue_length FROM pgmq.metrics(%s)", [INTAKE]).fetchall()
        return int(rows[0][0])


def objects(body: bytes | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.splitlines()]


def amqp_connection(url: str) -> Any:
    """To be entered."""
    given = urlsplit(url)
    return amqp.Connection(host=f"{given.hostname}:{given.port}", userid=given.username, password=given.password)


@contextmanager
def amqp_stranger(url: str) -> Iterator[AmqpStranger]:
    with amqp_connection(url) as connection:
        yield AmqpStranger(connection)


@contextmanager
def sql_stranger(dsn: str) -> Iterator[SqlStranger]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield SqlStranger(connection)
