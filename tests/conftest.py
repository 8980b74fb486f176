"""Fixtures that everybody shares: fresh databases, a broker, and an environment without anybody's settings.

`database`         a fresh migrated database for one test, as a DSN
`module_database`  the same for one module, for tests that only read or that keep to their own streams
`empty_database`   without any schema
`make_postgres`    a server of one's own, durable, to kill and to start again
`pooled`           the fresh database of this test, through pgbouncer in transaction mode
`rabbitmq`         the URL of a private node, shared by the session
`make_rabbitmq`    a node of one's own, to kill and to start again
`etcd`             a cluster of three etcd members, shared by the module; whatever a test did to it is undone after the test
`certificates`     a certificate authority for the module
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from infrastructure.embedded import EmbeddedPostgres
from tests.servers.certificates import Certificates, find_openssl
from tests.servers.choice import Node, choose, new_rabbitmq, postgres_in
from tests.servers.etcd import EtcdCluster, find_etcd
from tests.servers.pgbouncer import PgBouncer, find_pgbouncer
from tests.servers.postgres import PostgresServer

settings.register_profile("quick", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", deadline=None, max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

pytest_plugins = ["tests.servers.simulator"]

REQUIRE_PGBOUNCER = "ORDERWRIGHT_REQUIRE_PGBOUNCER"
REQUIRE_ETCD = "ORDERWRIGHT_REQUIRE_ETCD"
BROKER_FIXTURES = {"rabbitmq", "rabbitmq_node", "make_rabbitmq"}
CLUSTER_FIXTURES = {"etcd_cluster"}


def pytest_configure() -> None:
    choose()  # before other processes are started


def pytest_report_header() -> str:
    """Say which servers the tests run with; see `tests.servers.choice`."""
    return choose().sentence()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs RabbitMQ, and keep it on one test process, so that one node serves all."""
    for item in items:
        if BROKER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.rabbitmq)
            item.add_marker(pytest.mark.xdist_group("rabbitmq"))
        if CLUSTER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("PG", "ORDERWRIGHT_")) and not name.startswith(
                ("ORDERWRIGHT_TEST_", "ORDERWRIGHT_REQUIRE_")
            ):
                patch.delenv(name)
        patch.delenv("DATABASE_URL", raising=False)
        yield


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with postgres_in(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.migrated_database() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def module_database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.migrated_database() as dsn:
        yield dsn


@pytest.fixture
def empty_database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.empty_database() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    program = find_pgbouncer()
    if program is None and os.environ.get(REQUIRE_PGBOUNCER) == "1":
        pytest.fail(f"pgbouncer is not installed, but {REQUIRE_PGBOUNCER}=1", pytrace=False)
    if program is None:
        pytest.skip("pgbouncer is not installed (Debian: apt install pgbouncer)")
    pooler = PgBouncer(tmp_path_factory.mktemp("pgbouncer"), program, postgres_server.dsn)
    pooler.start()
    yield pooler
    pooler.stop()


@pytest.fixture
def pooled(database: str, pgbouncer: PgBouncer) -> str:
    return pgbouncer.dsn_for(database)


@pytest.fixture
def make_postgres(tmp_path: Path) -> Iterator[Callable[[], EmbeddedPostgres]]:
    made: list[EmbeddedPostgres] = []

    def make() -> EmbeddedPostgres:
        made.append(EmbeddedPostgres(tmp_path / f"postgres{len(made)}"))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    node, end = new_rabbitmq(tmp_path_factory.mktemp("rabbitmq"))
    yield node.start()
    end()


@pytest.fixture
def make_rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Node]]:
    with ExitStack() as stack:

        def make() -> Node:
            node, end = new_rabbitmq(tmp_path_factory.mktemp("rabbitmq"))
            stack.callback(end)
            return node

        yield make


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if find_openssl() is None:
        pytest.skip("openssl is not installed (Debian: apt install openssl)")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def etcd_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    """Not for the session: its proxies are threads and files of this process, where other tests count these."""
    if find_etcd() is None and os.environ.get(REQUIRE_ETCD) == "1":
        pytest.fail(f"etcd is not installed, but {REQUIRE_ETCD}=1", pytrace=False)
    if find_etcd() is None:
        pytest.skip("etcd is not installed (Debian: apt install etcd-server)")
    cluster = EtcdCluster(tmp_path_factory.mktemp("etcd"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def etcd(etcd_cluster: EtcdCluster) -> Iterator[EtcdCluster]:
    yield etcd_cluster
    etcd_cluster.recover()
