"""The whole outside world as one object: a request finds its port by its type.

After an unknown outcome the caller asks to inquire first. Only what changes something and can be asked about is inquired; a read is
simply read again, and a doubled mail is told apart by its key at the receiver.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from domain.errors import Incident, KeyExpired
from domain.outside import (
    Answer,
    AssessRisk,
    AuthorizePayment,
    BuyLabel,
    CapturePayment,
    Carrier,
    HandOverParcel,
    LabelBought,
    LabelRefunded,
    Notifier,
    NotifyCustomer,
    ParcelAccepted,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentGateway,
    PaymentVoided,
    RefundLabel,
    Refused,
    Request,
    RiskAssessor,
    TrackParcel,
    VoidPayment,
)

_REPEATABLE = (AssessRisk, NotifyCustomer, TrackParcel)
_FITTING: dict[type[Request], tuple[type[Answer], ...]] = {
    AuthorizePayment: (PaymentAuthorized, PaymentDeclined),
    CapturePayment: (PaymentCaptured, Refused),
    VoidPayment: (PaymentVoided, Refused),
    BuyLabel: (LabelBought, Refused),
    RefundLabel: (LabelRefunded, Refused),
    HandOverParcel: (ParcelAccepted, Refused),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideWorld:
    """The four ports together; `closing` is called by `close`, which may be called again."""

    risk: RiskAssessor
    payments: PaymentGateway
    carrier: Carrier
    mail: Notifier
    closing: tuple[Callable[[], None], ...] = ()

    def call(
        self,
        request: Request,
        *,
        inquire_first: bool,
        act: bool = True,
        before_acting: Callable[[], object] = lambda: None,
    ) -> Answer:
        """Without `act` it is only asked what became of the request: `KeyExpired` if nothing is known. A failed inquiry never acts.

        `before_acting` may raise: an inquiry can take long, and what was allowed before it may be so no more.
        """
        known = self.inquire(request) if inquire_first or not act else None
        if known is not None:
            return known
        before_acting()
        if act or isinstance(request, _REPEATABLE):
            return self._call(request)
        raise KeyExpired(
            f"nothing is known of key {request.key}: it never happened, or it happened and the key is forgotten"
        )

    def inquire(self, request: Request) -> Answer | None:
        """What became of the request. None may also mean that its key was forgotten."""
        match request:
            case AuthorizePayment() | CapturePayment() | VoidPayment():
                return _fitting(request, self.payments.inquire(request.key))
            case BuyLabel() | RefundLabel() | HandOverParcel():
                return _fitting(request, self.carrier.inquire(request.key))
            case AssessRisk() | NotifyCustomer() | TrackParcel():
                return None
            case _:
                assert_never(request)

    def close(self) -> None:
        for close in self.closing:
            close()

    def _call(self, request: Request) -> Answer:
        match request:
            case AuthorizePayment() | CapturePayment() | VoidPayment():
                return self._pay(request)
            case BuyLabel() | RefundLabel() | HandOverParcel() | TrackParcel():
                return self._ship(request)
            case AssessRisk():
                return self.risk.assess(request)
            case NotifyCustomer():
                return self.mail.notify(request)
            case _:
                assert_never(request)

    def _pay(self, request: AuthorizePayment | CapturePayment | VoidPayment) -> Answer:
        match request:
            case AuthorizePayment():
                return self.payments.authorize(request)
            case CapturePayment():
                return self.payments.capture(request)
            case VoidPayment():
                return self.payments.void(request)
            case _:
                assert_never(request)

    def _ship(self, request: BuyLabel | RefundLabel | HandOverParcel | TrackParcel) -> Answer:
        match request:
            case BuyLabel():
                return self.carrier.buy_label(request)
            case RefundLabel():
                return self.carrier.refund_label(request)
            case HandOverParcel():
                return self.carrier.hand_over(request)
            case TrackParcel():
                return self.carrier.track(request)
            case _:
                assert_never(request)


def _fitting(
    request: AuthorizePayment | CapturePayment | VoidPayment | BuyLabel | RefundLabel | HandOverParcel,
    known: Answer | None,
) -> Answer | None:
    """A key that turns out to belong to another kind of operation is a mix-up that nobody may build on."""
    if known is None or isinstance(known, _FITTING[type(request)]):
        return known
    raise Incident(f"key {request.key} of {type(request).__name__} is known outside as {type(known).__name__}")
