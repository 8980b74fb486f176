"""The payment gateway: authorizations with an expiry, any number of captures within one, and a void that frees the rest."""

from workers.simulator.bodies import Authorization, Capture, Void
from workers.simulator.ledger import Row
from workers.simulator.scene import Answer, Scene, done, moment, refused


def authorize(scene: Scene, body: Authorization) -> Answer:
    decline = _decline(scene, body.order_id)
    if decline is not None:
        return _record_decline(scene, body, *decline)
    reference, expires_ms = scene.reference("auth"), scene.now_ms + int(scene.behaviour.authorization_ttl_s * 1000)
    scene.ledger.run(
        "add_authorization",
        reference=reference,
        key=scene.key,
        order_id=body.order_id,
        amount=body.amount,
        currency=body.currency,
        at=scene.now_ms,
        expires_at=expires_ms,
    )
    return done(
        "authorized", reference=reference, amount=body.amount, currency=body.currency, expires_at=moment(expires_ms)
    )


def capture(scene: Scene, body: Capture) -> Answer:
    row = scene.ledger.row("find_authorization", reference=body.authorization)
    if row is None:
        return refused("unknown_authorization")
    order_id, amount, currency, captured, *_ = row
    if (code := _unusable(scene, row)) is not None:
        return refused(code)
    if body.currency != currency:
        return refused("currency_mismatch")
    if captured + body.amount > amount:
        return refused("amount_exceeds_authorized")
    reference = scene.reference("cap")
    scene.ledger.run(
        "add_capture",
        reference=reference,
        key=scene.key,
        authorization=body.authorization,
        order_id=order_id,
        amount=body.amount,
        currency=currency,
        at=scene.now_ms,
    )
    scene.ledger.run("take_from_authorization", reference=body.authorization, amount=body.amount)
    return done("captured", reference=reference, amount=body.amount, currency=currency)


def void(scene: Scene, body: Void) -> Answer:
    row = scene.ledger.row("find_authorization", reference=body.authorization)
    if row is None:
        return refused("unknown_authorization")
    order_id, amount, currency, captured, *_ = row
    if (code := _unusable(scene, row)) is not None:
        return refused(code)
    if captured == amount:
        return refused("nothing_to_void")
    reference = scene.reference("void")
    scene.ledger.run(
        "add_void",
        reference=reference,
        key=scene.key,
        authorization=body.authorization,
        order_id=order_id,
        amount=amount - captured,
        currency=currency,
        at=scene.now_ms,
    )
    scene.ledger.run("free_authorization", reference=body.authorization, at=scene.now_ms)
    return done("voided", reference=reference)


def _unusable(scene: Scene, row: Row) -> str | None:
    *_, voided_at, expires_ms = row
    if voided_at is not None:
        return "authorization_voided"
    return "authorization_expired" if scene.now_ms >= expires_ms else None


def _decline(scene: Scene, order_id: str) -> tuple[str, bool] | None:
    """The fate of a card belongs to the order; a soft decline may pass at a later key, never at the first."""
    behaviour = scene.behaviour
    if scene.chance(behaviour.hard_decline_share, "hard", order_id):
        return "stolen_card", True
    if not scene.chance(behaviour.soft_decline_share, "soft", order_id):
        return None
    again = scene.ledger.row("has_declined", order_id=order_id) is not None
    if again and scene.chance(behaviour.soft_recovery_share, "recovery", scene.key):
        return None
    return "insufficient_funds", False


def _record_decline(scene: Scene, body: Authorization, code: str, hard: bool) -> Answer:  # noqa: FBT001 - spread from a pair
    scene.ledger.run(
        "add_decline",
        key=scene.key,
        order_id=body.order_id,
        amount=body.amount,
        currency=body.currency,
        code=code,
        hard=int(hard),
        at=scene.now_ms,
    )
    return Answer(status=402, body={"result": "declined", "code": code, "hard": hard})
