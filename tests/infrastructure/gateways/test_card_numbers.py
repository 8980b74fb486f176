"""A service that shows a card number: nothing of it is kept."""

import json
from typing import Any

import pytest

from domain.errors import Incident, OrderwrightError
from infrastructure.gateways.card_numbers import shows_card_number, without_card_numbers
from infrastructure.gateways.classify import parse
from infrastructure.gateways.connection import HttpAnswer
from infrastructure.gateways.wire import ASSESSED, AUTHORIZED, BOUGHT, CAPTURED, TRACKED

CARD = "4111111111111111"
HIDDEN = [
    CARD,
    "4111 1111 1111 1111",
    "3782-822463-10005",
    f"card {CARD} declined",
    f"pan={CARD};",
    f"ref_{CARD}",
    f"№{CARD}",
]
HARMLESS = [
    "4111111111111112",
    "auth_4111111111111111a0f2",
    "41111111-1111-1111-a111-411111111111",
    "trk_12345678901234567890",
    "UPS 1Z 999 AA1 0123456784",
    "2026-05-01T12:00:00",
]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_card_number_that_stands_alone_is_seen_and_masked(text: str) -> None:
    assert shows_card_number(text)
    masked = without_card_numbers(text)
    assert not any(sign.isdigit() for sign in masked)
    assert len(masked) == len(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_an_identifier_is_no_card_number(text: str) -> None:
    assert not shows_card_number(text)
    assert without_card_numbers(text) == text


def answer(status: int, *, kind: str = "application/json", **fields: Any) -> HttpAnswer:
    return HttpAnswer(status=status, headers={"content-type": kind}, body=json.dumps(fields).encode())


MONEY: dict[str, Any] = {"amount": 500, "currency": "EUR"}
EXPIRY = "2026-05-08T12:00:00Z"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (answer(200, result="authorized", reference=CARD, expires_at=EXPIRY, **MONEY), AUTHORIZED),
        (answer(402, result="declined", code=f"card {CARD} is stolen", hard=True), AUTHORIZED),
        (answer(200, result="captured", reference=f"cap_{CARD}", **MONEY), CAPTURED),
        (answer(402, result="refused", code="4111 1111 1111 1111"), CAPTURED),
        (answer(200, result="bought", tracking=CARD, carrier="swift", cost=1, currency="EUR"), BOUGHT),
        (answer(200, result="assessed", decision="review", score=50, reasons=["velocity", CARD]), ASSESSED),
    ],
)
def test_an_answer_with_a_card_number_is_an_incident_that_does_not_repeat_it(
    said: HttpAnswer, expected: object
) -> None:
    with pytest.raises(Incident, match="card number") as refused:
        parse(said, expected)  # type: ignore[arg-type]
    assert_nothing_kept(refused.value)


@pytest.mark.parametrize(
    "said",
    [
        answer(400, error="invalid", message=f"no such card: {CARD}"),
        answer(400, error=CARD, message="no"),
        answer(500, error="internal", message=f"charging {CARD} failed"),
        answer(200, kind=f"text/{CARD}"),
        answer(200, result=CARD),
    ],
)
def test_an_error_with_a_card_number_does_not_repeat_it(said: HttpAnswer) -> None:
    with pytest.raises(OrderwrightError) as failed:
        parse(said, TRACKED)
    assert_nothing_kept(failed.value)


def assert_nothing_kept(error: BaseException | None) -> None:
    while error is not None:
        assert CARD[-8:] not in str(error)
        assert "1111 1111" not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
