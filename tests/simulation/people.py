"""Customers who submit, submit again and cancel; operators who hold and release; trucks that bring goods.

Who gets no answer tries again with the same key or command, as a person or a program does; who is refused lets it be.
"""

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from domain.errors import BrokerUnavailable, CommandRefused, OrderwrightError, StoreUnavailable, VersionConflict
from domain.order import CancelReason, HoldReason
from domain.stock import Receive
from infrastructure.intake.submission import OrderSubmission
from infrastructure.messaging.wakeups import WakeUps
from tests.simulation.chance import stream
from tests.simulation.database import Connection, Killed
from workers.handle import Handler, cancel, hold, release
from workers.intake import Accepted, AlreadyKnown, Intake, Refused

if TYPE_CHECKING:
    from tests.simulation.world import World

SKUS = ("cup", "pot", "tea", "tin")
COUNTRIES = ("NO", "IT", "DE")
POLICIES = ("ship-partial", "ship-partial", "ship-complete", "cancel-remainder")
PATIENCE_S = 2.0


def submission(seed: int, number: int) -> OrderSubmission:
    """The order with this number."""
    chance = stream(seed, "order", number)
    lines = [
        {"sku": chance.choice(SKUS), "quantity": chance.randint(1, 3), "amount": chance.choice([0, 100, 999, 12345])}
        for _ in range(chance.choice([1, 1, 2, 3]))
    ]
    shipping = chance.choice([0, 1, 499])
    total = sum(int(str(line["amount"])) for line in lines) + shipping
    if total == 0:
        shipping = total = 7
    document: dict[str, Any] = {
        "order_id": f"o{number}",
        "customer_id": f"c{number}",
        "currency": "EUR",
        "lines": lines,
        "shipping": shipping,
        "total": total,
        "ship_to": {"name": "Ada", "street": "Street 1", "city": "Oslo", "country": chance.choice(COUNTRIES)},
        "payment": {"token": f"tok_{number}"},
        "shipping_policy": chance.choice(POLICIES),
    }
    return OrderSubmission.model_validate(document, strict=False)


class People:
    """All of them, over one flaky connection each time."""

    name = "people"
    alive = True

    def __init__(self, world: "World", chance: Random) -> None:
        self._world = world
        self._chance = chance
        connection: Any = Connection(world.database, self)
        wakeups = WakeUps(world.bus)  # type: ignore[arg-type]
        self._store = connection
        self._handler = Handler(store=connection, announce=world.quietly(wakeups.announce), policy=world.policy)
        clock = lambda: world.agenda.lived  # noqa: E731
        self._intake = Intake(connection, wakeups.announce, world.policy, clock=clock)
        self._commands = 0

    def die(self) -> None:
        """A person who is cut off tries again."""

    # --- customers ---

    def submit(self, number: int) -> None:
        """Submit an order until it is acknowledged; some do so several times."""
        order = submission(self._world.shape.seed, number)
        self._world.oracle.attempted.add(order.order_id)
        self.persist(f"submits {order.order_id}", lambda: self._submit(order))
        if self._world.strikes("submitted again"):
            for _ in range(self._chance.randint(1, 3)):
                delay = self._chance.choice([0.0, 0.001, 0.5, 20.0])
                again = lambda: self.persist(f"submits {order.order_id} again", lambda: self._submit(order))  # noqa: E731
                self._world.agenda.after(delay, "people", "", again)

    def _submit(self, order: OrderSubmission) -> None:
        (outcome,) = self._intake.accept([order])
        match outcome:
            case Accepted() | AlreadyKnown():
                self._world.oracle.acknowledged.add(order.order_id)
                if self._world.strikes("submitted again"):
                    self.persist(f"submits {order.order_id} with other content", lambda: self._submit_other(order))
            case Refused(errors=errors):
                self._world.oracle.find(order.order_id, f"was refused: {errors}")

    def _submit_other(self, order: OrderSubmission) -> None:
        """The key of an accepted order with other content is refused, and changes nothing."""
        other = order.model_copy(update={"customer_id": "somebody-else"})
        (outcome,) = self._intake.accept([other])
        if not isinstance(outcome, Refused):
            self._world.oracle.find(order.order_id, f"with other content: {outcome}")

    def cancel(self, order_id: str) -> None:
        self._command(order_id, "cancels", cancel(CancelReason.CUSTOMER, "", "customer"))

    # --- operators ---

    def hold(self, order_id: str) -> None:
        reason = self._chance.choice(list(HoldReason))
        self._command(order_id, "holds", hold(reason, "", "ann"))

    def release(self, order_id: str) -> None:
        self._command(order_id, "releases", release(None, "", "ann"))

    def _command(self, order_id: str, verb: str, command: Callable[..., Any]) -> None:
        command_id = self._command_id()
        self.persist(
            f"{verb} {order_id}",
            lambda: self._handler.on_order(order_id, command, command_id=command_id, actor="ann"),
        )

    # --- goods ---

    def deliver(self, warehouse: str, sku: str, quantity: int) -> None:
        """A truck brings goods. The papers name the delivery, so it is booked once."""
        command_id = self._command_id()
        receive = Receive(quantity=quantity, delivery=command_id, at=self._store.now())
        self.persist(
            f"brings {quantity} {sku} to {warehouse}",
            lambda: self._handler.on_stock(warehouse, sku, receive, command_id=command_id, actor="truck"),
        )

    def _command_id(self) -> str:
        self._commands += 1
        return f"command-{self._commands}"

    def persist(self, what: str, action: Callable[[], object]) -> None:
        """Do it until there is an answer."""
        try:
            action()
            self._world.trace.note("people", what)
        except (Killed, StoreUnavailable, BrokerUnavailable, VersionConflict):
            pause = PATIENCE_S * self._chance.random()
            self._world.agenda.after(pause, "people", "", lambda: self.persist(what, action))
        except CommandRefused as refusal:
            self._world.trace.note("people", f"{what}, refused: {refusal}")
        except OrderwrightError as error:
            self._world.oracle.find("people", f"{what}: {error!r}")
