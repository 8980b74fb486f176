"""The contract of `domain.ports.WorkList` about runs whose holders vanished, attempts that are given back, and rows that are missing."""

from datetime import timedelta
from typing import Any

import pytest

from domain.ports import Holder
from domain.work import Run, RunKey, Step, Want
from tests.contracts.stores import HOUR, Advance, Store, claim, row, run_key, settle, want
from tests.contracts.work_list import ALL, WorkFixtures


class SuspectContract(WorkFixtures):
    """Runs with which holders vanish again and again, and attempts that were nobody's fault."""

    def test_a_run_with_which_two_holders_vanished_is_claimed_as_a_suspect_only(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key("o1"), run_key("o2"))
        crash(store, advance, run_key("o1"), times=1)
        assert store.claim_suspect(ALL, holder) is None
        crash(store, advance, run_key("o1"), times=1)
        assert store.suspects_wait(ALL, HOUR / 2)
        assert not store.suspects_wait(ALL, 3 * HOUR)
        assert not store.suspects_wait([Step.RISK], HOUR / 2)
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o2")]
        assert [run.key for run in store.claim(["o1", "o2"], ALL, holder)] == [run_key("o2")]
        assert list(store.claim_due(9, ALL, holder)) == list(store.claim_oldest(9, ALL, holder)) == []
        assert store.claim_suspect([Step.RISK], holder) is None
        suspect = store.claim_suspect(ALL, holder)
        assert suspect is not None
        assert (suspect.key, suspect.attempts, suspect.crashes) == (run_key("o1"), 1, 2)
        assert store.claim_suspect(ALL, holder) is None

    def test_suspects_are_claimed_one_by_one(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"))
        for key in (run_key("o1"), run_key("o2")):
            crash(store, advance, key, times=2)
        claimed = [store.claim_suspect(ALL, holder), store.claim_suspect(ALL, holder)]
        assert {run.key for run in claimed if run} == {run_key("o1"), run_key("o2")}

    @pytest.mark.parametrize(("how", "crashes"), [({}, 0), ({"keep_attempt": False}, 0), ({"parked_on": "carrier"}, 2)])
    def test_who_settles_a_run_has_survived_it_unless_it_was_only_parked(
        self, store: Store, advance: Advance, holder: Holder, how: dict[str, Any], crashes: int
    ) -> None:
        want(store, run_key())
        crash(store, advance, run_key(), times=2)
        suspect = store.claim_suspect(ALL, holder)
        assert suspect is not None
        settle(store, suspect, "ready", **how)
        found = row(store, run_key())
        assert found is not None
        assert found.crashes == crashes

    def test_a_holder_who_leaves_has_not_crashed(self, store: Store, holder: Holder, other: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"))
        claim(store, run_key("o1"), holder)
        store.disown(holder.id, [])
        claim(store, run_key("o2"), holder)
        store.release(holder)
        assert [claim(store, run_key(order_id), other).crashes for order_id in ("o1", "o2")] == [0, 0]

    def test_the_oldest_are_claimed_first_and_nobody_has_to_be_late_for_them(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        for order_id in ("o1", "o2", "o3"):
            want(store, run_key(order_id))
            advance(HOUR)
        want(store, run_key("o4"), run_key("o5", Step.RISK))
        want(store, run_key("o6"), due=store.now() + HOUR)
        settle(store, claim(store, run_key("o2"), holder), "ready", parked_on="carrier")
        assert {run.key.order_id for run in store.claim_oldest(2, [Step.LABEL], holder)} == {"o1", "o2"}
        assert {run.key.order_id for run in store.claim_oldest(9, [Step.LABEL], holder)} == {"o3", "o4"}

    def test_attempts_that_failed_in_an_outage_are_given_back(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key("o1"), run_key("o2", Step.RISK), run_key("o3"))
        settle(store, claim(store, run_key("o1"), holder), "ready")
        advance(HOUR)
        for key in [run_key("o1"), run_key("o1"), run_key("o2", Step.RISK)]:
            settle(store, claim(store, key, holder), "ready")
        running = claim(store, run_key("o1"), holder)
        assert store.forgive([Step.LABEL], store.now() - HOUR / 2) == 1
        assert store.forgive([Step.LABEL], store.now() - HOUR / 2) == 0
        found = row(store, run_key("o1"))
        assert found is not None
        assert (found.state, found.attempts) == ("running", running.attempts - 2)
        assert claim(store, run_key("o2", Step.RISK), holder).attempts == 2

    def test_the_time_of_an_outage_does_not_make_failures_older(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key("o1"), run_key("o2", Step.RISK), run_key("o3"))
        for key in (run_key("o1"), run_key("o2", Step.RISK)):
            settle(store, claim(store, key, holder), "ready")
        advance(30 * HOUR)
        now = store.now()
        assert store.overlook([Step.LABEL], now - 29 * HOUR, now) == 1
        assert store.overlook([Step.LABEL], now - 29 * HOUR, now) == 0
        assert age(store, claim(store, run_key("o1"), holder)) < 2 * HOUR
        assert age(store, claim(store, run_key("o2", Step.RISK), holder)) >= 30 * HOUR


def age(store: Store, run: Run) -> timedelta:
    """How long ago the first failure was that counts."""
    assert run.failing_since is not None
    return store.now() - run.failing_since


def crash(store: Store, advance: Advance, key: RunKey, *, times: int) -> None:
    """Let holders vanish with the run."""
    for _ in range(times):
        doomed = store.register("doomed", HOUR)
        assert [run.key for run in store.claim([key.order_id], [key.step], doomed)] == [key]
        advance(2 * HOUR)
        assert store.orphans() == 1
        advance(HOUR)


class MendingContract(WorkFixtures):
    """What rebuilds the list."""

    def test_a_rebuild_inserts_what_is_missing_and_leaves_the_rest(self, store: Store, holder: Holder) -> None:
        want(store, run_key("o1"))
        claim(store, run_key("o1"), holder)
        before = store.runs()
        timer = Want(run_key("o3"), store.now() + HOUR)
        assert store.want([Want(run_key("o1")), Want(run_key("o2")), timer]) == 2
        assert store.runs("o1") == before
        assert store.want([Want(run_key("o2"))]) == 0

    def test_what_a_rebuild_inserts_is_announced_at_once(self, store: Store) -> None:
        store.want([Want(run_key("o1")), Want(run_key("o2"), store.now() + HOUR)])
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o1")]
