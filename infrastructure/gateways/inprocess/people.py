"""Risk and mail in the process."""

from domain.outside import AssessRisk, CustomerNotified, NotifyCustomer, Refused, RiskVerdict
from infrastructure.gateways.inprocess.memory import Memory, World


class InProcessRiskAssessor:
    def __init__(self, world: World) -> None:
        self._world = world
        self._memory = Memory[RiskVerdict](world)

    def assess(self, request: AssessRisk) -> RiskVerdict:
        return self._memory.once("risk", request.key, request, lambda *_: self._judge(request))

    def _judge(self, request: AssessRisk) -> RiskVerdict:
        behaviour = self._world.behaviour
        draw = behaviour.draw("risk", request.order_id)
        if draw < behaviour.reject_share:
            return RiskVerdict(decision="reject", score=95, reasons=("known_fraud_pattern",))
        if draw < behaviour.reject_share + behaviour.review_share:
            return RiskVerdict(decision="review", score=70, reasons=("unusual_amount",))
        return RiskVerdict(decision="approve", score=int(draw * 50))


class InProcessNotifier:
    """`mails` are the books, by message id."""

    def __init__(self, world: World) -> None:
        self.mails: dict[str, NotifyCustomer] = {}
        self._world = world
        self._memory = Memory[CustomerNotified | Refused](world)

    def notify(self, request: NotifyCustomer) -> CustomerNotified | Refused:
        return self._memory.once("notify", request.key, request, lambda key, _: self._send(request, key))

    def _send(self, request: NotifyCustomer, unique: str) -> CustomerNotified | Refused:
        behaviour = self._world.behaviour
        if behaviour.chance(behaviour.refused_mail_share, "mail", request.customer_id):
            return Refused(code="address_unknown")
        self.mails[f"msg_{unique}"] = request
        return CustomerNotified(message_id=f"msg_{unique}")
