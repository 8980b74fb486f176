"""A part of the network of its own, from which packets can get lost: a namespace, a pair of virtual cables, and a packet filter.

A proxy that falls silent still has a kernel that acknowledges what it is sent, so only a real loss shows whether the time limits of TCP
itself are set. Making a namespace needs root and `ip` and `iptables`; where they are missing, `why_not` says so.

    with Island() as island:
        island.bridge(5432)                    # 127.0.0.1:5432 is the same from within as from without
        child = [*island.prefix, "psql", ...]  # or a child of the nursery with island.environment
        island.lose(); island.heal()
"""

import ctypes
import os
import shutil
import subprocess
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.faults.proxy import Proxy

NETWORK = "TEST_NETWORK"
PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_numbers = count(1)


def why_not() -> str:
    """Why there can be no island here; empty if there can."""
    if os.geteuid() != 0:
        return "only root can make a network namespace"
    for program in ("ip", "iptables"):
        if shutil.which(program, path=PATH) is None:
            return f"{program} is not installed"
    name = f"ow-probe-{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False, timeout=10).returncode != 0:
        return "this system makes no network namespaces"
    _run("ip", "netns", "del", name)
    return ""


def enter(name: str) -> None:
    """Move this process there; it must have one thread only."""
    with Path(f"/var/run/netns/{name}").open("rb") as namespace:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), f"the namespace {name} cannot be entered")


class Island:
    """One namespace. Whoever is in it reaches nothing but what was bridged."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.name = f"ow-{os.getpid()}-{number}"
        place = os.getpid() % 250
        self._gate = f"10.213.{place}.{4 * number + 1}"
        self._within = f"10.213.{place}.{4 * number + 2}"
        self._cable = f"ow{os.getpid()}.{number}"[:13]
        self._proxies: list[Proxy] = []

    @property
    def environment(self) -> dict[str, str]:
        """For a child of the nursery that is to live there."""
        return {NETWORK: self.name}

    @property
    def prefix(self) -> list[str]:
        """Before a command that is to run there."""
        return ["ip", "netns", "exec", self.name]

    @property
    def _nat(self) -> list[str]:
        return [*self.prefix, "iptables", "-t", "nat"]

    def __enter__(self) -> Self:
        _run("ip", "netns", "add", self.name)
        try:
            _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            _run("ip", "addr", "add", f"{self._gate}/30", "dev", self._cable)
            _run("ip", "link", "set", self._cable, "up")
            _run(*self.prefix, "ip", "addr", "add", f"{self._within}/30", "dev", "eth0")
            for device in ("lo", "eth0"):
                _run(*self.prefix, "ip", "link", "set", device, "up")
            _run(*self.prefix, "sysctl", "-w", "net.ipv4.conf.all.route_localnet=1")
            _run(*self._nat, "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def bridge(self, *ports: int) -> None:
        """Who dials these ports of 127.0.0.1 over there gets what is behind them here."""
        for port in ports:
            proxy = Proxy("127.0.0.1", port, listen=self._gate)
            self._proxies.append(proxy)
            dialled = ["-d", "127.0.0.1", "-p", "tcp", "--dport", str(port)]
            _run(*self._nat, "-A", "OUTPUT", *dialled, "-j", "DNAT", "--to-destination", f"{self._gate}:{proxy.port}")

    def lose(self) -> None:
        """From now on no packet passes, in either direction, and nobody is told."""
        for chain in ("INPUT", "OUTPUT"):
            _run(*self.prefix, "iptables", "-A", chain, "-j", "DROP")

    def heal(self) -> None:
        _run(*self.prefix, "iptables", "-F")

    def close(self) -> None:
        """The cable ends with the namespace."""
        for proxy in self._proxies:
            proxy.close()
        _run("ip", "link", "del", self._cable, check=False)
        _run("ip", "netns", "del", self.name, check=False)


def _run(*command: str, check: bool = True) -> None:
    subprocess.run(command, check=check, capture_output=True, timeout=20, env={**os.environ, "PATH": PATH})
