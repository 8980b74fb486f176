"""Changing the live settings as a person does: one name at a time, checked before it is stored, with who and why.

Two people who change different names do not get in each other's way: whoever was second looks again and makes his change on top,
unless he named the version that he had looked at. A change whose answer was lost is repeated under the same id, so it is made once.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from domain.configuration import Change, Revision, SettingsStore, StaleVersion, Value
from domain.errors import CommandRefused, StoreUnavailable

TRIES = 5
PAGE = 200

Values = Mapping[str, Value]
Edit = Callable[[Values], Values]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One name, with dots where it lies inside another; None where it was or is not set."""

    name: str
    before: Value
    after: Value


def assign(values: Values, name: str, text: str) -> Values:
    """The values with `name=text` among them; `a.b` is `b` inside `a`. Text that is no JSON is taken as it is, `paused` as a list."""
    value = _value(text)
    if name == "paused" and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    changed: dict[str, Any] = deepcopy(dict(values))
    *path, last = name.split(".")
    place = changed
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise CommandRefused(f"settings: {name}: {part} has nothing inside it")
    place[last] = value
    return changed


def remove(values: Values, name: str) -> Values:
    """The values without this name. Raises `CommandRefused` if it is not set."""
    changed: dict[str, Any] = deepcopy(dict(values))
    *path, last = name.split(".")
    place: Any = changed
    for part in path:
        place = place.get(part) if isinstance(place, dict) else None
    if not isinstance(place, dict) or last not in place:
        raise CommandRefused(f"settings: {name}: is not set")
    del place[last]
    return changed


def differences(before: Values, after: Values) -> list[Difference]:
    """What changed, name by name."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return [
        Difference(name=name, before=old.get(name), after=new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


class LiveChanges:
    """`accepted` checks a whole document and gives it as it is to be stored; it raises `CommandRefused`."""

    def __init__(self, store: SettingsStore, accepted: Callable[[Values], Values]) -> None:
        self._store = store
        self._accepted = accepted

    def now(self) -> Revision:
        """What is in force."""
        return self._store.read()

    def at(self, version: int) -> Revision:
        """An old version; 0 is the one before anything was set. Raises `CommandRefused` if there is none."""
        if version == 0:
            return Revision()
        found = self._store.history(limit=1, before=version + 1)
        if not found or found[0].version != version:
            raise CommandRefused(f"there is no version {version} of the settings")
        return Revision(version=version, values=found[0].values)

    def foresee(self, edit: Edit) -> tuple[Revision, Values]:
        """What is in force, and what would be."""
        now = self._store.read()
        return now, self._accepted(edit(now.values))

    def change(self, edit: Edit, *, who: str, why: str, expect: int | None = None) -> tuple[Revision, Revision]:
        """Before and after. Raises `StaleVersion` if `expect` is not in force any more; nothing is stored that changes nothing."""
        for _ in range(TRIES):
            before, values = self.foresee(edit)
            if expect is not None and before.version != expect:
                raise StaleVersion(expect, before.version)
            if values == before.values:
                return before, before
            try:
                return before, self._write(before.version, values, who, why)
            except StaleVersion:
                if expect is not None:
                    raise
        raise StoreUnavailable("the settings change all the time; try again")

    def history(self, limit: int, before: int | None = None) -> Iterator[tuple[Change, list[Difference]]]:
        """Changes with what each of them changed, the newest first."""
        left = limit
        while left > 0:
            most = min(PAGE, left)
            page = self._store.history(limit=most + 1, before=before)
            for change, earlier in zip(page[:most], [*page[1:], None], strict=False):
                yield change, differences(earlier.values if earlier else {}, change.values)
                left -= 1
                before = change.version
            if len(page) <= most:
                return

    def origins(self, now: Revision) -> dict[str, Change]:
        """For each name that is set (without dots) the change that last touched it."""
        missing, found = set(now.values), dict[str, Change]()
        for change, changed in self.history(now.version, now.version + 1):
            for name in {one.name.partition(".")[0] for one in changed} & missing:
                found[name] = change
            missing -= set(found)
            if not missing:
                break
        return found

    def _write(self, expected: int, values: Values, who: str, why: str) -> Revision:
        request = uuid4().hex
        for tries_left in reversed(range(3)):
            try:
                return self._store.change(expected, values, who=who, why=why, request=request)
            except StoreUnavailable:
                if not tries_left:
                    raise
        raise AssertionError("not reached")


def _value(text: str) -> Value:
    try:
        value: Value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _flat(values: Values, prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def told(found: Sequence[Difference]) -> str:
    """Differences on one line."""
    return "; ".join(f"{one.name}: {_shown(one.before)} -> {_shown(one.after)}" for one in found) or "nothing"


def _shown(value: Value) -> str:
    return "as told at the start" if value is None else json.dumps(value, ensure_ascii=False)
