"""Where refused messages go: the broker's dead-letter queue, from which the keeper stores them."""

import hashlib
import uuid
from dataclasses import dataclass

from domain.messaging import Inbound, Outbound, Publisher


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSender:
    """To be given to consumers as `on_unreadable`. The message is settled only when its copy is confirmed.

    If the copy cannot be sent, the error ends the consumer's session, and the message comes again after a pause.
    """

    publisher: Publisher
    queue: str = "ow_dead"
    body_limit: int = 65_536

    def __call__(self, inbound: Inbound, reason: str) -> None:
        headers = {
            "ow-reason": reason[:500],
            "ow-queue": inbound.queue,
            "ow-size": max(len(inbound.body), inbound.size),
            "ow-sha256": hashlib.sha256(inbound.body).hexdigest(),
            "ow-content-type": ascii(inbound.content_type)[:255],
            "ow-content-encoding": ascii(inbound.content_encoding)[:255],
            "ow-copy": str(uuid.uuid4()),
        }
        copy = Outbound(
            queue=self.queue,
            body=inbound.body[: self.body_limit],
            content_type="application/octet-stream",
            message_id=inbound.message_id,
            correlation_id=inbound.correlation_id,
            reply_to=inbound.reply_to,
            headers=headers,
        )
        self.publisher.publish([copy])
        inbound.settle()
