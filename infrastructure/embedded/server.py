"""The life of one embedded server, from any state that a kill may have left.

    nothing there          -> make the cluster, start, own it
    stopped or killed      -> start (waiting for orphans), own it
    running, owner lives   -> attach: use it, leave it running
    running, owner gone    -> adopt: own it from now on

The owner is the process that stops the server. It is noted with its start time, so a reused pid is no owner. Two processes that start
at once are put in order by a file lock: the second attaches.
"""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from types import TracebackType

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from domain.errors import Misconfigured
from infrastructure.embedded.account import Account, choose_account
from infrastructure.embedded.binaries import Binaries, find_binaries
from infrastructure.embedded.launch import SUPERUSER, Launch, PortBusy, make_cluster, start_server, stop_server
from infrastructure.embedded.layout import Layout
from infrastructure.embedded.postmaster import Postmaster, find_postmaster
from infrastructure.embedded.processes import find_process
from infrastructure.embedded.waiting import wait_until

SOCKET_PORT = 5432  # only part of a file name while there is no TCP
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
PORT_ATTEMPTS = 5
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAddress:
    """How to reach a server: by its socket, and on 127.0.0.1 where it listens there."""

    socket_folder: Path
    port: int
    database: str
    listens_on_tcp: bool
    password: str = field(repr=False)

    @property
    def dsn(self) -> str:
        """The way through the socket."""
        return self.dsn_for(self.database)

    @property
    def tcp_dsn(self) -> str:
        """The way over 127.0.0.1, for clients that know no sockets."""
        if not self.listens_on_tcp:
            raise Misconfigured("The embedded server was started without TCP.")
        return self.dsn_for(self.database, host="127.0.0.1")

    def dsn_for(self, database: str, *, host: str | None = None) -> str:
        """A libpq string with the deadlines that libpq itself does not set."""
        return make_conninfo(
            host=host or str(self.socket_folder),
            port=self.port,
            user=SUPERUSER,
            password=self.password,
            dbname=database,
            connect_timeout=3,
            tcp_user_timeout=5000,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedStatus:
    """What is known about the server of a folder."""

    running: bool
    pid: int | None
    owner_pid: int | None
    data_major: int | None


class EmbeddedPostgres:
    """The server of one folder. `start` and `stop` may be called in any order and more than once."""

    def __init__(  # noqa: PLR0913 - one knob each, all with a default
        self,
        directory: Path,
        *,
        listen_tcp: bool = False,
        port: int | None = None,
        durable: bool = True,
        database: str = "orderwright",
        settings: Mapping[str, str] | None = None,
        binaries: Binaries | None = None,
    ) -> None:
        self._layout = Layout(Path(os.path.abspath(directory)))  # noqa: PTH100 - resolve() would follow links
        self._listen_tcp = listen_tcp
        self._port = port
        self._database = database
        self._durable = durable
        self._settings = {**({} if durable else NOT_DURABLE), **(settings or {})}
        self._binaries = binaries
        self._owns = False
        self._child: Popen[bytes] | None = None

    @property
    def owns(self) -> bool:
        """Whether our `stop` ends the server."""
        return self._owns

    def start(self) -> ServerAddress:
        """Start, attach or adopt; when it returns, the database is there and takes connections."""
        self._layout.create()
        with self._layout.lock(timeout_s=START_TIMEOUT_S + STOP_TIMEOUT_S):
            try:
                return self._enter()
            except psycopg.OperationalError as error:
                if not wait_until(lambda: find_postmaster(self._layout) is None, timeout_s=STOP_TIMEOUT_S):
                    raise Misconfigured(f"The server in {self._layout.directory} refuses us: {error}") from error
                return self._enter()  # it had been killed just now and only looked alive

    def stop(self) -> None:
        """End the server if it is ours to end; what others own keeps running."""
        if not self._owns:
            return
        with self._layout.lock(timeout_s=START_TIMEOUT_S + STOP_TIMEOUT_S):
            self._owns = False
            self._reap()
            if self._layout.owner() != find_process(os.getpid()):
                return  # our server had died, and what runs now was started by somebody else
            server = find_postmaster(self._layout)
            if server is not None and not stop_server(server, timeout_s=STOP_TIMEOUT_S):
                raise Misconfigured(f"The PostgreSQL server {server.pid} does not stop; see {self._layout.log}.")
            self._layout.forget_owner()
            self._layout.remove_runtime_folder()
            self._reap()

    def status(self) -> EmbeddedStatus:
        server, owner = find_postmaster(self._layout), self._layout.owner()
        return EmbeddedStatus(
            running=server is not None and server.ready,
            pid=None if server is None else server.pid,
            owner_pid=None if owner is None else owner.pid,
            data_major=self._layout.major(),
        )

    def __enter__(self) -> ServerAddress:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _enter(self) -> ServerAddress:
        server = self._running()
        if server is None:
            server = self._start()
            self._become_owner()
        elif self._layout.owner() is None:
            self._become_owner()
        address = self._address(server)
        _create_database(address)
        return address

    def _running(self) -> Postmaster | None:
        """The server, once it is ready; one that is just going down is waited for until it is gone."""
        self._reap()

        def settled() -> bool:
            found = find_postmaster(self._layout)
            return found is None or found.ready

        if not wait_until(settled, timeout_s=START_TIMEOUT_S):
            raise Misconfigured(f"A PostgreSQL server in {self._layout.directory} hangs; see {self._layout.log}.")
        return find_postmaster(self._layout)

    def _start(self) -> Postmaster:
        binaries = self._binaries or find_binaries()
        self._refuse_other_major(binaries)
        account = choose_account(self._layout.data)
        if self._layout.major() is None:
            make_cluster(self._layout, binaries, account, sync=self._durable)
        self._layout.trim_log()
        self._bury()
        self._child = self._launch(binaries, account)
        server = find_postmaster(self._layout)
        if server is None:
            raise Misconfigured(f"PostgreSQL ended right after its start; see {self._layout.log}.")
        return server

    def _launch(self, binaries: Binaries, account: Account) -> Popen[bytes]:
        """Start on our port; one that we chose ourselves is chosen anew when somebody was faster."""
        attempt = 1
        while True:
            launch = Launch(
                layout=self._layout,
                binaries=binaries,
                account=account,
                port=self._choose_port(),
                listen_tcp=self._listen_tcp,
                settings=self._settings,
            )
            try:
                return start_server(launch, timeout_s=START_TIMEOUT_S)
            except PortBusy:
                if self._port is not None or attempt == PORT_ATTEMPTS:
                    raise
                attempt += 1

    def _choose_port(self) -> int:
        if self._port is not None:
            return self._port
        return free_port() if self._listen_tcp else SOCKET_PORT

    def _refuse_other_major(self, binaries: Binaries) -> None:
        held = self._layout.major()
        if held is not None and held != binaries.major:
            raise Misconfigured(
                f"The data in {self._layout.data} belongs to PostgreSQL {held}, but {binaries.folder} has {binaries.major}:"
                f" install PostgreSQL {held}, or move the folder away to start empty."
            )

    def _address(self, server: Postmaster) -> ServerAddress:
        if self._listen_tcp and not server.tcp_address:
            raise Misconfigured(f"The server in {self._layout.directory} runs without TCP: stop it first.")
        return ServerAddress(
            socket_folder=server.socket_folder,
            port=server.port,
            database=self._database,
            listens_on_tcp=bool(server.tcp_address),
            password=self._layout.password(),
        )

    def _become_owner(self) -> None:
        myself = find_process(os.getpid())
        if myself is not None:
            self._layout.note_owner(myself)
        self._owns = True

    def _bury(self) -> None:
        """A child that has just been killed may still be on its way out; without this it would stay a zombie."""
        if self._child is not None:
            with suppress(TimeoutExpired):
                self._child.wait(timeout=STOP_TIMEOUT_S)

    def _reap(self) -> None:
        """Let an ended child go, so that it is no zombie."""
        if self._child is not None and self._child.poll() is not None:
            self._child = None


def free_port() -> int:
    """A port of 127.0.0.1 that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _create_database(address: ServerAddress) -> None:
    with psycopg.connect(address.dsn_for(SUPERUSER), autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [address.database]).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(address.database)))
