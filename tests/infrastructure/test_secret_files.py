"""Secrets from files: read at the start, read again before every connection, and never repeated."""

from pathlib import Path

import pytest

from domain.errors import Misconfigured
from infrastructure.secret_files import FileText, current
from infrastructure.settings import load


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "database"
    path.write_text("postgresql://u:hunter2@h/d\n")
    return path


def test_the_environment_names_the_file_of_a_secret(secret: Path) -> None:
    settings, origins = load(environment={"ORDERWRIGHT_DATABASE_URL_FILE": str(secret)})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:hunter2@h/d"
    assert origins["database_url"] == str(secret)


def test_so_does_the_settings_file(secret: Path, tmp_path: Path) -> None:
    file = tmp_path / "orderwright.toml"
    file.write_text(f'broker_url_file = "{secret}"\n')
    settings, _ = load(environment={}, file=file)
    assert settings.broker_url.get_secret_value() == "postgresql://u:hunter2@h/d"


def test_what_is_no_secret_comes_from_no_file(secret: Path, tmp_path: Path) -> None:
    file = tmp_path / "orderwright.toml"
    file.write_text(f'batch_file = "{secret}"\n')
    with pytest.raises(Misconfigured, match="unknown setting 'batch_file'"):
        load(environment={}, file=file)


def test_a_secret_given_twice_is_a_question(secret: Path) -> None:
    both = {"ORDERWRIGHT_BROKER_URL": "pgmq://", "ORDERWRIGHT_BROKER_URL_FILE": str(secret)}
    with pytest.raises(Misconfigured, match="which one"):
        load(environment=both)


def test_a_secret_from_a_file_is_not_shown(secret: Path) -> None:
    settings, origins = load(environment={"ORDERWRIGHT_DATABASE_URL_FILE": str(secret)})
    assert "hunter2" not in f"{settings!r} {settings.model_dump_json()} {origins}"


def test_a_changed_file_counts_from_the_next_connection_on(secret: Path) -> None:
    settings, _ = load(environment={"ORDERWRIGHT_DATABASE_URL_FILE": str(secret)})
    assert settings.database_url is not None
    dsn = settings.database_url.get_secret_value()
    secret.write_text("postgresql://u:fresh@h/d")
    assert current(dsn) == "postgresql://u:fresh@h/d"


def test_a_file_that_is_just_being_replaced_says_nothing_new(secret: Path) -> None:
    dsn = FileText.read(secret)
    for half in ("", "two\nlines"):
        secret.write_text(half)
        assert current(dsn) == "postgresql://u:hunter2@h/d"
    secret.unlink()
    assert current(dsn) == "postgresql://u:hunter2@h/d"


def test_a_changed_file_that_vanishes_leaves_what_it_said_last(secret: Path) -> None:
    dsn = FileText.read(secret)
    secret.write_text("postgresql://u:fresh@h/d")
    assert current(dsn) == "postgresql://u:fresh@h/d"
    secret.unlink()
    assert current(dsn) == "postgresql://u:fresh@h/d"


@pytest.mark.parametrize("content", [b"", b"a\nb", b"\x00x", b"\xff\xfe", b"x" * 70_000])
def test_an_unfit_file_is_refused_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd"
    path.write_bytes(content)
    with pytest.raises(Misconfigured) as refused:
        FileText.read(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="No such file"):
        load(environment={"DATABASE_URL_FILE": str(tmp_path / "none")})
