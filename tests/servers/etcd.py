"""A private etcd cluster: real members on 127.0.0.1, ports and data of their own, ended by pid.

    cluster = EtcdCluster(folder)            # or EtcdCluster(folder, tls=True): client certificates are demanded
    url = cluster.start()                    # etcd://127.0.0.1:2001,127.0.0.1:2002,127.0.0.1:2003
    member = cluster.leader()
    member.kill(); member.start()            # as a power cut would end it; it comes back with its data
    member.freeze(); member.thaw()           # its kernel goes on answering for it
    member.cut_off(); member.heal()          # from the other members; clients still reach it
    cluster.wipe()                           # all data gone, same addresses
    cluster.snapshot(file); cluster.restore(file)                    # all as it was then

Members talk to each other through `tests.faults.links`; clients reach them directly. Data are in memory where there is room: what survives
a kill needs no disk, and many tests share two.
"""

import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import urllib.request
from collections import Counter
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from infrastructure.embedded.waiting import wait_until
from tests.faults import signals
from tests.faults.links import Links
from tests.servers.certificates import Certificates
from tests.servers.ports import lasting_port

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
ASK_S = 1.0
MEMORY, ROOM = Path("/dev/shm"), 2 * 1024**3


def find_etcd() -> str | None:
    """Its program; None where it is not installed."""
    return shutil.which("etcd")


def find_etcdctl() -> str | None:
    """The program that takes snapshots; None where it is not installed."""
    return shutil.which("etcdctl")


def _fastest(folder: Path) -> Path:
    """Each member sets aside 64 MB at a time."""
    if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        return MEMORY
    return folder


def _etcdctl(*words: str) -> None:
    done = subprocess.run(
        ["etcdctl", *words],
        env={"PATH": "/usr/bin:/bin", "ETCDCTL_API": "3"},
        capture_output=True,
        text=True,
        check=False,
        timeout=START_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class EtcdMember:
    """One member. What it is told of the others comes from its cluster."""

    def __init__(self, cluster: "EtcdCluster", number: int, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self.number = number
        self.name = f"member{number}"
        self._data = cluster.data / self.name
        self.port, self.peer_port = lasting_port(), lasting_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return None if self.process is None else self.process.pid

    def start(self) -> None:
        """Does not wait: a member alone cannot serve."""
        assert self.process is None, "it runs already"
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["etcd", *self._arguments()],
                env={"PATH": "/usr/bin:/bin", "HOME": str(self._folder)},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def start_again_if_it_ended(self) -> None:
        """By itself: for a moment its port may be that of somebody's outgoing connection."""
        if self.process is not None and self.process.poll() is not None:
            self.process = None
            self.start()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a power cut would end it; `start` brings it back with its data."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        assert self.process is not None
        signals.freeze([self.process.pid])

    def thaw(self) -> None:
        assert self.process is not None
        signals.thaw([self.process.pid])

    def cut_off(self) -> None:
        """From the other members, not from clients."""
        self._cluster.links.cut_off(self.number)

    def heal(self) -> None:
        self._cluster.links.heal(self.number)

    def forget(self) -> None:
        """Delete its data; it must not run."""
        shutil.rmtree(self._data, ignore_errors=True)

    def restore(self, snapshot: Path) -> None:
        """Begin with the data of a snapshot; it must not run."""
        self.forget()
        wanted = ("--name=", "--data-dir=", "--initial-")
        _etcdctl("snapshot", "restore", str(snapshot), *(one for one in self._arguments() if one.startswith(wanted)))

    def status(self) -> dict[str, Any] | None:
        """What it says of itself and its leader; None if it does not say anything in time."""
        try:
            return self._cluster.ask(self, "/v3/maintenance/status", {})
        except (OSError, ValueError):
            return None

    def said(self) -> str:
        """The end of its log."""
        log = self._folder / f"{self.name}.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def _end(self, number: signal.Signals) -> None:
        if self.process is None:
            return
        signals.send(self.process.pid, signal.SIGCONT)
        signals.send(self.process.pid, number)
        try:
            self.process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=STOP_TIMEOUT_S)
        self.process = None

    def _arguments(self) -> list[str]:
        scheme, cluster = self._cluster.scheme, self._cluster
        doors = [f"{scheme}://127.0.0.1:{port}" for port in cluster.links.ports]
        return [
            f"--name={self.name}",
            f"--data-dir={self._data}",
            f"--listen-client-urls={scheme}://{self.address}",
            f"--advertise-client-urls={scheme}://{self.address}",
            f"--listen-peer-urls={scheme}://127.0.0.1:{self.peer_port}",
            f"--initial-advertise-peer-urls={doors[self.number]}",
            f"--initial-cluster={','.join(f'member{number}={door}' for number, door in enumerate(doors))}",
            f"--initial-cluster-token={cluster.token}",
            "--pre-vote=true",
            "--logger=zap",
            "--log-level=warn",
            *cluster.tls_arguments(),
        ]


class EtcdCluster:
    """`size` members, started and stopped together, each of which can meet with a fault."""

    def __init__(self, folder: Path, *, tls: bool = False, size: int = 3) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.token = folder.name
        self.scheme = "https" if tls else "http"
        self.data = Path(tempfile.mkdtemp(prefix="orderwright-etcd-", dir=_fastest(folder)))
        self.members = [EtcdMember(self, number, folder) for number in range(size)]
        self.links = Links([one.peer_port for one in self.members], lambda number: self.members[number].pid)
        self.certificates = Certificates(folder / "certificates") if tls else None

    @property
    def url(self) -> str:
        """The product's `coordination_url`."""
        addresses = ",".join(one.address for one in self.members)
        return f"etcd{'s' if self.certificates else ''}://{addresses}"

    @property
    def ca(self) -> Path | None:
        return self.certificates.ca if self.certificates else None

    def client(self, name: str = "orderwright") -> tuple[Path, Path] | tuple[None, None]:
        """A client's certificate and key; without TLS there are none."""
        return self.certificates.client(name) if self.certificates else (None, None)

    def start(self) -> str:
        """Start all members that do not run, and return the URL once they have a leader."""
        for one in self.members:
            if one.process is None:
                one.start()
        self.leader()
        return self.url

    def stop(self) -> None:
        """End all members and the links between them."""
        self._end_all()
        self.links.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def recover(self) -> None:
        """Undo every fault: all run, thawed and connected, with one leader whom all know."""
        for one in self.members:
            one.heal()
            if one.process is None:
                one.start()
            one.thaw()
        self._wait_for_leader(len(self.members))

    def wipe(self) -> None:
        """Begin again without any data."""
        self._end_all()
        for one in self.members:
            one.forget()
        self.start()

    def snapshot(self, file: Path) -> None:
        """Keep all that is there now; without TLS only."""
        _etcdctl("snapshot", "save", str(file), f"--endpoints={self.leader().address}")

    def restore(self, snapshot: Path) -> None:
        """Go back to it, as the manual says: all members, into empty folders."""
        self._end_all()
        for one in self.members:
            one.restore(snapshot)
        self.start()

    def leader(self) -> EtcdMember:
        """Whom the majority follows."""
        return self._wait_for_leader(len(self.members) // 2 + 1)

    def followers(self) -> list[EtcdMember]:
        leader = self.leader()
        return [one for one in self.members if one is not leader]

    def tls_arguments(self) -> list[str]:
        if self.certificates is None:
            return []
        certificate, key = self.certificates.server("etcd")
        pairs = {"cert-file": certificate, "key-file": key, "trusted-ca-file": self.certificates.ca}
        return [
            *(f"--{name}={path}" for name, path in pairs.items()),
            *(f"--peer-{name}={path}" for name, path in pairs.items()),
            "--client-cert-auth=true",
            "--peer-client-cert-auth=true",
        ]

    def ask(self, member: EtcdMember, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One request to one member, past the product's own client. Raises `OSError` or `ValueError`."""
        request = urllib.request.Request(f"{self.scheme}://{member.address}{path}", data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=ASK_S, context=self._context()) as answer:
            found: dict[str, Any] = json.loads(answer.read())
        return found

    def _context(self) -> ssl.SSLContext | None:
        if self.certificates is None:
            return None
        context = ssl.create_default_context(cafile=self.certificates.ca)
        context.load_cert_chain(*self.certificates.client("observer"))
        return context

    def _wait_for_leader(self, agreeing: int) -> EtcdMember:
        found: list[EtcdMember] = []
        if not wait_until(partial(self._find_leader, agreeing, found), timeout_s=START_TIMEOUT_S):
            raise RuntimeError("etcd has no leader:\n" + "\n".join(one.said() for one in self.members))
        return found[-1]

    def _find_leader(self, agreeing: int, found: list[EtcdMember]) -> bool:
        """So many name the same leader, who is one of them."""
        for one in self.members:
            one.start_again_if_it_ended()
        running = [one for one in self.members if one.process is not None]
        answers = {one.number: answer for one in running if (answer := one.status())}
        named = Counter(answer["leader"] for answer in answers.values() if answer.get("leader", "0") != "0")
        leader, count = max(named.items(), key=itemgetter(1), default=("", 0))
        found[:] = [self.members[n] for n, answer in answers.items() if answer["header"]["member_id"] == leader]
        return count >= agreeing and bool(found)

    def _end_all(self) -> None:
        for one in self.members:
            one.kill()
