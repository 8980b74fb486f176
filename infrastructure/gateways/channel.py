"""A bounded pool of connections to one service: every call has a total deadline, and every failure says whether it may have acted.

    no free connection, no address, refused, TLS failed, time-out so far      Unavailable     nothing was sent
    anything that goes wrong from the first byte of the request on            OutcomeUnknown  it may have acted

One channel a service, so that a slow one cannot use up the connections of another.
"""

import re
import ssl
from ipaddress import ip_address
from threading import BoundedSemaphore, Lock
from time import monotonic
from urllib.parse import urlsplit

from domain.errors import Misconfigured, OutcomeUnknown, Poison, Unavailable
from infrastructure.deadline import Limit, Watchdog, watchdog
from infrastructure.gateways.connection import BrokenExchange, Connection, Endpoint, HttpAnswer, connect

KEEP_IDLE_S = 15.0

_KEY = re.compile(r"[\x21-\x7e]{1,255}")

INSECURE = "http+insecure"
"""Said by whoever means it: without TLS to another machine, as to a simulator on a private network of containers."""


class Channel:
    """Safe for use by many threads; `threads` bounds the connections, `deadline_s` each call from first to last byte."""

    def __init__(
        self,
        base_url: str,
        *,
        threads: int,
        deadline_s: float,
        tls: ssl.SSLContext | None = None,
        watchdog: Watchdog = watchdog,
    ) -> None:
        self._endpoint, self._prefix = _endpoint(base_url, tls)
        self._name = f"{self._endpoint.host}:{self._endpoint.port}"
        self._deadline_s = deadline_s
        self._watchdog = watchdog
        self._slots = BoundedSemaphore(threads)
        self._lock = Lock()
        self._idle: list[Connection] = []
        self._closed = False

    def post(self, path: str, *, key: str, body: bytes) -> HttpAnswer:
        if not _KEY.fullmatch(key):
            raise Poison(f"{key!r} cannot be sent as an idempotency key")
        extra = f"idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return self._exchange(self._head("POST", path, extra) + body)

    def get(self, path: str) -> HttpAnswer:
        return self._exchange(self._head("GET", path, ""))

    def close(self) -> None:
        """Idle connections end now, those in use after their call."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _head(self, method: str, path: str, extra: str) -> bytes:
        return (
            f"{method} {self._prefix}{path} HTTP/1.1\r\nhost: {self._name}\r\naccept: application/json\r\n"
            f"accept-encoding: identity\r\nuser-agent: orderwright\r\n{extra}\r\n"
        ).encode("ascii")

    def _exchange(self, request: bytes) -> HttpAnswer:
        with self._watchdog.limit(None, self._deadline_s) as limit:
            if not self._slots.acquire(timeout=limit.remaining_s):
                raise Unavailable(f"{self._name}: all connections were busy for {self._deadline_s} s")
            try:
                return self._talk(self._ready(limit), request, limit)
            finally:
                self._slots.release()

    def _ready(self, limit: Limit) -> Connection:
        connection = self._connection(limit)
        if limit.expired:
            connection.close()
            raise Unavailable(f"{self._name}: the time was up before anything was sent")
        return connection

    def _connection(self, limit: Limit) -> Connection:
        connection = self._take_idle()
        if connection is not None:
            return connection
        try:
            return connect(self._endpoint, limit)
        except OSError as error:
            raise Unavailable(f"{self._name} was not reached: {error}") from error

    def _take_idle(self) -> Connection | None:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or (connection.is_quiet and monotonic() - connection.used_at < KEEP_IDLE_S):
                return connection
            connection.close()

    def _talk(self, connection: Connection, request: bytes, limit: Limit) -> HttpAnswer:
        try:
            answer, reusable = connection.exchange(request, limit)
        except (OSError, BrokenExchange) as error:
            connection.close()
            reason = f"no complete answer within {self._deadline_s} s" if limit.expired else str(error)
            raise OutcomeUnknown(f"{self._name}: {reason}") from error
        except BaseException:
            connection.close()
            raise
        self._give_back(connection, reusable=reusable and not limit.expired)
        return answer

    def _give_back(self, connection: Connection, *, reusable: bool) -> None:
        with self._lock:
            if reusable and not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _endpoint(base_url: str, tls: ssl.SSLContext | None) -> tuple[Endpoint, str]:
    parts = urlsplit(base_url)
    if (
        parts.scheme not in {"http", "https", INSECURE}
        or not parts.hostname
        or parts.username
        or parts.query
        or parts.fragment
    ):
        raise Misconfigured("a gateway URL is https://host[:port][/path], with nothing else in it")
    if parts.scheme == "https":
        context = tls or ssl.create_default_context()
        return Endpoint(host=parts.hostname, port=parts.port or 443, tls=context), parts.path.rstrip("/")
    if parts.scheme != INSECURE and not _is_loopback(parts.hostname):
        raise Misconfigured(
            f"{parts.hostname} is not this machine, so its URL must begin with https://, or with {INSECURE}:// for a simulated world"
        )
    return Endpoint(host=parts.hostname, port=parts.port or 80), parts.path.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
