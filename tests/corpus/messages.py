"""Hostile and odd messages: what a stranger may put into a queue, and what must become of each.

A message is a body with labels. `letter`: nobody can read it, so it is kept as a dead letter. `taken`: the oddity is a label that
decides nothing, so the order in it is placed. `refused`: the broker itself may refuse it; if it does not, it is a letter or taken.
"""

import bz2
import lzma
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.e2e.program import order_line

Verdict = Literal["letter", "taken", "either"]
ORDERS, RISK = "ow_orders", "ow_risk"
JSON = "application/json"
BIG = 300_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Odd:
    """One message. `labels` are AMQP properties beside the content type; `headers` its table."""

    id: str
    verdict: Verdict
    body: bytes
    queue: str = ORDERS
    content_type: str | None = JSON
    encoding: str | None = "utf-8"
    headers: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id


def _bombs() -> Iterator[tuple[str, str, bytes]]:
    yield "zlib", "application/x-gzip", zlib.compress(bytes(BIG), 9)
    yield "bzip2", "application/x-bz2", bz2.compress(bytes(BIG))
    yield "xz", "application/x-lzma", lzma.compress(bytes(BIG), preset=1)
    yield "zstd", "application/zstd", b"\x28\xb5\x2f\xfd" + bytes(100)
    yield "unknown", "nonsense", b"{}"


def _nested(depth: int) -> dict[str, Any]:
    table: dict[str, Any] = {"end": 1}
    for _ in range(depth):
        table = {"t": table}
    return table


def _letter(identity: str, body: bytes, **changes: Any) -> Odd:
    return Odd(id=identity, verdict="letter", body=body, **changes)


def _bodies() -> Iterator[Odd]:
    bodies = {
        "empty body": b"",
        "no JSON at all": b"\x00\xff\xfe not JSON",
        "a scalar": b"7",
        "a text": b'"order"',
        "a list": b"[1, 2]",
        "null": b"null",
        "NaN": b"NaN",
        "infinity in a field": order_line(1)[:-1] + b', "note": Infinity}',
        "deep": b"[" * 100_000,
        "deep and closed": b"[" * 50_000 + b"]" * 50_000,
        "5,000 digits": b'{"total": ' + b"9" * 5_000 + b"}",
        "a hook for decimal": b'{"__type__": "decimal", "__value__": "1E+1000000000"}',
        "a hook for uuid": b'{"__type__": "uuid", "__value__": {"hex": "zz"}}',
        "a hook for base64": b'{"__type__": "base64", "__value__": "%%%"}',
        "a hook that nobody knows": b'{"__type__": "os.system", "__value__": "id"}',
        "a hook that is a list": b'{"__type__": [1], "__value__": []}',
        "a frame in the queue for orders": b'{"v":1,"step":"risk","orders":["A-1"]}',
        "32 megabytes": b" " * 32_000_000,
    }
    for name, body in bodies.items():
        yield _letter(name, body)


def _labels() -> Iterator[Odd]:
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack", "text/plain", None):
        yield _letter(f"content type {kind}", b"\x80\x04K\x01.", content_type=kind)
    for code in ("zlib", "bz2", "hex", "rot13", "idna", "punycode", "nobody_knows"):
        body = zlib.compress(bytes(BIG)) if code == "zlib" else b"a" * 200_000
        yield _letter(f"kombu's trusted type as {code}", body, content_type="application/data", encoding=code)
    for name, label, body in _bombs():
        yield _letter(f"compressed by {name}", body, headers={"compression": label})


def _frames() -> Iterator[Odd]:
    for version in ("0", "-1", "999", '"1"', "null", "1.0", "true"):
        body = b'{"v":%s,"step":"risk","orders":["A-1"]}' % version.encode()
        yield _letter(f"version {version}", body, queue=RISK)
    yield _letter("a step that nobody knows", b'{"v":1,"step":"teleport","orders":["A-1"]}', queue=RISK)
    yield _letter("an order in the queue of a step", order_line(2), queue=RISK)


def _oddities() -> Iterator[Odd]:
    death = [{"count": 999, "queue": "ow_dead", "reason": "rejected", "time": 1}]
    odd: dict[str, dict[str, Any]] = {
        "no message id": {},
        "an empty message id": {"labels": {"message_id": ""}},
        "a message id": {"labels": {"message_id": "same"}},
        "the same message id with another body": {"labels": {"message_id": "same"}},
        "a type that nobody knows": {"labels": {"type": "os.system"}},
        "another order id in a header": {"headers": {"order_id": "B-99"}},
        "a forged history": {
            "headers": {"x-delivery-count": 10_000, "x-first-death-queue": "ow_dead", "ow-reason": "x"}
        },
        "a forged death": {"headers": {"x-death": death}},
        "an answer into a queue of the pipeline": {"labels": {"reply_to": ORDERS, "correlation_id": "1"}},
        "priority 255": {"labels": {"priority": 255}},
        "the year 9999": {"labels": {"timestamp": 253_402_300_799}},
        "headers 100 tables deep": {"headers": _nested(100)},
    }
    for number, (name, how) in enumerate(odd.items(), start=100):
        yield Odd(id=name, verdict="taken", body=order_line(number), **how)
    yield Odd(id="expires after abc", verdict="either", body=order_line(201), labels={"expiration": "abc"})
    yield Odd(id="a megabyte of headers", verdict="either", body=order_line(202), headers={"h": "x" * 1_000_000})


def messages() -> list[Odd]:
    """All of them. The bombs take a moment to make."""
    return [*_bodies(), *_labels(), *_frames(), *_oddities()]
