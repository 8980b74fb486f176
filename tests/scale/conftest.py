"""A primary and its replica for the tests of this folder, both on this machine."""

from collections.abc import Iterator

import pytest

from tests.servers.postgres_pair import PrimaryAndReplica


@pytest.fixture
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrimaryAndReplica]:
    with PrimaryAndReplica(tmp_path_factory.mktemp("pair")) as pair:
        yield pair
