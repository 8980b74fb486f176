"""The four in-process services around one behaviour and one clock."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

from infrastructure.gateways.inprocess.behaviour import InProcessBehaviour
from infrastructure.gateways.inprocess.carrier import InProcessCarrier
from infrastructure.gateways.inprocess.memory import World
from infrastructure.gateways.inprocess.payments import InProcessPaymentGateway
from infrastructure.gateways.inprocess.people import InProcessNotifier, InProcessRiskAssessor
from infrastructure.gateways.outside import OutsideWorld


def _now() -> datetime:
    return datetime.now(UTC)


class InProcessWorld:
    """Safe for use by many threads. The clock may be a simulated one."""

    def __init__(self, behaviour: InProcessBehaviour | None = None, *, clock: Callable[[], datetime] = _now) -> None:
        self._world = World(behaviour or InProcessBehaviour(), clock)
        self.risk = InProcessRiskAssessor(self._world)
        self.payments = InProcessPaymentGateway(self._world)
        self.carrier = InProcessCarrier(self._world)
        self.mail = InProcessNotifier(self._world)

    @property
    def behaviour(self) -> InProcessBehaviour:
        return self._world.behaviour

    @behaviour.setter
    def behaviour(self, behaviour: InProcessBehaviour) -> None:
        self._world.behaviour = behaviour

    def outside(self) -> OutsideWorld:
        return OutsideWorld(risk=self.risk, payments=self.payments, carrier=self.carrier, mail=self.mail)

    def summary(self) -> dict[str, dict[str, int]]:
        """The same sums as the simulator's `GET /ledger/summary`."""
        authorized: Counter[str] = Counter()
        captured: Counter[str] = Counter()
        voided: Counter[str] = Counter()
        for authorization in self.payments.authorizations.values():
            authorized[authorization.currency] += authorization.amount
            if authorization.voided is not None:
                voided[authorization.currency] += authorization.voided
        for capture in self.payments.captures:
            captured[capture.amount.currency] += capture.amount.amount
        return {
            "authorized": dict(authorized),
            "captured": dict(captured),
            "voided": dict(voided),
            "counts": self._counts(),
        }

    def _counts(self) -> dict[str, int]:
        return {
            "authorizations": len(self.payments.authorizations),
            "captures": len(self.payments.captures),
            "labels": len(self.carrier.parcels),
            "scans": sum(parcel.scan is not None for parcel in self.carrier.parcels.values()),
            "mails": len(self.mail.mails),
        }
