"""The faults that strike at a time: what each of them does to the world."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.chance import stream
from tests.simulation.people import SKUS
from tests.simulation.shape import Planned
from tests.simulation.workforce import Process, RelayProcess

if TYPE_CHECKING:
    from tests.simulation.world import World

DEPENDENCIES = ("risk", "payment", "carrier", "mail")


def strike(world: "World", planned: Planned) -> None:
    """Let it happen, unless the storm is over."""
    if world.storm:
        world.trace.fault(planned.kind, "plan", f"{planned.lasts:g} s")
        _STRIKES[planned.kind](world, planned)


def _someone(world: "World", planned: Planned) -> Process:
    everyone = [*world.workers, *world.relays]
    return everyone[int(planned.whom * len(everyone))]


def _some_order(world: "World", planned: Planned) -> str:
    numbers = world.shape.orders
    return f"o{numbers[int(planned.whom * len(numbers))]}"


def _away(name: str) -> Callable[["World", Planned], None]:
    def go_away(world: "World", planned: Planned) -> None:
        part = getattr(world, name)
        part.away = True
        world.agenda.after(planned.lasts, "plan", f"{name} is back", lambda: setattr(part, "away", False))

    return go_away


def _outside_away(world: "World", planned: Planned) -> None:
    who = DEPENDENCIES[int(planned.whom * len(DEPENDENCIES))]
    world.outside.away.add(who)
    world.agenda.after(planned.lasts, "plan", f"{who} is back", lambda: world.outside.away.discard(who))


def _kill_all(world: "World", _: Planned) -> None:
    for process in (*world.workers, *world.relays):
        process.die()
    world.bus.wipe()


def _second_relay(world: "World", _: Planned) -> None:
    if len(world.relays) == 1:
        world.relays.append(RelayProcess(world, "r2", stream(world.shape.seed, "relay", 2)))
        world.relays[-1].start()


def _delivery(world: "World", planned: Planned) -> None:
    warehouse = world.warehouses[int(planned.whom * 2)].id
    world.people.deliver(warehouse, SKUS[int(planned.whom * 1000) % len(SKUS)], 1 + int(planned.whom * 100) % 5)


_STRIKES: dict[str, Callable[["World", Planned], None]] = {
    "kill": lambda world, planned: _someone(world, planned).die(),
    "freeze": lambda world, planned: _someone(world, planned).freeze(planned.lasts),
    "store away": _away("database"),
    "broker away": _away("bus"),
    "broker wiped": lambda world, _: world.bus.wipe(),
    "outside away": _outside_away,
    "everything killed": _kill_all,
    "cancel": lambda world, planned: world.people.cancel(_some_order(world, planned)),
    "hold": lambda world, planned: world.people.hold(_some_order(world, planned)),
    "release": lambda world, planned: world.people.release(_some_order(world, planned)),
    "delivery": _delivery,
    "retry the dead": lambda world, _: world.operators.go_through(),
    "second relay": _second_relay,
}
