"""The desk of a worker: what is held, what waits, and in which order it is taken."""

import pytest

from domain.errors import Transient
from domain.work import Run, RunKey, Step
from workers.desk import Desk
from workers.turns import Inputs


def run(order_id: str, step: Step = Step.RISK, epoch: int = 1) -> Run:
    return Run(RunKey(order_id, step), 1, epoch)


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.begin([run("o1"), run("o2"), run("o3")])
    return desk


def test_who_waited_longest_comes_first(desk: Desk) -> None:
    assert list(desk.take(2)) == ["o1", "o2"]
    assert list(desk.take(9)) == ["o3"]


def test_what_is_put_back_comes_after_what_waits(desk: Desk) -> None:
    desk.put_back(desk.take(1))
    assert list(desk.take(9)) == ["o2", "o3", "o1"]


def test_what_is_put_first_comes_before_what_waits(desk: Desk) -> None:
    desk.put_first(desk.take(2))
    assert list(desk.take(9)) == ["o1", "o2", "o3"]


def test_within_an_order_what_is_put_back_stays_ahead_of_what_came_in_since(desk: Desk) -> None:
    taken = desk.take(1)
    desk.begin([run("o1", Step.NOTIFY)])
    desk.put_back(taken)
    assert [one.key.step for one in desk.waiting["o1"].begin] == [Step.RISK, Step.NOTIFY]


@pytest.mark.parametrize(("epoch", "kept"), [(1, 1), (2, 0)])
def test_an_answer_to_a_call_of_another_claim_is_nobodys(desk: Desk, epoch: int, kept: int) -> None:
    desk.take(9)
    desk.conclude(run("o1", epoch=epoch), Transient("later"))
    desk.conclude(run("stranger"), Transient("later"))
    assert len(desk.waiting.get("o1", Inputs()).answers) == kept
    assert "stranger" not in desk.waiting


def test_dropping_an_order_lets_go_of_all_its_runs(desk: Desk) -> None:
    desk.hold(run("o1", Step.NOTIFY))
    dropped = desk.drop("o1")
    assert {one.key.step for one in dropped} == {Step.RISK, Step.NOTIFY}
    assert {key.order_id for key in desk.held} == {"o2", "o3"}
    assert list(desk.waiting) == ["o2", "o3"]


def test_answers_are_kept_when_what_is_not_begun_is_let_go(desk: Desk) -> None:
    desk.take(1)
    desk.conclude(run("o1"), Transient("later"))
    desk.drop_unbegun()
    assert (list(desk.held), list(desk.waiting)) == ([run("o1").key], ["o1"])


def test_the_desk_counts_what_it_holds_of_each_dependency(desk: Desk) -> None:
    desk.hold(run("o1"))
    desk.begin([run("o1", Step.LABEL), run("o1", Step.ALLOCATE)])
    assert desk.calling == {"risk": 3, "carrier": 1}
    desk.finish([run("o2").key, run("o2").key, run("stranger").key])
    desk.drop("o1")
    assert +desk.calling == {"risk": 1}
    desk.clear()
    assert +desk.calling == {}
