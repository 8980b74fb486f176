"""What ends a worker: it must not go on with half of its threads, nor stand still unseen."""

import threading
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from tests.workers.shop import PostgresShop, wait_until
from workers.mailbox import WakeUp
from workers.step_worker import Stuck, ThreadDied


def test_an_error_that_nobody_expected_ends_the_process_and_not_a_thread(shop: PostgresShop) -> None:
    worker = shop.worker()

    def broken() -> None:
        raise ZeroDivisionError

    worker.mailbox.put(WakeUp(["o1"], broken))
    with pytest.raises(ZeroDivisionError):
        worker.run()


@pytest.mark.parametrize("thread", ["lease", "call"])
def test_a_thread_that_ends_by_an_error_ends_the_worker(shop: PostgresShop, thread: str) -> None:
    often = timedelta(milliseconds=300)  # the lease is renewed soon, or kept however slow we are
    worker = shop.worker(threads=1, lease=often if thread == "lease" else timedelta(minutes=1))

    def die(*_: object, **__: object) -> bool:
        raise SystemExit("in a thread")

    shop.place("o1")
    if thread == "lease":
        worker.holding.renew = die  # type: ignore[method-assign,assignment]
    else:
        shop.world.call = die  # type: ignore[method-assign,assignment]
    shop.wake(worker, "o1")
    with pytest.raises(ThreadDied):
        worker.run()


def test_a_round_that_does_not_end_ends_the_worker_and_says_where_it_was(shop: PostgresShop) -> None:
    go_on = threading.Event()
    shop.store.faults.silence["claim"] = go_on
    worker = shop.worker(stuck_after=timedelta(milliseconds=100))
    shop.wake(worker, "o1")
    with capture_logs() as logs, pytest.raises(Stuck):
        worker.run()
    go_on.set()
    (told,) = [entry for entry in logs if entry["event"] == "a round does not end"]
    assert "conductor.py" in told["exception"]
    wait_until(lambda: not any(thread.name == "conductor" for thread in threading.enumerate()))
