"""One shop for a test."""

from collections.abc import Iterator

import pytest

from tests.workers.shop import Shop


@pytest.fixture
def shop(database: str) -> Iterator[Shop]:
    shop = Shop(database)
    yield shop
    shop.close()
