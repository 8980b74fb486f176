"""Partitions: which part of the work an order belongs to, the same for everybody who asks.

A number from 0, by the first 24 bits of the SHA-256 of the order's id, or for stock of its warehouse and SKU. It is the twin of
`partition_of` and `partition_key` in 0009_partitions.sql, and one test compares them. The hash never changes: several processes and the
database share out the same work by it.
"""

import hashlib
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import timedelta

MOST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """The part of the due work that somebody sees to: `mine` of the partitions, and whatever nobody has seen to for `patience`."""

    partitions: int
    mine: AbstractSet[int]
    patience: timedelta


def partition_of(key: str, partitions: int) -> int:
    """The partition of an order's id, or of a warehouse and SKU."""
    digest = hashlib.sha256(key.replace("\\", "/").encode()).digest()
    return int.from_bytes(digest[:3], "big") % partitions


def partition_key(stream: str) -> str:
    """What the partition of a stream's events depends on."""
    category, _, subject = stream.partition("-")
    return subject.rpartition("+")[0] if category == "fulfillment" else subject
