"""The numbered SQL files of the schema, read the same way from a checkout and from an installed wheel.

`NNNN_name.sql`, forward only, applied in order, never changed once applied: the checksum tells. A file is one transaction, unless its
first lines say `-- migrate:no-transaction`; such a file holds one statement that can be repeated (`CREATE INDEX CONCURRENTLY IF NOT
EXISTS`), because a kill may come between the statement and the record of it.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise

from domain.errors import Misconfigured

FILE_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
NO_TRANSACTION = re.compile(r"^-- migrate:no-transaction\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file, ready to be applied."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        return NO_TRANSACTION.search(self.sql) is None


def read_migrations(folder: Traversable | None = None) -> list[Migration]:
    """Read all files in order; a misnamed file or a number used twice is refused."""
    found = [item for item in (folder or files("migrations")).iterdir() if item.name.endswith(".sql")]
    migrations = sorted(map(_read, found), key=lambda migration: migration.version)
    for earlier, later in pairwise(migrations):
        if earlier.version == later.version:
            raise Misconfigured(f"{earlier.name} and {later.name} have the same number: renumber one of them.")
    return migrations


def _read(item: Traversable) -> Migration:
    match = FILE_NAME.fullmatch(item.name)
    if match is None or int(match[1]) == 0:
        raise Misconfigured(f"migrations/{item.name} is not named like 0001_what_it_does.sql.")
    text = item.read_text(encoding="utf-8").replace("\r\n", "\n")
    return Migration(version=int(match[1]), name=item.name.removesuffix(".sql"), sql=text)
