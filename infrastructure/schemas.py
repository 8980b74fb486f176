"""JSON Schema files of everything that goes in or is stored, for people and programs in other languages."""

from pathlib import Path

import orjson

from infrastructure.codec import event_schemas
from infrastructure.intake import export_order_schema


def export_schemas(folder: Path) -> list[Path]:
    """Write the order's schema, and below `events` that of every event; returns the files."""
    written = [export_order_schema(folder)]
    (folder / "events").mkdir(exist_ok=True)
    for name, schema in event_schemas().items():
        path = folder / "events" / f"{name}.schema.json"
        path.write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        written.append(path)
    return written
