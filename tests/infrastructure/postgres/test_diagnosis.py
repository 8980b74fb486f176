"""What the doctor asks of the events that no single order can see."""

from domain import order as orders
from domain import process as processes
from domain.fulfillment import LabelPurchased
from domain.ports import Meta, Unit
from infrastructure.postgres.diagnosis import Diagnosis
from infrastructure.postgres.store import PostgresStore
from tests.domain.examples import NOON, an_order, eur


def label(tracking: str) -> LabelPurchased:
    return LabelPurchased(key="k", tracking=tracking, carrier="swift", cost=eur(490), at=NOON)


def append(store: PostgresStore, stream: str, event: orders.OrderPlaced | LabelPurchased) -> None:
    unit = Unit(lock=stream, expected={stream: 0}, events=[(stream, event)], meta=Meta(command_id=stream))
    assert store.append([unit])[0].outcome == "appended"


def test_a_tracking_number_that_two_parcels_have_is_found(database: str) -> None:
    store = PostgresStore(database)
    try:
        append(store, processes.order_stream("o1"), an_order())
        for parcel, tracking in ("o1+1", "T1"), ("o1+2", "T2"), ("o2+1", "T1"):
            append(store, f"fulfillment-{parcel}", label(tracking))
    finally:
        store.close()
    assert Diagnosis(database).shared_tracking() == {"T1": ["o1+1", "o2+1"]}
