"""Requests to a cluster: one JSON object to one member, the next member when that one is away, an answer or an error in time.

    a member refuses, resets, has no leader        the next one, at once; after a round of all, a short breath
    a member hangs (frozen, cut off)               the next one after `TRY_S`, which is far below any deadline
    nobody answers before the deadline             `StoreUnavailable` with what each of them did
    a certificate that does not fit, at all of them, or a user whom etcd does not want        `Misconfigured`
    etcd says no to what was asked                 `Refused`, with its code

A request may have happened although its answer was lost, and then it is sent again. So only such requests come here as may happen twice:
reads, leases that would run out unused, and transactions that compare first and tell in their other branch what is there.
"""

import json
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from domain.errors import Misconfigured, StoreUnavailable
from infrastructure.chance import chance
from infrastructure.etcd.address import Access, Endpoint
from infrastructure.etcd.wire import Json, Reply

TRY_S = 1.0
BREATH_S = 0.1
LIMIT = 16 * 1024 * 1024
OK = 200

INVALID, DENIED, PRECONDITION, UNAUTHENTICATED = 3, 7, 9, 16
AWAY = {1, 4, 8, 13, 14}  # canceled, deadline exceeded, exhausted, internal, unavailable
STALE_TOKEN = ("invalid auth token", "revision of auth store is old")
COMMON_NAME = b"CommonName of client"
IDENTITY = ("user name is empty", "authentication failed", "authentication is not enabled")


class Refused(StoreUnavailable):
    """etcd answered, and the answer was no."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        super().__init__(f"etcd refused: {reason}")


class _Away(Exception):
    """This member cannot serve now."""


class _StaleToken(Exception):
    """We have to say again who we are."""


class Transport:
    """Thread-safe. Members are asked one after the other, beginning with the one that answered last."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._pools: dict[Endpoint, urllib3.HTTPConnectionPool] = {}
        self._preferred = chance.randrange(len(access.endpoints))
        self._token = ""
        if access.tls:
            self._context()  # files that cannot be read are known at once

    def call(self, path: str, body: Json, *, deadline_s: float) -> Reply:
        """The answer of whoever gives one first."""
        deadline = time.monotonic() + deadline_s
        problems: dict[Endpoint, Exception] = {}
        for number in count(1):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            place = self._preferred
            endpoint = self._access.endpoints[place]
            try:
                reply = self._identified(endpoint, path, body, min(left_s, TRY_S))
                return replace(reply, again=number > 1)
            except _Away as away:
                problems[endpoint] = away
                self._give_up_on(place)
            if number % len(self._access.endpoints) == 0:
                time.sleep(min(BREATH_S * chance.uniform(0.5, 1.0), max(0.0, deadline - time.monotonic())))
        raise self._nobody(problems, deadline_s)

    def stream(self, path: str, body: Json, *, silence_s: float) -> Iterator[Json]:
        """The objects of an answer that does not end, until the member goes away or says nothing for so long."""
        place = self._preferred
        try:
            self._identify()
            response = self._send(self._access.endpoints[place], path, body, read_s=silence_s)
        except (_Away, _StaleToken):
            self._give_up_on(place)
            return
        rest = b""
        try:
            for chunk in response.stream(65536):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (_object(line) for line in lines if line.strip())
        except (HTTPError, OSError, _Away):
            return
        finally:
            response.close()

    def close(self) -> None:
        for pool in list(self._pools.values()):
            pool.close()

    def _identified(self, endpoint: Endpoint, path: str, body: Json, try_s: float) -> Reply:
        """Once more with a fresh token if etcd has forgotten the one we had."""
        for _ in range(2):
            try:
                self._identify()
                return self._receive(self._send(endpoint, path, body, read_s=try_s), try_s)
            except _StaleToken:
                self._token = ""
        raise _Away("forgets at once who we are")

    def _identify(self) -> None:
        user, password = self._access.user, self._access.password
        if user is None or self._token:
            return
        body = {"name": user, "password": password}
        endpoint = self._access.endpoints[self._preferred]
        reply = self._receive(self._send(endpoint, "/v3/auth/authenticate", body, read_s=TRY_S), TRY_S)
        self._token = str(reply.found.get("token", ""))

    def _send(self, endpoint: Endpoint, path: str, body: Json, *, read_s: float) -> urllib3.BaseHTTPResponse:
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = self._token
        try:
            return self._pool(endpoint).urlopen(
                "POST",
                path,
                body=json.dumps(body).encode(),
                headers=headers,
                timeout=urllib3.Timeout(connect=min(read_s, TRY_S), read=read_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except SSLError as error:
            self._pools.pop(endpoint, None)  # the files may be renewed by the next time
            raise _Away(f"TLS: {_reason(error)}") from error
        except (HTTPError, OSError) as error:
            raise _Away(type(error).__name__) from error

    def _receive(self, response: urllib3.BaseHTTPResponse, try_s: float) -> Reply:
        deadline = time.monotonic() + try_s
        parts: list[bytes] = []
        try:
            for chunk in response.stream(65536):
                parts.append(chunk)
                if time.monotonic() > deadline or sum(map(len, parts)) > LIMIT:
                    raise _Away("answers without end")
        except SSLError as error:
            raise _Away(f"TLS: {_reason(error)}") from error
        except (HTTPError, OSError) as error:
            raise _Away(type(error).__name__) from error
        finally:
            response.release_conn() if parts else response.close()
        body = b"".join(parts)
        if COMMON_NAME in body:
            raise Misconfigured("etcd has users, so its gateway wants a certificate (etcd_cert) without a common name")
        found = _object(body)
        if response.status != OK:
            raise _problem(found, response.status)
        return Reply(found=found, at=_clock(response))

    def _pool(self, endpoint: Endpoint) -> urllib3.HTTPConnectionPool:
        pool = self._pools.get(endpoint)
        if pool is None:
            host, port = endpoint.host, endpoint.port
            if self._access.tls:
                pool = urllib3.HTTPSConnectionPool(host, port, maxsize=8, ssl_context=self._context())
            else:
                pool = urllib3.HTTPConnectionPool(host, port, maxsize=8)
            self._pools[endpoint] = pool
        return pool

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self._access.ca)
            if self._access.cert is not None:
                context.load_cert_chain(self._access.cert, self._access.key)
        except (OSError, ssl.SSLError) as error:
            raise Misconfigured(f"etcd_ca, etcd_cert or etcd_key cannot be used: {_reason(error)}") from None
        return context

    def _give_up_on(self, place: int) -> None:
        if self._preferred == place:
            self._preferred = (place + 1) % len(self._access.endpoints)

    def _nobody(self, problems: dict[Endpoint, Exception], deadline_s: float) -> Exception:
        told = "; ".join(f"{endpoint}: {problem}" for endpoint, problem in problems.items()) or "no time"
        if len(problems) == len(self._access.endpoints) and all(
            "CERTIFICATE_VERIFY" in str(p) for p in problems.values()
        ):
            return Misconfigured(f"etcd's certificates are not those of etcd_ca: {told}")
        return StoreUnavailable(f"etcd did not answer within {deadline_s:g} s ({told})")


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        raise _Away("answers no JSON") from None
    if not isinstance(found, dict):
        raise _Away("answers no object")
    return found


def _problem(found: Json, status: int) -> Exception:
    """What an answer that is no success means."""
    reason = str(found.get("message") or found.get("error") or f"status {status}")
    code = int(found.get("code") or 0)
    if code == UNAUTHENTICATED or any(one in reason for one in STALE_TOKEN):
        return _StaleToken()
    if code == DENIED or any(one in reason for one in IDENTITY):
        return Misconfigured(f"etcd says no to etcd_user: {reason}")
    if code in AWAY or code == 0:
        return _Away(reason)
    return Refused(code, reason)


def _clock(response: urllib3.BaseHTTPResponse) -> datetime:
    """Every member says what time it is."""
    try:
        return parsedate_to_datetime(response.headers.get("Date", "")).astimezone(UTC)
    except ValueError:
        raise _Away("does not say what time it is") from None


def _reason(error: Exception) -> str:
    """Without paths and objects: the last of what they say, such as CERTIFICATE_VERIFY_FAILED."""
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return getattr(inner, "reason", None) or getattr(inner, "strerror", None) or type(inner).__name__
