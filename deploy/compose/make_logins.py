"""Give the services of a compose installation their own logins in the database, each with the least rights it needs.

Runs as the owner after every `migrate up`, because new tables need new grants. A login that exists gets the password of its file again:
whoever removes that file has renewed the password by the next `up`, and running services read theirs before each connection.
"""

from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from infrastructure.postgres import grants

FOLDER = Path("/secrets")
KINDS = ("writer", "projector")


def main() -> None:
    """Make the logins, and grant."""
    owner = _url("owner")
    logins = {kind: conninfo_to_dict(_url(kind)) for kind in KINDS}
    with psycopg.connect(owner, autocommit=True) as connection:
        for login in logins.values():
            _make(connection, str(login["user"]), str(login["password"]))
    grants.grant(owner, {kind: str(login["user"]) for kind, login in logins.items()})
    print("logins:", ", ".join(str(login["user"]) for login in logins.values()))


def _url(kind: str) -> str:
    return (FOLDER / kind / "database_url").read_text(encoding="ascii")


def _make(connection: psycopg.Connection[Any], name: str, password: str) -> None:
    """The password is encrypted here, so that no log of the server can show it."""
    role = sql.Identifier(name)
    if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount == 0:
        connection.execute(sql.SQL("CREATE ROLE {}").format(role))
    secret = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(secret)))


if __name__ == "__main__":
    main()
