"""Clients of the shared cluster, each with keys of its own."""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from infrastructure.etcd.address import access
from infrastructure.etcd.client import Etcd
from tests.servers.etcd import EtcdCluster

Connect = Callable[[], Etcd]


@pytest.fixture
def connect(etcd: EtcdCluster) -> Iterator[Connect]:
    """Clients that share the keys of this test."""
    prefix, made = f"test-{uuid4().hex}", list[Etcd]()

    def connect() -> Etcd:
        made.append(Etcd(access(etcd.url, prefix=prefix)))
        return made[-1]

    yield connect
    for one in made:
        one.close()


@pytest.fixture
def client(connect: Connect) -> Etcd:
    return connect()
