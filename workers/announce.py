"""Announcing work after a commit. A broker that is away must not fail what has been committed: the relay announces it later."""

from collections.abc import Callable, Iterable

import structlog

from domain.errors import BrokerUnavailable

log = structlog.get_logger()

Announce = Callable[[Iterable[tuple[str, str]]], None]


def patiently(announce: Announce) -> Announce:
    """As `announce`, for pairs of step and order id, but without an error when the broker does not take them."""

    def announce_or_log(pairs: Iterable[tuple[str, str]]) -> None:
        wanted = list(pairs)
        if not wanted:
            return
        try:
            announce(wanted)
        except BrokerUnavailable as error:
            log.warning("wake-ups not sent, the relay will", reason=error.reason, wake_ups=len(wanted))

    return announce_or_log
