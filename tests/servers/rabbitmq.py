"""A private RabbitMQ node: own name, ports, cookie, data and epmd, on 127.0.0.1 only, ended by pid.

The server script is called in RabbitMQ's own folder, because the wrapper on PATH switches to the system's user and files. epmd would
outlive the node as a daemon, so it runs as our child and is ended with us.

With certificates the node speaks TLS only, asks for a client's certificate, and takes a client that has none.
"""

import os
import secrets
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import amqp
import pytest

from infrastructure.embedded.waiting import wait_until
from tests.faults import signals
from tests.servers.certificates import Certificates
from tests.servers.ports import lasting_port

REQUIRE_RABBITMQ = "ORDERWRIGHT_REQUIRE_RABBITMQ"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
SETTINGS = ("default_user = orderwright", "disk_free_limit.absolute = 50MB")
FOLDERS = ("/usr/lib/rabbitmq/lib", "/opt/homebrew/opt/rabbitmq", "/opt/rabbitmq", "/usr/local/opt/rabbitmq")


def find_server_script() -> Path | None:
    """RabbitMQ's own start script; None where it is not installed."""
    for folder in map(Path, FOLDERS):
        found = sorted([*folder.glob("sbin/rabbitmq-server"), *folder.glob("rabbitmq_server-*/sbin/rabbitmq-server")])
        if found and shutil.which("erl"):
            return found[-1]
    return None


def required_script() -> Path:
    """The script, or the end of the test: a failure where RabbitMQ has to be there, else a skip."""
    script = find_server_script()
    if script is None and os.environ.get(REQUIRE_RABBITMQ) == "1":
        pytest.fail(f"RabbitMQ is not installed, but {REQUIRE_RABBITMQ}=1", pytrace=False)
    if script is None:
        pytest.skip("RabbitMQ is not installed (Debian: apt install rabbitmq-server)")
    return script


def find_epmd() -> str | None:
    installed = sorted(Path("/usr/lib/erlang").glob("erts-*/bin/epmd"))
    return shutil.which("epmd") or (str(installed[-1]) if installed else None)


class Epmd:
    """Erlang's name server, for one node or for a cluster."""

    def __init__(self) -> None:
        self.port = lasting_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        epmd = find_epmd()
        if epmd is None or self._process is not None:
            return
        self._process = subprocess.Popen(
            [epmd, "-address", "127.0.0.1", "-port", str(self.port)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=STOP_TIMEOUT_S)
            self._process = None


class RabbitNode:
    """One node; it can be stopped, killed and started again on the same data."""

    def __init__(self, folder: Path, script: Path, *, certificates: Certificates | None = None) -> None:
        self._folder = folder
        self._script = script
        self._certificates = certificates
        self._password = secrets.token_hex(12)
        self._cookie = secrets.token_hex(16)
        self._name = f"orderwright-{os.getpid()}-{secrets.token_hex(4)}@localhost"
        self._lines: tuple[str, ...] = ()
        self._kernel = ""
        self.port, self._dist_port = lasting_port(), lasting_port()
        self._epmd = Epmd()
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        scheme = "amqps" if self._certificates else "amqp"
        return f"{scheme}://orderwright:{self._password}@127.0.0.1:{self.port}//"

    def start(self) -> str:
        """Start the node and return its URL once it takes AMQP connections."""
        self.launch()
        return self.settled()

    def launch(self) -> None:
        """Start the node without waiting for it."""
        self._write_files()
        self._epmd.start()
        with (self._folder / "console.log").open("ab") as log:
            self._node = subprocess.Popen(
                [self._script],
                env=self._environment(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def settled(self) -> str:
        """Wait until the node that was launched takes connections."""
        running = wait_until(self._is_settled, timeout_s=START_TIMEOUT_S) and self.is_running
        if not running:
            said = (self._folder / "console.log").read_text(errors="replace")[-2000:]
            self.stop()
            raise RuntimeError(f"RabbitMQ did not start:\n{said}")
        return self.url

    def stop(self) -> None:
        """End the node in an orderly way, then epmd."""
        self._end(signal.SIGTERM)
        self._epmd.stop()

    def kill(self) -> None:
        """Kill the node as a power cut would; `start` brings it back with its data."""
        self._end(signal.SIGKILL)

    @property
    def is_running(self) -> bool:
        return self._node is not None and self._node.poll() is None

    def freeze(self) -> None:
        """Stop its process: the kernel still answers for it."""
        signals.freeze([self._pid()])

    def thaw(self) -> None:
        signals.thaw([self._pid()])

    def _pid(self) -> int:
        return int((self._folder / "node.pid").read_text(encoding="ascii"))

    def _end(self, number: signal.Signals) -> None:
        if self._node is None:
            return
        pid_file = self._folder / "node.pid"
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(pid_file.read_text()), number)
        with suppress(subprocess.TimeoutExpired):
            self._node.wait(timeout=STOP_TIMEOUT_S)
        if self._node.poll() is None:
            os.killpg(self._node.pid, signal.SIGKILL)  # our own session, so only our own processes
            self._node.wait(timeout=STOP_TIMEOUT_S)
        pid_file.unlink(missing_ok=True)
        self._node = None

    def _is_settled(self) -> bool:
        """Listening, or ended already; RabbitMQ opens its listener as the last step of its start."""
        return not self.is_running or self.answers()

    def answers(self) -> bool:
        """Takes connections."""
        tls: Any = (
            {"ca_certs": str(self._certificates.ca), "server_hostname": "localhost"} if self._certificates else False
        )
        connection = amqp.Connection(
            host=f"127.0.0.1:{self.port}", userid="orderwright", password=self._password, connect_timeout=2, ssl=tls
        )
        try:
            connection.connect()
        except (OSError, amqp.AMQPError):
            return False
        connection.close()
        return True

    def _write_files(self) -> None:
        cookie = self._folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self._cookie)
            cookie.chmod(0o400)
        (self._folder / "enabled_plugins").write_text("[].\n")
        lines = (*self._listeners(), f"default_pass = {self._password}", *SETTINGS, *self._lines)
        (self._folder / "rabbitmq.conf").write_text("\n".join(lines) + "\n")

    def _listeners(self) -> tuple[str, ...]:
        if self._certificates is None:
            return (f"listeners.tcp.1 = 127.0.0.1:{self.port}",)
        certificate, key = self._certificates.server()
        return (
            "listeners.tcp = none",
            f"listeners.ssl.1 = 127.0.0.1:{self.port}",
            f"ssl_options.cacertfile = {self._certificates.ca}",
            f"ssl_options.certfile = {certificate}",
            f"ssl_options.keyfile = {key}",
            "ssl_options.verify = verify_peer",
            "ssl_options.fail_if_no_peer_cert = false",
        )

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return kept | {
            "HOME": str(folder),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_PID_FILE": str(folder / "node.pid"),
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{127,0,0,1}} {self._kernel}",
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
