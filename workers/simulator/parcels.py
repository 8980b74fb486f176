"""The carrier: sells labels, takes them back, scans parcels in, and says where they are.

A scan is a physical fact: a parcel that has been accepted stays accepted, so asking again (even with a new key) tells the first scan.
"""

from workers.simulator.bodies import HandOver, Label, LabelRefund
from workers.simulator.scene import Answer, Scene, done, moment, refused

CARRIER = "Swallow Express"


def buy_label(scene: Scene, body: Label) -> Answer:
    if scene.chance(scene.behaviour.refused_label_share, "label", body.fulfillment_id):
        return refused("address_undeliverable")
    if (mixed_up := _label_of_another(scene)) is not None:
        return done("bought", tracking=mixed_up, carrier=CARRIER, cost=500, currency=scene.behaviour.label_currency)
    tracking, cost, currency = scene.reference("trk"), 450 + 50 * min(body.units, 100), scene.behaviour.label_currency
    scene.ledger.run(
        "add_label",
        tracking=tracking,
        key=scene.key,
        fulfillment_id=body.fulfillment_id,
        warehouse=body.warehouse,
        country=body.ship_to.country,
        units=body.units,
        cost=cost,
        currency=currency,
        at=scene.now_ms,
    )
    return done("bought", tracking=tracking, carrier=CARRIER, cost=cost, currency=currency)


def _label_of_another(scene: Scene) -> str | None:
    """Sometimes a carrier gives out a number twice."""
    if not scene.chance(scene.behaviour.same_tracking_share, "same tracking", scene.key):
        return None
    row = scene.ledger.row("last_label")
    return None if row is None else str(row[0])


def refund_label(scene: Scene, body: LabelRefund) -> Answer:
    row = scene.ledger.row("find_parcel", tracking=body.tracking)
    if row is None:
        return refused("unknown_label")
    refunded_at, scan_id, *_ = row
    if scan_id is not None:
        return refused("already_accepted")
    if refunded_at is not None:
        return refused("already_refunded")
    scene.ledger.run("refund_label", tracking=body.tracking, key=scene.key, at=scene.now_ms)
    return done("refunded", tracking=body.tracking)


def hand_over(scene: Scene, body: HandOver) -> Answer:
    row = scene.ledger.row("find_parcel", tracking=body.tracking)
    if row is None:
        return refused("unknown_label")
    refunded_at, scan_id, scanned_ms, _ = row
    if refunded_at is not None:
        return refused("label_refunded")
    if scan_id is None:
        scan_id, scanned_ms = scene.reference("scan"), scene.now_ms
        delivered_ms = scanned_ms + _transit_ms(scene, body.tracking)
        scene.ledger.run(
            "add_scan",
            tracking=body.tracking,
            scan_id=scan_id,
            key=scene.key,
            at=scanned_ms,
            delivered_at=delivered_ms,
        )
    return done("accepted", scan_id=scan_id, at=moment(scanned_ms))


def track(scene: Scene, tracking: str) -> Answer:
    row = scene.ledger.row("find_parcel", tracking=tracking)
    if row is None:
        return Answer(status=404, body={"error": "unknown_label", "message": "no label has this tracking number"})
    _, scan_id, scanned_ms, delivered_ms = row
    if scan_id is None:
        return Answer(status=409, body={"error": "not_accepted", "message": "the parcel has not been handed over"})
    if delivered_ms <= scene.now_ms:
        return done("delivered", at=moment(delivered_ms))
    return done("in_transit", at=moment(scanned_ms))


def _transit_ms(scene: Scene, tracking: str) -> int:
    behaviour = scene.behaviour
    jitter = behaviour.transit_jitter_ms * scene.draw("transit", tracking) if behaviour.transit_jitter_ms else 0
    return int(behaviour.transit_ms + jitter)
