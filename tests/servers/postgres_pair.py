"""A primary with a streaming replica, on 127.0.0.1 only, to be cut apart, killed, promoted and joined again.

    with PrimaryAndReplica(folder) as pair:
        pair.primary_dsn, pair.replica_dsn     # one server each; they swap at a promotion
        pair.dsn                               # both, and whichever takes writes: what a fleet is told
        pair.cut_replica()                     # nothing more reaches the replica: what is written now would be lost
        pair.kill_primary(); pair.promote()
        pair.rejoin()                          # the old primary, made anew, as the replica of the new one

The servers are the embedded ones: the wheel has `pg_basebackup`. `replica` and `primary` are `tests.faults.postgres.Cluster`, so they
can be frozen, crowded and altered like any other.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.embedded.account import choose_account
from infrastructure.embedded.binaries import Binaries, find_binaries
from tests.faults.postgres import Cluster
from tests.servers.ports import lasting_port
from tests.servers.simulator import await_that

COPY_S = 120
PATIENCE_S = 30.0
SETTINGS: Final = {
    "wal_level": "replica",
    "max_wal_senders": "8",
    "wal_keep_size": "512MB",
    "hot_standby": "on",
    "wal_receiver_status_interval": "1s",
    "wal_retrieve_retry_interval": "200ms",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
}


class PrimaryAndReplica:
    """Two servers. `start` makes both; what was started is ended by `stop`."""

    def __init__(
        self, folder: Path, *, settings: Mapping[str, str] | None = None, binaries: Binaries | None = None
    ) -> None:
        self._folder = folder
        self._settings = {**SETTINGS, **(settings or {})}
        self._binaries = binaries or find_binaries()
        self._ports: list[int] = []
        self.primary: Cluster
        self.replica: Cluster

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Return the DSN that names both, once the replica streams."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.primary = self._server(self._folder / "one")
        self.replica = self._copy_of(self.primary, self._folder / "two")
        self._ports = [self.primary.port, self.replica.port]
        return self.dsn

    def stop(self) -> None:
        for server in (getattr(self, name, None) for name in ("replica", "primary")):
            if server is not None:
                server.close()

    @property
    def primary_dsn(self) -> str:
        return self.primary.dsn

    @property
    def replica_dsn(self) -> str:
        return self.replica.dsn

    @property
    def dsn(self) -> str:
        """Both servers, in an order that never changes; libpq goes to the one that takes writes."""
        return make_conninfo(
            self.primary.dsn,
            host="127.0.0.1,127.0.0.1",
            port=",".join(map(str, self._ports)),
            target_session_attrs="read-write",
        )

    def promote(self) -> None:
        """The replica takes writes from now on; what used to be the primary is called the replica, dead or not."""
        with self.replica.ask() as connection:
            assert connection.execute("SELECT pg_promote(true, 30)").fetchone() == (True,)
        self.primary, self.replica = self.replica, self.primary

    def kill_primary(self) -> None:
        """Signal 9; it does not come back by itself."""
        self.primary.kill()

    def cut_replica(self) -> None:
        """Nothing more arrives at the replica, which goes on answering."""
        self.replica.alter(primary_conninfo=" ")
        await_that(lambda: not self._streams(), within_s=PATIENCE_S)

    def heal_replica(self) -> None:
        """It catches up."""
        self.replica.alter(primary_conninfo=_way_to(self.primary.dsn))
        await_that(self._streams, within_s=PATIENCE_S)

    def pause_replay(self) -> None:
        """WAL arrives at the replica and is kept, but nobody sees there what it says."""
        with self.replica.ask() as connection:
            connection.execute("SELECT pg_wal_replay_pause()")
        await_that(lambda: self._asked("SELECT pg_get_wal_replay_pause_state() = 'paused'"), within_s=PATIENCE_S)

    def resume_replay(self) -> None:
        with self.replica.ask() as connection:
            connection.execute("SELECT pg_wal_replay_resume()")

    def await_replica(self) -> None:
        """Return once it shows everything that is committed now."""
        with self.primary.ask() as connection:
            row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert row is not None
        await_that(lambda: self._asked(f"SELECT pg_last_wal_replay_lsn() >= '{row[0]}'"), within_s=PATIENCE_S)

    def rejoin(self) -> None:
        """Throw away what the old primary has and make it the replica of the new one, on its old port."""
        folder, port = self.replica.folder, self.replica.port
        self.replica.close()
        shutil.rmtree(folder)
        self.replica = self._copy_of(self.primary, folder, port=port)

    def _server(self, folder: Path, *, port: int | None = None) -> Cluster:
        return Cluster(folder, self._settings, port=port or lasting_port(), binaries=self._binaries)

    def _copy_of(self, origin: Cluster, folder: Path, *, port: int | None = None) -> Cluster:
        folder.mkdir(mode=0o700, parents=True)
        shutil.copy2(origin.folder / "password", folder / "password")
        base_backup(origin.dsn, folder / "data", self._binaries, streaming=True)
        copy = self._server(folder, port=port)
        self.replica = copy
        await_that(self._streams, within_s=PATIENCE_S)
        return copy

    def _streams(self) -> bool:
        return self._asked("SELECT count(*) = 1 FROM pg_stat_wal_receiver WHERE status = 'streaming'")

    def _asked(self, question: str) -> bool:
        try:
            with self.replica.ask() as connection:
                return connection.execute(question.encode()).fetchone() == (True,)
        except psycopg.OperationalError:
            return False


def base_backup(dsn: str, data: Path, binaries: Binaries, *, streaming: bool = False) -> None:
    """Copy a running server, as an operator would: `pg_basebackup`, with all WAL that the copy needs."""
    account = choose_account(data)
    account.hand_over(data.parent)
    command = [
        binaries.folder / "pg_basebackup",
        "-d",
        _way_to(dsn),
        "-D",
        data,
        "-X",
        "stream",
        "-c",
        "fast",
        "--no-sync",
    ]
    done = subprocess.run(
        [*map(str, command), *(["-R"] if streaming else [])],
        capture_output=True,
        text=True,
        timeout=COPY_S,
        check=False,
        user=account.user,
        group=account.group,
        extra_groups=account.extra_groups,
    )
    assert done.returncode == 0, done.stderr


def _way_to(dsn: str) -> str:
    """For replication there is no database to name."""
    given = conninfo_to_dict(dsn)
    return make_conninfo("", **{name: str(value) for name, value in given.items() if name != "dbname"})
