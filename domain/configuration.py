"""The settings that change while the program runs: one document with one version, kept where the whole fleet sees it.

A document holds only the overrides in force: what it does not name is as each process was told at its start. Every change replaces
the whole document under the next version, says who made it and why, and stays in the history for ever; going back is a change with
the values of an old version. So a version names one state of everything, and two people who change at once cannot mix: the second
is told that the first was there.

The store knows nothing of what the values mean; whoever changes them checks them first, whoever reads them checks them again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeAlias

from domain.errors import CommandRefused, OrderwrightError

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"

DOCUMENT_LIMIT = 64 * 1024  # bytes of JSON
WORDS_LIMIT = 500  # characters of who, why or request


class StaleVersion(OrderwrightError):
    """Somebody changed the settings first: look at them and decide again."""

    def __init__(self, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"the settings are at version {found}, not {expected}: somebody changed them meanwhile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One version of all settings. Version 0: nothing was ever set."""

    version: int = 0
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Who made a version, why and when by the store's clock. `values` is the whole document after it."""

    version: int
    values: Mapping[str, Value]
    who: str
    why: str
    at: datetime


class SettingsStore(Protocol):
    """Where the settings are. Thread-safe; every call has a deadline and may raise `StoreUnavailable`."""

    def read(self) -> Revision:
        """The version in force: never older than any that was returned to anybody before this call began."""
        ...

    def change(self, expected: int, values: Mapping[str, Value], *, who: str, why: str, request: str) -> Revision:
        """Put `values` in force as version `expected + 1` if `expected` is in force.

        `request` is unique for each change that is wanted: after a lost answer the same call may be repeated, and gives the
        revision that it made, whatever came after it. Raises `StaleVersion`, and `CommandRefused` if `document` does.
        """
        ...

    def history(self, *, limit: int = 50, before: int | None = None) -> Sequence[Change]:
        """At most `limit` changes, the newest first, all older than version `before`."""
        ...

    def wait(self, after: int, timeout_s: float) -> Revision | None:
        """The version in force as soon as it is greater than `after`; None if it is not by then."""
        ...

    def close(self) -> None:
        """Let go of all connections; a `wait` under way ends soon."""
        ...


def document(values: Mapping[str, Value], *, who: str, why: str, request: str) -> str:
    """The values as every store writes them. Raises `CommandRefused` for what cannot be written or read back the same."""
    for name, words in (("who", who), ("why", why), ("request", request)):
        if not words.strip() or len(words) > WORDS_LIMIT or not words.isprintable():
            raise CommandRefused(f"must be 1 to {WORDS_LIMIT} printable characters", field=name)
    try:
        text = json.dumps(values, allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise CommandRefused(f"is no JSON: {error}", field="values") from None
    if len(text) > DOCUMENT_LIMIT:
        raise CommandRefused(f"has {len(text)} bytes, {DOCUMENT_LIMIT} are allowed", field="values")
    if values != json.loads(text):
        raise CommandRefused("is no JSON: it does not come back as it was", field="values")
    return text
