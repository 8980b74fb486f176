"""One run with everything in it, recorded as a golden history of the checker: `python -m tests.mutants --run everything --keep FOLDER`."""

from pathlib import Path
from typing import Any

from tests.checker.expect import Expect
from tests.mutants.processes import Process
from tests.mutants.shop import Shop, an_order

REST_S = 9.0
A_HEADER = "no frame at all"
PLANTED_ERRORS = ("dead letter", "refused a message")
ORDERS = 6


def everything(shop: Shop) -> Expect:
    """Deliveries, a cancellation, a timer that fires, a dead run and a dead message, an outage, readers, and an end in good order."""
    shop.open(
        *("relay", "projector", "keeper"),
        settings={"attempts": "8", "payment_answer_s": "1"},
    )
    shop.receive("TEA", 40)
    shop.receive("RARE", 1)
    workers = {name: shop.start("worker", name=name) for name in ("one", "two")}
    shop.until(lambda: shop.sql("SELECT count(*) FROM holders")[0][0] >= len(workers))
    for name, process in workers.items():
        _measure(shop, name, process, "start")
    _orders(shop)
    _troubles(shop)
    shop.rest(closed=ORDERS + 2, within_s=REST_S)
    _read(shop)
    for name, process in workers.items():
        _measure(shop, name, process, "end")
    for process in shop.roles:
        process.stop()
    shop.tell({"mark": "stopped"})
    return Expect(quiet_within_s=REST_S - 1, attempts=8, errors=PLANTED_ERRORS)


def _orders(shop: Shop) -> None:
    """Orders that end well, one that a customer cancels, one that waits for goods, one whose card is declined."""
    assert shop.world is not None
    lines = ((("TEA", 3, 1000),), (("TEA", 1, 990), ("RARE", 1, 2000)))
    shop.submit([an_order(f"E-{number}", *lines[number % 2], policy="cancel-remainder") for number in range(ORDERS)])
    shop.until(lambda: shop.count("Authorized") == ORDERS)
    shop.world.behave(soft_decline_share=1.0)
    shop.submit([an_order("E-declined")])
    shop.until(lambda: shop.count("HoldPlaced", "order-E-declined") == 1)
    shop.world.behave(soft_decline_share=0.0)
    shop.submit([an_order("E-open", ("RARE", 5, 700), policy="ship-complete")])


def _troubles(shop: Shop) -> None:
    """A cancellation, a label that cannot be bought, a message that nobody can read."""
    assert shop.world is not None
    shop.submit([an_order("E-cancelled", ("RARE", 5, 700), policy="ship-complete")])
    shop.until(lambda: shop.count("FulfillmentPlanned", "order-E-cancelled") == 1)
    shop.cancel("E-cancelled")
    shop.until(lambda: shop.count("OrderClosed") >= ORDERS + 1)
    shop.world.behave(faults_of={"label": {"error_before": 1.0}})
    shop.tell({"planted": {"order_id": "E-dead", "step": "label"}})
    shop.submit([an_order("E-dead")])
    shop.until(lambda: shop.count("StepFailed", "process-E-dead") == 1)
    shop.world.behave(faults_of={})
    shop.plant("ow_risk", A_HEADER)
    shop.until(lambda: bool(shop.sql("SELECT 1 FROM dead_letters WHERE kind = 'message'")), within_s=10)


def _read(shop: Shop) -> None:
    """A client waits for what it wrote, then reads twice."""
    (head,) = shop.sql("SELECT max(position) FROM events")[0]
    for waited in (head, None):
        (seen,) = shop.sql("SELECT position FROM checkpoints WHERE name = 'order_summary'")[0]
        shop.tell({"read": {"client": "ann", "model": "order_summary", "waited": waited, "position": seen}})


def _measure(shop: Shop, role: str, process: Process, phase: str) -> None:
    folder = Path("/proc") / str(process.pid)
    if not folder.exists():
        return
    status = dict(line.split(":", 1) for line in (folder / "status").read_text(encoding="utf-8").splitlines())
    measured: dict[str, Any] = {"fds": len(list((folder / "fd").iterdir())), "threads": int(status["Threads"])}
    measured["rss_kb"] = int(status["VmRSS"].split()[0])
    shop.tell({"resources": {"role": role, "phase": phase, **measured}})
