"""What a run leaves behind, as plain rows: events, other tables, the outside world's ledger, what was told and seen while it ran.

    tables    the database at the end, and what its server says of itself (`server_locks`, `server_sessions`, `queues`, ...)
    ledger    the books of the outside world
    history   what the load was told, what was planted, what people did: one object a line, with `order_id`, `sample`, `mark`, `planted`,
              `action`, `read` or `resources` in it
    watched   what an observer saw of the tables while the run went on (`watch.py`)
    logs      the lines of every process, by the name of its file

Everything is JSON as the database tells it, so that evidence can be written to one file and judged again anywhere.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

Row = dict[str, Any]
_FULFILLMENT = re.compile(r"(.+)\+([1-9]\d*)")


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the event log."""

    position: int
    stream: str
    version: int
    type: str
    schema: int
    data: Row
    meta: Row
    recorded_at: str

    @property
    def category(self) -> str:
        return self.stream.partition("-")[0]

    @property
    def subject(self) -> str:
        """What follows the category: an order, a fulfillment, or a warehouse and SKU."""
        return self.stream.partition("-")[2]

    @property
    def order_id(self) -> str:
        """The order the event belongs to, of stock events the one it is for; empty where there is none."""
        if self.category == "letter":
            return ""
        if self.category == "stock":
            fulfillment = str(self.data.get("fulfillment_id", ""))
            return str(self.data.get("order_id") or fulfillment.rpartition("+")[0])
        return split_fulfillment(self.subject)[0] if self.category == "fulfillment" else self.subject


def read_moment(text: str) -> datetime:
    """A time as the database writes it."""
    return datetime.fromisoformat(text)


def split_fulfillment(identity: str) -> tuple[str, int]:
    """The order and the number of one of its fulfillments; 0 where there is none."""
    found = _FULFILLMENT.fullmatch(identity)
    return (found[1], int(found[2])) if found else (identity, 0)


@dataclass(frozen=True)
class Evidence:
    """`tables` and `ledger` by table name; a table that does not exist is not there. `ledger` None: there was none to read."""

    tables: Mapping[str, list[Row]]
    ledger: Mapping[str, list[Row]] | None = None
    history: list[Row] | None = None
    watched: list[Row] | None = field(default=None, kw_only=True)
    logs: Mapping[str, list[str]] | None = field(default=None, kw_only=True)
    whole: bool = field(default=True, kw_only=True)

    @cached_property
    def events(self) -> list[Event]:
        """All events in the global order."""
        return [Event(**row) for row in sorted(self.tables["events"], key=lambda row: row["position"])]

    @cached_property
    def streams(self) -> dict[str, list[Event]]:
        """Each stream in the order of its versions."""
        streams = defaultdict[str, list[Event]](list)
        for event in self.events:
            streams[event.stream].append(event)
        return {name: sorted(events, key=lambda event: event.version) for name, events in streams.items()}

    @cached_property
    def orders(self) -> dict[str, list[Event]]:
        """All that happened to each order, its stock included, in the global order."""
        orders = defaultdict[str, list[Event]](list)
        for event in self.events:
            if event.order_id:
                orders[event.order_id].append(event)
        return dict(orders)

    def of_type(self, *types: str) -> list[Event]:
        return [event for event in self.events if event.type in types]

    def rows(self, table: str) -> list[Row]:
        """The rows of a table; none if it does not exist."""
        return self.tables.get(table, [])

    def checkpoints(self) -> list[Row]:
        """How far each read model is, or each partition of it; a row without a position only counts the partitions."""
        return [row for row in self.rows("checkpoints") if row["position"] is not None]

    def books(self, table: str) -> list[Row]:
        """The rows of a table of the ledger."""
        if self.ledger is None:
            raise MissingEvidence("no ledger")
        return self.ledger.get(table, [])

    def told(self) -> list[Row]:
        if self.history is None:
            raise MissingEvidence("no history")
        return self.history

    def told_of(self, kind: str) -> list[Row]:
        """What the history's lines of one kind say, such as `planted`."""
        return [line[kind] for line in self.told() if kind in line]

    def seen(self) -> list[Row]:
        """What the observer saw, in the order of time."""
        if self.watched is None:
            raise MissingEvidence("nobody watched")
        return self.watched

    def logged(self) -> Mapping[str, list[str]]:
        if self.logs is None:
            raise MissingEvidence("no logs")
        return self.logs

    @cached_property
    def moment(self) -> datetime:
        """When the tables were read, by the database's clock; the last event where that is not known."""
        rows = self.rows("moment")
        return read_moment(rows[0]["at"] if rows else self.events[-1].recorded_at)


class MissingEvidence(Exception):
    """What an invariant needs to be judged was not given."""
