"""Answers to those who submitted orders through the broker. An answer is a courtesy: it is sent once, and nothing ever waits for it.

`reply_to` comes from a stranger, so it must name a queue for replies (`ow_reply_...`) that exists already: otherwise any message could
create queues or put noise into those of the pipeline.
"""

import re
import threading
from collections.abc import Sequence
from queue import Empty, Full, Queue

import structlog

from domain.errors import BrokerUnavailable
from domain.messaging import REPLIES, Inbound, Outbound, Publisher
from workers.intake import Outcome
from workers.outcomes import encode_outcome

log = structlog.get_logger()

REPLY_QUEUE = re.compile(REPLIES + r"[a-z0-9_]{1,31}")
WAITING = 10_000
AT_ONCE = 100
LOOK_S = 0.2
LONGEST_LABEL = 255


def can_answer(inbound: Inbound) -> bool:
    """The message says where to, in a way that we accept."""
    label = inbound.correlation_id or ""
    return REPLY_QUEUE.fullmatch(inbound.reply_to or "") is not None and len(label) <= LONGEST_LABEL


class Replies:
    """Sends from a thread of its own; when it cannot keep up, answers are dropped and counted."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: Queue[Outbound] = Queue(maxsize=WAITING)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> bool:
        """Send what waits, as far as the time allows; True if all was tried."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def answer(self, inbound: Inbound, outcomes: Sequence[Outcome]) -> None:
        """One JSON line an order, in the order of the message. Never blocks."""
        if not can_answer(inbound) or inbound.reply_to is None:
            return
        body = b"\n".join(map(encode_outcome, outcomes))
        try:
            self._waiting.put_nowait(
                Outbound(queue=inbound.reply_to, body=body, correlation_id=inbound.correlation_id or None)
            )
        except Full:
            self.dropped += 1

    def _run(self) -> None:
        while answers := self._take():
            self._send(answers)

    def _take(self) -> list[Outbound]:
        """At least one; none at the end."""
        answers: list[Outbound] = []
        while not answers and not (self._stop.is_set() and self._waiting.empty()):
            try:
                answers.append(self._waiting.get(timeout=LOOK_S))
                while len(answers) < AT_ONCE:
                    answers.append(self._waiting.get_nowait())
            except Empty:
                continue
        return answers

    def _send(self, answers: Sequence[Outbound]) -> None:
        """Queue by queue, so that one that vanishes takes no other's answers with it."""
        queues = {answer.queue for answer in answers}
        try:
            homes = {queue for queue in queues if self._publisher.depth(queue) is not None}
        except BrokerUnavailable as error:
            self._drop(answers, error.reason)
            return
        self._drop([answer for answer in answers if answer.queue not in homes], "there is no such queue")
        for queue in homes:
            self._send_to(queue, [answer for answer in answers if answer.queue == queue])

    def _send_to(self, queue: str, answers: Sequence[Outbound]) -> None:
        try:
            self._publisher.publish(answers)
        except BrokerUnavailable as error:
            self._drop(answers, f"{queue}: {error.reason}")

    def _drop(self, answers: Sequence[Outbound], reason: str) -> None:
        if answers:
            self.dropped += len(answers)
            log.warning("answers to submitters were not sent", count=len(answers), reason=reason)
