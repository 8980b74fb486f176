"""The outside world over HTTP: each port as a few lines on a channel of its own.

A request becomes a path, a key and a JSON body; an answer becomes what `classify` makes of it. Nothing is retried here: there is one
retry layer, in the database.
"""

from urllib.parse import quote

from domain import outside
from infrastructure.gateways import wire
from infrastructure.gateways.channel import Channel
from infrastructure.gateways.classify import parse, parse_inquiry
from infrastructure.gateways.outside import OutsideWorld


class HttpRiskAssessor:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def assess(self, request: outside.AssessRisk) -> outside.RiskVerdict:
        body = wire.body(
            order_id=request.order_id,
            customer_id=request.customer_id,
            amount=request.total.amount,
            currency=request.total.currency,
            country=request.country,
        )
        return parse(self._channel.post("/risk/assessments", key=request.key, body=body), wire.ASSESSED).meaning()


class HttpPaymentGateway:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def authorize(self, request: outside.AuthorizePayment) -> outside.PaymentAuthorized | outside.PaymentDeclined:
        amount, currency = request.amount.amount, request.amount.currency
        body = wire.body(order_id=request.order_id, amount=amount, currency=currency, token=request.token)
        return parse(
            self._channel.post("/payments/authorizations", key=request.key, body=body), wire.AUTHORIZED
        ).meaning()

    def capture(self, request: outside.CapturePayment) -> outside.PaymentCaptured | outside.Refused:
        amount, currency = request.amount.amount, request.amount.currency
        body = wire.body(authorization=request.authorization, amount=amount, currency=currency)
        return parse(self._channel.post("/payments/captures", key=request.key, body=body), wire.CAPTURED).meaning()

    def void(self, request: outside.VoidPayment) -> outside.PaymentVoided | outside.Refused:
        body = wire.body(authorization=request.authorization)
        return parse(self._channel.post("/payments/voids", key=request.key, body=body), wire.VOIDED).meaning()

    def inquire(
        self, key: str
    ) -> (
        outside.PaymentAuthorized
        | outside.PaymentDeclined
        | outside.PaymentCaptured
        | outside.PaymentVoided
        | outside.Refused
        | None
    ):
        known = parse_inquiry(self._channel.get(f"/payments/operations/{quote(key, safe='')}"), wire.PAYMENT)
        return None if known is None else known.meaning()


class HttpCarrier:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def buy_label(self, request: outside.BuyLabel) -> outside.LabelBought | outside.Refused:
        to = request.ship_to
        ship_to = {
            "name": to.name,
            "street": to.street,
            "city": to.city,
            "country": to.country,
            "region": to.region,
            "postal_code": to.postal_code,
        }
        body = wire.body(
            fulfillment_id=request.fulfillment_id, warehouse=request.warehouse, ship_to=ship_to, units=request.units
        )
        return parse(self._channel.post("/carrier/labels", key=request.key, body=body), wire.BOUGHT).meaning()

    def refund_label(self, request: outside.RefundLabel) -> outside.LabelRefunded | outside.Refused:
        body = wire.body(tracking=request.tracking)
        return parse(self._channel.post("/carrier/label-refunds", key=request.key, body=body), wire.REFUNDED).meaning()

    def hand_over(self, request: outside.HandOverParcel) -> outside.ParcelAccepted | outside.Refused:
        body = wire.body(tracking=request.tracking)
        return parse(self._channel.post("/carrier/handovers", key=request.key, body=body), wire.ACCEPTED).meaning()

    def track(self, request: outside.TrackParcel) -> outside.ParcelStatus:
        path = f"/carrier/parcels/{quote(request.tracking, safe='')}"
        return parse(self._channel.get(path), wire.TRACKED).meaning()

    def inquire(
        self, key: str
    ) -> outside.LabelBought | outside.LabelRefunded | outside.ParcelAccepted | outside.Refused | None:
        known = parse_inquiry(self._channel.get(f"/carrier/operations/{quote(key, safe='')}"), wire.PARCEL)
        return None if known is None else known.meaning()


class HttpNotifier:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def notify(self, request: outside.NotifyCustomer) -> outside.CustomerNotified | outside.Refused:
        body = wire.body(
            order_id=request.order_id,
            customer_id=request.customer_id,
            template=request.template,
            facts=dict(request.facts),
        )
        return parse(self._channel.post("/mail/messages", key=request.key, body=body), wire.SENT).meaning()


def http_world(base_url: str, *, threads: int, deadline_s: float) -> OutsideWorld:
    """All four services behind one URL, as the simulator plays them, each with its own bounded pool.

    0 threads: one caller makes all calls itself, and needs one connection.
    """
    channels = [Channel(base_url, threads=max(1, threads), deadline_s=deadline_s) for _ in range(4)]
    risk, payments, carrier, mail = channels
    return OutsideWorld(
        risk=HttpRiskAssessor(risk),
        payments=HttpPaymentGateway(payments),
        carrier=HttpCarrier(carrier),
        mail=HttpNotifier(mail),
        closing=tuple(channel.close for channel in channels),
    )
