"""What an operator does about dead runs, through a whole order: retry, discard, restore, conclude, and what a retry would do."""

import pytest

from domain import outside
from domain.errors import CommandRefused, OutcomeUnknown, Poison
from domain.order import CancelReason
from domain.process import StepDiscarded, StepRestored, StepRetried
from domain.review import Filter, LetterState
from tests.workers.review.conftest import ADA, only
from tests.workers.shop import PostgresShop, drive
from workers.handle import cancel
from workers.rebuild import Rebuilt, rebuild
from workers.review import Outcome, Review
from workers.review.plan import Person


def dead_order(shop: PostgresShop, request: type = outside.AssessRisk, error: Exception | None = None) -> None:
    """Let the run that makes this request die."""
    shop.receive("cup")
    shop.receive("pot")
    shop.place("o1")
    worker = shop.worker()
    shop.world.faults[request] = [error or Poison("nonsense")] * 9
    shop.wake(worker, "o1")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    shop.world.faults[request] = []


def events(shop: PostgresShop, kind: type) -> list[tuple[str, str, str]]:
    found = [recorded for recorded in shop.store.read_orders(["o1"]) if isinstance(recorded.event, kind)]
    return [(recorded.event.step.value, recorded.event.by, recorded.event.note) for recorded in found]


def test_a_retried_run_goes_on_and_the_order_is_finished(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    letter = only(review)
    assert review.retry([letter.id], ADA) == [Outcome(letter=letter.id, done=True, words="o1/risk/0/1 is due again")]
    assert events(shop, StepRetried) == [("risk", "ada", "the gateway is back")]
    drive(shop, lambda: shop.closed("o1"))
    assert review.letter(letter.id).state is LetterState.RETRIED
    assert review.letter(letter.id).noted_by == "ada"


def test_a_run_that_dies_again_is_the_same_letter_with_another_death(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    shop.world.faults[outside.AssessRisk] = [Poison("still nonsense")]
    review.retry([only(review).id], ADA)
    drive(shop, lambda: only(review, "state=any").deaths == 2)
    letter = only(review)
    assert (letter.state, letter.reason) == (LetterState.OPEN, "Poison: still nonsense")


def test_a_dead_run_whose_row_was_lost_is_wanted_anew(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    shop.store.sql("DELETE FROM step_runs")
    assert review.retry([only(review).id], ADA)[0].done
    drive(shop, lambda: shop.closed("o1"))


def test_a_run_that_the_order_does_not_want_any_more_is_obsolete(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    letter = only(review)
    command = cancel(CancelReason.CUSTOMER, "", "ada")
    shop.handler.on_order("o1", command, command_id="c1", actor="ada")
    drive(shop, lambda: shop.closed("o1"))
    assert review.letter(letter.id).state is LetterState.OBSOLETE
    assert review.retry([letter.id], ADA)[0].words == "it is not open any more: obsolete"
    shop.store.sql("UPDATE dead_letters SET state = 'open'")  # as if its row had been lost before the cancellation
    assert "does not want this any more" in review.retry([letter.id], ADA)[0].words
    assert review.letter(letter.id).state is LetterState.OBSOLETE
    assert events(shop, StepRetried) == []


def test_a_discarded_run_waits_until_it_is_restored(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    letter = only(review)
    assert review.discard([letter.id], ADA)[0].done
    assert "not open any more: discarded by ada" in review.retry([letter.id], ADA)[0].words
    assert review.restore([letter.id], Person(by="bob", reason="not so fast"))[0].done
    assert not review.restore([letter.id], ADA)[0].done
    assert events(shop, StepDiscarded) == [("risk", "ada", "the gateway is back")]
    assert events(shop, StepRestored) == [("risk", "bob", "not so fast")]
    assert [row.state for row in shop.store.runs()] == ["dead"]
    assert review.retry([letter.id], ADA)[0].done
    drive(shop, lambda: shop.closed("o1"))


def test_a_rebuild_of_the_work_list_does_not_try_what_was_discarded(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    review.discard([only(review).id], ADA)
    shop.store.sql("DELETE FROM step_runs")
    assert rebuild(shop.store, shop.policy) == Rebuilt(orders=1, wanted=0, missing=0)
    review.restore([only(review, "state=discarded").id], ADA)
    review.retry([only(review).id], ADA)
    drive(shop, lambda: shop.closed("o1"))


def test_a_run_of_an_order_that_does_not_exist_can_only_be_discarded(shop: PostgresShop, review: Review) -> None:
    shop.store.sql(
        "INSERT INTO step_runs (order_id, step, part, ordinal, state, due_at, wake_at)"
        " VALUES ('nobody', 'risk', 0, 1, 'ready', now(), now())"
    )
    worker = shop.worker()
    shop.wake(worker, "nobody")
    drive(shop, lambda: bool(shop.store.dead_letters()))
    letter = only(review, "order=nobody reason~'no such order'")
    assert "can only be discarded" in review.retry([letter.id], ADA)[0].words
    assert review.discard([letter.id], ADA)[0].done
    assert shop.store.read_orders(["nobody"]) == []
    assert [type(found.event).__name__ for found in review.history(letter)] == ["MessageDiscarded"]
    shop.place("nobody")
    assert shop.view("nobody").order.placed is not None


@pytest.mark.parametrize("reason", ["", "  ", "a\nb", "x" * 501])
def test_a_decision_needs_a_reason_that_can_be_shown(shop: PostgresShop, review: Review, reason: str) -> None:
    dead_order(shop)
    with pytest.raises(CommandRefused, match="reason"):
        review.discard([only(review).id], Person(by="ada", reason=reason))
    assert only(review).state is LetterState.OPEN


def test_a_letter_that_does_not_exist_is_told(review: Review) -> None:
    assert review.retry([99], ADA) == [Outcome(letter=99, done=False, words="there is no such dead letter")]
    with pytest.raises(CommandRefused, match="no dead letter 99"):
        review.letter(99)


def test_a_charge_of_which_nobody_knows_is_explained_and_concluded(shop: PostgresShop, review: Review) -> None:
    dead_order(shop, outside.CapturePayment, OutcomeUnknown("lost"))
    letter = only(review, "step=capture cause=OutcomeUnknown")
    advice = review.advice(letter)
    for words in ("the customer was charged", "was not charged", "--happened", "--did-not-happen", "dlq retry"):
        assert words in advice
    [foreseen] = review.foresee([letter.id])
    assert (foreseen.would_run, foreseen.inquires_first) == (True, True)
    assert foreseen.key
    assert "CapturePayment(" in foreseen.request
    assert "reference" in review.conclude(letter.id, True, "", ADA).words
    assert review.conclude(letter.id, True, "ch_1", ADA).done
    assert review.letter(letter.id).state is LetterState.CONCLUDED
    assert events(shop, StepDiscarded) == [("capture", "ada", "the gateway is back")]
    drive(shop, lambda: shop.closed("o1"))
    assert shop.view("o1").payment.captured_total() == sum(
        one.amount for one in shop.view("o1").payment.captured.values()
    )


def test_a_charge_that_did_not_happen_begins_again_under_another_key(shop: PostgresShop, review: Review) -> None:
    dead_order(shop, outside.CapturePayment, OutcomeUnknown("lost"))
    letter = only(review)
    assert review.conclude(letter.id, False, "", ADA).done
    drive(shop, lambda: shop.closed("o1"))
    keys = {getattr(request, "key", "") for request, _ in shop.world.requests(outside.CapturePayment)}
    assert len(keys) > 1


def test_what_a_retry_would_do_is_said_and_nothing_is_done(shop: PostgresShop, review: Review) -> None:
    dead_order(shop)
    before = shop.names("o1"), shop.store.runs()
    [foreseen] = review.foresee([only(review).id])
    assert (foreseen.would_run, foreseen.inquires_first, foreseen.wants) == (True, False, ("risk 0/1",))
    assert foreseen.outlook == "would make the request AssessRisk"
    assert "customer" not in foreseen.request
    assert (shop.names("o1"), shop.store.runs()) == before
    assert only(review).state is LetterState.OPEN


def test_an_order_that_cannot_be_read_stands_in_nobodys_way(shop: PostgresShop, review: Review) -> None:
    shop.place("o1", "o2")
    shop.world.faults[outside.AssessRisk] = [Poison("nonsense")] * 2
    shop.wake(shop.worker(), "o1", "o2")
    drive(shop, lambda: len(shop.store.dead_letters()) == 2)
    ids = {letter.run.order_id: letter.id for letter in review.page(Filter(())) if letter.run}
    shop.store.sql(
        "INSERT INTO events (stream, version, type, schema, data, meta) VALUES ('order-o2', 2, 'New', 1, '{}', '{}')"
    )
    why = "its order cannot be read: event type 'New' (schema 1) is unknown to this version"
    assert {one.letter: one.would_run for one in review.foresee(list(ids.values()))} == {
        ids["o1"]: True,
        ids["o2"]: False,
    }
    assert review.advice(review.letter(ids["o2"])) == why
    outcomes = {one.letter: one for one in review.retry(list(ids.values()), ADA)}
    assert (outcomes[ids["o1"]].done, outcomes[ids["o2"]].words) == (True, why)
    assert review.letter(ids["o2"]).state is LetterState.OPEN
