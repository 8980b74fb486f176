"""One shop for a test."""

from collections.abc import Iterator

import pytest

from tests.workers.faulty import FaultyPostgres
from tests.workers.shop import PostgresShop, Shop, WatchedWorld


@pytest.fixture
def shop(database: str) -> Iterator[PostgresShop]:
    shop = Shop(FaultyPostgres(database), WatchedWorld())
    yield shop
    shop.close()
    shop.store.close()
