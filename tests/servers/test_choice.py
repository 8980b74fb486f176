"""The choice of servers: the first that is possible, or the one that is named, or a sentence."""

from pathlib import Path

import pytest

from infrastructure.embedded.binaries import WHEELS
from tests.servers import choice, containers
from tests.servers.choice import CHOSEN, VARIABLE, choose, local_postgres


@pytest.fixture(autouse=True)
def _nothing_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (CHOSEN, VARIABLE):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("DOCKER_HOST", "")
    monkeypatch.setattr(containers, "SOCKETS", (str(tmp_path / "no.sock"),))


@pytest.fixture
def no_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "local_postgres", lambda: None)


def test_containers_come_first_where_an_engine_has_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "check_engine", lambda: None)
    assert choose().kind == "containers"


def test_without_an_engine_and_servers_of_the_machine_there_is_the_embedded_one(no_local: None) -> None:
    chosen = choose()
    assert chosen.kind == "embedded"
    assert "no container engine is here" in chosen.sentence()


def test_an_engine_that_does_not_answer_is_a_sentence_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_local: None
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/gone.sock")
    chosen = choose()
    assert chosen.kind == "embedded"
    assert "does not answer" in chosen.sentence()


def test_an_engine_without_images_is_a_sentence_and_no_failure(monkeypatch: pytest.MonkeyPatch, no_local: None) -> None:
    def refuse() -> None:
        raise containers.NoContainers("image postgres:17 is neither here nor to be had")

    monkeypatch.setattr(containers, "check_engine", refuse)
    assert "postgres:17 is neither here" in choose().sentence()


def test_containers_that_are_asked_for_and_not_to_be_had_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "containers")
    with pytest.raises(pytest.UsageError, match="no container engine is here"):
        choose()


def test_a_name_that_means_nothing_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "docker")
    with pytest.raises(pytest.UsageError, match="containers, local, embedded"):
        choose()


def test_the_processes_of_a_run_take_what_the_first_one_chose(monkeypatch: pytest.MonkeyPatch, no_local: None) -> None:
    monkeypatch.setenv(VARIABLE, "embedded")
    assert choose().kind == "embedded"
    monkeypatch.setenv(VARIABLE, "containers")
    assert choose().kind == "embedded"


def test_a_wheel_is_no_server_of_the_machine() -> None:
    found = local_postgres()
    assert found is None or not {*WHEELS} & {*found.folder.parts}
