"""The compose file and the image, without an engine: what they say about our own program, and what they must not say."""

import importlib.util
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo

from infrastructure.settings import Settings
from tests.deploy.manifests import ROOT, is_command, is_setting

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if "ORDERWRIGHT_IMAGE" in one["image"]}
ROLES = {"worker", "relay", "projector", "intake", "keeper"}
ONCE = {"migrate", "logins", "queues", "secrets"}
LOGIN = {"projector": "projector", "migrate": "owner"}


def test_every_role_is_there_and_nothing_has_a_name_that_forbids_a_second_one() -> None:
    assert SERVICES.keys() > ROLES
    assert not any("container_name" in service or "ports" in service for service in SERVICES.values())


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"secrets", "logins", "cli"}))
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


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"secrets", "logins", "simulator"}))
def test_each_service_finds_the_login_of_its_own_kind_and_no_other(name: str) -> None:
    mounted = [mount for mount in OURS[name]["volumes"] if "secrets" in mount]
    assert mounted == [f"{LOGIN.get(name, 'writer')}-secrets:/run/secrets:ro"]


def test_projectors_have_no_login_at_the_broker() -> None:
    files = {name: OURS[name]["environment"].get("ORDERWRIGHT_BROKER_URL_FILE") for name in ROLES}
    assert files == {name: None if name == "projector" else "/run/secrets/broker_url" for name in ROLES}


def test_secrets_are_made_once_and_never_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = script_of("make_secrets")
    for name in ("postgres", "rabbitmq", *script.LOGINS):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    script.main()
    made = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    script.main()
    assert made == {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    password = (tmp_path / "postgres" / "password").read_text()
    assert password in (tmp_path / "owner" / "database_url").read_text()
    assert not any(password in made[tmp_path / kind / "database_url"] for kind in ("writer", "projector"))
    assert len(password) >= 40
    assert {path.parent.name for path in made if path.name == "broker_url"} == {"owner", "writer"}


def test_logins_are_made_with_least_rights_and_follow_a_new_password(
    tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = script_of("make_logins")
    names = {kind: f"ow_{kind}_{secrets.token_hex(4)}" for kind in script.KINDS}
    monkeypatch.setattr(script, "FOLDER", tmp_path)
    write_url(tmp_path / "owner", database)
    try:
        for password in ("first", "second"):
            urls = {kind: make_conninfo(database, user=name, password=password) for kind, name in names.items()}
            for kind, url in urls.items():
                write_url(tmp_path / kind, url)
            script.main()
            rights = [may_add_events(url) for url in urls.values()]
            assert dict(zip(urls, rights, strict=True)) == {"writer": True, "projector": False}
    finally:
        forget(database, names.values())


def script_of(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / "compose" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def write_url(folder: Path, url: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "database_url").write_text(url)


def may_add_events(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT has_table_privilege('events', 'INSERT')").fetchone() == (True,)


def forget(database: str, names: Iterable[str]) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        for name in names:
            for statement in ("DROP OWNED BY {} CASCADE", "DROP ROLE {}"):
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


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
