"""Commands that are called inside the test's own process."""

import pytest


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command sets up logging to a stream that is closed when the call is over; the tests after it would log to that."""
    monkeypatch.setattr("infrastructure.logs.configure", lambda **_: None)
