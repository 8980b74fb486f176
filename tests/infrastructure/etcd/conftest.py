"""Clients of the shared cluster, each with keys of its own."""

from collections.abc import Iterator
from typing import Protocol
from uuid import uuid4

import pytest

from infrastructure.etcd.address import access
from infrastructure.etcd.client import Etcd
from tests.servers.etcd import EtcdCluster


class Connect(Protocol):
    """A client of all members, or of those that are given."""

    def __call__(self, *, url: str = ..., deadline_s: float = ...) -> Etcd: ...


@pytest.fixture
def connect(etcd: EtcdCluster) -> Iterator[Connect]:
    """Clients that share the keys of this test."""
    prefix, made = f"test-{uuid4().hex}", list[Etcd]()

    def connect(*, url: str = etcd.url, deadline_s: float = 5.0) -> Etcd:
        made.append(Etcd(access(url, prefix=prefix), deadline_s=deadline_s))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def client(connect: Connect) -> Etcd:
    return connect()
