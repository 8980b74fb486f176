"""The contract of settled runs: the part of `EventStore.append` that changes the work list, and the fences that guard it.

An adapter's module subclasses `SettlingContract` and brings the fixtures `store` and `advance`.
"""

import pytest

from domain.ports import Holder, Settled
from domain.work import Run, Step, Want
from tests.contracts.stores import HOUR, Advance, Store, claim, outcomes, row, run_key, settle, state, unit, want, work
from tests.contracts.work_list import ALL, LONG, WorkFixtures


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
        assert list(store.wake(9, ALL)) == []
        assert state(store, run.key) == "dead"

    def test_a_dead_run_leaves_a_letter(self, store: Store, run: Run) -> None:
        settle(store, run, "dead", error="refused for good")
        [letter] = store.dead_letters()
        assert (letter.order_id, letter.step, letter.part, letter.ordinal) == ("o1", "label", 0, 1)
        assert (letter.kind, letter.attempts, letter.reason) == ("run", 1, "refused for good")
        assert letter.first_tried_at is not None
        assert letter.first_tried_at <= letter.died_at

    def test_a_parked_run_stays_due_and_gets_its_attempt_back(
        self, store: Store, advance: Advance, holder: Holder, run: Run
    ) -> None:
        advance(HOUR)
        settle(store, run, "ready", parked_on="carrier", due_in=HOUR)
        found = row(store, run.key)
        assert found is not None
        assert (found.state, found.attempts, found.holder, found.parked_on) == ("ready", 0, None, "carrier")
        assert store.now() - found.due_at >= HOUR
        assert claim(store, run.key, holder).attempts == 1
        assert store.runs()[0].parked_on is None

    def test_a_revived_run_begins_anew_at_once(self, store: Store, holder: Holder, run: Run) -> None:
        settle(store, run, "ready")
        settle(store, claim(store, run.key, holder), "dead", error="no")
        assert outcomes(store.append([work(revived=[run.key, run_key("nobody")])])) == ["appended"]
        assert list(store.wake(9, ALL)) == [(Step.LABEL, "o1")]
        again = claim(store, run.key, holder)
        assert (again.attempts, again.crashes, again.failing_since) == (1, 0, None)

    def test_only_the_dead_are_revived(self, store: Store, run: Run) -> None:
        want(store, run_key("o2"), due=store.now() + HOUR)
        before = store.runs()
        store.append([work(revived=[run.key, run_key("o2")])])
        assert store.runs() == before

    def test_a_run_knows_since_when_it_fails(self, store: Store, advance: Advance, holder: Holder, run: Run) -> None:
        assert run.failing_since is None
        settle(store, run, "ready", keep_attempt=False)
        run = claim(store, run.key, holder)
        assert run.failing_since is None
        settle(store, run, "ready")
        run = claim(store, run.key, holder)
        assert run.failing_since is not None
        advance(HOUR)
        settle(store, run, "ready")
        since = claim(store, run.key, holder).failing_since
        assert since is not None
        assert store.now() - since >= HOUR

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
        assert list(store.wake(9, ALL)) == [(Step.ALLOCATE, "o1")]
