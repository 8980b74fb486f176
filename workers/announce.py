"""Announcing work after a commit. A broker that is away must not fail what has been committed: the relay announces it later."""

from collections.abc import Callable, Iterable
from time import monotonic

import structlog

from domain.errors import BrokerUnavailable

log = structlog.get_logger()

Announce = Callable[[Iterable[tuple[str, str]]], None]


QUIET_S = 5.0


def patiently(announce: Announce, clock: Callable[[], float] = monotonic) -> Announce:
    """As `announce`, for pairs of step and order id, but without an error when the broker does not take them.

    A broker that did not answer is then left alone for a while: waiting for it again and again would hold up the work.
    """
    quiet_until = float("-inf")

    def announce_or_log(pairs: Iterable[tuple[str, str]]) -> None:
        nonlocal quiet_until
        wanted = list(pairs)
        if not wanted or clock() < quiet_until:
            return
        try:
            announce(wanted)
        except BrokerUnavailable as error:
            quiet_until = clock() + QUIET_S
            log.warning("wake-ups not sent, the relay will", reason=error.reason, wake_ups=len(wanted))

    return announce_or_log
