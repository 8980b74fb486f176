"""What a command that is soon over goes by: what the fleet goes by, as far as that can be known and understood."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from infrastructure.postgres.settings_store import PostgresSettings
from infrastructure.settings import Settings
from tests.contracts.settings import put
from workers.bootstrap import Runtime


@pytest.fixture
def runtime(database: str, tmp_path: Path) -> Iterator[Runtime]:
    """A process that was told of a pause of two seconds."""
    given = {"database_url": SecretStr(database), "data_dir": tmp_path, "breaker_open_s": 2.0}
    with Runtime(Settings.model_validate(given)) as runtime:
        yield runtime


def open_s(runtime: Runtime) -> float:
    return runtime.in_force().settings.breaker_open_s


def test_the_newest_version_holds_and_a_person_decides_about_breakers_by_it(runtime: Runtime, database: str) -> None:
    assert open_s(runtime) == 2.0
    with closing(PostgresSettings(database)) as store:
        put(store, {"breaker_open_s": 7.0})
    assert open_s(runtime) == 7.0
    assert runtime.breaker_control()._limits.open_s == 7.0
    assert runtime.kept_settings().load() is None, "a command that only looks keeps nothing"


def test_while_the_store_is_away_it_is_what_this_host_has_kept(runtime: Runtime, database: str) -> None:
    with closing(PostgresSettings(database)) as store:
        runtime.kept_settings().save(put(store, {"breaker_open_s": 7.0}))
    runtime.migrated()
    with psycopg.connect(database) as connection:
        connection.execute("ALTER TABLE settings_changes RENAME TO nowhere")
    assert open_s(runtime) == 7.0


def test_what_is_not_understood_leaves_what_was_kept(runtime: Runtime, database: str) -> None:
    with closing(PostgresSettings(database)) as store:
        runtime.kept_settings().save(put(store, {"breaker_open_s": 7.0}))
        put(store, {"from_the_future": 1})
    assert open_s(runtime) == 7.0
