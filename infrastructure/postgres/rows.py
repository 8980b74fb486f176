"""Units as the columns that `append_units` takes, and rows of `events` as recorded events.

Columns are plain lists that psycopg sends as binary arrays; a row costs one or two microseconds that way, and forty as text.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

import orjson

from domain.errors import Poison
from domain.ports import Holder, Meta, RecordedEvent, Unit, Verdict
from infrastructure import codec

_COLUMNS = {
    "u": ("group", "command", "meta"),
    "c": ("unit", "stream", "expected"),
    "e": ("unit", "stream", "version", "type", "schema", "data"),
    "s": ("unit", "order", "step", "part", "ordinal", "epoch", "state", "due", "keep", "error", "park"),
    "w": ("unit", "order", "step", "part", "ordinal", "due", "carried"),
    "d": ("unit", "order", "step", "part", "ordinal"),
    "v": ("unit", "order", "step", "part", "ordinal"),
    "n": ("unit", "order"),
}


class AppendCall:
    """The arguments of one call. Units whose expectations contradict each other are refused before it is made."""

    def __init__(self, units: Sequence[Unit], holder: Holder | None) -> None:
        self._tables: dict[str, list[tuple[Any, ...]]] = {name: [] for name in _COLUMNS}
        self._versions: dict[str, int] = {}
        self._locks: set[str] = set()
        self._holder = holder
        self._refused: dict[int, Verdict] = {}
        self._repeats = _repeats(units)
        groups = _groups(units, self._repeats)
        for place, unit in enumerate(units):
            if unit.carried and holder is None:
                raise ValueError("who carries runs on must say who he is")
            if place in self._repeats:
                self._tables["u"].append((groups[place], None, "{}"))
            else:
                self._add(place, unit, groups[place])
        self._tables["n"].sort(
            key=itemgetter(1)
        )  # the same order for everybody: these rows are of orders not locked here

    def verdicts(self, refused: Mapping[int, Verdict]) -> list[Verdict]:
        """One verdict a unit, from those that the database refused. A repeat in the same call shares the fate of its first."""
        appended, repeated = Verdict(outcome="appended"), Verdict(outcome="repeated")
        known = {place: self._refused.get(place, v) if v.outcome == "conflict" else v for place, v in refused.items()}
        verdicts = [known.get(place, appended) for place in range(len(self._tables["u"]))]
        for place, first in self._repeats.items():
            verdicts[place] = repeated if verdicts[first] == appended else verdicts[first]
        return verdicts

    def arguments(self) -> dict[str, Any]:
        """By the names that the statement `append` uses."""
        columns: dict[str, Any] = {}
        for name, fields in _COLUMNS.items():
            rows = self._tables[name]
            values = zip(*rows, strict=True) if rows else repeat(())
            columns |= {
                f"{name}_{column}": list(column_values) for column, column_values in zip(fields, values, strict=False)
            }
        holder = self._holder
        return {
            "locks": list(self._locks),
            "holder": holder.id if holder else None,
            "epoch": holder.epoch if holder else None,
            **columns,
        }

    def _add(self, place: int, unit: Unit, group: int) -> None:
        self._locks.add(unit.lock)
        command = None if unit.settled else unit.meta.command_id
        if command is not None:
            self._locks.add(f"command {command}")
        self._tables["u"].append((group, command, _meta(unit.meta)))
        self._check_versions(place, unit)
        for stream, event in unit.events:
            version = self._versions[stream] = self._versions.get(stream, unit.expected[stream]) + 1
            name, schema, data = codec.encode(event)
            self._tables["e"].append((place, stream, version, name, schema, data.decode()))
        self._add_work(place, unit)

    def _check_versions(self, place: int, unit: Unit) -> None:
        for stream, expected in unit.expected.items():
            self._locks.add(_lock_of(stream))
            written = self._versions.get(stream)
            if written is None:
                self._tables["c"].append((place, stream, expected))
            elif written != expected:
                self._refused[place] = Verdict(outcome="conflict", stream=stream, expected=expected, current=written)
                self._tables["c"].append((place, stream, -1))

    def _add_work(self, place: int, unit: Unit) -> None:
        for run in unit.settled:
            key = run.key
            self._tables["s"].append(
                (
                    place,
                    key.order_id,
                    key.step,
                    key.part,
                    key.ordinal,
                    run.epoch,
                    run.state,
                    run.due_in.total_seconds(),
                    run.keep_attempt and not run.parked_on,
                    run.error[:2000],
                    run.parked_on,
                )
            )
        for want in unit.wanted:
            key = want.key
            carried = key in unit.carried
            self._tables["w"].append((place, key.order_id, key.step, key.part, key.ordinal, want.due, carried))
        for key in unit.dropped:
            self._tables["d"].append((place, *key))
        for key in unit.revived:
            self._tables["v"].append((place, *key))
        for order_id in unit.due_now:
            self._tables["n"].append((place, order_id))


def _lock_of(stream: str) -> str:
    """The consistency key of a stream, read or written: the stock itself, or the order that it belongs to."""
    return stream if stream.startswith("stock-") else stream.partition("-")[2].partition("+")[0]


def _meta(meta: Meta) -> str:
    values = {
        "command_id": meta.command_id,
        "causation_id": meta.causation_id,
        "correlation_id": meta.correlation_id,
        "actor": meta.actor,
    }
    try:
        return orjson.dumps({name: value for name, value in values.items() if value or name == "command_id"}).decode()
    except orjson.JSONEncodeError as error:
        raise Poison("metadata that cannot be stored") from error


def _repeats(units: Sequence[Unit]) -> dict[int, int]:
    """The units that repeat a command of this very call, each with its first."""
    first: dict[str, int] = {}
    return {
        place: first[unit.meta.command_id]
        for place, unit in enumerate(units)
        if not unit.settled and first.setdefault(unit.meta.command_id, place) != place
    }


def _groups(units: Sequence[Unit], apart: Container[int]) -> list[int]:
    """A number for each unit; who looked at what an earlier unit of the call writes, directly or through others, shares its number."""
    parent = list(range(len(units)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    writer: dict[str, int] = {}
    for place, unit in enumerate(units):
        if place in apart:
            continue
        for stream in unit.expected:
            parent[root(place)] = root(writer.get(stream, place))
        writer.update((stream, place) for stream, _ in unit.events)
    return [root(place) for place in range(len(units))]


def recorded(rows: Iterable[tuple[Any, ...]]) -> list[RecordedEvent]:
    """Rows (position, stream, version, type, schema, data, meta, recorded_at) as events."""
    decode = codec.decode
    return [
        RecordedEvent(
            position=position,
            stream=stream,
            version=version,
            event=decode(name, schema, data),
            meta=Meta(**orjson.loads(meta)),
            recorded_at=at,
        )
        for position, stream, version, name, schema, data, meta, at in rows
    ]
