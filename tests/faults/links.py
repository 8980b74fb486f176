"""The links between the members of a cluster on one machine: each direction of each pair can be held up by itself.

Members are told one address of each other, that of a door of ours. Behind a door stands one `Proxy` for each member that may come; who
came is learned from the process table, by the socket it holds, so that it works for any protocol, encrypted or not.

    links = Links([2380, 2381, 2382], pid_of=lambda number: ...)     # member i listens at ports[i] and is known at links.ports[i]
    links.cut_off(0)          # nothing passes to or from member 0; nothing is closed
    links.heal(0)
"""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from tests.faults.proxy import Proxy

ESTABLISHED_BY = 1  # the column of /proc/net/tcp with the local address of the end that dialled
INODE = 9


class Links:
    """All links of a cluster. `pid_of` tells which process is a member now, None if there is none."""

    def __init__(self, targets: Sequence[int], pid_of: Callable[[int], int | None]) -> None:
        self._pid_of = pid_of
        self._members = range(len(targets))
        self._doors = [socket.create_server(("127.0.0.1", 0), backlog=100) for _ in targets]
        self._proxies = {
            (caller, called): Proxy("127.0.0.1", targets[called])
            for caller in self._members
            for called in self._members
            if caller != called
        }
        self._cut_off: set[int] = set()
        for number in self._members:
            threading.Thread(target=self._admit, args=(number,), name=f"door-{number}", daemon=True).start()

    @property
    def ports(self) -> list[int]:
        """Where the members find each other."""
        return [door.getsockname()[1] for door in self._doors]

    def cut_off(self, member: int) -> None:
        """Alone in its part of the network."""
        self._cut_off.add(member)
        for pair, proxy in self._proxies.items():
            if member in pair:
                proxy.blackhole()

    def heal(self, member: int) -> None:
        """Back with all that are not cut off themselves."""
        self._cut_off.discard(member)
        for pair, proxy in self._proxies.items():
            if member in pair and not self._cut_off & set(pair):
                proxy.heal()

    def close(self) -> None:
        for door in self._doors:
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread that accepts
            door.close()
        for proxy in self._proxies.values():
            proxy.close()

    def _admit(self, called: int) -> None:
        while True:
            try:
                client, (_, port) = self._doors[called].accept()
            except OSError:
                return
            caller = self._who_dialled(port)
            if caller is None or caller == called:
                client.close()
            else:
                self._proxies[caller, called].adopt(client)

    def _who_dialled(self, port: int) -> int | None:
        socket_name = f"socket:[{_inode_of(port)}]"
        for number in self._members:
            pid = self._pid_of(number)
            if pid is not None and socket_name in _files_of(pid):
                return number
        return None


def _inode_of(port: int) -> str:
    """Of the socket whose own port that is."""
    own = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[ESTABLISHED_BY] == own:
            return fields[INODE]
    return ""


def _files_of(pid: int) -> set[str]:
    found: set[str] = set()
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(str(entry.readlink()))
    return found
