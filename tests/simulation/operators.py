"""Operators who go through the dead letters with the program's own tools: try again what was mended, conclude what nobody knows.

Who concludes looks into the books of the other side first, as a person does who calls the gateway's support.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from domain import outside
from domain.errors import KeyExpired
from domain.review import Filter, Letter
from domain.work import RunKey, Step
from infrastructure.memory.dead_letters import MemoryDeadLetters
from infrastructure.messaging.wakeups import WakeUps
from tests.simulation.database import Connection
from workers.review import Review
from workers.review.messages import Messages
from workers.review.plan import Person

if TYPE_CHECKING:
    from tests.simulation.world import World

ANN = Person(by="ann", reason="mended")
KEYS = {
    Step.AUTHORIZE: "{0.order_id}:auth:{0.ordinal}",
    Step.VOID: "{0.order_id}:void:{0.ordinal}",
    Step.CAPTURE: "{0.order_id}+{0.part}:capture:{0.ordinal}",
    Step.LABEL: "{0.order_id}+{0.part}:label:{0.ordinal}",
    Step.HAND_OVER: "{0.order_id}+{0.part}:scan:{0.ordinal}",
}
REFERENCES = {
    outside.PaymentAuthorized: "reference",
    outside.PaymentCaptured: "reference",
    outside.PaymentVoided: "reference",
    outside.LabelBought: "tracking",
    outside.LabelRefunded: "tracking",
    outside.ParcelAccepted: "scan_id",
}


class FlakyLetters:
    """The dead letters over a connection."""

    def __init__(self, letters: MemoryDeadLetters, connection: Connection) -> None:
        self._letters = letters
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return self._connection.over(getattr(self._letters, name))

    def deciding(self) -> Any:
        return self._connection.within(self._letters.deciding)


class Operators:
    """They share the flaky connection of all people."""

    def __init__(self, world: "World") -> None:
        self._world = world
        connection = Connection(world.database, world.people)
        self._letters = MemoryDeadLetters(world.database.store)
        self._review = Review(
            store=connection,
            letters=FlakyLetters(self._letters, connection),
            publisher=world.bus,  # type: ignore[arg-type]
            announce=world.quietly(WakeUps(world.bus).announce),  # type: ignore[arg-type]
            policy=world.policy,
            warehouses=world.warehouses,
            messages=Messages(queues=frozenset(), judge=lambda _: ""),
        )

    def letters(self) -> Sequence[Letter]:
        """All there are."""
        return self._letters.page(Filter(), limit=1000)

    def go_through(self) -> None:
        """Decide about every letter that is open."""
        for letter in self.letters():
            if letter.run is not None and letter.state == "open":
                self._world.people.persist(f"decides about {letter.run}", partial(self._decide, letter))

    def _decide(self, letter: Letter) -> None:
        run = letter.run
        assert run is not None
        if not letter.reason.startswith(KeyExpired.__name__):
            self._review.retry([letter.id], ANN)
            return
        answer = self._what_happened(run)
        field = REFERENCES.get(type(answer))
        reference = str(getattr(answer, field)) if field else ""
        self._review.conclude(letter.id, field is not None, reference, ANN)

    def _what_happened(self, run: RunKey) -> object:
        """What the books say, however long ago it was."""
        remembered = self._world.outside.books.remembered
        key = KEYS.get(run.step, "").format(run)
        refund = f"{run.order_id}+{run.part}:label-refund"
        keys = (
            [key] if key else sorted(one for one in remembered if one.startswith(refund))[run.ordinal - 1 : run.ordinal]
        )
        return next((remembered[one].answer for one in keys if one in remembered), None)
