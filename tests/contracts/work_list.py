"""The contract of `domain.ports.WorkList`, with the part of `append` that changes it.

An adapter's module subclasses `ClaimingContract`, `AnnouncingContract`, `HoldingContract`, those of
`suspects` and `settling.SettlingContract`, and brings the fixtures `store`
and `advance`, which lets time pass for the store.
"""

from collections import Counter
from datetime import timedelta

import pytest

from domain.partitions import Portion, partition_of
from domain.ports import Holder
from domain.work import Run, RunKey, Step, Want
from tests.contracts.stores import HOUR, Advance, Store, claim, row, run_key, settle, state, want, work
from tests.contracts.transactions import in_threads

ALL = list(Step)
LONG = timedelta(days=1)


class WorkFixtures:
    """A holder who stays for a day."""

    @pytest.fixture
    def holder(self, store: Store) -> Holder:
        return store.register("worker", LONG)

    @pytest.fixture
    def other(self, store: Store) -> Holder:
        return store.register("another worker", LONG)


class ClaimingContract(WorkFixtures):
    """Wanting and claiming."""

    def test_what_is_wanted_can_be_claimed_and_the_attempt_counts(self, store: Store, holder: Holder) -> None:
        want(store, run_key())
        [run] = store.claim(["o1"], [Step.LABEL], holder)
        assert (run.key, run.attempts) == (run_key(), 1)
        found = row(store, run_key())
        assert found is not None
        assert (found.state, found.attempts, found.holder, found.epoch) == ("running", 1, holder.id, run.epoch)

    def test_a_claimed_run_is_not_claimed_again(self, store: Store, holder: Holder, other: Holder) -> None:
        want(store, run_key())
        assert len(store.claim(["o1"], ALL, holder)) == 1
        assert list(store.claim(["o1"], ALL, other)) == []
        assert list(store.claim(["o1"], ALL, holder)) == []

    def test_only_the_orders_and_steps_that_were_named_are_claimed(self, store: Store, holder: Holder) -> None:
        wanted = [run_key("o1"), run_key("o1", Step.RISK), run_key("o2"), run_key("o3")]
        want(store, *wanted)
        claimed = {run.key for run in store.claim(["o1", "o2", "o1", "o9"], [Step.LABEL, Step.VOID], holder)}
        assert claimed == {run_key("o1"), run_key("o2")}
        assert list(store.claim([], ALL, holder)) == []
        assert list(store.claim(["o1"], [], holder)) == []

    def test_wanting_twice_is_one_run(self, store: Store) -> None:
        want(store, run_key(), run_key())
        want(store, run_key())
        assert [found.key for found in store.runs()] == [run_key()]

    def test_parts_and_ordinals_tell_runs_apart(self, store: Store, holder: Holder) -> None:
        keys = {run_key(part=1), run_key(part=2), run_key(part=1, ordinal=2)}
        want(store, *keys)
        assert {run.key for run in store.claim(["o1"], ALL, holder)} == keys

    def test_wanting_leaves_a_run_that_exists_as_it_is(self, store: Store, holder: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"))
        claim(store, run_key("o1"), holder)
        settle(store, claim(store, run_key("o2"), holder), "dead", error="no")
        before = store.runs()
        want(store, run_key("o1"), run_key("o2"), due=store.now() + HOUR)
        assert store.runs() == before

    def test_a_timer_is_not_claimed_before_its_time(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key(), due=store.now() + HOUR)
        assert list(store.claim(["o1"], ALL, holder)) == []
        advance(2 * HOUR)
        assert len(store.claim(["o1"], ALL, holder)) == 1

    def test_what_the_appender_carries_on_runs_at_once_under_his_epoch(self, store: Store, holder: Holder) -> None:
        wanted = [Want(run_key("o1")), Want(run_key("o2"))]
        carried = frozenset({run_key("o1")})
        store.append([work(wanted=wanted, carried=carried)], holder=holder)
        found = row(store, run_key("o1"))
        assert found is not None
        assert (found.state, found.attempts, found.holder, found.epoch) == ("running", 1, holder.id, holder.epoch)
        assert state(store, run_key("o2")) == "ready"
        assert settle(store, Run(run_key("o1"), 1, holder.epoch), "done") == "appended"

    def test_who_carries_runs_on_must_say_who_he_is(self, store: Store) -> None:
        with pytest.raises(ValueError, match="who"):
            store.append([work(wanted=[Want(run_key())], carried=frozenset({run_key()}))])

    def test_every_claim_has_an_epoch_of_its_own(self, store: Store, holder: Holder, other: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"))
        first = store.claim(["o1", "o2"], ALL, holder)
        for run in first:
            settle(store, run, "ready")
        second = store.claim(["o1", "o2"], ALL, holder)
        epochs = [holder.epoch, other.epoch, *(run.epoch for run in [*first, *second])]
        assert len(set(epochs)) == 6
        assert max(run.epoch for run in first) < min(run.epoch for run in second)

    def test_two_claimers_never_get_the_same_run(self, store: Store) -> None:
        orders = [f"o{n}" for n in range(60)]
        want(store, *[run_key(order_id) for order_id in orders])
        got: list[RunKey] = []

        def claim_some(number: int) -> None:
            holder = store.register(f"worker {number}", LONG)
            for start in range(0, 60, 10):
                got.extend(run.key for run in store.claim(orders[start : start + 20], ALL, holder))

        in_threads(4, claim_some)
        assert len(got) == len(set(got)) == 60


class AnnouncingContract(WorkFixtures):
    """Who looks after runs that nobody came for."""

    def test_fresh_work_is_left_to_its_appender_for_a_while(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key())
        assert list(store.wake(9, ALL)) == []
        assert list(store.claim_due(9, ALL, holder)) == []
        advance(HOUR)
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o1")]

    def test_overdue_work_of_any_order_can_be_claimed(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"), run_key("o3", Step.RISK))
        advance(HOUR)
        claimed = {run.key for run in store.claim_due(9, [Step.LABEL], holder)}
        assert claimed == {run_key("o1"), run_key("o2")}
        assert list(store.claim_due(9, [Step.LABEL], holder)) == []

    def test_no_more_than_the_limit_is_claimed_or_announced(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, *[run_key(f"o{n}") for n in range(7)])
        advance(HOUR)
        assert len(store.wake(3, ALL)) == 3
        advance(HOUR)
        assert len(store.claim_due(4, ALL, holder)) == 4
        assert len(store.claim_due(4, ALL, holder)) == 3

    def test_an_announcement_is_repeated_only_after_a_while(self, store: Store, advance: Advance) -> None:
        want(store, run_key())
        advance(HOUR)
        assert len(store.wake(9, ALL)) == 1
        assert list(store.wake(9, ALL)) == []
        advance(HOUR)
        assert len(store.wake(9, ALL)) == 1

    def test_only_the_steps_that_were_asked_for_are_announced(self, store: Store, advance: Advance) -> None:
        want(store, run_key("o1"), run_key("o2", Step.RISK))
        advance(HOUR)
        assert list(store.wake(9, [Step.RISK])) == [(Step.RISK, "o2")]
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o1")]

    def test_portions_announce_every_order_once_between_them(self, store: Store, advance: Advance) -> None:
        orders = {f"o{number}" for number in range(30)}
        want(store, *map(run_key, sorted(orders)))
        advance(timedelta(seconds=20))
        announced = [
            order_id
            for mine in ({0, 2}, {1})
            for _, order_id in store.wake(99, ALL, portion=Portion(partitions=3, mine=mine, patience=HOUR))
        ]
        assert Counter(announced) == dict.fromkeys(orders, 1)

    def test_a_portion_leaves_alone_what_is_not_its_own_unless_it_has_waited_for_long(
        self, store: Store, advance: Advance
    ) -> None:
        want(store, *map(run_key, ("o1", "o2", "o3")))
        portion = Portion(partitions=64, mine={partition_of("o2", 64)}, patience=HOUR)
        nothing = Portion(partitions=64, mine=frozenset(), patience=HOUR)
        advance(timedelta(seconds=20))
        assert list(store.wake(9, ALL, portion=nothing)) == []
        assert list(store.wake(9, ALL, portion=portion)) == [(Step.LABEL, "o2")]
        advance(2 * HOUR)
        assert len(store.wake(2, ALL, portion=nothing)) == 2
        assert len(store.wake(9, ALL, portion=portion)) == 1

    def test_an_announcement_claims_nothing(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key())
        advance(HOUR)
        store.wake(9, ALL)
        assert claim(store, run_key(), holder).attempts == 1

    def test_a_timer_is_announced_when_it_is_due_and_not_before(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key(step=Step.EXPIRE), due=store.now() + 2 * HOUR)
        advance(HOUR)
        assert list(store.wake(9, ALL)) == []
        assert list(store.claim_due(9, ALL, holder)) == []
        advance(2 * HOUR)
        assert list(store.wake(9, ALL)) == [(Step.EXPIRE, "o1")]

    def test_a_retry_is_announced_as_soon_as_it_is_due(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"))
        settle(store, claim(store, run_key("o1"), holder), "ready")
        settle(store, claim(store, run_key("o2"), holder), "ready", due_in=HOUR)
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o1")]
        advance(2 * HOUR)
        assert ("label", "o2") in list(store.wake(9, ALL))

    def test_what_runs_is_not_announced(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key())
        claim(store, run_key(), holder)
        advance(HOUR)
        assert list(store.wake(9, ALL)) == []


class HoldingContract(WorkFixtures):
    """Leases of holders, and what becomes of their runs."""

    def test_the_runs_of_a_holder_who_is_there_are_no_orphans(self, store: Store, holder: Holder) -> None:
        want(store, run_key())
        claim(store, run_key(), holder)
        assert store.orphans() == 0

    def test_the_runs_of_a_holder_whose_lease_ran_out_are_set_free(
        self, store: Store, advance: Advance, other: Holder
    ) -> None:
        lost = store.register("slow worker", HOUR)
        want(store, run_key("o1"), run_key("o2"))
        late = claim(store, run_key("o1"), lost)
        kept = claim(store, run_key("o2"), other)
        advance(2 * HOUR)
        assert store.orphans() == 1
        advance(HOUR)
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o1")]
        again = claim(store, run_key("o1"), other)
        assert (again.attempts, again.crashes) == (1, 1)
        assert settle(store, late, "done") == "fenced"
        assert settle(store, again, "done") == "appended"
        assert settle(store, kept, "done") == "appended"

    def test_what_was_carried_on_becomes_an_orphan_too(self, store: Store, advance: Advance) -> None:
        lost = store.register("slow worker", HOUR)
        store.append([work(wanted=[Want(run_key())], carried=frozenset({run_key()}))], holder=lost)
        advance(2 * HOUR)
        assert store.orphans() == 1
        assert settle(store, Run(run_key(), 1, lost.epoch), "done") == "fenced"

    def test_who_vanished_a_long_time_ago_is_still_noticed(self, store: Store, advance: Advance) -> None:
        lost = store.register("slow worker", HOUR)
        advance(2 * HOUR)
        assert store.orphans() == 0
        want(store, run_key())
        claim(store, run_key(), lost)
        assert store.orphans() == 1

    def test_who_comes_back_gives_back_what_he_had_and_it_was_no_crash(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        frozen = store.register("frozen worker", HOUR)
        want(store, run_key("o1"), run_key("o2"), run_key("o3"))
        runs = [claim(store, run_key(order_id), frozen) for order_id in ("o1", "o2")]
        advance(2 * HOUR)
        assert store.orphans() == 2
        advance(HOUR)
        assert claim(store, run_key("o2"), holder).crashes == 1
        late = claim(store, run_key("o3"), frozen)
        assert store.excuse(frozen) == 2
        assert settle(store, late, "done") == "fenced"
        assert settle(store, runs[0], "done") == "fenced"
        assert [claim(store, run_key(order_id), holder).crashes for order_id in ("o1", "o3")] == [0, 0]
        assert not store.renew(frozen, HOUR)

    def test_a_renewed_lease_goes_on(self, store: Store, advance: Advance) -> None:
        holder = store.register("worker", 2 * HOUR)
        want(store, run_key())
        claim(store, run_key(), holder)
        advance(HOUR)
        assert store.renew(holder, 2 * HOUR)
        advance(HOUR + HOUR / 2)
        assert store.orphans() == 0
        assert store.renew(holder, HOUR)

    def test_a_lease_that_ran_out_is_not_renewed(self, store: Store, advance: Advance) -> None:
        holder = store.register("worker", HOUR)
        advance(2 * HOUR)
        assert not store.renew(holder, HOUR)
        assert not store.renew(holder, HOUR)

    def test_who_was_never_a_holder_renews_nothing(self, store: Store) -> None:
        assert not store.renew(Holder(id=4711, epoch=1), HOUR)

    def test_holders_are_told_apart(self, store: Store, holder: Holder, other: Holder) -> None:
        assert holder.id != other.id
        assert holder.epoch != other.epoch

    def test_a_holder_who_leaves_gives_back_what_he_has(self, store: Store, holder: Holder, other: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"), run_key("o3"))
        mine, his = claim(store, run_key("o1"), holder), claim(store, run_key("o2"), other)
        store.append([work(wanted=[Want(run_key("o4"))], carried=frozenset({run_key("o4")}))], holder=holder)
        assert store.release(holder) == 2
        assert sorted(order_id for _, order_id in store.wake(9, ALL)) == ["o1", "o4"]
        assert settle(store, mine, "done") == "fenced"
        assert settle(store, his, "done") == "appended"
        assert claim(store, run_key("o1"), other).attempts == 1
        assert claim(store, run_key("o4"), other).attempts == 1

    def test_who_left_is_no_holder_any_more(self, store: Store, holder: Holder) -> None:
        assert store.release(holder) == 0
        assert not store.renew(holder, HOUR)
        assert store.release(holder) == 0

    def test_runs_that_their_holder_does_not_know_of_are_given_back(
        self, store: Store, holder: Holder, other: Holder
    ) -> None:
        want(store, run_key("o1"), run_key("o2"), run_key("o3"))
        known, unknown, his = (claim(store, run_key(o), h) for o, h in [("o1", holder), ("o2", holder), ("o3", other)])
        assert store.disown(holder.id, [(known.key, known.epoch), (unknown.key, unknown.epoch + 1000)]) == 1
        assert [state(store, run.key) for run in (known, unknown, his)] == ["running", "ready", "running"]
        assert claim(store, unknown.key, other).attempts == 2

    def test_holders_who_are_long_gone_are_forgotten(self, store: Store, advance: Advance, other: Holder) -> None:
        idle, busy = store.register("idle", HOUR), store.register("busy", HOUR)
        want(store, run_key())
        claim(store, run_key(), busy)
        advance(3 * HOUR)
        assert store.forget_holders() == 1
        assert not store.renew(idle, HOUR)
        assert store.renew(other, HOUR)
        assert store.orphans() == 1
