"""Random lives of a settings store with two clients, compared with a list of documents after every step."""

from typing import Any, ClassVar
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.configuration import Revision, SettingsStore, StaleVersion, Value

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
DOCUMENTS = st.dictionaries(
    st.text(max_size=5),
    SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=2),
    max_size=3,
)
CLIENT = st.integers(0, 1)


class SettingsMachine(RuleBasedStateMachine):
    """The model: what every version since the beginning of this life held, and which request made it."""

    clients: ClassVar[list[SettingsStore]]

    @initialize()
    def begin(self) -> None:
        start = self.clients[0].read()
        self.base = start.version
        self.documents: list[Any] = [start.values]
        self.requests: list[tuple[str, int]] = []
        self.told: list[tuple[str, str]] = []

    @property
    def version(self) -> int:
        return self.base + len(self.documents) - 1

    @rule(client=CLIENT, values=DOCUMENTS, who=st.sampled_from(["cli:ada", "cli:grace"]))
    def change(self, client: int, values: dict[str, Value], who: str) -> None:
        request = uuid4().hex
        made = self.clients[client].change(
            self.version, values, who=who, why=f"version {self.version + 1}", request=request
        )
        self.told.append((who, f"version {self.version + 1}"))
        self.documents.append(values)
        self.requests.append((request, self.version))
        assert made == Revision(version=self.version, values=values)

    @rule(client=CLIENT, values=DOCUMENTS, off=st.sampled_from([-2, -1, 1, 7]))
    def change_too_late(self, client: int, values: dict[str, Value], off: int) -> None:
        with pytest.raises(StaleVersion) as stale:
            self.clients[client].change(self.version + off, values, who="cli:ada", why="why", request=uuid4().hex)
        assert (stale.value.expected, stale.value.found) == (self.version + off, self.version)

    @precondition(lambda self: self.requests)
    @rule(client=CLIENT, which=st.integers(0, 100))
    def repeat(self, client: int, which: int) -> None:
        request, version = self.requests[which % len(self.requests)]
        values = self.documents[version - self.base]
        again = self.clients[client].change(version - 1, values, who="cli:ada", why="why", request=request)
        assert again == Revision(version=version, values=values)

    @rule(client=CLIENT, back=st.integers(-1, 3))
    def look_for_news(self, client: int, back: int) -> None:
        found = self.clients[client].wait(self.version - back, 0.0)
        assert found == (Revision(version=self.version, values=self.documents[-1]) if back > 0 else None)

    @rule(client=CLIENT, limit=st.integers(1, 4))
    def look_back(self, client: int, limit: int) -> None:
        found = self.clients[client].history(limit=limit, before=self.version + 1)
        mine = [(one.version, one.values, (one.who, one.why)) for one in found if one.version > self.base]
        versions = range(self.version, max(self.base, self.version - limit), -1)
        assert mine == [(one, self.documents[one - self.base], self.told[one - self.base - 1]) for one in versions]

    @invariant()
    def everybody_reads_the_newest(self) -> None:
        for client in self.clients:
            assert client.read() == Revision(version=self.version, values=self.documents[-1])


def run_settings_machine(
    store: SettingsStore, other: SettingsStore, *, max_examples: int, stateful_step_count: int
) -> None:
    """Live through it; both clients lead to the same place."""

    class Machine(SettingsMachine):
        clients: ClassVar[list[SettingsStore]] = [store, other]

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=max_examples, stateful_step_count=stateful_step_count, deadline=None, database=None
        ),
    )
