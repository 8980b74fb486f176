"""One HTTP/1.1 connection: parses requests, sends answers in order, and plays the faults that spoil an answer.

Written on the bare transport instead of a web framework, because most faults (a connection dropped after acting, a head that drips
byte by byte) are exactly what a framework prevents, and because it serves several times more requests a second.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import cast
from zlib import crc32

import httptools

from workers.simulator.calls import Reply, problem
from workers.simulator.site import Request

MAX_HEAD = 16_384
MAX_BODY = 65_536

_GARBAGE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 30\r\nconnection: close\r\n\r\n<html><h1>Success!</h1></html>",
    b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n{"result": "captur',
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{}",
    b"\x15\x03\x01\x00\x02\x02\x16 this is not HTTP\r\n\r\n",
)

_HUGE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n" + b" " * 2_097_152

Accept = Callable[[Request, Callable[[Reply], None]], None]


class Connection(asyncio.Protocol):
    """Requests of one connection are answered one after the other, as HTTP/1.1 demands."""

    def __init__(
        self, accept: Accept, *, open_connections: set["Connection"], drip_interval_s: Callable[[], float]
    ) -> None:
        self._accept = accept
        self._open = open_connections
        self._drip_interval_s = drip_interval_s
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._busy = False
        self._draining = False
        self._begin()

    @property
    def idle(self) -> bool:
        return not self._busy and not self._waiting

    def drain(self) -> None:
        """Finish what was asked, then close."""
        self._draining = True
        if self.idle:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.clear()
        self._open.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse(problem(400, "bad_http", "this is not an HTTP/1.1 request that is understood here"))

    # httptools

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._limit_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value
        self._limit_head(len(name) + len(value))

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > MAX_BODY:
            raise httptools.HttpParserError("body too large")

    def on_message_complete(self) -> None:
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=self._url.partition(b"?")[0].decode("latin-1"),
            headers=self._headers,
            body=self._body,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        self._next()

    # ours

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body = b""
        self._head_size = 0

    def _limit_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > MAX_HEAD:
            raise httptools.HttpParserError("head too large")

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        request, keep_alive = self._waiting.popleft()
        self._accept(request, lambda reply: self._answer_later(reply, keep_alive=keep_alive))

    def _answer_later(self, reply: Reply, *, keep_alive: bool) -> None:
        if reply.delay_s > 0:
            asyncio.get_running_loop().call_later(reply.delay_s, lambda: self._answer(reply, keep_alive=keep_alive))
        else:
            self._answer(reply, keep_alive=keep_alive)

    def _answer(self, reply: Reply, *, keep_alive: bool) -> None:
        match reply.fault:
            case "drop_before" | "drop_after":
                self._transport.abort()
            case "reset":
                self._reset()
            case "huge":
                self._transport.write(_HUGE)  # and no more than that: the caller has to end it
            case "garbage":
                self._transport.write(_GARBAGE[crc32(reply.body) % len(_GARBAGE)])
                self._transport.close()
            case "drip":
                self._drip(_encode(reply), 0)
            case _:
                self._transport.write(_encode(reply))
                self._finish(keep_alive=keep_alive)

    def _reset(self) -> None:
        """Not an end of the connection in order, but an error for whoever reads from it."""
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._transport.abort()

    def _drip(self, data: bytes, sent: int) -> None:
        if self._transport.is_closing():
            return
        if sent == len(data) or self._draining:
            self._transport.close()
            return
        self._transport.write(data[sent : sent + 1])
        asyncio.get_running_loop().call_later(self._drip_interval_s(), self._drip, data, sent + 1)

    def _finish(self, *, keep_alive: bool) -> None:
        self._busy = False
        if not keep_alive or (self._draining and not self._waiting):
            self._transport.close()
        else:
            self._next()

    def _refuse(self, reply: Reply) -> None:
        self._waiting.clear()
        self._transport.write(_encode(reply))
        self._transport.close()


def _encode(reply: Reply) -> bytes:
    retry = f"retry-after: {reply.retry_after_s}\r\n" if reply.retry_after_s is not None else ""
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(reply.body)}\r\n{retry}\r\n"
    )
    return head.encode("ascii") + reply.body
