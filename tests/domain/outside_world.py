"""An outside world of values: it remembers every operation by its key, as a gateway or a carrier does, and may say no."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random

from domain import outside
from domain.values import Money

KEY_WINDOW = timedelta(hours=24)
WITHOUT_INTENT = (outside.AssessRisk, outside.NotifyCustomer, outside.TrackParcel)


class OutsideWorld:
    """Answers at random while `moody`, and kindly otherwise; the answer to a key never changes."""

    def __init__(self) -> None:
        self.moody = True
        self.by_key: dict[str, outside.Answer] = {}
        self.since: dict[str, datetime] = {}
        self.captured: dict[str, int] = {}
        self.voided: set[str] = set()

    def ask(self, request: outside.Request, chance: Random, now: datetime) -> outside.Answer:
        """Do what is asked, once a key."""
        if isinstance(request, outside.TrackParcel):
            arrived = not self.moody or chance.random() < 0.5
            return outside.ParcelStatus(status="delivered" if arrived else "in_transit", at=now)
        if isinstance(request, outside.AssessRisk):
            return self._risk(chance)
        if request.key not in self.by_key:
            self.by_key[request.key] = self._act(request, chance, now)
            self.since[request.key] = now
        assert isinstance(request, outside.NotifyCustomer) or self._remembers(request.key, now), f"{request} acts twice"
        return self.by_key[request.key]

    def inquire(self, request: outside.Request, now: datetime) -> outside.Answer | None:
        """What is known of the key; a key is forgotten a day after its first use."""
        if isinstance(request, WITHOUT_INTENT):
            return None
        return self.by_key.get(request.key) if self._remembers(request.key, now) else None

    def _remembers(self, key: str, now: datetime) -> bool:
        return key in self.since and now - self.since[key] < KEY_WINDOW

    def _risk(self, chance: Random) -> outside.RiskVerdict:
        roll = chance.random() if self.moody else 0
        if roll < 0.7:
            return outside.RiskVerdict(decision="approve", score=1)
        return outside.RiskVerdict(decision="review" if roll < 0.9 else "reject", score=90, reasons=("velocity",))

    def _act(self, request: outside.Request, chance: Random, now: datetime) -> outside.Answer:
        refused = self.moody and chance.random() < 0.2
        if isinstance(request, outside.AuthorizePayment) and refused:
            return outside.PaymentDeclined(code="no_funds", hard=chance.random() < 0.3)
        if refused:
            return outside.Refused(code="no")
        if isinstance(request, outside.CapturePayment):
            assert request.authorization not in self.voided, "captured what was voided"
            before = self.captured.get(request.authorization, 0)
            self.captured[request.authorization] = before + request.amount.amount
        if isinstance(request, outside.VoidPayment):
            self.voided.add(request.authorization)
        return _GRANTED[type(request)](request, now)


def _authorized(request: outside.AuthorizePayment, now: datetime) -> outside.PaymentAuthorized:
    return outside.PaymentAuthorized(
        reference=f"pay-{request.key}", amount=request.amount, expires_at=now + timedelta(days=7)
    )


def _label(request: outside.BuyLabel, _now: datetime) -> outside.LabelBought:
    return outside.LabelBought(tracking=f"T-{request.key}", carrier="swift", cost=Money(amount=490, currency="EUR"))


_GRANTED: Mapping[type, Callable[..., outside.Answer]] = {
    outside.AuthorizePayment: _authorized,
    outside.BuyLabel: _label,
    outside.CapturePayment: lambda r, _: outside.PaymentCaptured(reference=f"cap-{r.key}", amount=r.amount),
    outside.VoidPayment: lambda r, _: outside.PaymentVoided(reference=f"void-{r.key}"),
    outside.RefundLabel: lambda r, _: outside.LabelRefunded(tracking=r.tracking),
    outside.HandOverParcel: lambda r, now: outside.ParcelAccepted(scan_id=f"scan-{r.key}", at=now),
    outside.NotifyCustomer: lambda r, _: outside.CustomerNotified(message_id=f"mail-{r.key}"),
}
