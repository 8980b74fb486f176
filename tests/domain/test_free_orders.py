"""Where nothing is to be paid, no gateway is asked, and the order goes on all the same."""

from domain import fulfillment as fulfillments
from domain import outside, steps
from domain.process import extend, react
from domain.values import OrderLine
from domain.work import Run, RunKey, Step
from tests.domain.examples import NOON, an_order, assigned, units
from tests.domain.views import APPROVED, POLICY, authorized, having, parcel, planned

GIFT = OrderLine(number=1, sku="gift", quantity=1, amount=0)


def test_an_order_for_nothing_is_authorized_without_a_call() -> None:
    view = having(an_order(GIFT, shipping=0), APPROVED)
    turn = steps.begin(view, Run(RunKey("o1", Step.AUTHORIZE), 1, 1), steps.Context(now=NOON))
    assert turn.request is None
    assert [type(event).__name__ for _, events in turn.changes for event in events] == [
        "AuthorizationStarted",
        "Authorized",
    ]


def test_a_parcel_worth_nothing_is_captured_without_a_call() -> None:
    view = planned(authorized(placed=an_order(GIFT, shipping=0)), assigned(1, units(GIFT)))
    accepted = fulfillments.HandedOver(key="k", scan_id="s", at=NOON)
    view = parcel(view, 1, accepted)
    turn = steps.begin(view, Run(RunKey("o1", Step.CAPTURE, 1), 1, 1), steps.Context(now=NOON))
    assert turn.request is None
    assert [type(event).__name__ for _, events in turn.changes for event in events] == ["CaptureStarted", "Captured"]
    for stream, events in turn.changes:
        view = extend(view, stream, events)  # type: ignore[arg-type]
    assert Step.CAPTURE not in {want.key.step for want in react(view, POLICY)}


def test_an_order_with_a_price_asks_the_gateway() -> None:
    view = having(an_order(), APPROVED)
    turn = steps.begin(view, Run(RunKey("o1", Step.AUTHORIZE), 1, 1), steps.Context(now=NOON))
    assert isinstance(turn.request, outside.AuthorizePayment)
