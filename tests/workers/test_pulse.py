"""What the loops of the roles say about themselves while things are well, and while something is away."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from domain.errors import StoreUnavailable
from domain.messaging import Inbound
from tests.servers.simulator import await_that
from tests.workers.shop import Shop
from workers.health import Pulse
from workers.intake_consumer import IntakeConsumer
from workers.keeper import Keeper
from workers.projector import Projector
from workers.relay import Relay


class Seen:
    """A pulse that remembers."""

    def __init__(self) -> None:
        self.beats: list[tuple[bool, float | None]] = []

    def beat(self, *, reached: bool, at: float | None = None) -> None:
        self.beats.append((reached, at))

    def last(self) -> bool | None:
        return self.beats[-1][0] if self.beats else None


class Broken:
    """A store that is away."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: object, **__: object) -> Any:
            raise StoreUnavailable("away")

        return call


class Queue:
    """A consumer that is as connected as it is told."""

    def __init__(self, *, connected: bool, turned_at: float) -> None:
        self.connected = connected
        self.turned_at = turned_at

    def start(self, on_message: Callable[[Inbound], None]) -> None:
        pass

    def pause(self, queues: object) -> None:
        pass

    def resume(self, queues: object) -> None:
        pass

    def stop(self, timeout_s: float) -> bool:
        return True


class Role(Protocol):
    pulse: Pulse

    def run(self) -> object: ...

    def stop(self) -> None: ...


@contextmanager
def running(role: Role) -> Iterator[Seen]:
    seen = role.pulse = Seen()
    thread = threading.Thread(target=role.run, daemon=True)
    thread.start()
    yield seen
    role.stop()
    thread.join(30)
    assert not thread.is_alive()


def test_a_worker_is_ready_while_its_lease_is_in_force(shop: Shop[Any, Any]) -> None:
    worker = shop.worker()
    with running(worker) as seen:
        await_that(lambda: seen.last() is True)
    assert seen.last() is False


def test_a_worker_without_its_database_turns_and_is_not_ready(shop: Shop[Any, Any]) -> None:
    with running(shop.worker(store=Broken())) as seen:
        await_that(lambda: len(seen.beats) >= 2)
    assert not any(reached for reached, _ in seen.beats)


def test_a_relay_without_its_database_turns_and_is_not_ready() -> None:
    store: Any = Broken()
    with running(Relay(store, lambda _pairs: None, lambda _step: None)) as seen:
        await_that(lambda: len(seen.beats) >= 2)
    assert not any(reached for reached, _ in seen.beats)


def test_a_projector_without_its_database_turns_and_is_not_ready() -> None:
    with running(Projector(_Away())) as seen:
        await_that(lambda: len(seen.beats) >= 2)
    assert not any(reached for reached, _ in seen.beats)


class _Away:
    def advance(self, held: object = None) -> Any:
        raise StoreUnavailable("away")

    def close(self) -> None:
        pass


def test_a_keeper_tells_when_its_consumer_last_turned_and_whether_it_is_connected() -> None:
    queue = Queue(connected=False, turned_at=12.5)
    with running(Keeper(queue, lambda _message: 1, tidy_every_s=0.01)) as seen:
        await_that(lambda: (False, 12.5) in seen.beats)
        queue.connected = True
        await_that(lambda: (True, 12.5) in seen.beats)


def test_an_intake_tells_when_its_consumer_last_turned_and_whether_it_is_connected() -> None:
    queue = Queue(connected=False, turned_at=12.5)
    replies: Any = _Replies()
    with running(IntakeConsumer(queue, _NoIntake(), replies, lambda _inbound, _reason: None)) as seen:
        await_that(lambda: (False, 12.5) in seen.beats)
        queue.connected = True
        await_that(lambda: (True, 12.5) in seen.beats)


class _NoIntake:
    def accept(self, batch: object) -> Any:
        return []


class _Replies:
    def start(self) -> None:
        pass

    def stop(self, timeout_s: float) -> bool:
        return True
