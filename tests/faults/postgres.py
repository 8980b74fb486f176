"""A PostgreSQL server of one's own, to be hurt in every way that needs no root.

cluster = Cluster(folder)             # fsync on, TCP on 127.0.0.1 so that a proxy can stand before it
cluster.kill_backend(); cluster.stop(immediate=True); cluster.start()
with cluster.frozen(): ...
with cluster.crowded(): ...           # every connection is taken by somebody else
with cluster.idle_writer("postgres"): ...
"""

import random
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.embedded import EmbeddedPostgres
from infrastructure.embedded.binaries import Binaries
from tests.faults import signals
from tests.servers.ports import lasting_port
from tests.servers.simulator import await_that


class Cluster:
    """One server; whatever happens to it, `start` brings it back with its files and on its port."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str] | None = None,
        *,
        port: int | None = None,
        binaries: Binaries | None = None,
    ) -> None:
        self.port = port or lasting_port()
        self._server = EmbeddedPostgres(folder, listen_tcp=True, port=self.port, settings=settings, binaries=binaries)
        self.dsn = self._server.start().tcp_dsn
        self.folder = folder

    @property
    def pid(self) -> int:
        pid = self._server.status().pid
        assert pid is not None, "the server does not run"
        return pid

    def runs(self) -> bool:
        return self._server.status().running

    def start(self) -> None:
        assert self._server.start().tcp_dsn == self.dsn

    def stop(self, *, immediate: bool = False) -> None:
        """As `pg_ctl stop -m fast`, or `-m immediate`, which is a crash with better manners."""
        pid = self.pid
        signals.send(pid, signal.SIGQUIT if immediate else signal.SIGINT)
        _await_end(pid)

    def kill(self) -> None:
        """Signal 9 to the postmaster; its children end when they notice."""
        pid = self.pid
        signals.kill(pid)
        _await_end(pid)

    @staticmethod
    def kill_all(processes: Sequence[int]) -> None:
        """Signal 9 to what `processes` gave, the postmaster first, and to what it began since then."""
        later = signals.children_of(processes[0])
        for pid in dict.fromkeys([*processes, *later]):
            signals.kill(pid)

    def close(self) -> None:
        signals.thaw(self.processes())
        self._server.stop()

    def processes(self) -> list[int]:
        """The postmaster and all of its children."""
        pid = self._server.status().pid
        return [] if pid is None else [pid, *signals.children_of(pid)]

    def frozen(self) -> AbstractContextManager[None]:
        """Nothing answers but the kernel."""
        return signals.frozen(self.processes())

    def kill_backend(self, application: str = "orderwright%") -> int:
        """Signal 9 to one backend, on which the server restarts all of itself; returns how many were killed (0 or 1)."""
        with self.ask() as connection:
            rows = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s AND pid <> pg_backend_pid()",
                [application],
            ).fetchall()
        if not rows:
            return 0
        signals.kill(random.choice(rows)[0])
        return 1

    def terminate_backends(self, application: str = "orderwright%") -> int:
        """`pg_terminate_backend` on all that match; returns how many there were."""
        with self.ask() as connection:
            return len(
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name LIKE %s AND pid <> pg_backend_pid()",
                    [application],
                ).fetchall()
            )

    def ask(self, database: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of a superuser, with a deadline."""
        dsn = make_conninfo(self.dsn, **({"dbname": database} if database else {}), application_name="the test")
        return psycopg.connect(dsn, autocommit=True, connect_timeout=5)

    def alter(self, **settings: str) -> None:
        """`ALTER SYSTEM` and reload; an empty value resets."""
        with self.ask() as connection:
            for name, value in settings.items():
                statement = "ALTER SYSTEM SET {} = {}" if value else "ALTER SYSTEM RESET {}"
                parts = [sql.Identifier(name), *([sql.Literal(value)] if value else [])]
                connection.execute(sql.SQL(statement).format(*parts))
            connection.execute("SELECT pg_reload_conf()")

    @contextmanager
    def crowded(self) -> Iterator[int]:
        """Others take every connection that is left, the reserved ones as well; yields how many they took."""
        with ExitStack() as stack:
            taken = 0
            while taken < 1000:
                try:
                    stack.enter_context(self.ask())
                except psycopg.OperationalError:
                    break
                taken += 1
            yield taken

    @contextmanager
    def idle_writer(self, database: str) -> Iterator[None]:
        """A stranger that has written something and does not commit."""
        with self.ask(database) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS a_strangers (x int)")
            with connection.transaction(force_rollback=True):
                connection.execute("INSERT INTO a_strangers VALUES (1)")
                yield

    @contextmanager
    def long_reader(self) -> Iterator[None]:
        """A read-only transaction that holds its snapshot."""
        with self.ask() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            connection.execute("SELECT count(*) FROM events")
            yield


def _await_end(pid: int) -> None:
    await_that(lambda: signals.state(pid) in {"", "Z"}, within_s=30)
