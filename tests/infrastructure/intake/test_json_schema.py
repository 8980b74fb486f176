"""The exported schema says what the door does."""

import json
from pathlib import Path

from infrastructure.intake import encode_order, export_order_schema, order_schema, parse_order
from infrastructure.intake.countries import COUNTRIES
from infrastructure.intake.currencies import EXPONENTS


def test_the_example_in_the_schema_is_accepted() -> None:
    (example,) = order_schema()["examples"]
    assert parse_order(encode_order(example)).order_id == example["order_id"]


def test_unknown_fields_are_refused_at_every_level() -> None:
    schema = order_schema()
    parts = [schema, *(part for part in schema["$defs"].values() if part.get("type") == "object")]
    assert len(parts) == 4
    assert all(part["additionalProperties"] is False for part in parts)


def test_every_field_is_bounded_and_described_or_named_clearly() -> None:
    line = order_schema()["$defs"]["Line"]["properties"]
    assert line["quantity"] == {**line["quantity"], "minimum": 1, "maximum": 1_000_000, "type": "integer"}
    assert line["amount"]["maximum"] == 10**12
    assert order_schema()["properties"]["lines"]["maxItems"] == 1_000
    assert set(order_schema()["properties"]["currency"]["enum"]) == set(EXPONENTS)
    assert set(order_schema()["$defs"]["ShipTo"]["properties"]["country"]["enum"]) == COUNTRIES


def test_the_schema_is_written_to_a_file(tmp_path: Path) -> None:
    path = export_order_schema(tmp_path / "schemas")
    assert path.name == "order.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == order_schema()


def test_the_tables_hold_what_iso_publishes() -> None:
    assert len(COUNTRIES) == 249 + 1
    assert (EXPONENTS["EUR"], EXPONENTS["JPY"], EXPONENTS["KWD"]) == (2, 0, 3)
    assert not {"XXX", "XTS", "XAU", "DEM", "HRK", "BGN"} & set(EXPONENTS)
