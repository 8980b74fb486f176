"""The contract of `domain.ports.Transaction` and of appending from several threads.

An adapter's module subclasses `TransactionContract` and brings a fixture `store`.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from domain.ports import Settled
from domain.work import Run, Want
from tests.contracts.stores import HOUR, Store, outcomes, run_key, texts, unit

DEADLINE_S = 60.0


def in_threads(count: int, job: Callable[[int], None]) -> None:
    """Run the job in so many threads at once; a failure of one is the failure of all."""
    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(job, number) for number in range(count)]:
            done.result(DEADLINE_S)


class TransactionContract:
    """Lock, read, append: all of it or nothing."""

    def test_a_transaction_is_kept_when_its_block_ends(self, store: Store) -> None:
        with store.transaction() as transaction:
            transaction.lock(["o1", "stock-w+s"])
            assert transaction.read({"stock-w+s": 0}) == []
            transaction.append([unit({}, ("stock-w+s", "a"), wanted=[Want(run_key())])])
        assert texts(store.read({"stock-w+s": 0})) == ["a"]
        assert len(store.runs("o1")) == 1

    def test_a_transaction_sees_what_it_appended(self, store: Store) -> None:
        with store.transaction() as transaction:
            transaction.append([unit({}, ("order-o1", "a"))])
            assert texts(transaction.read({"order-o1": 0})) == ["a"]
            assert outcomes(transaction.append([unit({"order-o1": 1}, ("order-o1", "b"))])) == ["appended"]
        assert texts(store.read({"order-o1": 0})) == ["a", "b"]

    def test_a_transaction_that_fails_leaves_nothing(self, store: Store) -> None:
        store.append([unit({}, ("order-o1", "before"), wanted=[Want(run_key())])])
        holder = store.register("test", lease=HOUR)
        [run] = store.claim(["o1"], [run_key().step], holder)
        before = (store.runs(), texts(store.read_all(after=0)))
        with pytest.raises(_Interrupted):
            _append_and_fail(store, run)
        assert (store.runs(), texts(store.read_all(after=0))) == before
        assert store.read_orders(["o2"]) == []
        assert outcomes(store.append([unit({}, ("order-o2", "x"), command="c-9")])) == ["appended"]

    def test_a_refused_unit_does_not_sink_the_transaction(self, store: Store) -> None:
        with store.transaction() as transaction:
            verdicts = transaction.append([unit({"order-o1": 4}, ("order-o1", "a")), unit({}, ("order-o2", "b"))])
            assert outcomes(verdicts) == ["conflict", "appended"]
        assert texts(store.read_all(after=0)) == ["b"]

    def test_who_holds_the_keys_has_no_conflicts(self, store: Store) -> None:
        def count_up(number: int) -> None:
            for _ in range(5):
                with store.transaction() as transaction:
                    transaction.lock(["stock-w+s"])
                    version = len(transaction.read({"stock-w+s": 0}))
                    verdicts = transaction.append([unit({"stock-w+s": version}, ("stock-w+s", str(number)))])
                    assert outcomes(verdicts) == ["appended"]

        in_threads(4, count_up)
        assert [event.version for event in store.read({"stock-w+s": 0})] == list(range(1, 21))

    def test_keys_in_opposite_order_do_not_block_each_other_for_ever(self, store: Store) -> None:
        keys = [f"stock-w+{n}" for n in range(6)]

        def lock_all(number: int) -> None:
            for _ in range(10):
                with store.transaction() as transaction:
                    transaction.lock(keys if number % 2 else keys[::-1])

        in_threads(4, lock_all)

    def test_of_many_that_append_to_one_version_one_wins(self, store: Store) -> None:
        won: list[int] = []

        def race(number: int) -> None:
            for version in range(5):
                one = unit({"order-o1": version}, ("order-o1", str(number)))
                [outcome] = outcomes(store.append([one]))
                if outcome == "appended":
                    won.append(version)

        in_threads(4, race)
        versions = [event.version for event in store.read({"order-o1": 0})]
        assert versions == list(range(1, len(won) + 1))

    def test_a_command_that_comes_from_many_at_once_is_done_once(self, store: Store) -> None:
        seen: list[str] = []

        def send(number: int) -> None:
            command = unit({}, (f"order-o{number}", "a"), command="c-1", lock=f"o{number}")
            seen.extend(outcomes(store.append([command])))

        in_threads(4, send)
        assert sorted(seen) == ["appended", "repeated", "repeated", "repeated"]


class _Interrupted(Exception):
    """What a test raises in the middle of a transaction."""


def _append_and_fail(store: Store, run: Run) -> None:
    done = [Settled(key=run.key, epoch=run.epoch, state="done")]
    late = unit({"order-o1": 1}, ("order-o1", "late"), settled=done, wanted=[Want(run_key(part=2))])
    with store.transaction() as transaction:
        assert outcomes(transaction.append([late])) == ["appended"]
        assert outcomes(transaction.append([unit({}, ("order-o2", "x"), command="c-9")])) == ["appended"]
        raise _Interrupted
