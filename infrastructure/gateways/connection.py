"""One HTTP/1.1 connection to a service, and one exchange on it, under a total deadline.

Why not an HTTP library: the fate of money hangs on knowing whether a request may have been sent, and libraries blur it (they
reconnect, follow, unpack, and report one error for both). Here `connect` ends before the first byte of a request leaves, and
`exchange` begins with it. The parser is llhttp by way of httptools, as strict as it comes; head and body are bounded; there are no
redirects, no proxies, no decompression. It also takes about half the processor time of urllib3 for a call.
"""

import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from select import POLLIN, poll
from threading import Thread
from time import monotonic
from typing import Any

import httptools

from infrastructure.deadline import Limit

MAX_HEAD = 131_072
MAX_BODY = 1_048_576
_CHUNK = 65_536


class BrokenExchange(Exception):
    """What came back is no complete HTTP answer that we accept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """A complete answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to connect, and how to recognize the other side."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


class Connection:
    """Used by one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._readable = poll()
        self._readable.register(sock, POLLIN)
        self.used_at = monotonic()

    @property
    def is_quiet(self) -> bool:
        """Nothing to read: an idle connection with something to read was closed by the peer, or is confused."""
        return not self._readable.poll(0)

    def exchange(self, request: bytes, limit: Limit) -> tuple[HttpAnswer, bool]:
        """The answer, and whether the connection may be used again."""
        limit.watch(self._socket)
        self._socket.sendall(request)
        reader = _Reader()
        while not reader.complete:
            data = self._socket.recv(_CHUNK)
            if not data:
                raise BrokenExchange("the connection ended before the answer did")
            reader.feed(data)
        self.used_at = monotonic()
        return reader.answer(), reader.keep_alive

    def close(self) -> None:
        self._socket.close()


def connect(endpoint: Endpoint, limit: Limit) -> Connection:
    """Raises OSError; nothing of a request has been sent then."""
    sock = _connect_tcp(endpoint, limit)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if endpoint.tls is not None:
            sock = endpoint.tls.wrap_socket(sock, server_hostname=endpoint.host, do_handshake_on_connect=False)
            limit.watch(sock)
            sock.do_handshake()
        sock.settimeout(None)  # from here on the limit bounds every wait
    except BaseException:
        sock.close()
        raise
    return Connection(sock)


def _connect_tcp(endpoint: Endpoint, limit: Limit) -> socket.socket:
    failure: OSError = OSError(f"{endpoint.host} has no address")
    for family, kind, protocol, _, address in _resolve(endpoint, limit.remaining_s):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(limit.remaining_s, 0.001))
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


def _resolve(endpoint: Endpoint, timeout_s: float) -> list[tuple[Any, ...]]:
    """The system's resolver knows no deadline, so it is waited for from beside."""
    if _is_address(endpoint.host):
        return list(socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM))
    results: SimpleQueue[list[tuple[Any, ...]] | OSError] = SimpleQueue()
    Thread(target=_look_up, args=(endpoint, results), daemon=True, name="resolver").start()
    try:
        result = results.get(timeout=timeout_s)
    except Empty:
        raise TimeoutError(f"no answer from the resolver about {endpoint.host}") from None
    if isinstance(result, OSError):
        raise result
    return result


def _look_up(endpoint: Endpoint, results: "SimpleQueue[list[tuple[Any, ...]] | OSError]") -> None:
    try:
        results.put(list(socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)))
    except OSError as error:
        results.put(error)
    except UnicodeError as error:  # a host name that cannot be encoded
        results.put(OSError(str(error)))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class _Reader:
    """Collects one answer from the parser's callbacks, within the limits."""

    def __init__(self) -> None:
        self.complete = False
        self.keep_alive = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._body = bytearray()
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        if not self._body:
            self._grow_head(len(data))
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keep_alive = False
            if not self.complete:
                raise BrokenExchange(f"not an acceptable HTTP answer: {error.__context__ or error}") from error

    def answer(self) -> HttpAnswer:
        if self._status < 200:
            raise BrokenExchange(f"an interim answer ({self._status}) that nobody asked for")
        return HttpAnswer(status=self._status, headers=self._headers, body=bytes(self._body))

    def on_message_begin(self) -> None:
        if self.complete:
            raise BrokenExchange("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY:
            raise BrokenExchange(f"more than {MAX_BODY} bytes of body")

    def on_message_complete(self) -> None:
        self._status = self._parser.get_status_code()
        self.keep_alive = self._parser.should_keep_alive()
        self.complete = True

    def _grow_head(self, size: int) -> None:
        """Counts raw bytes, because a header without an end never reaches `on_header`."""
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise BrokenExchange(f"more than {MAX_HEAD} bytes of head")
