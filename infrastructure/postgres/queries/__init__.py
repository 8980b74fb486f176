"""SQL by name: one file a noun, each statement headed `-- name: <name>`.

`load("events")` returns the statements of `events.sql`. Files are found as package data, so checkout and wheel work alike.
"""

import re
from functools import cache
from importlib.resources import files

_HEAD = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@cache
def load(noun: str) -> dict[str, bytes]:
    """All statements of one file, by name, as bytes so that nothing can be formatted into them."""
    text = files(__name__).joinpath(f"{noun}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)[1:]
    return {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
