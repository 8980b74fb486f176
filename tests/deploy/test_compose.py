"""The compose file and the image, without an engine: what they say about our own program, and what they must not say."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infrastructure.settings import Settings
from tests.deploy.manifests import ROOT, is_command, is_setting

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if "ORDERWRIGHT_IMAGE" in one["image"]}
ROLES = {"worker", "relay", "projector", "intake", "keeper"}
ONCE = {"migrate", "queues", "secrets"}


def test_every_role_is_there_and_nothing_has_a_name_that_forbids_a_second_one() -> None:
    assert SERVICES.keys() > ROLES
    assert not any("container_name" in service or "ports" in service for service in SERVICES.values())


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"secrets", "cli"}))
def test_services_run_commands_that_exist_with_settings_that_exist(name: str) -> None:
    assert is_command(OURS[name]["command"])
    assert all(is_setting(variable) for variable in OURS[name]["environment"])


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_containers_have_no_rights_and_write_nowhere(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["mem_limit"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_what_is_waited_for_exists_and_can_be_waited_for(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        if how["condition"] == "service_completed_successfully":
            assert other in ONCE
        else:
            assert "test" in SERVICES[other]["healthcheck"]


@pytest.mark.parametrize("name", sorted(ROLES))
def test_roles_are_asked_how_they_are_and_may_finish_what_they_began(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"] == ["CMD", "orderwright", "health", "live"]
    grace = Settings.model_fields["grace_s"].default
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > grace + 10


def test_volumes_are_declared_and_used() -> None:
    used = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert {mount for mount in used if not mount.startswith(".")} == COMPOSE["volumes"].keys()


def test_no_password_is_in_the_file() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
    assert not re.search(r"PASS(WORD)?: ", text)


def test_secrets_are_made_once_and_never_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_secrets", ROOT / "deploy" / "compose" / "make_secrets.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name in ("postgres", "rabbitmq", "orderwright"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    script.main()
    made = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    script.main()
    assert made == {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    password = (tmp_path / "postgres" / "password").read_text()
    assert password in (tmp_path / "orderwright" / "database_url").read_text()
    assert len(password) >= 40


def test_the_image_runs_without_a_name_and_holds_what_it_needs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    final = text.rpartition("FROM ")[2]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    assert 'CMD ["orderwright", "health", "live"]' in final
    assert "pip" not in final
    assert "--require-hashes" in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        for path in source.split():
            assert f"!{path.removesuffix('/*.whl')}" in ignored
