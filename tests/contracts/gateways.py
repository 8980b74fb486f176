"""What every adapter of the outside world must do, over HTTP and in the process alike.

An adapter's module gives a `harness` fixture. Order ids are fresh in each test, and sums are compared as differences, because one
simulator may serve many tests.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import OutcomeUnknown, Poison, RateLimited
from domain.outside import (
    AssessRisk,
    AuthorizePayment,
    BuyLabel,
    CapturePayment,
    HandOverParcel,
    LabelBought,
    LabelRefunded,
    NotifyCustomer,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    RefundLabel,
    Refused,
    TrackParcel,
    VoidPayment,
)
from domain.values import Address, Money
from infrastructure.gateways.outside import OutsideWorld

ADDRESS = Address(name="Ada Lovelace", street="12 St James's Square", city="London", country="GB")


def eur(amount: int) -> Money:
    return Money(amount=amount, currency="EUR")


class Harness(ABC):
    """An adapter under test, and the strings by which a test pulls the world behind it."""

    outside: OutsideWorld

    @abstractmethod
    def behave(self, **changes: Any) -> None:
        """Fields that both worlds know, and `lost_answer`, `error_before`, `too_many` as shares."""

    @abstractmethod
    def summary(self) -> dict[str, dict[str, int]]: ...

    def change(self, act: Callable[[], object]) -> Counter[str]:
        """What an act changed in the books: `captured` in EUR, and counts."""
        before = self._flat()
        act()
        after = self._flat()
        return +Counter({name: after[name] - before[name] for name in after})

    def _flat(self) -> Counter[str]:
        summary = self.summary()
        sums = {name: summary[name].get("EUR", 0) for name in ("authorized", "captured", "voided")}
        return Counter({**summary["counts"], **sums})

    def authorized(self, order_id: str, amount: int = 1000) -> PaymentAuthorized:
        answer = self.outside.payments.authorize(authorization(order_id, amount=amount))
        assert isinstance(answer, PaymentAuthorized)
        return answer

    def labelled(self, order_id: str) -> LabelBought:
        answer = self.outside.carrier.buy_label(label(order_id))
        assert isinstance(answer, LabelBought)
        return answer


def authorization(order_id: str, ordinal: int = 1, amount: int = 1000) -> AuthorizePayment:
    return AuthorizePayment(key=f"{order_id}:auth:{ordinal}", order_id=order_id, amount=eur(amount), token="tok_visa")


def capture(reference: str, key: str, amount: int) -> CapturePayment:
    return CapturePayment(key=key, authorization=reference, amount=eur(amount))


def label(order_id: str) -> BuyLabel:
    return BuyLabel(
        key=f"{order_id}+1:label:1", fulfillment_id=f"{order_id}+1", warehouse="main", ship_to=ADDRESS, units=3
    )


def mail(order_id: str) -> NotifyCustomer:
    return NotifyCustomer(
        key=f"{order_id}:shipped",
        order_id=order_id,
        customer_id=order_id,
        template="shipped",
        facts=(("tracking", "x"),),
    )


class GatewayContract:
    """Subclassed by each adapter."""

    @pytest.fixture
    def order(self) -> str:
        return f"order-{uuid4()}"

    # risk

    def assess(self, harness: Harness, order: str) -> str:
        request = AssessRisk(key=order, order_id=order, customer_id="c-1", total=eur(1000), country="DE")
        return harness.outside.risk.assess(request).decision

    @pytest.mark.parametrize(
        ("behaviour", "decision"),
        [({}, "approve"), ({"review_share": 1.0}, "review"), ({"reject_share": 1.0}, "reject")],
    )
    def test_an_order_is_judged_as_the_shares_say(
        self, harness: Harness, order: str, behaviour: dict[str, float], decision: str
    ) -> None:
        harness.behave(**behaviour)
        assert self.assess(harness, order) == decision

    def test_a_judgment_stands_when_the_behaviour_changes(self, harness: Harness, order: str) -> None:
        first = self.assess(harness, order)
        harness.behave(reject_share=1.0)
        assert self.assess(harness, order) == first

    # money

    def test_an_authorization_covers_the_amount_until_it_expires(self, harness: Harness, order: str) -> None:
        answer = harness.authorized(order, 1234)
        assert answer.amount == eur(1234)
        assert answer.expires_at > datetime.now(UTC)

    def test_a_hard_decline_is_an_answer_for_every_key(self, harness: Harness, order: str) -> None:
        harness.behave(hard_decline_share=1.0)
        answers = [harness.outside.payments.authorize(authorization(order, ordinal)) for ordinal in (1, 2)]
        assert answers == [PaymentDeclined(code="stolen_card", hard=True)] * 2

    def test_a_soft_decline_may_pass_with_a_later_key(self, harness: Harness, order: str) -> None:
        harness.behave(soft_decline_share=1.0, soft_recovery_share=1.0)
        first = harness.outside.payments.authorize(authorization(order, 1))
        assert first == PaymentDeclined(code="insufficient_funds", hard=False)
        assert harness.outside.payments.authorize(authorization(order, 1)) == first
        assert isinstance(harness.outside.payments.authorize(authorization(order, 2)), PaymentAuthorized)

    def test_the_same_request_with_the_same_key_acts_once(self, harness: Harness, order: str) -> None:
        reference = harness.authorized(order).reference
        request = capture(reference, f"{order}:cap", 700)
        change = harness.change(lambda: [harness.outside.payments.capture(request) for _ in range(3)])
        assert change == {"captured": 700, "captures": 1} | _requests(change)

    def test_many_at_once_with_the_same_key_act_once_and_hear_the_same(self, harness: Harness, order: str) -> None:
        request = capture(harness.authorized(order).reference, f"{order}:cap", 1000)
        barrier = Barrier(8)

        def ask(_: int) -> object:
            barrier.wait(10)
            return harness.outside.payments.capture(request)

        def all_ask() -> None:
            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(ask, range(8)))
            assert len(set(answers)) == 1

        assert harness.change(all_ask)["captured"] == 1000

    def test_a_key_used_for_another_amount_is_refused_as_poison(self, harness: Harness, order: str) -> None:
        reference = harness.authorized(order).reference
        harness.outside.payments.capture(capture(reference, f"{order}:cap", 100))
        with pytest.raises(Poison, match=f"{order}:cap"):
            harness.outside.payments.capture(capture(reference, f"{order}:cap", 101))

    def test_parcels_are_captured_one_by_one_up_to_the_authorized_amount(self, harness: Harness, order: str) -> None:
        reference = harness.authorized(order, 1000).reference
        answers: list[object] = []
        change = harness.change(
            lambda: answers.extend(
                harness.outside.payments.capture(capture(reference, f"{order}:cap:{n}", amount))
                for n, amount in enumerate((600, 401, 400))
            )
        )
        assert answers[1] == Refused(code="amount_exceeds_authorized")
        assert isinstance(answers[2], PaymentCaptured)
        assert (change["captured"], change["captures"]) == (1000, 2)

    def test_a_void_frees_what_was_not_captured_and_ends_the_authorization(self, harness: Harness, order: str) -> None:
        payments, reference = harness.outside.payments, harness.authorized(order, 1000).reference
        payments.capture(capture(reference, f"{order}:cap:1", 300))
        void = VoidPayment(key=f"{order}:void:1", authorization=reference)
        assert harness.change(lambda: payments.void(void))["voided"] == 700
        assert isinstance(payments.void(void), PaymentVoided)
        assert payments.capture(capture(reference, f"{order}:cap:2", 1)) == Refused(code="authorization_voided")
        assert payments.void(VoidPayment(key=f"{order}:void:2", authorization=reference)) == Refused(
            code="authorization_voided"
        )

    def test_a_fully_captured_authorization_has_nothing_to_void(self, harness: Harness, order: str) -> None:
        payments, reference = harness.outside.payments, harness.authorized(order, 1000).reference
        payments.capture(capture(reference, f"{order}:cap", 1000))
        void = VoidPayment(key=f"{order}:void", authorization=reference)
        assert payments.void(void) == Refused(code="nothing_to_void")

    def test_an_expired_authorization_is_of_no_use(self, harness: Harness, order: str) -> None:
        harness.behave(authorization_ttl_s=0.0)
        payments, reference = harness.outside.payments, harness.authorized(order).reference
        expired = Refused(code="authorization_expired")
        assert payments.capture(capture(reference, f"{order}:cap", 1)) == expired
        assert payments.void(VoidPayment(key=f"{order}:void", authorization=reference)) == expired

    def test_an_unknown_authorization_is_refused(self, harness: Harness, order: str) -> None:
        unknown = Refused(code="unknown_authorization")
        assert harness.outside.payments.capture(capture("auth_nobody", f"{order}:cap", 1)) == unknown
        assert harness.outside.payments.void(VoidPayment(key=f"{order}:void", authorization="auth_nobody")) == unknown

    def test_another_currency_than_authorized_is_refused(self, harness: Harness, order: str) -> None:
        request = CapturePayment(
            key=f"{order}:cap",
            authorization=harness.authorized(order).reference,
            amount=Money(amount=1, currency="USD"),
        )
        assert harness.outside.payments.capture(request) == Refused(code="currency_mismatch")

    # unknown outcomes

    def test_a_lost_answer_is_found_again_by_inquiry(self, harness: Harness, order: str) -> None:
        request = capture(harness.authorized(order).reference, f"{order}:cap", 500)
        harness.behave(lost_answer=1.0)

        def lose() -> None:
            with pytest.raises(OutcomeUnknown):
                harness.outside.call(request, inquire_first=False)

        assert harness.change(lose)["captured"] == 500
        harness.behave(lost_answer=0.0)
        change = harness.change(lambda: harness.outside.call(request, inquire_first=True))
        assert "captures" not in change
        assert isinstance(harness.outside.payments.inquire(request.key), PaymentCaptured)

    def test_an_error_before_acting_leaves_nothing_to_find(self, harness: Harness, order: str) -> None:
        request = authorization(order)
        harness.behave(error_before=1.0)
        with pytest.raises(OutcomeUnknown):
            harness.outside.call(request, inquire_first=False)
        harness.behave(error_before=0.0)
        assert harness.outside.payments.inquire(request.key) is None
        assert isinstance(harness.outside.call(request, inquire_first=True), PaymentAuthorized)

    def test_too_many_calls_are_put_off_for_the_time_that_the_service_names(self, harness: Harness, order: str) -> None:
        harness.behave(too_many=1.0, retry_after_s=120)
        with pytest.raises(RateLimited) as caught:
            harness.outside.call(authorization(order), inquire_first=False)
        assert caught.value.retry_after_s == 120

    def test_a_forgotten_key_acts_again(self, harness: Harness, order: str) -> None:
        harness.behave(key_ttl_s=0.0)
        request = capture(harness.authorized(order).reference, f"{order}:cap", 300)
        change = harness.change(lambda: [harness.outside.payments.capture(request) for _ in range(2)])
        assert (change["captured"], change["captures"]) == (600, 2)
        assert harness.outside.payments.inquire(request.key) is None

    def test_an_inquiry_may_remember_longer_than_the_key(self, harness: Harness, order: str) -> None:
        harness.behave(key_ttl_s=0.0, inquiry_ttl_s=3600.0)
        request = capture(harness.authorized(order).reference, f"{order}:cap", 300)
        first = harness.outside.payments.capture(request)
        change = harness.change(lambda: harness.outside.call(request, inquire_first=True))
        assert "captures" not in change
        assert harness.outside.payments.inquire(request.key) == first

    def test_a_key_of_another_operation_is_a_mix_up(self, harness: Harness, order: str) -> None:
        harness.authorized(order)
        with pytest.raises(Poison, match="PaymentAuthorized"):
            harness.outside.call(capture("any", authorization(order).key, 1), inquire_first=True)

    # parcels

    def test_a_parcel_goes_from_label_to_scan_to_transit_to_delivery(self, harness: Harness, order: str) -> None:
        harness.behave(transit_ms=3_600_000)
        tracking = harness.labelled(order).tracking
        harness.outside.call(HandOverParcel(key=f"{order}:scan", tracking=tracking), inquire_first=False)
        assert harness.outside.carrier.track(TrackParcel(tracking=tracking)).status == "in_transit"
        harness.behave(transit_ms=0)
        other = harness.labelled(f"{order}-other").tracking
        harness.outside.call(HandOverParcel(key=f"{order}:scan2", tracking=other), inquire_first=False)
        assert harness.outside.carrier.track(TrackParcel(tracking=other)).status == "delivered"

    def test_labels_are_refused_as_the_share_says(self, harness: Harness, order: str) -> None:
        harness.behave(refused_label_share=1.0)
        assert harness.outside.call(label(order), inquire_first=False) == Refused(code="address_undeliverable")

    def test_a_parcel_is_scanned_once_even_under_two_keys(self, harness: Harness, order: str) -> None:
        carrier, tracking = harness.outside.carrier, harness.labelled(order).tracking
        scans = [carrier.hand_over(HandOverParcel(key=f"{order}:scan:{n}", tracking=tracking)) for n in (1, 2)]
        assert scans[0] == scans[1]

    def test_a_refunded_label_ships_nothing_and_a_shipped_one_is_not_refunded(
        self, harness: Harness, order: str
    ) -> None:
        carrier, tracking = harness.outside.carrier, harness.labelled(order).tracking
        refund = RefundLabel(key=f"{order}:refund", tracking=tracking)
        assert carrier.refund_label(refund) == LabelRefunded(tracking=tracking)
        assert carrier.inquire(refund.key) == LabelRefunded(tracking=tracking)
        assert carrier.hand_over(HandOverParcel(key=f"{order}:scan", tracking=tracking)) == Refused(
            code="label_refunded"
        )
        other = harness.labelled(f"{order}-other").tracking
        carrier.hand_over(HandOverParcel(key=f"{order}:scan2", tracking=other))
        assert carrier.refund_label(RefundLabel(key=f"{order}:r2", tracking=other)) == Refused(code="already_accepted")

    def test_a_lost_label_is_found_again_by_inquiry(self, harness: Harness, order: str) -> None:
        harness.behave(lost_answer=1.0)
        with pytest.raises(OutcomeUnknown):
            harness.outside.call(label(order), inquire_first=False)
        harness.behave(lost_answer=0.0)
        change = harness.change(lambda: harness.outside.call(label(order), inquire_first=True))
        assert "labels" not in change

    def test_tracking_a_parcel_that_was_never_handed_over_makes_no_sense(self, harness: Harness, order: str) -> None:
        with pytest.raises(Poison, match="unknown_label"):
            harness.outside.carrier.track(TrackParcel(tracking=order))
        with pytest.raises(Poison, match="not_accepted"):
            harness.outside.carrier.track(TrackParcel(tracking=harness.labelled(order).tracking))

    # mail

    def test_a_mail_is_sent_once_per_key(self, harness: Harness, order: str) -> None:
        change = harness.change(
            lambda: [harness.outside.call(mail(order), inquire_first=again) for again in (False, True, True)]
        )
        assert change["mails"] == 1

    def test_mail_to_an_unknown_address_is_refused(self, harness: Harness, order: str) -> None:
        harness.behave(refused_mail_share=1.0)
        assert harness.outside.call(mail(order), inquire_first=False) == Refused(code="address_unknown")


def _requests(change: Counter[str]) -> dict[str, int]:
    """The simulator also counts rows of its request log, the in-process world has none."""
    return {"requests": change["requests"]} if "requests" in change else {}
