"""Submitting orders from a Python program, through the database or through the broker.

    with OrderProducer.connect() as producer:
        order_id = producer.submit({...})

Every order is checked here first, by the very gate that it will meet, so a refusal needs no round trip. Whatever goes wrong on the way,
submitting the same order again is safe.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self

from infrastructure.intake import Refusal, encode_order, parse_order
from workers.doors import Door, open_door
from workers.intake import Outcome, Refused

Document = Mapping[str, Any] | bytes | str

BATCH = 100


class OrderProducer:
    """Use it in a `with` statement; it may be shared between threads."""

    def __init__(self, door: Door) -> None:
        self._door = door

    @classmethod
    def connect(cls, url: str | None = None) -> Self:
        """To a database (`postgresql://`) or a broker (`amqp://`, `pgmq://`); without a URL, to the database of the settings."""
        return cls(open_door(url))

    def submit(self, order: Document) -> str:
        """The order's id, when it is stored. Raises `Refusal` with every fault."""
        outcome = self._submit([order])[0]
        if isinstance(outcome, Refused):
            raise Refusal(outcome.errors, order_id=outcome.order_id)
        return outcome.order_id

    def submit_many(self, orders: Iterable[Document]) -> Iterator[Outcome]:
        """The outcome of each order, in their order, a hundred orders at a time."""
        rest = iter(orders)
        while batch := list(islice(rest, BATCH)):
            yield from self._submit(batch)

    def close(self) -> None:
        self._door.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, orders: Sequence[Document]) -> Sequence[Outcome]:
        judged = [_judge(order) for order in orders]
        good = [document for document in judged if isinstance(document, bytes)]
        outcomes = iter(self._door.submit(good) if good else ())
        return [next(outcomes) if isinstance(document, bytes) else document for document in judged]


def _judge(order: Document) -> bytes | Refused:
    """The order's document, or why it is refused."""
    try:
        document = encode_order(order) if isinstance(order, Mapping) else _bytes(order)
        parse_order(document)
    except Refusal as refusal:
        return Refused(order_id=refusal.order_id, errors=refusal.errors)
    return document


def _bytes(text: bytes | str) -> bytes:
    return text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text)
