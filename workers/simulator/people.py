"""What concerns the customer: the risk service judges the order, the mail service tells about it."""

import json

from workers.simulator.bodies import Assessment, Message
from workers.simulator.scene import Answer, Scene, done, refused


def assess(scene: Scene, body: Assessment) -> Answer:
    decision, score, reasons = _verdict(scene, body.order_id)
    scene.ledger.run(
        "add_risk_answer", key=scene.key, order_id=body.order_id, decision=decision, score=score, at=scene.now_ms
    )
    return done("assessed", decision=decision, score=score, reasons=reasons)


def notify(scene: Scene, body: Message) -> Answer:
    if scene.chance(scene.behaviour.refused_mail_share, "mail", body.customer_id):
        return refused("address_unknown")
    message_id = scene.reference("msg")
    scene.ledger.run(
        "add_mail",
        message_id=message_id,
        key=scene.key,
        order_id=body.order_id,
        customer_id=body.customer_id,
        template=body.template,
        facts=json.dumps(body.facts, ensure_ascii=False),
        at=scene.now_ms,
    )
    return done("sent", message_id=message_id)


def _verdict(scene: Scene, order_id: str) -> tuple[str, int, list[str]]:
    draw, reject = scene.draw("risk", order_id), scene.behaviour.reject_share
    if draw < reject:
        return "reject", 95, ["known_fraud_pattern"]
    if draw < reject + scene.behaviour.review_share:
        return "review", 70, ["unusual_amount"]
    return "approve", int(draw * 50), []
