"""What a broker connection can be told, checked before anything connects."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from domain.errors import Misconfigured
from domain.messaging import QUEUE_NAME
from infrastructure.secret_files import current

type_of_scheme: dict[str, Literal["amqp", "memory", "pgmq"]] = {
    "amqp": "amqp",
    "amqps": "amqp",
    "memory": "memory",
    "pgmq": "pgmq",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """What every broker is told.

    A message that was given out `give_up_after` times and never settled is refused; RabbitMQ's own limit (`delivery_limit`) is far above it, because
    it would count the neighbours of a message that kills its consumer as well.
    `url` may name several nodes of one RabbitMQ cluster, with `;` between them; one from a file is read again before every connection.
    `dsn` is the libpq DSN or URL of the database that holds the queues; only `pgmq://` without a host of its own needs it.
    """

    url: str = field(repr=False)
    dsn: str | None = field(default=None, repr=False)
    dead_queue: str = "ow_dead"
    body_limit: int = 262_144
    confirm_timeout_s: float = 5.0
    connect_timeout_s: float = 3.0
    io_timeout_s: float = 5.0
    heartbeat_s: int = 10
    max_length: int = 100_000
    delivery_limit: int = 1_000
    give_up_after: int = 20
    replies_expire_s: float = 600.0
    visibility_timeout_s: int = 30
    poll_interval_s: float = 1.0
    group_size: int = 3
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    message_keys: Path | None = None

    @property
    def kind(self) -> Literal["amqp", "memory", "pgmq"]:
        scheme = urlsplit(self.url).scheme
        try:
            return type_of_scheme[scheme]
        except KeyError:
            raise Misconfigured(
                f"broker URL with scheme {scheme!r}: use pgmq://, amqp://, amqps:// or memory:// "
                "(other transports lose messages when a worker is killed)"
            ) from None

    @property
    def current_url(self) -> str:
        """As its file says it now, if it came from one. What is no URL of the same kind is no news: another broker takes a restart."""
        now = current(self.url)
        return now if _is_alike(now, self.url) else self.url

    @property
    def nodes(self) -> tuple[str, ...]:
        """The URL of every node."""
        if self.kind != "amqp":
            return (self.url,)
        return tuple(node for part in self.current_url.split(";") if (node := part.strip()))

    @property
    def exposed(self) -> tuple[str, ...]:
        """Hosts outside this machine to which everything, the password included, goes in the clear."""
        plain = [parts.hostname or "" for node in self.nodes if (parts := urlsplit(node)).scheme == "amqp"]
        return tuple(host for host in plain if not _is_loopback(host))

    @property
    def guests(self) -> tuple[str, ...]:
        """Hosts where we log in as RabbitMQ's well-known user."""
        logins = [urlsplit(node) for node in self.nodes if self.kind == "amqp"]
        return tuple(parts.hostname or "" for parts in logins if parts.username in {None, "guest"})

    @property
    def needs_dsn(self) -> bool:
        """The URL names no database of its own, though the broker is one."""
        return self.kind == "pgmq" and len(self.url) <= len("pgmq://")

    @property
    def postgres_dsn(self) -> str:
        """The database behind `pgmq://`: the URL's own if it names one, else the given DSN."""
        dsn = self.dsn if self.needs_dsn else _as_libpq(self.current_url)
        if not dsn:
            raise Misconfigured("pgmq:// needs the database's DSN: set it, or write pgmq://user:password@host/database")
        if not _is_readable(dsn):  # libpq's own message may repeat the password
            raise Misconfigured("the database's DSN cannot be read: write key=value pairs or a postgresql:// URL")
        return dsn


def check_nodes(settings: BrokerSettings) -> None:
    """Every node is one of RabbitMQ, reached as safely as the others, and the files for TLS can be read."""
    schemes = {urlsplit(node).scheme for node in settings.nodes}
    if len(schemes) != 1 or not schemes <= set(type_of_scheme):
        raise Misconfigured("broker URL with several nodes: all of them must be amqp://, or all of them amqps://")
    if any(not urlsplit(node).hostname for node in settings.nodes if settings.kind == "amqp"):
        raise Misconfigured("broker URL: a node has no host; write amqps://user:password@host:5671/vhost")
    files = {"broker_ca": settings.ca, "broker_cert": settings.certificate, "broker_key": settings.key}
    given = {name: path for name, path in files.items() if path is not None}
    if given and schemes == {"amqp"}:
        raise Misconfigured(f"{', '.join(given)}: of no use with amqp://; write amqps://")
    if settings.key is not None and settings.certificate is None:
        raise Misconfigured("broker_key without broker_cert")
    for name, path in given.items():
        if not path.is_file():
            raise Misconfigured(f"{name}: there is no file {path}")


def _is_alike(now: str, before: str) -> bool:
    scheme = before.partition("://")[0]
    return now.startswith(f"{scheme}://") and (scheme != "pgmq" or _is_readable(_as_libpq(now)))


def _as_libpq(url: str) -> str:
    return "postgresql" + url[len("pgmq") :]


def _is_readable(dsn: str) -> bool:
    try:
        conninfo_to_dict(dsn)
    except ProgrammingError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_queues(queues: Iterable[str]) -> tuple[str, ...]:
    """PGMQ maps punctuation to `_` and fails on long names, so names that could collide there are refused everywhere."""
    names = tuple(queues)
    for name in names:
        if not re.fullmatch(QUEUE_NAME, name):
            raise Misconfigured(f"queue name {name!r}: use 1 to 40 of a-z, 0-9 and _")
    return names
