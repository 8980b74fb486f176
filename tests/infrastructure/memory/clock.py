"""A clock for tests of what lives in memory."""

from datetime import datetime, timedelta

from tests.contracts.stores import AT


class Clock:
    """It goes when it is told to."""

    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> datetime:
        return self.now

    def advance(self, time: timedelta) -> None:
        self.now += time
