"""What must hold after every commit, whatever struck. It looks at the events as they come and knows nothing of the program.

Versions and positions without gaps; the rules of `ledger`; fences that hold; dead letters that somebody earned; promises of stock
that agree with the parcels they were given for. What must hold at the end is in `endings`.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from domain.errors import Poison, Unavailable
from domain.ports import RecordedEvent, Unit, Verdict
from domain.work import Run, RunKey
from tests.simulation import ledger, stock_ledger
from tests.simulation.database import Database
from tests.simulation.ledger import Order, Wrong
from tests.simulation.stock_ledger import Stock

NEVER_MIND = 50
ORDER_STREAMS = {"order", "payment", "process", "fulfillment"}


class Oracle:
    """`findings` are (who, what is wrong). `acknowledged` is filled by the customers: what they were told."""

    def __init__(self, database: Database, *, attempts: int) -> None:
        self.findings: list[tuple[str, str]] = []
        self.orders: dict[str, Order] = defaultdict(Order)
        self.stocks: dict[str, Stock] = defaultdict(Stock)
        self.types: Counter[str] = Counter()
        self.acknowledged: set[str] = set()
        self.attempted: set[str] = set()
        self.planted: set[RunKey] = set()
        self.troubles: Counter[RunKey] = Counter()
        self.epochs: dict[RunKey, int] = {}
        self._database = database
        self._attempts = attempts
        self._versions: Counter[str] = Counter()
        self._seen = 0

    def find(self, who: str, what: str) -> None:
        """Something is wrong."""
        self._database.trace.note(who, f"WRONG: {what}")
        if len(self.findings) < NEVER_MIND:
            self.findings.append((who, what))

    def claimed(self, runs: Sequence[Run]) -> None:
        """These runs were given out."""
        for run in runs:
            self._grant(run.key, run.epoch)
            if run.attempts > self._attempts + 1:
                self.find(str(run.key), f"attempt {run.attempts} of {self._attempts}")

    def failed(self, key: RunKey, error: Exception) -> None:
        """A call came to nothing."""
        if isinstance(error, Poison):
            self.planted.add(key)
        elif not isinstance(error, Unavailable):
            self.troubles[key] += 1

    def look(self) -> None:
        """Judge what was committed since the last look."""
        store = self._database.store
        if store.judged:
            judged, store.judged = store.judged, []
            for unit, verdict in judged:
                self._judge(unit, verdict)
        last = store._log.last_position()
        if last == self._seen:
            return
        touched: dict[str, None] = {}
        for recorded in store.read_all(after=self._seen, limit=last - self._seen):
            self._next(recorded)
            if recorded.stream.startswith("stock-"):
                touched[recorded.stream] = None
        self._seen = last
        for stream in touched:
            self._check_promises(stream)

    def _next(self, recorded: RecordedEvent) -> None:
        stream, event = recorded.stream, recorded.event
        self._seen += 1
        self._versions[stream] += 1
        if (recorded.position, recorded.version) != (self._seen, self._versions[stream]):
            self.find(stream, f"version {recorded.version} at {recorded.position}, a gap or a double")
        name = type(event).__name__
        self.types[name] += 1
        self._database.trace.note("log", f"{recorded.position} {stream} {recorded.version} {name}")
        category, _, identity = stream.partition("-")
        try:
            if category == "stock":
                stock_ledger.apply_stock(self.stocks[stream], event)
            else:
                ledger.apply(self.orders[identity.partition("+")[0]], stream, event)
        except Wrong as wrong:
            self.find(stream, f"{name} (version {recorded.version}): {wrong}")

    def _judge(self, unit: Unit, verdict: Verdict) -> None:
        """An accepted unit was written by whoever had the last claim on its runs."""
        if verdict.outcome != "appended":
            return
        for settled in unit.settled:
            granted = self.epochs.get(settled.key)
            if granted is not None and granted != settled.epoch:
                self.find(str(settled.key), f"written under epoch {settled.epoch}, but {granted} was given out since")
            if settled.state == "dead":
                self._dead(settled.key, settled.error)
        for want in unit.wanted:
            if want.key in unit.carried:
                self.epochs.pop(want.key, None)

    def _grant(self, key: RunKey, epoch: int) -> None:
        if epoch <= self.epochs.get(key, 0):
            self.find(str(key), f"epoch {epoch} was given out after {self.epochs[key]}")
        self.epochs[key] = epoch

    def _dead(self, key: RunKey, error: str) -> None:
        if self.troubles[key] < self._attempts and key not in self.planted:
            self.find(str(key), f"a dead letter after {self.troubles[key]} failures: {error}")
        self.troubles[key] = 0

    def _check_promises(self, stream: str) -> None:
        """Stock is promised to parcels that are in work, and in their quantity; queued for orders that say so."""
        warehouse, _, sku = stream.partition("-")[2].partition("+")
        stock = self.stocks[stream]
        for name, quantity in stock.allocated.items():
            parcel = self.orders[name.partition("+")[0]].parcels.get(name)
            if parcel is None or parcel.state not in ("created", "labelled") or parcel.units.get(sku) != quantity:
                self.find(stream, f"{quantity} promised to {name}, which is {parcel}")
        for order_id, quantity in stock.queue.items():
            waits = self.orders[order_id].backorders[warehouse, sku]
            if waits != quantity:
                self.find(stream, f"{order_id} is queued for {quantity}, but waits for {waits}")
