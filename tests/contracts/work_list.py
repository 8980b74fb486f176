"""The contract of `domain.ports.WorkList`, with the part of `append` that changes it.

An adapter's module subclasses `ClaimingContract`, `SettlingContract`, `AnnouncingContract` and `HoldingContract` and brings the fixtures `store`
and `advance`, which lets time pass for the store.
"""

from datetime import timedelta

import pytest

from domain.ports import Holder, Settled
from domain.work import Run, RunKey, Step, Want
from tests.contracts.stores import HOUR, Advance, Store, claim, outcomes, row, run_key, settle, state, unit, want, work
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


class SettlingContract(WorkFixtures):
    """What becomes of a claimed run, and who may say so."""

    @pytest.fixture
    def run(self, store: Store, holder: Holder) -> Run:
        want(store, run_key())
        return claim(store, run_key(), holder)

    def test_a_run_that_is_done_is_gone(self, store: Store, run: Run) -> None:
        assert settle(store, run, "done") == "appended"
        assert store.runs() == []

    def test_a_retry_is_due_later_and_its_attempt_is_counted(
        self, store: Store, advance: Advance, holder: Holder, run: Run
    ) -> None:
        settle(store, run, "ready", due_in=HOUR, error="try again")
        found = row(store, run.key)
        assert found is not None
        assert (found.state, found.attempts, found.holder, found.last_error) == ("ready", 1, None, "try again")
        assert list(store.claim(["o1"], ALL, holder)) == []
        advance(2 * HOUR)
        assert claim(store, run.key, holder).attempts == 2

    def test_an_attempt_can_be_given_back(self, store: Store, holder: Holder, run: Run) -> None:
        settle(store, run, "ready", keep_attempt=False)
        assert claim(store, run.key, holder).attempts == 1

    def test_a_dead_run_waits_for_a_person(self, store: Store, advance: Advance, holder: Holder, run: Run) -> None:
        assert settle(store, run, "dead", error="refused for good") == "appended"
        advance(LONG - HOUR)
        assert list(store.claim(["o1"], ALL, holder)) == []
        assert list(store.claim_due(9, ALL, holder)) == []
        assert list(store.wake(9)) == []
        assert state(store, run.key) == "dead"

    def test_a_dead_run_leaves_a_letter(self, store: Store, run: Run) -> None:
        settle(store, run, "dead", error="refused for good")
        [letter] = store.dead_letters()
        assert (letter.order_id, letter.step, letter.part, letter.ordinal) == ("o1", "label", 0, 1)
        assert (letter.kind, letter.attempts, letter.reason) == ("run", 1, "refused for good")
        assert letter.first_tried_at is not None
        assert letter.first_tried_at <= letter.died_at

    def test_a_run_that_goes_on_is_not_changed(self, store: Store, run: Run) -> None:
        before = store.runs()
        assert settle(store, run, "running") == "appended"
        assert store.runs() == before

    @pytest.mark.parametrize("into", ["ready", "running", "dead", "done"])
    def test_who_has_not_the_epoch_changes_nothing(self, store: Store, run: Run, into: str) -> None:
        want(store, run_key("o2"))
        before = store.runs()
        stranger = Settled(key=run.key, epoch=run.epoch + 1000, state=into)  # type: ignore[arg-type]
        late = unit({}, ("order-o1", "late"), settled=[stranger], wanted=[Want(run_key("o3"))], dropped=[run_key("o2")])
        assert outcomes(store.append([late])) == ["fenced"]
        assert store.runs() == before
        assert store.read_all(after=0) == []
        assert store.dead_letters() == []

    def test_one_lost_run_fences_the_whole_unit(self, store: Store, holder: Holder, run: Run) -> None:
        want(store, run_key("o2"))
        second = claim(store, run_key("o2"), holder)
        settle(store, second, "ready")
        both = [Settled(key=one.key, epoch=one.epoch, state="done") for one in (run, second)]
        assert outcomes(store.append([work(settled=both)])) == ["fenced"]
        assert state(store, run.key) == "running"

    def test_a_fence_counts_more_than_a_stale_version(self, store: Store, run: Run) -> None:
        stranger = Settled(key=run.key, epoch=run.epoch + 1000, state="done")
        assert outcomes(store.append([unit({"order-o1": 7}, settled=[stranger])])) == ["fenced"]

    def test_what_builds_on_a_fenced_unit_is_refused(self, store: Store, run: Run) -> None:
        stranger = Settled(key=run.key, epoch=run.epoch + 1000, state="done")
        fenced = unit({}, ("order-o1", "a"), settled=[stranger])
        built_on_it = unit({"order-o1": 1}, ("order-o1", "b"))
        alone = unit({}, ("order-o2", "c"), lock="o2")
        assert outcomes(store.append([fenced, built_on_it, alone])) == ["fenced", "conflict", "appended"]

    @pytest.mark.parametrize("into", ["ready", "dead", "done"])
    def test_a_run_is_settled_once(self, store: Store, run: Run, into: str) -> None:
        assert settle(store, run, into) == "appended"
        assert settle(store, run, into) == "fenced"

    def test_a_stale_unit_settles_nothing(self, store: Store, run: Run) -> None:
        done = Settled(key=run.key, epoch=run.epoch, state="done")
        assert outcomes(store.append([unit({"order-o1": 3}, settled=[done])])) == ["conflict"]
        assert state(store, run.key) == "running"

    def test_units_with_runs_are_guarded_by_their_epochs_not_by_their_commands(self, store: Store, run: Run) -> None:
        still = [Settled(key=run.key, epoch=run.epoch, state="running")]
        first = unit({}, ("order-o1", "a"), command="c-1", settled=still)
        second = unit({"order-o1": 1}, ("order-o1", "b"), command="c-1", settled=still)
        assert outcomes(store.append([first])) == ["appended"]
        assert outcomes(store.append([second])) == ["appended"]

    def test_what_is_done_may_be_wanted_again_at_once(self, store: Store, run: Run) -> None:
        done = Settled(key=run.key, epoch=run.epoch, state="done")
        store.append([work(settled=[done], wanted=[Want(run.key)])])
        found = row(store, run.key)
        assert found is not None
        assert (found.state, found.attempts) == ("ready", 0)

    def test_dropped_runs_are_gone_unless_somebody_works_on_them(self, store: Store, holder: Holder, run: Run) -> None:
        dead, ready = run_key(part=8), run_key(part=9)
        want(store, dead, ready)
        settle(store, claim(store, dead, holder), "dead", error="no")
        store.append([work(wanted=[Want(ready)])])
        store.append([work(dropped=[dead, run_key("nobody")])])
        assert state(store, dead) is None
        assert len(store.dead_letters()) == 1
        store.append([work(dropped=[run.key, ready])])
        assert state(store, run.key) == "running"

    def test_a_ready_run_can_be_dropped(self, store: Store) -> None:
        want(store, run_key("o5"), run_key("o6"), due=store.now() + HOUR)
        store.append([work(dropped=[run_key("o5")])])
        assert [found.key for found in store.runs()] == [run_key("o6")]

    def test_new_stock_makes_waiting_plans_due(self, store: Store, holder: Holder) -> None:
        plan, later_plan, timer = (
            run_key(o, s) for o, s in [("o1", Step.ALLOCATE), ("o2", Step.ALLOCATE), ("o1", Step.EXPIRE)]
        )
        want(store, plan, later_plan, timer, due=store.now() + HOUR)
        store.append([work(due_now=["o1", "nobody"])])
        assert [run.key for run in store.claim(["o1", "o2"], ALL, holder)] == [plan]

    def test_new_stock_does_not_touch_a_plan_that_runs(self, store: Store, holder: Holder) -> None:
        want(store, run_key(step=Step.ALLOCATE))
        claim(store, run_key(step=Step.ALLOCATE), holder)
        before = store.runs()
        store.append([work(due_now=["o1"])])
        assert store.runs() == before

    def test_new_stock_is_announced_to_waiting_plans(self, store: Store) -> None:
        want(store, run_key(step=Step.ALLOCATE), due=store.now() + HOUR)
        store.append([work(due_now=["o1"])])
        assert list(store.wake(9)) == [(Step.ALLOCATE, "o1")]


class AnnouncingContract(WorkFixtures):
    """Who looks after runs that nobody came for."""

    def test_fresh_work_is_left_to_its_appender_for_a_while(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key())
        assert list(store.wake(9)) == []
        assert list(store.claim_due(9, ALL, holder)) == []
        advance(HOUR)
        assert list(store.wake(9)) == [(Step.LABEL, "o1")]

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
        assert len(store.wake(3)) == 3
        advance(HOUR)
        assert len(store.claim_due(4, ALL, holder)) == 4
        assert len(store.claim_due(4, ALL, holder)) == 3

    def test_an_announcement_is_repeated_only_after_a_while(self, store: Store, advance: Advance) -> None:
        want(store, run_key())
        advance(HOUR)
        assert len(store.wake(9)) == 1
        assert list(store.wake(9)) == []
        advance(HOUR)
        assert len(store.wake(9)) == 1

    def test_an_announcement_claims_nothing(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key())
        advance(HOUR)
        store.wake(9)
        assert claim(store, run_key(), holder).attempts == 1

    def test_a_timer_is_announced_when_it_is_due_and_not_before(
        self, store: Store, advance: Advance, holder: Holder
    ) -> None:
        want(store, run_key(step=Step.EXPIRE), due=store.now() + 2 * HOUR)
        advance(HOUR)
        assert list(store.wake(9)) == []
        assert list(store.claim_due(9, ALL, holder)) == []
        advance(2 * HOUR)
        assert list(store.wake(9)) == [(Step.EXPIRE, "o1")]

    def test_a_retry_is_announced_as_soon_as_it_is_due(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key("o1"), run_key("o2"))
        settle(store, claim(store, run_key("o1"), holder), "ready")
        settle(store, claim(store, run_key("o2"), holder), "ready", due_in=HOUR)
        assert list(store.wake(9)) == [(Step.LABEL, "o1")]
        advance(2 * HOUR)
        assert ("label", "o2") in list(store.wake(9))

    def test_what_runs_is_not_announced(self, store: Store, advance: Advance, holder: Holder) -> None:
        want(store, run_key())
        claim(store, run_key(), holder)
        advance(HOUR)
        assert list(store.wake(9)) == []


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
        assert list(store.wake(9)) == [(Step.LABEL, "o1")]
        again = claim(store, run_key("o1"), other)
        assert again.attempts == 2
        assert settle(store, late, "done") == "fenced"
        assert settle(store, again, "done") == "appended"
        assert settle(store, kept, "done") == "appended"

    def test_what_was_carried_on_becomes_an_orphan_too(self, store: Store, advance: Advance) -> None:
        lost = store.register("slow worker", HOUR)
        store.append([work(wanted=[Want(run_key())], carried=frozenset({run_key()}))], holder=lost)
        advance(2 * HOUR)
        assert store.orphans() == 1
        assert settle(store, Run(run_key(), 1, lost.epoch), "done") == "fenced"

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
        assert sorted(order_id for _, order_id in store.wake(9)) == ["o1", "o4"]
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


class MendingContract(WorkFixtures):
    """What rebuilds the list, and messages that nobody can read."""

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
        assert list(store.wake(9)) == [(Step.LABEL, "o1")]

    def test_a_message_that_cannot_be_read_is_kept_as_it_came(self, store: Store) -> None:
        store.bury_message(reason="no JSON", origin="ow_label", body=b"\x00\xff", headers={"x": 1})
        store.bury_message(reason="too long", origin="ow_label", body=b"x" * 100_000, headers={})
        first, second = store.dead_letters()
        assert (first.kind, first.reason, first.origin, first.body) == ("message", "no JSON", "ow_label", b"\x00\xff")
        assert (first.order_id, first.step) == (None, None)
        assert second.body == b"x" * 65536
