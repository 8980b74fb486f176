"""Hands that spoil a good history: each changes one thing, as a bug or a lost write would."""

from copy import deepcopy
from typing import Any

from tests.checker.evidence import Evidence, Row


class Tampered:
    """The rows of a recorded run, to be spoiled."""

    def __init__(self, good: Evidence) -> None:
        self.tables: dict[str, list[Row]] = deepcopy(dict(good.tables))
        self.ledger: dict[str, list[Row]] = deepcopy(dict(good.ledger or {}))
        self.history: list[Row] = deepcopy(good.history or [])
        self.watched: list[Row] = deepcopy(good.watched or [])
        self.logs: dict[str, list[str]] = deepcopy(dict(good.logs or {}))

    def evidence(self) -> Evidence:
        return Evidence(self.tables, self.ledger, self.history, watched=self.watched or None, logs=self.logs or None)

    def told(self, kind: str) -> Row:
        """What the first line of that kind in the history says."""
        return next(line[kind] for line in self.history if kind in line)

    def seen(self, what: str) -> Row:
        """The last look at which that had changed."""
        return next(look for look in reversed(self.watched) if what in look)

    def event(self, kind: str, stream: str) -> Row:
        """The first event of that type whose stream ends with `stream`."""
        return next(row for row in self.tables["events"] if row["type"] == kind and row["stream"].endswith(stream))

    def book(self, table: str, **wanted: Any) -> Row:
        return _find(self.ledger[table], wanted)

    def row(self, table: str, **wanted: Any) -> Row:
        return _find(self.tables[table], wanted)

    def lose(self, event: Row) -> None:
        """The event was never stored; its stream closes up."""
        self.tables["events"].remove(event)
        for row in self.tables["events"]:
            if row["stream"] == event["stream"] and row["version"] > event["version"]:
                row["version"] -= 1

    def happen(self, event: Row, after: Row, **changes: Any) -> Row:
        """A copy of an event, changed, at the end of its stream and right behind another event."""
        new = deepcopy(event)
        new["data"] = {**new["data"], **changes.pop("data", {})}
        new.update(changes)
        for row in self.tables["events"]:
            row["position"] += 1 if row["position"] > after["position"] else 0
        versions = [row["version"] for row in self.tables["events"] if row["stream"] == new["stream"]]
        new["version"], new["position"] = max(versions, default=0) + 1, after["position"] + 1
        self.tables["events"].append(new)
        return new

    def last(self) -> Row:
        return max(self.tables["events"], key=lambda row: row["position"])


def _find(rows: list[Row], wanted: Row) -> Row:
    return next(row for row in rows if wanted.items() <= row.items())
