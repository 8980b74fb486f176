"""What looks at an installation without moving orders: read models, diagnosis, the schema."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from domain.errors import CommandRefused, Misconfigured
from domain.values import Money
from infrastructure.cluster import Cluster, Going
from infrastructure.postgres.diagnosis import Diagnosis
from infrastructure.settings import Settings
from workers.bootstrap.coordination import epochs_going, etcd_cluster
from workers.bootstrap.foundation import Foundation
from workers.bootstrap.schema import Migrations, Projections

if TYPE_CHECKING:
    from domain.lease import LeaseRow
    from domain.ports import RecordedEvent
    from domain.reconciliation import Movement
    from infrastructure.postgres.projections.queries import ReadModelQueries, StockRow
    from infrastructure.projections.order_summary import OrderSummary
    from workers.bootstrap.reading import Reading


class Views(Foundation):
    """What answers questions."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._reading: Reading | None = None

    def gateway_trouble(self) -> str | None:
        """Why the outside world does not answer; None if it does."""
        from infrastructure.gateways.health import trouble

        return trouble(self.settings.gateway_url or "")

    def gateway_books(self, file: Path | None) -> "Iterator[Sequence[Movement]]":
        """The payment gateway's movements of money, as it shows them itself or as a file has them."""
        from infrastructure.gateways.statement import pages_of_file, pages_over_http

        if file is not None:
            return pages_of_file(file)
        if not self.settings.gateway_url:
            raise Misconfigured("gateway_url is not set: name the gateway, or its books as a file with --statement")
        return pages_over_http(self.settings.gateway_url, deadline_s=self.settings.call_deadline_s)

    def migrations(self) -> Migrations:
        """The schema of this runtime's database."""
        return Migrations(self.direct())

    def queries(self) -> "ReadModelQueries":
        """What the read models answer on the primary."""
        return self.reading().queries(self.migrated())

    def reading(self) -> "Reading":
        """The read models, on the replica if there is one that keeps up."""
        from workers.bootstrap.reading import Reading

        if self._reading is None:
            self._reading = Reading(self.settings, self.migrated(), self.opened)
        return self._reading

    def orders(
        self, wanted: Mapping[str, str | None], *, limit: int = 50, before: int | None = None, at_least: int = 0
    ) -> "list[OrderSummary]":
        """Orders by stage, payment, fulfillment, hold or the beginning of the id, the newest first."""
        from infrastructure.postgres.projections.queries import OrderFilter

        def question(queries: "ReadModelQueries") -> "list[OrderSummary]":
            return queries.list_orders(OrderFilter(**wanted), limit=limit, before=before)

        return self.reading().ask(question, model="order_summary", at_least=at_least)

    def stock(self, *, sku: str | None, warehouse: str | None, at_least: int = 0) -> "list[StockRow]":
        """What is where."""

        def question(queries: "ReadModelQueries") -> "list[StockRow]":
            return queries.stock(sku=sku, warehouse=warehouse, limit=100_000)

        return self.reading().ask(question, model="stock_levels", at_least=at_least)

    def replica_lag(self) -> tuple[bool, float | None] | None:
        """Whether what `replica_url` names is a standby, and how many seconds it is behind; None if it names nothing."""
        from infrastructure.postgres import replica

        dsn = self.reading().replica
        return None if dsn is None else replica.state(dsn)

    def order(self, order_id: str) -> "tuple[OrderSummary, Sequence[RecordedEvent]]":
        """One order's status and events, from the events themselves. Raises `CommandRefused` if there is none."""
        from infrastructure.projections.order_summary import fold_order

        events = self.store().read_orders([order_id])
        if not events:
            raise CommandRefused(f"there is no order {order_id}")
        return fold_order(events), events

    @staticmethod
    def words(event: object) -> str:
        """One line about an event."""
        from infrastructure.projections.order_timeline import words

        return words(event)

    @staticmethod
    def money(amount: int, currency: str) -> str:
        """An amount as people write it."""
        from infrastructure.projections.order_timeline import money

        return money(Money(amount=amount, currency=currency))

    def projections(self) -> Projections:
        """The read models themselves: to keep up to date, to rebuild, to check."""
        return Projections(self.migrated(), direct=self.direct())

    def held_leases(self) -> "Sequence[LeaseRow]":
        """Every lease that was not given back."""
        self.migrated()
        return self.lease_table().rows()

    def etcd_cluster(self) -> Cluster | None:
        """How the cluster of etcd is, member by member; None if there is none."""
        return etcd_cluster(self.settings)

    def epochs_going(self) -> Going | None:
        """Whether the cluster of etcd remembers the leases that the database has seen; None if there is none."""
        return epochs_going(self.settings, self.direct())

    def pooler(self) -> Literal["none", "passed by", "in the way"]:
        """Whether the database is behind a connection pooler, and whether `direct_url` leads past it."""
        if not self.diagnosis().is_pooled():
            return "none"
        return "in the way" if Diagnosis(self.direct()).is_pooled() else "passed by"

    def diagnosis(self) -> Diagnosis:
        """What can be asked about the database's health and the work list."""
        return Diagnosis(self.dsn())
