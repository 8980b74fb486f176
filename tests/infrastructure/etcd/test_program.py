"""The program with a `coordination_url`: its commands and singletons go by etcd."""

import json
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from pydantic import SecretStr
from typer.testing import CliRunner

from infrastructure.embedded.waiting import wait_until
from infrastructure.settings import Settings
from tests.servers.etcd import EtcdCluster
from workers.bootstrap import Runtime
from workers.cli.commands import app

Run = Callable[..., Any]


@pytest.fixture
def settings(etcd: EtcdCluster, database: str, tmp_path: Path) -> Settings:
    return Settings.model_validate(
        {
            "database_url": SecretStr(database),
            "coordination_url": etcd.url,
            "etcd_prefix": uuid4().hex,
            "data_dir": tmp_path,
        }
    )


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A command's answer, as a program reads it; a command that fails says why. Logs of other threads stay out of the answer."""
    monkeypatch.setattr("infrastructure.logs.configure", lambda **_: None)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    assert settings.database_url is not None
    monkeypatch.setenv("DATABASE_URL", settings.database_url.get_secret_value())
    for name in ("coordination_url", "etcd_prefix", "data_dir"):
        monkeypatch.setenv(f"ORDERWRIGHT_{name.upper()}", str(getattr(settings, name)))

    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, [*words, "--json"])
        return json.loads(done.stdout) if done.exit_code == 0 else done.output

    yield run
    structlog.reset_defaults()


def test_a_projector_works_under_leases_of_etcd_and_people_see_them(settings: Settings, run: Run) -> None:
    with Runtime(settings) as runtime:
        projector = runtime.projector()
        thread = threading.Thread(target=projector.run)
        thread.start()
        try:
            assert CliRunner().invoke(app, ["stock", "receive", "MAIN", "COAT", "7", "--delivery", "d1"]).exit_code == 0
            assert wait_until(lambda: bool(run("stock", "show")), timeout_s=30.0)
            rows = run("leases", "list")
        finally:
            projector.stop()
            thread.join(30)
    assert {(row["state"], row["beacon"]) for row in rows if row["name"].startswith("projector:")} == {("held", None)}
    assert run("leases", "list") == []


def test_settings_are_changed_in_etcd_and_restored_from_what_a_host_has_kept(
    etcd: EtcdCluster, settings: Settings, run: Run
) -> None:
    assert run("settings", "set", "batch=17", "--reason", "a test")["version"] == 1
    with Runtime(settings) as runtime:
        assert runtime.live().now().version == 1
    assert "nothing is lost" in run("settings", "restore", "--reason", "by mistake")
    etcd.wipe()
    assert run("settings", "get", "batch")["version"] is None
    doctor = {one["check"]: one for one in json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)}
    assert doctor["etcd"]["why"].startswith("3 of 3 members answer")
    assert (doctor["etcd epochs"]["state"], doctor["lost settings"]["state"]) == ("ok", "fail")
    assert doctor["lost settings"]["fix"] == "orderwright settings restore --reason ..."
    restored = run("settings", "restore", "--reason", "wiped")
    assert restored["values"] == {"batch": 17}
    with Runtime(settings) as runtime:
        assert runtime.live().now().version == restored["version"] > 1
    assert run("settings", "get", "batch")["value"] == 17
