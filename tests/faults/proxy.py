"""A TCP proxy that loses, holds, slows down and cuts what passes; switchable while it runs.

    with Proxy("127.0.0.1", 5432) as proxy:           # clients connect to 127.0.0.1:proxy.port
        proxy.blackhole()        # nothing passes, nothing is closed; what was held goes on at `heal`
        proxy.one_way()          # requests arrive, answers are lost
        proxy.delay(0.2); proxy.throttle(1000)
        proxy.cut_after(500)     # so many more bytes of answers, then a reset
        proxy.half_close()       # the servers' side of each connection ends
        proxy.reset(); proxy.refuse()
        proxy.heal()             # pass again; connections that lost bytes are reset, since they would make no sense

Its own kernel answers for both sides, so it cannot lose packets: a blackhole here is a peer that has gone silent. Two threads a
connection, which is plenty for a test.
"""

import socket
import struct
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

CONNECT_S = 5.0
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """In front of one server."""

    def __init__(self, host: str, port: int, *, listen: str = "127.0.0.1") -> None:
        self._target = (host, port)
        self._listener = socket.create_server((listen, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs: set[_Pair] = set()
        self._passing = threading.Event()
        self._closed = threading.Event()
        self._refusing = False
        self.answers_lost = False
        self.delay_s = 0.0
        self.bytes_per_s = 0.0
        self.left: int | None = None
        self.accepted = 0
        self.cut = 0
        self._passing.set()
        threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def blackhole(self) -> None:
        self._passing.clear()

    def one_way(self) -> None:
        self.answers_lost = True

    def delay(self, seconds: float) -> None:
        self.delay_s = seconds

    def throttle(self, bytes_per_s: float) -> None:
        self.bytes_per_s = bytes_per_s

    def cut_after(self, answer_bytes: int) -> None:
        self.left = answer_bytes

    def reset(self) -> int:
        """Reset every connection there is; returns how many."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.reset()
        self.cut += len(pairs)
        return len(pairs)

    def half_close(self) -> None:
        """The clients read the end of their streams, but can go on writing."""
        with self._lock:
            for pair in self._pairs:
                pair.end_answers()

    def refuse(self) -> None:
        """Reset what there is, and whoever comes."""
        self._refusing = True
        self.reset()

    def heal(self) -> None:
        self._refusing = self.answers_lost = False
        self.delay_s = self.bytes_per_s = 0.0
        self.left = None
        with self._lock:
            harmed = [pair for pair in self._pairs if pair.harmed]
        for pair in harmed:
            pair.reset()
        self._passing.set()

    def close(self) -> None:
        self._closed.set()
        self._passing.set()
        self._listener.close()
        self.reset()

    def adopt(self, client: socket.socket) -> None:
        """Serve a connection that came in by another door."""
        threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def hold(self) -> None:
        """Returns once bytes may pass."""
        self._passing.wait()

    def pause(self, seconds: float) -> None:
        """Ends early when the proxy is closed."""
        self._closed.wait(seconds)

    def forget(self, pair: "_Pair") -> None:
        with self._lock:
            self._pairs.discard(pair)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self.adopt(client)

    def _connect(self, client: socket.socket) -> None:
        self.hold()
        if self._refusing or self._closed.is_set():
            _reset(client)
            return
        try:
            server = socket.create_connection(self._target, timeout=CONNECT_S)
        except OSError:
            _reset(client)
            return
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = _Pair(self, client, server)
        with self._lock:
            self._pairs.add(pair)
        pair.start()


class _Pair:
    """One client's connection and ours to the server."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._open = 2
        self._lock = threading.Lock()
        self._is_reset = False
        self.harmed = False

    def start(self) -> None:
        for source, sink, answers in ((self._client, self._server, False), (self._server, self._client, True)):
            threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def reset(self) -> None:
        self._is_reset = (
            True  # first: our own threads take what wakes them for an end of the stream, and would pass that on
        )
        for end in (self._client, self._server):
            _reset(end)

    def end_answers(self) -> None:
        self.harmed = True
        with suppress(OSError):
            self._client.shutdown(socket.SHUT_WR)

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                self._proxy.hold()
                self._pass(data, sink, answers)
            if not self._is_reset:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset()
        finally:
            self._finish()

    def _pass(self, data: bytes, sink: socket.socket, answers: bool) -> None:
        proxy = self._proxy
        if proxy.delay_s:
            proxy.pause(proxy.delay_s)
        if answers and proxy.answers_lost:
            self.harmed = True
            return
        if answers and proxy.left is not None:
            self._pass_the_rest(data, sink)
            return
        if proxy.bytes_per_s:
            self._drip(data, sink)
            return
        sink.sendall(data)

    def _pass_the_rest(self, data: bytes, sink: socket.socket) -> None:
        left = self._proxy.left or 0
        self._proxy.left = max(0, left - len(data))
        sink.sendall(data[:left])
        if len(data) >= left:
            self._proxy.cut += 1
            raise ConnectionResetError("cut here")

    def _drip(self, data: bytes, sink: socket.socket) -> None:
        rate = self._proxy.bytes_per_s
        piece = max(1, int(rate / 20))
        for start in range(0, len(data), piece):
            sink.sendall(data[start : start + piece])
            self._proxy.pause(piece / rate)

    def _finish(self) -> None:
        with self._lock:
            self._open -= 1
            if self._open:
                return
        self._client.close()
        self._server.close()
        self._proxy.forget(self)


def _reset(end: socket.socket) -> None:
    """Closed without a goodbye: the other side reads ECONNRESET."""
    with suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    with suppress(OSError):
        end.shutdown(socket.SHUT_RD)  # wakes our own thread that reads it
    end.close()
