"""Accepting orders: once by key, whatever is lost, doubled or away."""

import pytest

from domain.errors import BrokerUnavailable, Poison, StoreUnavailable
from domain.order import OrderPlaced
from domain.process import OrderView, Policy, extend, order_stream, react
from domain.work import Step
from infrastructure.intake import parse_order, to_placed
from tests.corpus import ACCEPTED
from tests.workers.intake.world import NOW, FaultyStore, Heard, ignore, new_intake, once, order
from workers.intake import Accepted, AlreadyKnown, Intake, Outcome, Refused


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused)
    return outcome


def test_a_new_order_is_stored_with_its_first_work_and_announced() -> None:
    store, heard = FaultyStore(), Heard()
    assert new_intake(store, heard).accept([order("A")]) == [Accepted(order_id="A")]
    (recorded,) = store.read_all(after=0)
    assert (recorded.stream, recorded.version) == ("order-A", 1)
    assert isinstance(recorded.event, OrderPlaced)
    assert recorded.event.placed_at == NOW
    assert (recorded.meta.command_id, recorded.meta.correlation_id, recorded.meta.actor) == ("place:A", "A", "intake")
    assert [row.key.step for row in store.runs("A")] == [Step.RISK]
    assert heard.steps == [(Step.RISK, "A")]


def test_a_batch_is_one_append_and_one_announcement() -> None:
    store, heard = FaultyStore(), Heard()
    outcomes = new_intake(store, heard).accept([order(f"A{number}") for number in range(50)])
    assert outcomes == [Accepted(order_id=f"A{number}") for number in range(50)]
    assert (store.appends, heard.calls) == (1, 1)


def test_the_same_order_again_is_known_and_changes_nothing() -> None:
    store, heard = FaultyStore(), Heard()
    intake = new_intake(store, heard)
    intake.accept([order("A")])
    assert intake.accept([order("A"), order("B")]) == [AlreadyKnown(order_id="A"), Accepted(order_id="B")]
    assert store.orders() == ["A", "B"]
    assert heard.steps == [(Step.RISK, "A"), (Step.RISK, "B")]


def test_another_order_under_the_same_key_is_refused() -> None:
    store = FaultyStore()
    intake = new_intake(store)
    intake.accept([order("A")])
    (outcome,) = intake.accept([order("A", customer_id="C-2")])
    (error,) = refused(outcome).errors
    assert (error.field, error.reason) == ("order_id", "an order with this key and other content was accepted before")
    assert store.orders() == ["A"]


def test_another_order_is_told_apart_even_when_the_key_was_used_by_another_process() -> None:
    store = FaultyStore()
    new_intake(store).accept([order("A")])
    assert new_intake(store).accept([order("A")]) == [AlreadyKnown(order_id="A")]
    refused(new_intake(store).accept([order("A", note="other")])[0])


def test_doubles_within_a_batch_are_one_order() -> None:
    store = FaultyStore()
    outcomes = new_intake(store).accept([order("A"), order("B"), order("A"), order("A", note="other")])
    assert outcomes[:3] == [Accepted(order_id="A"), Accepted(order_id="B"), AlreadyKnown(order_id="A")]
    assert refused(outcomes[3]).errors[0].field == "order_id"
    assert store.orders() == ["A", "B"]


def test_doubles_of_a_known_order_within_a_batch_are_judged_one_by_one() -> None:
    store = FaultyStore()
    intake = new_intake(store)
    intake.accept([order("A")])
    first, second = intake.accept([order("A", note="other"), order("A")])
    refused(first)
    assert second == AlreadyKnown(order_id="A")


def test_an_answer_lost_after_the_commit_is_safe_to_ask_for_again() -> None:
    store = FaultyStore()
    store.after = once(StoreUnavailable("connection lost"))
    intake = new_intake(store)
    with pytest.raises(StoreUnavailable):
        intake.accept([order("A")])
    assert intake.accept([order("A")]) == [AlreadyKnown(order_id="A")]
    assert store.orders() == ["A"]


def test_an_order_that_came_through_another_door_meanwhile_is_known() -> None:
    store = FaultyStore()

    def other_door(_: object) -> None:
        store.before = ignore
        new_intake(store).accept([order("A")])

    store.before = other_door
    assert new_intake(store).accept([order("A")]) == [AlreadyKnown(order_id="A")]


def test_a_broker_that_is_away_does_not_refuse_an_order_and_is_left_alone_for_a_while() -> None:
    heard, now = Heard(), [100.0]
    heard.broken = BrokerUnavailable("down")
    intake = Intake(FaultyStore(), heard, clock=lambda: now[0])
    assert intake.accept([order("A")]) == [Accepted(order_id="A")]
    assert intake.accept([order("B")]) == [Accepted(order_id="B")]
    assert heard.calls == 1
    heard.broken = None
    now[0] += 10
    intake.accept([order("C")])
    assert heard.steps == [(Step.RISK, "C")]


def test_an_order_that_cannot_be_stored_does_not_sink_its_batch() -> None:
    store = FaultyStore()

    def choke(units: object) -> None:
        if "'B'" in repr(units):
            raise Poison("cannot be stored")

    store.before = choke
    outcomes = new_intake(store).accept([order("A"), order("B"), order("C")])
    assert outcomes[0] == Accepted(order_id="A")
    assert refused(outcomes[1]).order_id == "B"
    assert outcomes[2] == Accepted(order_id="C")


def test_an_order_that_the_domain_refuses_does_not_sink_its_batch() -> None:
    slipped_through = order("B").model_copy(update={"total": 1})
    outcomes = new_intake().accept([order("A"), slipped_through, order("C")])
    assert outcomes[::2] == [Accepted(order_id="A"), Accepted(order_id="C")]
    assert refused(outcomes[1]).errors[0].field == "total"


def test_every_order_of_the_corpus_gets_the_work_that_the_process_manager_wants() -> None:
    for case in ACCEPTED:
        store = FaultyStore()
        submission = parse_order(case.raw)
        new_intake(store).accept([submission])
        placed = to_placed(submission, NOW)
        view = extend(OrderView(order_id=placed.order_id), order_stream(placed.order_id), [placed])
        assert {row.key for row in store.runs()} == {want.key for want in react(view, Policy())}
