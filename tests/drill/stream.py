"""The orders of a drill: a share for each fault, submitted at a bounded rate through the command line, while the fault lasts.

A share begins when the drill allows it, so the load never runs ahead of the faults, and never runs dry before the last of them.
"""

import threading
from collections.abc import Sequence
from contextlib import suppress

import pytest

from tests.chaos.load import Order, Submission
from tests.chaos.shop import Shop

FINISH_S = 600.0


class Stream:
    """Submits from a thread of its own; `finish` raises what went wrong there."""

    def __init__(self, shop: Shop, orders: Sequence[Order], *, shares: int, rate: float) -> None:
        self._shop = shop
        self._rate = rate
        size = -(-len(orders) // shares)
        self.shares = [list(orders[start : start + size]) for start in range(0, len(orders), size)]
        self._allowed = threading.Semaphore(0)
        self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._submit, name="stream", daemon=True)
        self._thread.start()

    def allow(self) -> None:
        """One share more."""
        self._allowed.release()

    def before(self, share: int, part: float) -> int:
        """How many orders there are up to this part of this share."""
        whole = sum(map(len, self.shares[:share]))
        return whole + int(part * len(self.shares[share])) if share < len(self.shares) else whole

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        self._thread.join(FINISH_S)
        self.check()
        assert not self._thread.is_alive(), f"orders were still being submitted after {FINISH_S:.0f} s"

    def stop(self) -> None:
        """Begin no share any more."""
        self._stopped = True
        self.allow()

    def _submit(self) -> None:
        try:
            with suppress(StopIteration):
                for share in self.shares:
                    self._allowed.acquire(timeout=FINISH_S)
                    if self._stopped:
                        return
                    self._submit_one(share)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - raised again where it is waited for
            self._error = error

    def _submit_one(self, share: list[Order]) -> None:
        shop = self._shop
        Submission(shop.command_line, shop.history, share, shop.folder, rate=self._rate).finish()
