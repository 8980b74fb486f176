"""What an operator does with the broker: make the queues, look at them, print the definitions of a whole installation."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import BrokerUnavailable, Misconfigured
from domain.work import Step
from infrastructure.messaging.settings import BrokerSettings
from infrastructure.messaging.topology import Definitions, definitions, rights
from infrastructure.messaging.wakeups import queue_of
from workers.bootstrap.foundation import Foundation
from workers.bootstrap.queues import DEAD_QUEUE, INTAKE_QUEUE, QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from infrastructure.messaging.inspection import Checked

WORK = [queue_of(step) for step in Step]
PAUSE_S = 0.5
SHORTEST_PASSWORD = 16


class BrokerAdmin(Foundation):
    """The queues themselves, not what is in them."""

    def broker_setup(self, wait_s: float = 0.0) -> list[tuple[str, bool]]:
        """Make the queues that are missing; which were. Waits so long for a broker that does not answer."""
        until = time.monotonic() + wait_s
        while True:
            try:
                return self._make_queues()
            except BrokerUnavailable:
                if time.monotonic() >= until:
                    raise
            time.sleep(PAUSE_S)

    def _make_queues(self) -> list[tuple[str, bool]]:
        names = [*QUEUES, DEAD_QUEUE]
        with self.broker().publisher() as publisher:
            missing = {queue for queue in names if publisher.depth(queue) is None}
            publisher.declare(names)
        return [(queue, queue in missing) for queue in names]

    def broker_check(self) -> "Iterator[Checked]":
        """Whether the queues are as they should be."""
        from infrastructure.messaging.inspection import Checked, inspect_amqp

        broker = self.broker()
        names = [*QUEUES, DEAD_QUEUE]
        if broker.settings.kind == "amqp":
            yield from inspect_amqp(broker.settings, names)
            return
        with broker.publisher() as publisher:
            for queue in names:
                waiting = publisher.depth(queue)
                if waiting is None:
                    yield Checked(
                        what=queue, state="fail", why="there is no such queue", fix="orderwright broker setup"
                    )
                else:
                    yield Checked(what=queue, state="ok", why=f"{waiting} messages")

    @staticmethod
    def broker_definitions(*, vhost: str, nodes: int, max_length: int, passwords: Path | None) -> Definitions:
        """What `rabbitmqctl import_definitions` makes of an empty broker."""
        settings = BrokerSettings(
            url="amqp://localhost", dead_queue=DEAD_QUEUE, group_size=nodes, max_length=max_length
        )
        roles = rights(settings, WORK, INTAKE_QUEUE)
        known = {} if passwords is None else read_passwords(passwords, set(roles))
        return definitions(settings, WORK, INTAKE_QUEUE, vhost=vhost, passwords=known)


def read_passwords(path: Path, roles: set[str]) -> dict[str, str]:
    """One `role password` a line. Raises `Misconfigured`, which never repeats a password."""
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = re.fullmatch(r"([a-z]+)\s+(\S+)", line.strip())
        if parts is None or parts[1] not in roles:
            raise Misconfigured(f"{path}, line {number}: write `role password`; roles are {', '.join(sorted(roles))}")
        if len(parts[2]) < SHORTEST_PASSWORD:
            raise Misconfigured(f"{path}, line {number}: a password has at least {SHORTEST_PASSWORD} characters")
        found[parts[1]] = parts[2]
    return found
