"""A small server on the loopback interface that answers every connection by a script of bytes and nothing else."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

Script = Callable[["Peer"], None]


class Peer:
    """One accepted connection, as the script sees it."""

    def __init__(self, sock: socket.socket, closing: threading.Event) -> None:
        self._socket = sock
        self._closing = closing

    def read_request(self) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._read()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += self._read()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def drip(self, data: bytes) -> None:
        """A byte at a time, for ever, until the caller has gone away or the test has ended."""
        position = 0
        while not self._closing.wait(0.01):
            self.send(data[position : position + 1] or b"x")
            position += 1

    def freeze(self) -> None:
        """Neither reads nor writes until the test has ended."""
        self._closing.wait(60)

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self._socket.close()

    def _read(self) -> bytes:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the caller went away")
        return data


class HostileServer:
    def __init__(self, script: Script) -> None:
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.closing = threading.Event()
        self._script = script
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._play, args=(sock,), daemon=True).start()

    def _play(self, sock: socket.socket) -> None:
        self._count(+1)
        try:
            with sock:
                sock.settimeout(60)
                self._script(Peer(sock, self.closing))
        except OSError:
            pass
        finally:  # only now: who waits for `open` to fall wants to find the connection closed
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._lock:
            self.connections += change > 0
            self.open += change
            self.most_open = max(self.most_open, self.open)


@contextmanager
def hostile(script: Script) -> Iterator[HostileServer]:
    server = HostileServer(script)
    try:
        yield server
    finally:
        server.close()


def answer(body: bytes = b"", *, status: str = "200 OK", kind: str = "application/json", more: str = "") -> bytes:
    """A well-formed HTTP answer around any body."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def playing(*acts: Script) -> Script:
    def script(peer: Peer) -> None:
        for act in acts:
            act(peer)

    return script


def answering(*data: bytes, then: Script | None = None) -> Script:
    """Reads a request, sends these bytes, and closes after what comes `then`."""
    return playing(Peer.read_request, *[partial(Peer.send, data=piece) for piece in data], *([then] if then else []))
