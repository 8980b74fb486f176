"""Events to JSON and back; the stored form of every event that was ever written, kept for ever."""

import json
import traceback
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain import order as orders
from domain.errors import Poison, UnknownEvent
from infrastructure.codec import EVENT_TYPES, SCHEMA, decode, encode
from tests.domain.examples import an_order

GOLDEN = Path(__file__).parent / "golden_events.json"


def golden() -> dict[str, Any]:
    return dict(json.loads(GOLDEN.read_text(encoding="utf-8")))


def as_logged(error: Exception) -> str:
    """With every error behind it, and without the lines of source code."""
    return "".join(line for line in traceback.format_exception(error) if not line.startswith("  File"))


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_event_type_has_a_stored_example_that_still_loads(name: str) -> None:
    stored = golden()[f"{name}/{SCHEMA}"]
    event = decode(name, SCHEMA, json.dumps(stored))
    assert type(event) is EVENT_TYPES[name]
    assert json.loads(encode(event)[2]) == stored


def test_no_stored_example_is_of_an_event_that_was_dropped() -> None:
    assert {key.partition("/")[0] for key in golden()} <= set(EVENT_TYPES)


def test_every_field_of_an_event_is_stored() -> None:
    for name, event in EVENT_TYPES.items():
        assert {field.name for field in fields(event)} == set(golden()[f"{name}/{SCHEMA}"])


def test_an_unknown_type_or_schema_is_said_and_not_guessed() -> None:
    with pytest.raises(UnknownEvent):
        decode("OrderTeleported", SCHEMA, "{}")
    with pytest.raises(UnknownEvent):
        decode("OrderClosed", 99, '{"outcome": "delivered", "at": "2026-01-01T00:00:00Z"}')


def test_a_field_that_a_newer_program_added_is_ignored() -> None:
    closed = decode("OrderClosed", SCHEMA, '{"outcome": "cancelled", "at": "2026-01-01T00:00:00Z", "newer": [1]}')
    assert closed == orders.OrderClosed(outcome="cancelled", at=datetime(2026, 1, 1, tzinfo=UTC))


def test_a_step_that_failed_before_unknown_outcomes_were_told_failed_for_sure() -> None:
    stored = {name: value for name, value in golden()["StepFailed/1"].items() if name != "unknown"}
    assert decode("StepFailed", SCHEMA, json.dumps(stored)).unknown is False


@pytest.mark.parametrize(
    "damage", ['{"outcome": "evaporated"}', '{"outcome": "evaporated", "at": "2026-01-01T00:00:00Z"}', "[", ""]
)
def test_a_damaged_event_is_refused_without_repeating_it(damage: str) -> None:
    with pytest.raises(Poison) as refused:
        decode("OrderClosed", SCHEMA, damage)
    assert "evaporated" not in as_logged(refused.value)


@pytest.mark.parametrize("note", ["a\0b", "\ud800"])
def test_what_the_database_would_not_take_is_refused_before_it_is_asked(note: str) -> None:
    with pytest.raises(Poison):
        encode(replace(an_order(), note=note))


def test_the_letters_of_an_escaped_nul_are_only_letters() -> None:
    placed = replace(an_order(), note="\\u0000")
    assert decode("OrderPlaced", SCHEMA, encode(placed)[2]) == placed


def test_what_would_come_back_as_something_else_is_refused_without_repeating_it() -> None:
    with pytest.raises(Poison) as refused:
        encode(orders.OrderClosed(outcome="evaporated", at=datetime(2026, 1, 1, tzinfo=UTC)))  # type: ignore[arg-type]
    assert "evaporated" not in as_logged(refused.value)


def test_only_events_can_be_stored() -> None:
    with pytest.raises(UnknownEvent):
        encode(an_order().ship_to)
