"""The review of dead letters, with the same eyes on messages as the consumers have."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from domain.errors import CommandRefused, UndecodableMessage
from domain.messaging import Inbound
from domain.work import Step
from infrastructure.messaging.frames import decode_frame
from infrastructure.messaging.hardening import json_only
from infrastructure.messaging.settings import BrokerSettings
from workers.bootstrap.foundation import Foundation
from workers.bootstrap.queues import INTAKE_QUEUE, QUEUES
from workers.bootstrap.terms import warehouses

if TYPE_CHECKING:
    from workers.review import Review


class Reviewing(Foundation):
    """What a person does about dead letters."""

    def review(self) -> "Review":
        """Look at dead letters and decide about them; connects to the broker only to send a message."""
        from workers.review import Review
        from workers.review.messages import Messages

        publisher = self.broker().publisher()
        self.opened.callback(publisher.close)
        return Review(
            store=self.store(),
            letters=self.letters(),
            publisher=publisher,
            announce=self._announce_late,
            policy=self.policy(),
            warehouses=warehouses(self.settings),
            messages=Messages(queues=frozenset(QUEUES), judge=judge),
        )

    def _announce_late(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Whoever only looks needs no broker."""
        self.announce()(pairs)


def judge(inbound: Inbound) -> str:
    """What the queue's consumer would make of the message. Raises `CommandRefused`."""
    refused = json_only(BrokerSettings(url="memory://").body_limit)(inbound)
    if refused is not None:
        raise CommandRefused(refused)
    return _judged_orders(inbound) if inbound.queue == INTAKE_QUEUE else _judged_frame(inbound)


def _judged_orders(inbound: Inbound) -> str:
    from infrastructure.intake import Refusal
    from workers.intake_consumer import open_message

    opened = open_message(inbound)
    refusals = [part for part in opened.parts if isinstance(part, Refusal)]
    if refusals:
        problems = "; ".join(f"{error.field}: {error.reason}" for refusal in refusals for error in refusal.errors)
        raise CommandRefused(f"{len(refusals)} of {len(opened.parts)} orders are refused: {problems[:500]}")
    ids = ", ".join(order.order_id for order in opened.orders()[:3])
    more = f" and {len(opened.parts) - 3} more" if len(opened.parts) > 3 else ""
    return f"would be accepted: {ids}{more} (an order that is known already stays as it is)"


def _judged_frame(inbound: Inbound) -> str:
    try:
        frame = decode_frame(inbound.body)
    except UndecodableMessage as error:
        raise CommandRefused(error.reason) from None
    if frame.step not in set(Step):
        raise CommandRefused(f"step {frame.step!r} is unknown to this version")
    return f"would wake {len(frame.orders)} orders for {frame.step}"
