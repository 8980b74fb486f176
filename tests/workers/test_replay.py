"""The loop of a rebuild: pages, progress, a way out, one switch at the end."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from workers.replay import Replay


@dataclass
class Script:
    """A rebuild of so many positions, of which more may come while it works."""

    total: int
    grows: int = 0
    done: int = 0
    history: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.history.append("enter")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.history.append("exit")

    def fill(self) -> tuple[int, int]:
        self.total, self.grows = self.total + self.grows, max(0, self.grows - 1)
        self.done = min(self.done + 10, self.total)
        return self.done, self.total

    def switch(self) -> list[str]:
        self.history.append("switch")
        return ["orders"]


def test_it_fills_to_the_end_and_switches_once() -> None:
    seen = list[tuple[int, int]]()
    script = Script(total=25)
    assert Replay(script, on_progress=lambda done, total: seen.append((done, total))).run() == ["orders"]
    assert seen == [(10, 25), (20, 25), (25, 25)]
    assert script.history == ["enter", "switch", "exit"]


def test_it_follows_an_end_that_moves() -> None:
    script = Script(total=10, grows=4)
    Replay(script).run()
    assert (script.done, script.total) == (17, 17)


def test_an_empty_store_is_switched_too() -> None:
    assert Replay(Script(total=0)).run() == ["orders"]


def test_stopping_leaves_without_the_switch() -> None:
    script = Script(total=100)
    assert Replay(script, stopping=lambda: script.done >= 30).run() is None
    assert script.history == ["enter", "exit"]
