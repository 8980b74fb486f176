"""What is derived from an order's row: its fulfillment axis, and the one stage it is counted in.

A stage is where the *least* advanced work of the order stands, so an order with one parcel on the road and one without a label is
`planned`. The first that fits counts:

    cancelled    closed, nothing was delivered           closed       closed, delivered or partly
    cancelling   asked for or carried out, not settled   held         a person has to release a hold
    placed       waits for the risk check                approved     waits for the authorization
    planned      a parcel has no label yet               labelled     a parcel waits for the carrier
    backordered  waits for stock                         authorized   waits for a plan
    handed_over  a parcel is on its way                  delivered    only the closing is left
"""

from collections.abc import Sequence
from typing import Any, Protocol

STAGES = (
    "placed",
    "approved",
    "held",
    "authorized",
    "planned",
    "labelled",
    "backordered",
    "handed_over",
    "delivered",
    "cancelling",
    "cancelled",
    "closed",
)


class Standing(Protocol):
    """What of a row decides."""

    payment: str
    holds: list[str]
    outcome: str | None
    risk: str | None
    cancelling: bool
    units: int
    units_cancelled: int
    units_backordered: int
    units_shipped: int
    units_delivered: int
    parcel_details: list[dict[str, Any]]


def fulfillment_axis(row: Standing) -> str:
    """Unfulfilled, backordered, partial, fulfilled, delivered or cancelled."""
    kept = row.units - row.units_cancelled
    if not kept:
        return "cancelled"
    if row.units_shipped == kept:
        return "delivered" if row.units_delivered == kept else "fulfilled"
    if row.units_shipped:
        return "partial"
    return "backordered" if row.units_backordered else "unfulfilled"


def stage_of(row: Standing) -> str:
    """The one stage that the order is counted in."""
    if row.outcome is not None:
        return "cancelled" if row.outcome == "cancelled" else "closed"
    if row.cancelling or row.units_cancelled == row.units:
        return "cancelling"
    if row.holds:
        return "held"
    if row.payment == "none":
        return "placed" if row.risk is None else "approved"
    return _work_stage(row, [parcel["state"] for parcel in row.parcel_details])


def _work_stage(row: Standing, states: Sequence[str]) -> str:
    if "planned" in states:
        return "planned"
    if "labelled" in states:
        return "labelled"
    if row.units_backordered:
        return "backordered"
    if row.units_shipped + row.units_cancelled < row.units:
        return "authorized"
    return "handed_over" if "handed_over" in states else "delivered"
