"""Making a cluster and starting its server: the two programs, their arguments, and what their failures mean.

A cluster is made beside its place and renamed into it, so a kill in the middle leaves nothing half made. A start that fails because
the orphans of a killed server still hold its memory is tried again until they are gone.
"""

import os
import re
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from domain.errors import Misconfigured
from infrastructure.embedded.account import Account
from infrastructure.embedded.binaries import Binaries
from infrastructure.embedded.layout import Layout, private
from infrastructure.embedded.postmaster import Postmaster, find_postmaster, stranger_pid
from infrastructure.embedded.waiting import wait_until

SUPERUSER = "postgres"
RETRY_PAUSE_S = 0.25
SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_locks_per_transaction": "256",
    "max_prepared_transactions": "10",
    "max_wal_size": "2GB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "password_encryption": "scram-sha-256",
    "unix_socket_permissions": "0700",
    "log_line_prefix": "%m [%p] ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "logging_collector": "off",
}
INITDB_FLAGS = [
    "--encoding=UTF8",
    "--no-locale",
    "--auth=scram-sha-256",
    "--no-instructions",
    f"--username={SUPERUSER}",
]
ORPHANS = re.compile(r"pre-existing shared memory block|lock file .* already exists|is still in use", re.IGNORECASE)
BUSY = re.compile(r"could not bind|Address already in use|could not create any TCP/IP sockets", re.IGNORECASE)


class PortBusy(Misconfigured):
    """Another program listens on the port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything that one start needs to know."""

    layout: Layout
    binaries: Binaries
    account: Account
    port: int
    listen_tcp: bool
    settings: Mapping[str, str]

    def arguments(self, socket_folder: Path) -> list[str]:
        settings = {
            **SETTINGS,
            "listen_addresses": "127.0.0.1" if self.listen_tcp else "",
            "port": str(self.port),
            "unix_socket_directories": str(socket_folder),
            **self.settings,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return self.account.command(self.binaries.postgres, "-D", self.layout.data, *flags)


def make_cluster(layout: Layout, binaries: Binaries, account: Account, *, sync: bool) -> None:
    """Run `initdb` with scram passwords, never trust; a leftover of a killed attempt is thrown away."""
    unfinished = layout.directory / "data.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    account.hand_over(unfinished)
    if account.owner is not None:
        layout.directory.chmod(
            layout.directory.stat().st_mode | stat.S_IXOTH
        )  # `nobody` must pass through to its own folders
    password = layout.socket_folder(account) / "initdb.password"
    command = account.command(binaries.initdb, "-D", unfinished, f"--pwfile={password}", *INITDB_FLAGS)
    try:
        password.write_text(layout.password(), encoding="ascii")
        password.chmod(0o600)
        account.hand_over(password)
        _run_initdb(account, [*command, *([] if sync else ["--no-sync"])], layout.directory)
    finally:
        password.unlink(missing_ok=True)
    private(unfinished)
    try:
        unfinished.replace(layout.data)
    except OSError as error:
        raise Misconfigured(f"{layout.data} holds something else than a database: move it away.") from error


def _run_initdb(account: Account, command: list[str], folder: Path) -> None:
    try:
        made = subprocess.run(
            command,
            env=environment(),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Misconfigured(f"A database folder could not be made in {folder}: {error}.") from error
    if made.returncode != 0:
        raise Misconfigured(f"A database folder could not be made in {folder}: {_last_line(made.stderr)}")


def start_server(launch: Launch, *, timeout_s: float) -> subprocess.Popen[bytes]:
    """Start the server and wait until it takes connections, again and again while orphans of a killed one are in the way."""
    deadline = time.monotonic() + timeout_s
    while True:
        since = launch.layout.log.stat().st_size if launch.layout.log.exists() else 0
        child = _spawn(launch)
        if _became_ready(launch.layout, child, timeout_s=max(deadline - time.monotonic(), 1.0)):
            return child
        said = _tail(launch.layout.log, since)
        if child.returncode is None:
            _give_up(child)
            raise Misconfigured(f"PostgreSQL was not ready within {timeout_s:.0f} s; see {launch.layout.log}.")
        if not ORPHANS.search(said) or time.monotonic() > deadline:
            raise _refusal(launch, said)
        time.sleep(RETRY_PAUSE_S)


def _spawn(launch: Launch) -> subprocess.Popen[bytes]:
    account = launch.account
    sockets = launch.layout.socket_folder(account)
    (sockets / f".s.PGSQL.{launch.port}.lock").unlink(missing_ok=True)  # of a killed server: only we use this folder
    command = launch.arguments(sockets)
    stranger = stranger_pid(launch.layout)
    try:
        with os.fdopen(os.open(launch.layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            return subprocess.Popen(
                command,
                env=environment(stranger),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the server afterwards
                user=account.user,
                group=account.group,
                extra_groups=account.extra_groups,
            )
    except OSError as error:
        raise Misconfigured(f"PostgreSQL could not be started: {error}.") from error


def environment(stranger: int | None = None) -> dict[str, str]:
    """No PG* setting of the user reaches the server, and its messages are English, because we read them.

    PostgreSQL refuses to start while the pid in `postmaster.pid` is alive, also as a zombie or as another program. Once we know
    that it is no server of this folder we name it as PG_GRANDPARENT_PID, which PostgreSQL takes for a coincidence (`pg_ctl` uses
    it so); its check of the shared memory stays in force.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    kept["LC_ALL"] = "C"
    if stranger is not None:
        kept["PG_GRANDPARENT_PID"] = str(stranger)
    return kept


def _became_ready(layout: Layout, child: subprocess.Popen[bytes], *, timeout_s: float) -> bool:
    def settled() -> bool:
        return child.poll() is not None or _is_ready(layout, child)

    wait_until(settled, timeout_s=timeout_s)
    return child.poll() is None and _is_ready(layout, child)


def _is_ready(layout: Layout, child: subprocess.Popen[bytes]) -> bool:
    found = find_postmaster(layout)
    return found is not None and found.pid == child.pid and found.ready


def _give_up(child: subprocess.Popen[bytes]) -> None:
    child.send_signal(signal.SIGQUIT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(timeout=10)


def stop_server(server: Postmaster, *, timeout_s: float) -> bool:
    """Fast shutdown, then immediate; never SIGKILL, which would leave orphans. False if it is still there."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        server.signal(number)
        if wait_until(server.is_gone, timeout_s=timeout_s):
            return True
    return False


def _refusal(launch: Launch, said: str) -> Misconfigured:
    if BUSY.search(said):
        return PortBusy(
            f"Port {launch.port} on 127.0.0.1 is busy: end the program that uses it, or choose another port."
        )
    return Misconfigured(f"PostgreSQL did not start: {_last_line(said)} The whole log is in {launch.layout.log}.")


def _last_line(text: str) -> str:
    told = [line for line in text.splitlines() if re.search(r"FATAL|error|could not", line)] or text.splitlines()
    return re.sub(r"^.*?(FATAL|LOG|initdb: error):\s*", "", told[-1]).rstrip(".") + "." if told else "it said nothing."


def _tail(path: Path, since: int) -> str:
    with path.open("rb") as file:
        file.seek(since)
        return file.read().decode(errors="replace")
