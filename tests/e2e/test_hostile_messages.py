"""Whatever strangers put into our queues: each message is judged, nothing grows, everybody lives, and good work goes on."""

import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import amqp
import psycopg
import pytest
from psycopg.types.json import Jsonb

from domain.work import Step
from tests.corpus.messages import ORDERS, RISK, Odd, messages
from tests.e2e.program import Program, Running, order_line
from tests.e2e.strangers import amqp_connection
from tests.infrastructure.messaging.test_pgmq_broker import malformed_rows
from tests.servers.simulator import await_that

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

GROWTH = 50_000_000
ROLES = ("intake", "keeper", "worker")
LETTERS = "SELECT message_id, octet_length(body), octet_length(headers::text), body_size FROM dead_letters WHERE kind = 'message'"
PLACED = "SELECT substr(stream, 7) FROM events WHERE type = 'OrderPlaced'"
Send = Callable[[Odd], bool]


def peak(process: Running) -> int:
    """The most memory that the process ever had, in bytes."""
    status = Path(f"/proc/{process.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


def over_amqp(url: str) -> Send:
    """Send as any language does; False if the broker did not take it."""

    def send(odd: Odd) -> bool:
        labels = {"message_id": f"id {odd.id}", "delivery_mode": 2, **odd.labels}
        if odd.id == "no message id":
            del labels["message_id"]
        message = amqp.Message(
            odd.body,
            content_type=odd.content_type,
            content_encoding=odd.encoding,
            application_headers=dict(odd.headers),
            **labels,
        )
        try:
            with amqp_connection(url) as connection:
                channel = connection.channel()
                channel.confirm_select()
                channel.basic_publish_confirm(message, routing_key=odd.queue, mandatory=True)
        except (amqp.AMQPError, OSError):
            return False
        return True

    return send


def over_sql(books: psycopg.Connection[Any]) -> Send:
    """Write the row of a PGMQ queue, as any language can."""

    def send(odd: Odd) -> bool:
        properties = {"body_encoding": "base64", "message_id": f"id {odd.id}", **odd.labels}
        if odd.id == "no message id":
            del properties["message_id"]
        envelope = {
            "body": b64encode(odd.body).decode(),
            "content-type": odd.content_type,
            "content-encoding": odd.encoding,
            "headers": dict(odd.headers),
            "properties": properties,
        }
        books.execute("SELECT pgmq.send(%s::text, %s::jsonb)", [odd.queue, Jsonb(envelope)])
        return True

    return send


class Site:
    """Intake, keeper and worker on one broker."""

    def __init__(self, program: Program, books: psycopg.Connection[Any], send: Send) -> None:
        self.books = books
        self.send = send
        self._open = ExitStack()
        gateway = "http://127.0.0.1:9"
        self.roles = [
            self._open.enter_context(program.running(role, ORDERWRIGHT_GATEWAY_URL=gateway)) for role in ROLES
        ]

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        return self.books.execute(query.encode()).fetchall()

    @property
    def on_pgmq(self) -> bool:
        return self.send.__qualname__.startswith("over_sql")

    def named(self) -> set[str]:
        return {message_id for message_id, *_ in self.ask(LETTERS)}

    def place(self, number: int) -> None:
        good = Odd(id=f"good {number}", verdict="taken", body=order_line(number))
        await_that(lambda: self.send(good), within_s=60)
        await_that(lambda: (f"A-{number}",) in self.ask(PLACED), within_s=60)

    def close(self) -> None:
        self._open.close()


@pytest.fixture(params=["pgmq", "rabbitmq"])
def site(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> Iterator[Site]:
    environment = {"DATABASE_URL": database}
    with psycopg.connect(database, autocommit=True) as books:
        if request.param == "rabbitmq":
            url = request.getfixturevalue("rabbitmq")
            with amqp_connection(url) as connection:
                for queue in [*(f"ow_{step}" for step in Step), ORDERS, "ow_dead"]:
                    connection.channel().queue_delete(queue)
            environment["ORDERWRIGHT_BROKER_URL"] = url
            send = over_amqp(url)
        else:
            send = over_sql(books)
            for queue in (ORDERS, RISK):
                books.execute("SELECT pgmq.create(%s)", [queue])
        site = Site(Program(tmp_path, environment), books, send)
        yield site
        site.close()


def send_all(site: Site) -> tuple[set[str], set[str]]:
    """Send everything; returns what must be found among the dead letters, by message id, and which orders must be placed."""
    letters, taken = set[str](), set[str]()
    for odd in messages():
        was_sent = site.send(odd)
        assert was_sent or odd.verdict == "either", odd.id
        if odd.verdict == "letter":
            letters.add(f"id {odd.id}")
        elif odd.verdict == "taken":
            taken.add(json.loads(odd.body)["order_id"])
    return letters, taken


def send_rows(site: Site) -> int:
    """Put rows into PGMQ's own table that no client of ours would write; how many the database took."""
    count = 0
    for row in malformed_rows.values() if site.on_pgmq else ():
        with suppress(psycopg.Error):
            site.books.execute("INSERT INTO pgmq.q_ow_orders (vt, message) VALUES (now(), %s)", [row])
            count += 1
    return max(0, count - 1)  # two of them hold the same bytes and no id: they are one letter


def test_every_hostile_message_is_judged_and_nobody_grows_or_dies_of_it(site: Site) -> None:
    site.place(1_000)
    before = [peak(role) for role in site.roles]
    letters, taken = send_all(site)
    rows = send_rows(site)
    nameless = {"id 32 megabytes"} if site.on_pgmq else set()  # a row that long is not even opened
    await_that(lambda: not letters - nameless - site.named(), within_s=60)
    await_that(lambda: taken <= {order_id for (order_id,) in site.ask(PLACED)}, within_s=60)
    await_that(lambda: len(site.ask(LETTERS)) >= len(letters) + rows, within_s=60)
    site.place(1_001)
    kept = site.ask(LETTERS)
    assert len(kept) <= len(letters) + rows + 2
    assert all(body <= 65_536 and labels <= 262_144 for _, body, labels, _ in kept)
    assert max(size for *_, size in kept) >= 32_000_000 or site.on_pgmq
    assert [role.process.poll() for role in site.roles] == [None] * len(ROLES)
    grown = {name: peak(role) - old for name, role, old in zip(ROLES, site.roles, before, strict=True)}
    assert max(grown.values()) < GROWTH, grown
