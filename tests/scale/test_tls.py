"""TLS to Postgres: who the server is, is checked in full, and whoever goes without is told so."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from structlog.testing import capture_logs

from domain.errors import StoreUnavailable
from infrastructure import plain
from infrastructure.embedded.account import choose_account
from infrastructure.embedded.binaries import Binaries, inspect
from infrastructure.postgres.database import Database, connect, readable
from infrastructure.secret_files import FileText
from tests.faults.postgres import Cluster
from tests.servers.certificates import Certificates, find_openssl

DEBIAN = Path("/usr/lib/postgresql")
REQUIRE = "ORDERWRIGHT_REQUIRE_POSTGRES"


def server_with_tls() -> Binaries:
    """The embedded wheel is built without."""
    found = [inspect(folder) for folder in sorted(DEBIAN.glob("*/bin"), reverse=True)]
    binaries = next(filter(None, found), None)
    if binaries is None and os.environ.get(REQUIRE) == "1":
        pytest.fail(f"PostgreSQL of the system is not installed, but {REQUIRE}=1", pytrace=False)
    if binaries is None or find_openssl() is None:
        pytest.skip("needs openssl and a PostgreSQL with TLS (Debian: apt install postgresql)")
    return binaries


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Cluster]:
    """It takes connections with TLS, and without."""
    binaries = server_with_tls()
    certificate, key = certificates.server("postgres")
    folder = tmp_path_factory.mktemp("tls") / "server"
    choose_account(folder / "data").hand_over(key)
    settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key)}
    cluster = Cluster(folder, settings, binaries=binaries)
    yield cluster
    cluster.close()


def verified(dsn: str, ca: Path, **more: str) -> str:
    return make_conninfo(dsn, sslmode="verify-full", sslrootcert=str(ca), **more)


def test_a_server_that_is_vouched_for_is_trusted(cluster: Cluster, certificates: Certificates) -> None:
    with connect(verified(cluster.dsn, certificates.ca), application="test") as connection:
        assert connection.pgconn.ssl_in_use


def test_a_server_of_a_stranger_is_refused(cluster: Cluster, certificates: Certificates) -> None:
    with pytest.raises(StoreUnavailable):
        connect(verified(cluster.dsn, certificates.impostor().ca), application="test")


def test_a_server_under_another_name_is_refused(cluster: Cluster, certificates: Certificates) -> None:
    dsn = verified(cluster.dsn, certificates.ca, host="elsewhere.example", hostaddr="127.0.0.1")
    with pytest.raises(StoreUnavailable):
        connect(dsn, application="test")


def test_a_changed_password_file_is_used_from_the_next_connection_on(cluster: Cluster, tmp_path: Path) -> None:
    secret = tmp_path / "database"
    secret.write_text(cluster.dsn.replace("user=postgres", "user=rotating") + " password=first")
    with cluster.ask() as connection:
        connection.execute("CREATE ROLE rotating LOGIN PASSWORD 'first'")
    database = Database(FileText.read(secret))
    assert _user(database) == "rotating"
    with cluster.ask() as connection:
        connection.execute("ALTER ROLE rotating PASSWORD 'second'")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'rotating'")
    secret.write_text(secret.read_text().replace("password=first", "password=second"))
    with pytest.raises(StoreUnavailable):
        _user(database)
    assert _user(database) == "rotating"
    database.close()


def _user(database: Database) -> str:
    with database.connection() as connection:
        row = connection.execute("SELECT session_user::text").fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("dsn", "loud"),
    [
        ("postgresql://u@db.example/x", True),
        ("host=192.0.2.1 sslmode=require", True),
        ("host=127.0.0.1,db.example", True),
        ("host=db.example sslmode=verify-full", False),
        ("host=127.0.0.1", False),
        ("host=/run/postgresql", False),
        ("host=localhost,::1", False),
        ("", False),
    ],
)
def test_an_unprotected_way_to_another_machine_is_said_loudly_and_once(dsn: str, *, loud: bool) -> None:
    plain._warn.cache_clear()
    with capture_logs() as logs:
        readable(dsn)
        readable(dsn)
    assert len(logs) == int(loud)
    assert not logs or logs[0]["log_level"] == "warning"


def test_the_server_does_speak_tls_when_asked(cluster: Cluster) -> None:
    with psycopg.connect(make_conninfo(cluster.dsn, sslmode="require")) as connection:
        assert connection.pgconn.ssl_in_use
