"""The last good settings are found again however the way to their store is written, and never taken for those of another."""

from pathlib import Path

import pytest

from infrastructure.settings import load
from workers.bootstrap import Runtime

DATABASE = "postgresql://app:old@a:5433,b:5434/shop"


def kept(folder: Path, **told: str) -> Path:
    with Runtime(load({"database_url": DATABASE, "data_dir": folder, **told}, environment={})[0]) as runtime:
        return runtime.kept_settings().path


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://app:new@a:5433,b:5434/shop",
        "postgresql://app:old@b:5434,a:5433/shop",
        "host=b,a port=5434,5433 user=another dbname=shop sslmode=require",
    ],
    ids=["another password", "another order", "another way to write it"],
)
def test_the_same_database_has_the_same_file(tmp_path: Path, written: str) -> None:
    assert kept(tmp_path, database_url=written) == kept(tmp_path)


@pytest.mark.parametrize(
    "written",
    [
        "postgresql://app:old@a:5433,b:5434/staging",
        "postgresql://app:old@a:5434,b:5433/shop",
        "postgresql://app:old@c:5433/shop",
    ],
    ids=["another database", "other ports", "another server"],
)
def test_another_database_has_another_file(tmp_path: Path, written: str) -> None:
    assert kept(tmp_path, database_url=written) != kept(tmp_path)


def test_a_port_that_is_usual_need_not_be_told(tmp_path: Path) -> None:
    assert kept(tmp_path, database_url="host=a dbname=shop") == kept(
        tmp_path, database_url="host=a port=5432 dbname=shop"
    )


def test_the_same_keys_of_etcd_have_the_same_file(tmp_path: Path) -> None:
    first = kept(tmp_path, coordination_url="etcd://a,b:2390")
    assert first == kept(tmp_path, coordination_url="etcds://b:2390,a:2379")
    assert first != kept(tmp_path, coordination_url="etcd://a,b:2390", etcd_prefix="another")
    assert first != kept(tmp_path)
