"""A database that is frozen while its kernel still answers: no time-out of its own ends that wait."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from domain.errors import StoreUnavailable
from infrastructure.postgres.projections import PostgresProjector
from infrastructure.postgres.projections import projector as module


@contextmanager
def frozen(backend: int) -> Iterator[None]:
    os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend, signal.SIGCONT)


def test_a_projector_gives_a_frozen_connection_up_and_goes_on_with_another(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector = PostgresProjector(database)
    projector.advance()
    assert projector._connection is not None
    monkeypatch.setattr(module, "ROUND_DEADLINE_S", 0.5)
    with frozen(projector._connection.info.backend_pid), pytest.raises(StoreUnavailable):
        projector.advance()
    monkeypatch.undo()
    assert projector.advance().stopped == []
    projector.close()
