"""A private pgbouncer in transaction mode, on 127.0.0.1 only, ended by pid.

It is as mean as it can be: few server sessions, given out in turn, so that two statements of one client hardly ever meet the same
one, and what a client leaves in a session finds a stranger.
"""

import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from infrastructure.embedded.account import choose_account
from infrastructure.embedded.waiting import wait_until
from tests.servers.ports import lasting_port

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
CONFIGURATION = """
[databases]
* = host={host} port={server_port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
server_round_robin = 1
max_client_conn = 500
server_lifetime = 3600
logfile = {log}
"""


def find_pgbouncer() -> str | None:
    """Its program; Debian keeps it where only root looks."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")


class PgBouncer:
    """One pooler before one server."""

    def __init__(
        self, folder: Path, program: str, server: str, *, mode: str = "transaction", sessions: int = 4
    ) -> None:
        self._folder = folder
        self._program = program
        self.port = lasting_port()
        given = {name: str(value) for name, value in conninfo_to_dict(server).items()}
        host = given.get("host", "")
        self._configuration = CONFIGURATION.format(
            host=host if host and "/" not in host else "127.0.0.1",
            server_port=given.get("port", "5432"),
            user=given.get("user", "postgres"),
            password=given.get("password", ""),
            port=self.port,
            mode=mode,
            sessions=sessions,
            log=folder / "pgbouncer.log",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def dsn_for(self, dsn: str) -> str:
        """The same database, through the pooler."""
        return make_conninfo(
            host="127.0.0.1", port=self.port, user="anybody", dbname=conninfo_to_dict(dsn)["dbname"], connect_timeout=3
        )

    def start(self) -> None:
        """Return once it takes connections."""
        configuration = self._folder / "pgbouncer.ini"
        configuration.write_text(self._configuration)
        account = choose_account(self._folder)
        account.hand_over(self._folder)
        self._process = subprocess.Popen(
            account.command(self._program, "-q", configuration),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
        if not wait_until(self._is_settled, timeout_s=START_TIMEOUT_S) or self._process.poll() is not None:
            said = (self._folder / "pgbouncer.log").read_text(errors="replace")[-2000:]
            self.stop()
            raise RuntimeError(f"pgbouncer did not start:\n{said}")

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    def _is_settled(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1.0):
            return True
        return False
