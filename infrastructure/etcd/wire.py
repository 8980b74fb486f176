"""How the JSON gateway writes things: keys and values in base64, 64-bit numbers as strings, and what is false or zero not at all.

The functions that build parts of a transaction return plain objects, ready to be sent.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A key as it is kept. `created` and `changed` are revisions of the cluster; `lease` 0: none."""

    key: str
    value: bytes
    created: int
    changed: int
    lease: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a read or a transaction: keys by operation, whether the comparison held, as of which revision and moment.

    `at` is the clock of the member that answered, to the second; `parts` are the answers of nested transactions. `again`: it was sent more
    than once, so an earlier attempt may be what this answer found done.
    """

    revision: int
    at: datetime
    held: bool
    kept: Sequence[Kept]
    parts: "Sequence[Answer]" = ()
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, from a member whose clock said `at`. `again`: it was sent more than once."""

    found: Json
    at: datetime
    again: bool = False


def text(of: str | bytes) -> str:
    return b64encode(of.encode() if isinstance(of, str) else of).decode()


def end_of(prefix: str) -> str:
    """The first key after all that begin with the prefix."""
    return text(prefix[:-1] + chr(ord(prefix[-1]) + 1))


def number(found: Mapping[str, Any], name: str) -> int:
    return int(found.get(name) or 0)


def absent(key: str) -> Json:
    return {"key": text(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def present(key: str) -> Json:
    return {"key": text(key), "target": "CREATE", "result": "GREATER", "create_revision": "0"}


def unchanged(key: str, since: int) -> Json:
    """Not written since that revision; 0: it does not exist."""
    return {"key": text(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(since)}


def equals(key: str, value: bytes) -> Json:
    return {"key": text(key), "target": "VALUE", "result": "EQUAL", "value": text(value)}


def put(key: str, value: bytes, *, lease: int = 0) -> Json:
    return {"request_put": {"key": text(key), "value": text(value), "lease": str(lease)}}


def read(key: str) -> Json:
    return {"request_range": {"key": text(key)}}


def delete(key: str) -> Json:
    return {"request_delete_range": {"key": text(key)}}


def if_then(compare: Sequence[Json], then: Sequence[Json], otherwise: Sequence[Json] = ()) -> Json:
    """A transaction, also as a part of another."""
    return {"compare": list(compare), "success": list(then), "failure": list(otherwise)}


def nested(transaction: Json) -> Json:
    return {"request_txn": transaction}


def kept(found: Mapping[str, Any]) -> Kept:
    return Kept(
        key=b64decode(found.get("key", "")).decode(),
        value=b64decode(found.get("value", "")),
        created=number(found, "create_revision"),
        changed=number(found, "mod_revision"),
        lease=number(found, "lease"),
    )


def answer(reply: Reply) -> Answer:
    """Of a range or a transaction."""
    return _answer(reply.found, reply)


def _answer(found: Json, reply: Reply) -> Answer:
    responses = found.get("responses", ())
    ranges = [found, *(one["response_range"] for one in responses if "response_range" in one)]
    return Answer(
        revision=number(found.get("header", {}), "revision"),
        at=reply.at,
        held=bool(found.get("succeeded", False)),
        kept=[kept(one) for found in ranges for one in found.get("kvs", ())],
        parts=[_answer(one["response_txn"], reply) for one in responses if "response_txn" in one],
        again=reply.again,
    )
