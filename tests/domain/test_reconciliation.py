"""Our events against the books of others: what agrees says nothing, and each kind of difference is told from both sides."""

from dataclasses import replace
from datetime import timedelta

import pytest

from domain import fulfillment as fulfillments
from domain import payment as payments
from domain import stock as stocks
from domain.order import FulfillmentPlanned
from domain.reconciliation import Difference, GoodsBook, Movement, doubled, facts_of, judge, order_of, unheard
from tests.domain.examples import CUPS, LATER, NOON, eur, waiting
from tests.domain.examples import units as some

KEY = "o1+1:capture:1"
STARTED = payments.CaptureStarted(key=KEY, ordinal=1, fulfillment_id="o1+1", amount=eur(500), at=NOON)
CAPTURED = payments.Captured(key=KEY, fulfillment_id="o1+1", reference="cap_1", amount=eur(500), at=NOON)
REFUSED = payments.CaptureFailed(key=KEY, fulfillment_id="o1+1", code="expired", at=NOON)
MOVED = Movement(key=KEY, operation="capture", reference="cap_1", amount=eur(500), at=NOON)


def verdict(movement: Movement, *events: payments.PaymentEvent, patience: timedelta = timedelta(0)) -> str | None:
    found = judge(movement, facts_of(events).get(movement.key), now=LATER, patience=patience)
    return found.kind if found else None


def test_the_order_of_a_key_is_read_from_the_key() -> None:
    assert [order_of(key) for key in ("A-1:auth:1", "A-1+2:capture:1", "A-1+2", "A-1")] == ["A-1"] * 4


def test_books_that_agree_differ_in_nothing() -> None:
    assert verdict(MOVED, STARTED, CAPTURED) is None


@pytest.mark.parametrize(
    ("movement", "events", "kind"),
    [
        (MOVED, (), "unknown here"),
        (MOVED, (STARTED, REFUSED), "refused here"),
        (MOVED, (STARTED,), "unanswered here"),
        (replace(MOVED, amount=eur(501)), (STARTED, CAPTURED), "another amount or reference"),
        (replace(MOVED, reference="cap_2"), (STARTED, CAPTURED), "another amount or reference"),
        (replace(MOVED, operation="void"), (STARTED, CAPTURED), "another operation"),
    ],
)
def test_a_movement_that_our_events_do_not_tell_is_a_difference(
    movement: Movement, events: tuple[payments.PaymentEvent, ...], kind: str
) -> None:
    assert verdict(movement, *events) == kind


def test_what_may_still_be_under_way_is_no_difference() -> None:
    assert verdict(MOVED, STARTED, patience=timedelta(hours=2)) is None


def test_a_difference_names_the_order_and_tells_both_sides() -> None:
    found = unheard(KEY, facts_of([STARTED, CAPTURED])[KEY])
    assert (found.kind, found.order_id, found.subject) == ("unknown there", "o1", KEY)
    assert "capture of 500 EUR done" in found.here
    assert "cap_1" in found.here
    assert doubled(MOVED).kind == "done twice"


CREATED = fulfillments.FulfillmentCreated(
    fulfillment_id="o1+1", order_id="o1", warehouse="north", units=(some(CUPS),), at=NOON
)
RECEIVED = stocks.StockReceived(quantity=5, delivery="d1", at=NOON)
ALLOCATED = stocks.StockAllocated(fulfillment_id="o1+1", order_id="o1", quantity=3)
STOCK, PARCEL = "stock-north+cup", "fulfillment-o1+1"


def goods(*events: tuple[str, object]) -> list[Difference]:
    book = GoodsBook()
    for stream, event in events:
        book.read(stream, event)
    return book.differences()


def test_a_reservation_for_a_live_parcel_is_right() -> None:
    assert goods((STOCK, RECEIVED), (STOCK, ALLOCATED), (PARCEL, CREATED)) == []


def test_a_reservation_ends_with_its_parcel() -> None:
    down = fulfillments.StoodDown(reason="cancelled", at=NOON)
    released = stocks.AllocationReleased(fulfillment_id="o1+1", quantity=3)
    before = ((STOCK, RECEIVED), (STOCK, ALLOCATED), (PARCEL, CREATED), (PARCEL, down))
    (left,) = goods(*before)
    assert (left.kind, left.order_id, left.there) == ("allocation", "o1", "the stock's stream promises 3")
    assert goods(*before, (STOCK, released)) == []


def test_a_parcel_without_its_reservation_is_a_difference() -> None:
    handed = fulfillments.HandedOver(key="k", scan_id="s", at=NOON)
    (missing,) = goods((STOCK, RECEIVED), (PARCEL, CREATED))
    assert missing.here == "the order's streams need 3"
    assert goods((STOCK, RECEIVED), (PARCEL, CREATED), (PARCEL, handed)) == []


def test_a_backorder_stands_in_both_streams() -> None:
    planned = FulfillmentPlanned(assignments=(), backorders=(waiting(some(CUPS)),), at=NOON)
    queued = stocks.StockBackordered(order_id="o1", quantity=3)
    assert goods((STOCK, queued), ("order-o1", planned)) == []
    assert [one.kind for one in goods(("order-o1", planned))] == ["backorder"]
    assert [one.kind for one in goods((STOCK, queued))] == ["backorder"]


def test_counted_stock_is_compared_with_what_is_on_hand() -> None:
    book = GoodsBook()
    book.read(STOCK, RECEIVED)
    assert book.differences({STOCK: 5}) == []
    (lost,) = book.differences({STOCK: 4})
    assert (lost.kind, lost.here, lost.there) == ("count", "5 on hand", "4 counted")
    assert [one.subject for one in book.differences({"stock-north+pot": 1})] == ["stock-north+pot"]
