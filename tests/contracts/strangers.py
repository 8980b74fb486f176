"""Messages that no consumer of ours can read: by their labels, or by what the body turns out to be."""

import zlib
from collections.abc import Mapping

LIMIT = 262_144
JSON = {"content_type": "application/json", "content_encoding": "utf-8"}

unreadable_labels: dict[str, tuple[bytes, Mapping[str, object]]] = {
    "no content type": (b"{}", {"content_type": None, "content_encoding": None}),
    "plain text": (b"{}", {**JSON, "content_type": "text/plain"}),
    "kombu's trusted data": (b"{}", {**JSON, "content_type": "application/data"}),
    "a pickle": (
        b"\x80\x04N.",
        {**JSON, "content_type": "application/x-python-serialize", "content_encoding": "binary"},
    ),
    "json with a parameter": (b"{}", {**JSON, "content_type": "application/json; charset=utf-8"}),
    "zlib as encoding": (zlib.compress(bytes(1_000_000)), {**JSON, "content_encoding": "zlib"}),
    "rot13": (b"{}", {**JSON, "content_encoding": "rot13"}),
    "punycode": (b"a" * 200_000, {**JSON, "content_encoding": "punycode"}),
    "unknown encoding": (b"{}", {**JSON, "content_encoding": "x" * 100}),
    "a compressed bomb": (
        zlib.compress(bytes(100_000_000)),
        {**JSON, "headers": {"compression": "application/x-gzip"}},
    ),
    "an unknown compression": (b"{}", {**JSON, "headers": {"compression": "nonsense"}}),
    "an empty body": (b"", JSON),
    "one byte too many": (b" " * (LIMIT + 1), JSON),
}

unreadable_frames: dict[str, bytes] = {
    "no json": b"{",
    "not utf-8": b'{"v":1,"step":"risk","orders":["\xff"]}',
    "a 5,000-digit integer": b'{"v":' + b"1" * 5_000 + b',"step":"risk","orders":["A"]}',
    "deep nesting": b"[" * 100_000,
    "kombu's object hook": b'{"__type__":"decimal","__value__":"1E+1000000000"}',
    "an unknown field": b'{"v":1,"step":"risk","orders":["A"],"x":1}',
    "another version": b'{"v":2,"step":"risk","orders":["A"]}',
    "a bad order id": b'{"v":1,"step":"risk","orders":["../A"]}',
    "no orders": b'{"v":1,"step":"risk","orders":[]}',
    "NaN": b"NaN",
}
