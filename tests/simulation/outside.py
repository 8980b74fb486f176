"""Gateway, carrier, mail and risk as strangers: they keep their own books, and their answers come, come late, or do not come.

Each acts once for a key as long as it remembers the key (`key_window_s`). A request may arrive long after its sender gave it up, and
an answer after its reader has died. What is refused in business follows from the seed and the subject, so a repeat is answered alike.
"""

from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any, NoReturn

from domain import outside
from domain.errors import OutcomeUnknown, Poison, RateLimited, Unavailable
from domain.values import Money
from infrastructure.gateways.outside import OutsideWorld
from tests.simulation.agenda import Agenda
from tests.simulation.books import Authorization, Books, Capture, Label, Remembered
from tests.simulation.chance import draw
from tests.simulation.database import START
from tests.simulation.shape import Shape
from tests.simulation.trace import Trace

HELD_FOR_S = 90 * 86_400.0
LATEST_S = 30.0
LATEST_SHARE = 0.1


class Outside:
    """What the services have in common. `away`: those that answer nobody; `mended`: nothing is poisonous or refused any more."""

    def __init__(
        self, agenda: Agenda, trace: Trace, chance: Random, strikes: Callable[[str], bool], shape: Shape
    ) -> None:
        self.books = Books()
        self.away: set[str] = set()
        self.mended = False
        self.find: Callable[[str, str], None]
        self._agenda, self._trace, self._chance, self._strikes, self._shape = agenda, trace, chance, strikes, shape

    def now(self) -> float:
        return self._agenda.now

    def ports(self) -> OutsideWorld:
        """The services as the program sees them."""
        return OutsideWorld(risk=Risk(self), payments=Gateway(self), carrier=Carrier(self), mail=Mail(self))

    def drawn(self, share: float, *subject: object) -> bool:
        return draw(self._shape.seed, *subject) < share

    def refuses(self, *subject: object) -> bool:
        """Whether a service refuses this in business."""
        return not self.mended and self.drawn(self._shape.declines, *subject)

    def transit_s(self, tracking: str) -> float:
        return self._shape.transit_s * draw(self._shape.seed, "transit", tracking)

    def once(self, dependency: str, operation: str, request: Any, act: Callable[[], Any]) -> Any:
        """Act once for the request's key, with all that may go wrong on the way there and back."""
        key = request.key
        self._on_the_way(dependency, f"{operation} {key}")
        if not self.mended and self.drawn(self._shape.poison, "poison", key):
            self._trace.fault("poison", dependency, key)
            raise Poison("an answer that makes no sense")
        if self._strikes("request late"):
            self._late(dependency, operation, request, act)
        answer = self._recall(operation, request, act)
        self._way_back(dependency, f"{operation} {key}")
        return answer

    def read(self, dependency: str, subject: str, look: Callable[[], Any]) -> Any:
        """A question that changes nothing."""
        self._on_the_way(dependency, subject)
        answer = look()
        self._way_back(dependency, subject)
        return answer

    def inquire(self, dependency: str, key: str) -> Any:
        """What is remembered of a key."""
        return self.read(dependency, f"inquire {key}", lambda: self._known(key))

    def _known(self, key: str) -> Any:
        known = self.books.remembered.get(key)
        return known.answer if known and self.now() - known.at < self._shape.key_window_s else None

    def _recall(self, operation: str, request: Any, act: Callable[[], Any]) -> Any:
        if self._known(request.key) is None:
            answer = act()
            self.books.remembered[request.key] = Remembered(request, answer, self.now())
            self.books.acts.append((self.now(), operation, request.key))
            self._trace.note(operation, f"{request.key} -> {type(answer).__name__}")
        known = self.books.remembered[request.key]
        if known.request != request:
            raise Poison(f"key {request.key} was used for another request")
        return known.answer

    def _late(self, dependency: str, operation: str, request: Any, act: Callable[[], Any]) -> NoReturn:
        latest = min(LATEST_S, self._shape.key_window_s * LATEST_SHARE)
        delay = latest * self._chance.choice([0.01, 0.1, 1.0])
        self._trace.fault("request late", dependency, f"{operation} {request.key} {delay:g} s")
        self._agenda.after(delay, dependency, "late request", lambda: self._recall(operation, request, act))
        raise OutcomeUnknown("timed out")

    def _on_the_way(self, dependency: str, what: str) -> None:
        if dependency in self.away or self._strikes("outside unreachable"):
            self._trace.fault("outside unreachable", dependency, what)
            raise Unavailable("the service was not reached")
        if self._strikes("too many"):
            self._trace.fault("too many", dependency, what)
            raise RateLimited("status 429", retry_after_s=self._chance.choice([0.5, 5.0]))
        if self._strikes("outside errs"):
            self._trace.fault("outside errs", dependency, what)
            raise OutcomeUnknown("status 500")

    def _way_back(self, dependency: str, what: str) -> None:
        if self._strikes("answer late"):
            pause = self._chance.choice([0.1, 2.0, 15.0])
            self._trace.fault("answer late", dependency, f"{what} {pause:g} s")
            self._agenda.meanwhile(pause)
        if self._strikes("answer lost"):
            self._trace.fault("answer lost", dependency, what)
            raise OutcomeUnknown("the answer was lost")


class Risk:
    def __init__(self, world: Outside) -> None:
        self._world = world

    def assess(self, request: outside.AssessRisk) -> outside.RiskVerdict:
        answer: outside.RiskVerdict = self._world.read("risk", request.key, lambda: self._judge(request))
        return answer

    def _judge(self, request: outside.AssessRisk) -> outside.RiskVerdict:
        if self._world.refuses("fraud", request.order_id):
            decision = "review" if self._world.drawn(0.5, "review", request.order_id) else "reject"
            return outside.RiskVerdict(decision=decision, score=80, reasons=("odd",))  # type: ignore[arg-type]
        return outside.RiskVerdict(decision="approve", score=5)


class Mail:
    def __init__(self, world: Outside) -> None:
        self._world = world

    def notify(self, request: outside.NotifyCustomer) -> outside.CustomerNotified | outside.Refused:
        answer: outside.CustomerNotified | outside.Refused
        answer = self._world.once("mail", "notify", request, lambda: self._send(request))
        return answer

    def _send(self, request: outside.NotifyCustomer) -> outside.CustomerNotified | outside.Refused:
        if self._world.refuses("mail", request.customer_id):
            return outside.Refused(code="address_unknown")
        self._world.books.mails[request.key] = request
        return outside.CustomerNotified(message_id=f"msg_{request.key}")


class Gateway:
    """Holds, takes and gives back money."""

    def __init__(self, world: Outside) -> None:
        self._world, self._books = world, world.books

    def authorize(self, request: outside.AuthorizePayment) -> Any:
        return self._world.once("payment", "authorize", request, lambda: self._authorize(request))

    def capture(self, request: outside.CapturePayment) -> Any:
        return self._world.once("payment", "capture", request, lambda: self._capture(request))

    def void(self, request: outside.VoidPayment) -> Any:
        return self._world.once("payment", "void", request, lambda: self._void(request))

    def inquire(self, key: str) -> Any:
        return self._world.inquire("payment", key)

    def _authorize(self, request: outside.AuthorizePayment) -> outside.PaymentAuthorized | outside.PaymentDeclined:
        if self._world.refuses("decline", request.key):
            hard = self._world.drawn(0.3, "hard", request.order_id)
            return outside.PaymentDeclined(code="stolen_card" if hard else "insufficient_funds", hard=hard)
        if any(one.order_id == request.order_id for one in self._books.authorizations.values()):
            self._world.find(request.order_id, "is authorized twice")
        reference = f"auth{len(self._books.authorizations) + 1}_{request.key}"
        expires_at = self._world.now() + HELD_FOR_S
        self._books.authorizations[reference] = Authorization(
            request.order_id, request.amount.amount, request.amount.currency, expires_at
        )
        return outside.PaymentAuthorized(
            reference=reference, amount=request.amount, expires_at=START + timedelta(seconds=expires_at)
        )

    def _capture(self, request: outside.CapturePayment) -> outside.PaymentCaptured | outside.Refused:
        held = self._books.authorizations.get(request.authorization)
        if held is None or held.is_voided or held.expires_at <= self._world.now():
            return outside.Refused(code="authorization_gone")
        if held.captured + request.amount.amount > held.amount:
            return outside.Refused(code="amount_exceeds_authorized")
        parcel = request.key.partition(":")[0]
        if any(capture.key.startswith(f"{parcel}:") for capture in self._books.captures):
            self._world.find(parcel, "is captured twice")
        held.captured += request.amount.amount
        self._books.captures.append(Capture(request.authorization, request.key, request.amount.amount))
        return outside.PaymentCaptured(reference=f"cap_{request.key}", amount=request.amount)

    def _void(self, request: outside.VoidPayment) -> outside.PaymentVoided | outside.Refused:
        held = self._books.authorizations.get(request.authorization)
        if held is None or held.is_voided or held.expires_at <= self._world.now():
            return outside.Refused(code="authorization_gone")
        held.voided, held.is_voided = held.amount - held.captured, True
        return outside.PaymentVoided(reference=f"void_{request.key}")


class Carrier:
    """Sells labels, takes parcels and delivers them."""

    def __init__(self, world: Outside) -> None:
        self._world, self._books = world, world.books

    def buy_label(self, request: outside.BuyLabel) -> Any:
        return self._world.once("carrier", "label", request, lambda: self._sell(request))

    def refund_label(self, request: outside.RefundLabel) -> Any:
        return self._world.once("carrier", "refund_label", request, lambda: self._refund(request))

    def hand_over(self, request: outside.HandOverParcel) -> Any:
        return self._world.once("carrier", "hand_over", request, lambda: self._scan(request))

    def track(self, request: outside.TrackParcel) -> outside.ParcelStatus:
        answer: outside.ParcelStatus
        answer = self._world.read("carrier", f"track {request.tracking}", lambda: self._where(request.tracking))
        return answer

    def inquire(self, key: str) -> Any:
        return self._world.inquire("carrier", key)

    def _sell(self, request: outside.BuyLabel) -> outside.LabelBought | outside.Refused:
        if self._world.refuses("label", request.key):
            return outside.Refused(code="address_undeliverable")
        tracking = f"trk{len(self._books.labels) + 1}_{request.key}"
        self._books.labels[tracking] = Label(request.fulfillment_id)
        return outside.LabelBought(tracking=tracking, carrier="pigeon", cost=Money(amount=450, currency="EUR"))

    def _refund(self, request: outside.RefundLabel) -> outside.LabelRefunded | outside.Refused:
        label = self._books.labels.get(request.tracking)
        if label is None or label.scanned_at is not None or label.refunded:
            return outside.Refused(code="no_refund")
        label.refunded = True
        return outside.LabelRefunded(tracking=request.tracking)

    def _scan(self, request: outside.HandOverParcel) -> outside.ParcelAccepted | outside.Refused:
        label = self._books.labels.get(request.tracking)
        if label is None or label.refunded:
            return outside.Refused(code="unknown_label")
        if self._world.refuses("scan", request.key):
            return outside.Refused(code="badly_packed")
        if label.scanned_at is None:
            label.scanned_at = self._world.now()
            label.arrives_at = label.scanned_at + self._world.transit_s(request.tracking)
        return outside.ParcelAccepted(scan_id=f"scan_{request.key}", at=START + timedelta(seconds=label.scanned_at))

    def _where(self, tracking: str) -> outside.ParcelStatus:
        label = self._books.labels[tracking]
        if label.scanned_at is None:
            raise Poison("status 409: not_accepted")
        arrived = label.arrives_at <= self._world.now()
        at = label.arrives_at if arrived else label.scanned_at
        return outside.ParcelStatus(status="delivered" if arrived else "in_transit", at=START + timedelta(seconds=at))
