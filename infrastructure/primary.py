"""Which of several servers may be written to, and how a server is known that has been passed over.

A DSN may name several hosts. libpq takes the first that takes writes (`target_session_attrs=read-write`, unless the DSN says otherwise),
so a fleet follows a promoted replica by itself. That leaves the former primary, which was only frozen or cut off and knows of nothing: it
takes writes, and they will be thrown away. Every promotion begins a new timeline, so we remember the newest of each system:

    a connection to an older timeline is refused (`PassedOver`), and one that was open before is not used any more (`is_passed_over`)
    the host that answered last is asked first, so a silent one before it in the DSN does not cost every connection its time-out

It protects whoever has met the new primary once. Who meets the old one only cannot know: that takes an old primary that is switched off for
certain, or synchronous replication, without which it cannot finish a commit. See docs/operations/postgres.md.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.secret_files import current

Connection = psycopg.Connection[Any]

WRITABLE = "read-write"
_HISTORY = """SELECT (SELECT system_identifier FROM pg_control_system()),
    ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint"""
_UNTOLD = (pg.InsufficientPrivilege, pg.UndefinedFunction, pg.FeatureNotSupported, pg.ObjectNotInPrerequisiteState)

Host = tuple[str, str]


class PassedOver(psycopg.OperationalError):
    """The server was the primary once; another has been promoted since."""


class _Memory:
    """What this process has seen. Only ever grows, so a race can lose nothing that matters."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.newest: dict[int, int] = {}
        self.answered: dict[tuple[Host, ...], Host] = {}

    def observe(self, system: int, timeline: int) -> bool:
        """False if the timeline is an old one."""
        with self.lock:
            self.newest[system] = max(timeline, self.newest.get(system, 0))
            return timeline == self.newest[system]


_memory = _Memory()


def address(dsn: str, defaults: Mapping[str, str], *, writable: bool = True) -> str:
    """The DSN to connect with now: from its file if it has one, the host that answered last first, `defaults` where it says nothing."""
    asked = {"target_session_attrs": WRITABLE} if writable else {}
    given = {name: str(value) for name, value in conninfo_to_dict(current(dsn)).items()}
    return make_conninfo("", **{**defaults, **asked, **_ordered(given)})


def greet(connection: Connection, dsn: str) -> None:
    """Remember who answered. Raises `PassedOver` if somebody else has been promoted since; says nothing where the server tells nothing."""
    history: tuple[int, int] | None = None
    with suppress(*_UNTOLD):
        history = connection.execute(_HISTORY).fetchone()
    connection.__dict__["history"] = history
    if history is not None and not _memory.observe(*history):
        connection.close()
        raise PassedOver(f"timeline {history[1]} is over: another server was promoted")
    hosts = _hosts({name: str(value) for name, value in conninfo_to_dict(dsn).items()})
    if len(hosts) > 1:
        _memory.answered[tuple(sorted(hosts))] = (connection.info.host, str(connection.info.port))


def is_passed_over(connection: Connection) -> bool:
    """Another server was promoted since this connection was made."""
    history = connection.__dict__.get("history")
    return history is not None and _memory.newest.get(history[0], 0) > history[1]


def history_of(connection: Connection) -> tuple[int, int] | None:
    """System and timeline that the connection leads to; None if the server did not tell."""
    found: tuple[int, int] | None = connection.__dict__.get("history")
    return found


def _hosts(given: dict[str, str]) -> list[Host]:
    hosts = given.get("host", "").split(",")
    ports = given.get("port", "").split(",")
    return list(zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=False))


def _ordered(given: dict[str, str]) -> dict[str, str]:
    hosts = _hosts(given)
    first = _memory.answered.get(tuple(sorted(hosts)))
    if len(hosts) < 2 or first not in hosts or "hostaddr" in given:
        return given
    hosts.sort(key=lambda host: host != first)
    return {**given, "host": ",".join(host for host, _ in hosts), "port": ",".join(port for _, port in hosts)}
