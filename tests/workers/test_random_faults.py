"""Whatever fails, and when: every order ends, each parcel is captured once, stock is conserved and no run is left behind.

Hypothesis says which calls of the store and of the outside fail, and how. Two workers and the relay take turns on a store in memory
whose clock goes on by a second a round.
"""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain import outside
from domain.errors import OutcomeUnknown, Transient, Unavailable
from domain.outside import Answer, Request
from domain.work import Step
from tests.workers.faulty import AFTER, BEFORE, FaultyMemory
from tests.workers.shop import Shop, WatchedWorld, round_of, rounds_until
from workers.retry import RetryPolicy
from workers.step_worker import StepWorker

ORDERS = ("o1", "o2", "o3")
KINDS = (
    outside.AssessRisk,
    outside.AuthorizePayment,
    outside.BuyLabel,
    outside.HandOverParcel,
    outside.CapturePayment,
    outside.NotifyCustomer,
    outside.TrackParcel,
)
CALLS = ("append", "claim", "claim_due", "transaction", "disown", "register")
store_faults = st.fixed_dictionaries(
    {name: st.lists(st.sampled_from([None, BEFORE, AFTER]), max_size=8) for name in CALLS}
)
world_faults = st.dictionaries(st.sampled_from(KINDS), st.lists(st.sampled_from("-utol"), max_size=4))


class ForgetfulWorld(WatchedWorld):
    """Fails as told, one letter a call: not reached, later, unknown, or done and the answer lost."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[type[Request], list[str]] = {}

    def call(self, request: Request, *, inquire_first: bool, act: bool = True, **more: Any) -> Answer:
        left = self.told.get(type(request))
        match left.pop(0) if left else "-":
            case "u":
                raise Unavailable("no route")
            case "t":
                raise Transient("later")
            case "o":
                raise OutcomeUnknown("500")
            case "l":
                super().call(request, inquire_first=inquire_first, act=act, **more)
                raise OutcomeUnknown("lost")
            case _:
                return super().call(request, inquire_first=inquire_first, act=act, **more)


@given(store=store_faults, world=world_faults, batch=st.integers(1, 4), divided=st.booleans())
def test_whatever_fails_every_order_ends_well(
    store: dict[str, list[str | None]], world: dict[type[Request], list[str]], batch: int, divided: bool
) -> None:
    shop = Shop(FaultyMemory(), ForgetfulWorld())
    shop.receive("cup", 9)
    shop.receive("pot", 3)
    shop.place(*ORDERS)
    shop.store.faults.of |= {name: list(faults) for name, faults in store.items()}
    shop.world.told = {kind: list(faults) for kind, faults in world.items()}
    workers = _workers(shop, batch, divided)
    shop.announce([("risk", order_id) for order_id in ORDERS])
    more = rounds_until(lambda: shop.at_rest() and shop.closed(*ORDERS))
    while more():
        shop.relay.look()
        for worker in workers:
            round_of(worker)
        shop.store.clock.advance(timedelta(seconds=1))
    assert shop.world.captures() == {f"{order_id}+1": 1 for order_id in ORDERS}
    assert [(shop.stock(sku).on_hand, shop.stock(sku).allocated) for sku in ("cup", "pot")] == [(0, 0), (0, 0)]
    assert shop.store.dead_letters() == []
    shop.close()
    for worker in workers:
        assert (shop.unknown_runs(worker), worker.conductor.batch.known) == ([], {})


def _workers(shop: Shop[FaultyMemory, ForgetfulWorld], batch: int, divided: bool) -> list[StepWorker]:
    common: dict[str, Any] = {
        "batch": batch,
        "sweep": timedelta(0),
        "lease": timedelta(days=9),
        "retry": RetryPolicy(attempts=99, base_s=0.001, cap_s=0.001),
    }
    money = frozenset({Step.RISK, Step.AUTHORIZE, Step.CAPTURE, Step.VOID})
    parts = (money, frozenset(Step) - money) if divided else (frozenset(Step), frozenset(Step))
    return [shop.worker(steps=steps, **common) for steps in parts]
