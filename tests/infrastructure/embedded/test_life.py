"""The embedded server through starts, stops and kills."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from infrastructure.embedded import EmbeddedPostgres
from infrastructure.embedded.waiting import wait_until
from tests.infrastructure.embedded.holder import answer_of, holding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "server"


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    embedded = EmbeddedPostgres(folder)
    yield embedded
    embedded.stop()


@pytest.fixture
def stranger() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "300"]) as process:
        yield process
        process.kill()


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def remember(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS x")


def remembered(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT x FROM kept").fetchone() == (7,)


def test_rows_survive_a_stop_and_a_start(server: EmbeddedPostgres) -> None:
    remember(server.start().dsn)
    server.stop()
    assert not server.status().running
    assert remembered(server.start().dsn)


def test_it_runs_durable_in_utf8_and_with_passwords(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.start().dsn) as connection:
        for name, value in {
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "server_encoding": "UTF8",
            "password_encryption": "scram-sha-256",
            "listen_addresses": "",
            "max_locks_per_transaction": "256",
        }.items():
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
        methods = connection.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        assert methods == [("scram-sha-256",)]


def test_stopping_twice_or_without_a_start_is_legal(server: EmbeddedPostgres) -> None:
    server.stop()
    server.start()
    server.stop()
    server.stop()


def test_starting_twice_uses_the_same_server(server: EmbeddedPostgres) -> None:
    server.start()
    pid = server.status().pid
    server.start()
    assert server.status().pid == pid


def test_a_second_process_attaches_and_leaves_the_server_running(server: EmbeddedPostgres, folder: Path) -> None:
    address = server.start()
    with holding(folder) as second:
        assert answer_of(second) == "attached"
        second.communicate("", timeout=30)
    with psycopg.connect(address.dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_server_whose_owner_was_killed_is_adopted(server: EmbeddedPostgres, folder: Path) -> None:
    with holding(folder) as owner:
        assert answer_of(owner) == "owns"
        orphan = server.status().pid
        owner.kill()
        owner.wait(timeout=30)
    assert server.status().running
    address = server.start()
    assert server.owns
    assert server.status().pid == orphan
    remember(address.dsn)
    server.stop()
    assert not server.status().running


def test_a_killed_server_starts_again_with_its_rows_while_its_clients_are_connected(server: EmbeddedPostgres) -> None:
    address = server.start()
    remember(address.dsn)
    with psycopg.connect(address.dsn) as client:
        kill(server.status().pid)
        assert remembered(server.start().dsn)
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_a_zombie_is_not_a_running_server(server: EmbeddedPostgres, folder: Path) -> None:
    """The first owner never reaps its killed child; the second start must not believe in that pid."""
    with holding(folder) as owner:
        assert answer_of(owner) == "owns"
        dead = server.status().pid
        kill(dead)
        assert wait_until(lambda: not server.status().running, timeout_s=10)
        server.start()
        assert server.owns
        assert server.status().pid != dead
        owner.communicate("", timeout=30)
        assert server.status().running, "the first owner stopped a server that is not its own"


def test_two_starts_at_once_give_one_server_with_one_owner(folder: Path) -> None:
    with holding(folder) as one, holding(folder) as two:
        assert sorted([answer_of(one), answer_of(two)]) == ["attached", "owns"]
        assert one.stdin is not None
        assert two.stdin is not None
        one.stdin.close()
        two.stdin.close()
        assert (one.wait(timeout=30), two.wait(timeout=30)) == (0, 0)
    assert not EmbeddedPostgres(folder).status().running


def test_a_stranger_with_the_pid_of_the_killed_server_is_left_alone(
    server: EmbeddedPostgres, folder: Path, stranger: "subprocess.Popen[bytes]"
) -> None:
    remember(server.start().dsn)
    kill(server.status().pid)
    assert wait_until(lambda: not server.status().running, timeout_s=10)
    pid_file = folder / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
    assert remembered(server.start().dsn)
    server.stop()
    assert stranger.poll() is None


def test_a_stranger_with_the_pid_of_the_killed_owner_is_no_owner(
    server: EmbeddedPostgres, folder: Path, stranger: "subprocess.Popen[bytes]"
) -> None:
    with holding(folder) as owner:
        assert answer_of(owner) == "owns"
    (folder / "owner.json").write_text(json.dumps({"pid": stranger.pid, "started": "before"}))
    server.start()
    assert server.owns


def test_a_cluster_left_half_made_is_made_anew(server: EmbeddedPostgres, folder: Path) -> None:
    (folder / "data.unfinished").mkdir(parents=True)
    (folder / "data.unfinished" / "PG_VERSION").write_text("18\n")
    server.start()
    assert not (folder / "data.unfinished").exists()


def test_a_server_of_ones_own_is_stopped_after_the_test(make_postgres: Callable[[], EmbeddedPostgres]) -> None:
    first, second = make_postgres(), make_postgres()
    assert first.start().socket_folder != second.start().socket_folder
