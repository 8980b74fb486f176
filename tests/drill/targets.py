"""What a drill can strike: nodes of the engines, and roles of the product. Struck once, healed once, whole again when it says so."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from tests.chaos.processes import Role
from tests.faults import signals
from tests.faults.proxy import Proxy

Kind = Literal["kill", "freeze", "cut", "fail over"]


class Target(Protocol):
    """`engine` is what it is a part of; `place` tells what it is there at this moment, a leader for example."""

    name: str
    engine: str

    def place(self) -> str: ...

    def strike(self, kind: Kind) -> None: ...

    def heal(self, kind: Kind) -> None: ...

    def is_whole(self) -> bool: ...


class Member(Protocol):
    """A node as the servers of the tests have them."""

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def cut_off(self) -> None: ...

    def heal(self) -> None: ...


class Node:
    """A node of a cluster; `revive` starts it again after a kill."""

    def __init__(
        self,
        name: str,
        engine: str,
        member: Member,
        *,
        revive: Callable[[], object],
        place: Callable[[], str],
        is_whole: Callable[[], bool],
    ) -> None:
        self.name = name
        self.engine = engine
        self._member = member
        self._revive = revive
        self.place = place
        self.is_whole = is_whole

    def strike(self, kind: Kind) -> None:
        strikes = {"kill": self._member.kill, "freeze": self._member.freeze, "cut": self._member.cut_off}
        strikes[kind]()

    def heal(self, kind: Kind) -> None:
        heals = {"kill": self._revive, "freeze": self._member.thaw, "cut": self._member.heal}
        heals[kind]()


class Process:
    """A role of the product. Cut off means: nothing passes on any of its connections, and nobody tells it so."""

    engine = "roles"

    def __init__(self, role: Role, proxies: Sequence[Proxy] = ()) -> None:
        self.name = role.name
        self._role = role
        self._proxies = proxies

    def place(self) -> str:
        return ""

    def strike(self, kind: Kind) -> None:
        if kind == "kill":
            self._role.kill()
        elif kind == "freeze":
            signals.freeze([self._role.pid])
        else:
            for proxy in self._proxies:
                proxy.blackhole()

    def heal(self, kind: Kind) -> None:
        if kind == "freeze":
            signals.thaw([self._role.pid])
        for proxy in self._proxies:
            proxy.heal()
        self._role.ensure()

    def is_whole(self) -> bool:
        return self._role.is_running()
