"""Which servers the tests run with; the one place where that is decided.

    containers   PostgreSQL and RabbitMQ by testcontainers, where a container engine answers and has the images
    local        RabbitMQ and PostgreSQL as they are installed on this machine: nodes and clusters of our own, gone with the test run
    embedded     the PostgreSQL of the wheel; RabbitMQ if it is installed

The first one that is possible is taken, unless ORDERWRIGHT_TEST_SERVERS names one: then it is that one, or the run fails. With
ORDERWRIGHT_TEST_DATABASE_URL, PostgreSQL is that server in any case. The tests are the same for all. The choice is made once, before
the run is divided among processes, which find it in the environment. Tests of TLS, clusters and of the embedded server itself start
their own servers in any case.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pytest

from infrastructure.embedded import EmbeddedPostgres
from infrastructure.embedded.binaries import WHEELS, Binaries, candidates, find_binaries, inspect
from tests.servers import containers
from tests.servers.postgres import GIVEN_SERVER, PostgresServer, given_server
from tests.servers.rabbitmq import RabbitNode, find_server_script, required_script

VARIABLE = "ORDERWRIGHT_TEST_SERVERS"
CHOSEN = "ORDERWRIGHT_TEST_SERVERS_CHOSEN"

Kind = Literal["containers", "local", "embedded"]
KINDS: tuple[Kind, ...] = ("containers", "local", "embedded")


class Node(Protocol):
    """A broker of one's own."""

    @property
    def url(self) -> str: ...

    def start(self) -> str: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was chosen, and why nothing before it."""

    kind: Kind
    because: tuple[str, ...] = ()

    def sentence(self) -> str:
        """For the head of the run."""
        postgres, rabbitmq = _descriptions(self.kind)
        why = f" ({'; '.join(self.because)})" if self.because else ""
        return f"servers: {self.kind}{why}: {postgres}; {rabbitmq}"


def choose() -> Choice:
    """Made in the first process; the others are told."""
    if (told := os.environ.get(CHOSEN)) in KINDS:
        return Choice(kind=told)
    choice = _forced(wanted) if (wanted := os.environ.get(VARIABLE)) else _possible()
    os.environ[CHOSEN] = choice.kind
    return choice


def _forced(wanted: str) -> Choice:
    if wanted not in KINDS:
        raise pytest.UsageError(f"{VARIABLE} is {wanted!r}; it may be {', '.join(KINDS)}")
    try:
        if wanted == "containers":
            containers.check_engine()
    except containers.NoContainers as error:
        raise pytest.UsageError(f"{VARIABLE}=containers, but {error}") from error
    if wanted == "local" and local_postgres() is None:
        raise pytest.UsageError(f"{VARIABLE}=local, but no PostgreSQL is installed on this machine")
    return Choice(kind=wanted, because=(f"{VARIABLE} says so",))


def _possible() -> Choice:
    try:
        containers.check_engine()
    except containers.NoContainers as error:
        if local_postgres() is not None:
            return Choice(kind="local", because=(str(error),))
        return Choice(kind="embedded", because=(str(error), "no PostgreSQL is installed on this machine"))
    return Choice(kind="containers")


def local_postgres() -> Binaries | None:
    """The newest PostgreSQL of this machine that is no wheel's."""
    own = [folder for folder in candidates() if not {*folder.parts} & {*WHEELS}]
    return max(filter(None, map(inspect, own)), key=lambda found: found.major, default=None)


def _descriptions(kind: Kind) -> tuple[str, str]:
    found = {"containers": lambda: None, "local": local_postgres, "embedded": find_binaries}[kind]()
    postgres = f"PostgreSQL {found.major} of {found.folder}" if found else f"image {containers.POSTGRES_IMAGE}"
    if os.environ.get(GIVEN_SERVER):
        postgres = f"PostgreSQL of {GIVEN_SERVER}"
    script = find_server_script()
    rabbitmq = f"RabbitMQ of {script.parents[1]}" if script else "no RabbitMQ"
    return postgres, f"image {containers.RABBITMQ_IMAGE}" if kind == "containers" else rabbitmq


@contextmanager
def postgres_in(folder: Path) -> Iterator[PostgresServer]:
    """A server for a test process."""
    kind = choose().kind
    if os.environ.get(GIVEN_SERVER):
        with given_server() as server:
            yield server
    elif kind == "containers":
        with containers.postgres_container() as server:
            yield server
    else:
        binaries = local_postgres() if kind == "local" else None
        with EmbeddedPostgres(folder, durable=False, listen_tcp=True, binaries=binaries) as address:
            yield PostgresServer(address.dsn)


def new_rabbitmq(folder: Path) -> tuple[Node, Callable[[], None]]:
    """A node that is not started yet, and what ends it for good; skips the test where there is none to be had."""
    if choose().kind == "containers":
        container = containers.RabbitContainer()
        return container, container.remove
    node = RabbitNode(folder, required_script())
    return node, node.stop
