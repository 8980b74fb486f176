"""The payment gateway in the process: authorizations with an expiry, captures within them, a void that frees the rest."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.outside import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    Refused,
    VoidPayment,
)
from domain.values import Money
from infrastructure.gateways.inprocess.memory import Memory, World

PaymentAnswer = PaymentAuthorized | PaymentDeclined | PaymentCaptured | PaymentVoided | Refused


@dataclass(slots=True, kw_only=True)
class Authorization:
    """A row of the books."""

    order_id: str
    amount: int
    currency: str
    expires_at: datetime
    captured: int = 0
    voided: int | None = None

    def refusal(self, now: datetime) -> str | None:
        if self.voided is not None:
            return "authorization_voided"
        return "authorization_expired" if now >= self.expires_at else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A row of the books."""

    reference: str
    key: str
    authorization: str
    order_id: str
    amount: Money


class InProcessPaymentGateway:
    """`authorizations` and `captures` are the books; read them when nobody is calling."""

    def __init__(self, world: World) -> None:
        self.authorizations: dict[str, Authorization] = {}
        self.captures: list[Capture] = []
        self.declined: set[str] = set()
        self._world = world
        self._memory = Memory[PaymentAnswer](world)

    def authorize(self, request: AuthorizePayment) -> PaymentAuthorized | PaymentDeclined:
        return self._memory.once("authorize", request.key, request, lambda key, now: self._authorize(request, key, now))

    def capture(self, request: CapturePayment) -> PaymentCaptured | Refused:
        return self._memory.once("capture", request.key, request, lambda key, now: self._capture(request, key, now))

    def void(self, request: VoidPayment) -> PaymentVoided | Refused:
        return self._memory.once("void", request.key, request, lambda key, now: self._void(request, key, now))

    def inquire(self, key: str) -> PaymentAnswer | None:
        return self._memory.inquire(key)

    def _authorize(self, request: AuthorizePayment, unique: str, now: datetime) -> PaymentAuthorized | PaymentDeclined:
        decline = self._decline(request)
        if decline is not None:
            self.declined.add(request.order_id)
            return decline
        expires_at = now + timedelta(seconds=self._world.behaviour.authorization_ttl_s)
        reference, amount = f"auth_{unique}", request.amount
        self.authorizations[reference] = Authorization(
            order_id=request.order_id, amount=amount.amount, currency=amount.currency, expires_at=expires_at
        )
        return PaymentAuthorized(reference=reference, amount=amount, expires_at=expires_at)

    def _decline(self, request: AuthorizePayment) -> PaymentDeclined | None:
        behaviour = self._world.behaviour
        if behaviour.chance(behaviour.hard_decline_share, "hard", request.order_id):
            return PaymentDeclined(code="stolen_card", hard=True)
        if not behaviour.chance(behaviour.soft_decline_share, "soft", request.order_id):
            return None
        again = request.order_id in self.declined
        if again and behaviour.chance(behaviour.soft_recovery_share, "recovery", request.key):
            return None
        return PaymentDeclined(code="insufficient_funds", hard=False)

    def _capture(self, request: CapturePayment, unique: str, now: datetime) -> PaymentCaptured | Refused:
        authorization = self.authorizations.get(request.authorization)
        if authorization is None:
            return Refused(code="unknown_authorization")
        if (code := authorization.refusal(now)) is not None:
            return Refused(code=code)
        if request.amount.currency != authorization.currency:
            return Refused(code="currency_mismatch")
        if authorization.captured + request.amount.amount > authorization.amount:
            return Refused(code="amount_exceeds_authorized")
        return self._take(request, f"cap_{unique}", authorization)

    def _take(self, request: CapturePayment, reference: str, authorization: Authorization) -> PaymentCaptured:
        authorization.captured += request.amount.amount
        self.captures.append(
            Capture(
                reference=reference,
                key=request.key,
                authorization=request.authorization,
                order_id=authorization.order_id,
                amount=request.amount,
            )
        )
        return PaymentCaptured(reference=reference, amount=request.amount)

    def _void(self, request: VoidPayment, unique: str, now: datetime) -> PaymentVoided | Refused:
        authorization = self.authorizations.get(request.authorization)
        if authorization is None:
            return Refused(code="unknown_authorization")
        if (code := authorization.refusal(now)) is not None:
            return Refused(code=code)
        if authorization.captured == authorization.amount:
            return Refused(code="nothing_to_void")
        authorization.voided = authorization.amount - authorization.captured
        return PaymentVoided(reference=f"void_{unique}")
