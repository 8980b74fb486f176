"""The carrier in the process: labels, scans, and parcels that arrive after their transit time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.errors import Poison
from domain.outside import (
    BuyLabel,
    HandOverParcel,
    LabelBought,
    LabelRefunded,
    ParcelAccepted,
    ParcelStatus,
    RefundLabel,
    Refused,
    TrackParcel,
)
from domain.values import Money
from infrastructure.gateways.inprocess.memory import Memory, World

CarrierAnswer = LabelBought | LabelRefunded | ParcelAccepted | Refused


@dataclass(slots=True, kw_only=True)
class Parcel:
    """A row of the books: a label, and its scan once the carrier has the parcel."""

    fulfillment_id: str
    refunded: bool = False
    scan: ParcelAccepted | None = None
    delivered_at: datetime | None = None


class InProcessCarrier:
    """`parcels` are the books; read them when nobody is calling."""

    def __init__(self, world: World) -> None:
        self.parcels: dict[str, Parcel] = {}
        self._world = world
        self._memory = Memory[CarrierAnswer](world)

    def buy_label(self, request: BuyLabel) -> LabelBought | Refused:
        return self._memory.once("label", request.key, request, lambda key, _: self._buy(request, key))

    def refund_label(self, request: RefundLabel) -> LabelRefunded | Refused:
        return self._memory.once("refund_label", request.key, request, lambda *_: self._refund(request))

    def hand_over(self, request: HandOverParcel) -> ParcelAccepted | Refused:
        return self._memory.once("hand_over", request.key, request, lambda key, now: self._scan(request, key, now))

    def track(self, request: TrackParcel) -> ParcelStatus:
        return self._memory.read("track", request.tracking, lambda now: self._track(request, now))

    def inquire(self, key: str) -> CarrierAnswer | None:
        return self._memory.inquire(key)

    def _buy(self, request: BuyLabel, unique: str) -> LabelBought | Refused:
        behaviour = self._world.behaviour
        if behaviour.chance(behaviour.refused_label_share, "label", request.fulfillment_id):
            return Refused(code="address_undeliverable")
        tracking = f"trk_{unique}"
        self.parcels[tracking] = Parcel(fulfillment_id=request.fulfillment_id)
        cost = Money(amount=450 + 50 * min(request.units, 100), currency=behaviour.label_currency)
        return LabelBought(tracking=tracking, carrier="Swallow Express", cost=cost)

    def _refund(self, request: RefundLabel) -> LabelRefunded | Refused:
        parcel = self.parcels.get(request.tracking)
        if parcel is None:
            return Refused(code="unknown_label")
        if parcel.scan is not None:
            return Refused(code="already_accepted")
        if parcel.refunded:
            return Refused(code="already_refunded")
        parcel.refunded = True
        return LabelRefunded(tracking=request.tracking)

    def _scan(self, request: HandOverParcel, unique: str, now: datetime) -> ParcelAccepted | Refused:
        parcel = self.parcels.get(request.tracking)
        if parcel is None:
            return Refused(code="unknown_label")
        if parcel.refunded:
            return Refused(code="label_refunded")
        if parcel.scan is None:
            parcel.scan = ParcelAccepted(scan_id=f"scan_{unique}", at=now)
            parcel.delivered_at = now + timedelta(milliseconds=self._transit_ms(request.tracking))
        return parcel.scan

    def _transit_ms(self, tracking: str) -> float:
        behaviour = self._world.behaviour
        jitter = behaviour.transit_jitter_ms * behaviour.draw("transit", tracking) if behaviour.transit_jitter_ms else 0
        return behaviour.transit_ms + jitter

    def _track(self, request: TrackParcel, now: datetime) -> ParcelStatus:
        parcel = self.parcels.get(request.tracking)
        if parcel is None:
            raise Poison("status 404: unknown_label")
        if parcel.scan is None or parcel.delivered_at is None:
            raise Poison("status 409: not_accepted")
        if parcel.delivered_at <= now:
            return ParcelStatus(status="delivered", at=parcel.delivered_at)
        return ParcelStatus(status="in_transit", at=parcel.scan.at)
