"""A review over the shop's store, and a broker in memory for the messages that it sends."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from domain.errors import BrokerUnavailable, CommandRefused
from domain.messaging import Inbound, Outbound
from domain.review import Letter, Letters, Message
from infrastructure.postgres.dead_letters import PostgresDeadLetters
from tests.workers.shop import WAREHOUSES, PostgresShop
from workers.review import Review
from workers.review.filters import parse_filter
from workers.review.messages import Messages
from workers.review.plan import Person

ADA = Person(by="ada", reason="the gateway is back")


@dataclass
class Post:
    """Takes messages, or is away."""

    sent: list[Outbound] = field(default_factory=list)
    away: bool = False

    def publish(self, messages: Sequence[Outbound]) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.sent += messages

    def depth(self, queue: str) -> int | None:
        return None

    def drop(self, queue: str) -> None: ...

    def tidy(self) -> int:
        return 0

    def close(self) -> None: ...


def judge(inbound: Inbound) -> str:
    """Take what looks like an object."""
    if not inbound.body.startswith(b"{") or inbound.content_type != "application/json":
        raise CommandRefused("is no object")
    return "would be accepted"


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def letters(shop: PostgresShop) -> Letters:
    return PostgresDeadLetters(shop.store)


@pytest.fixture
def review(shop: PostgresShop, letters: Letters, post: Post) -> Review:
    return make_review(shop, letters, post)


def make_review(shop: PostgresShop, letters: Letters, post: Post) -> Review:
    messages = Messages(queues={"ow_orders", "ow_risk"}, judge=judge)
    return Review(
        store=shop.store,
        letters=letters,
        publisher=post,
        announce=shop.announce,
        policy=shop.policy,
        warehouses=WAREHOUSES,
        messages=messages,
    )


@pytest.fixture
def keep(letters: Letters) -> Callable[..., int]:
    """Let a message become a letter."""

    def keep(body: bytes = b'{"a":1}', **changes: object) -> int:
        values: dict[str, object] = {
            "reason": "no JSON",
            "origin": "ow_orders",
            "body": body,
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "message_id": f"m{random.randrange(10**12)}",
            "headers": {"content-type": "application/json"},
            **changes,
        }
        return letters.keep(Message(**values))  # type: ignore[arg-type]

    return keep


def only(review: Review, text: str = "") -> Letter:
    """The one letter that matches."""
    [letter] = review.page(parse_filter(text, now=review.store.now()))
    return letter
