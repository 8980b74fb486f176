"""Make the secrets of a compose installation, each where only those find it who need it; what is there already stays.

Runs once, in a container, before everything else: so no password is in the repository, in an environment or in a command line, and
nobody has to think of one. The volumes they are on live as long as those with the data.
"""

import secrets
from pathlib import Path

FOLDER = Path("/secrets")
# By volume: who logs in to the database with what is on it.
LOGINS = {"owner": "orderwright", "writer": "ow_writer", "projector": "ow_projector"}
# And who logs in to the broker.
SENDERS = {"owner", "writer"}


def main() -> None:
    """Write what is missing."""
    database = _once(FOLDER / "postgres" / "password", _password())
    broker = _once(FOLDER / "owner" / "broker_password", _password())
    users = f"default_user = orderwright\ndefault_pass = {broker}\nlog.console = true\n"
    _once(FOLDER / "rabbitmq" / "20-orderwright.conf", users)
    for kind, login in LOGINS.items():
        password = database if kind == "owner" else _password()
        _once(FOLDER / kind / "database_url", f"postgresql://{login}:{password}@postgres:5432/orderwright")
        if kind in SENDERS:
            _once(FOLDER / kind / "broker_url", f"amqp://orderwright:{broker}@rabbitmq:5672//")


def _password() -> str:
    return secrets.token_hex(24)


def _once(path: Path, text: str) -> str:
    """Write the text, unless the file is there; give what it says. The reader is another user in another container."""
    if not path.exists():
        draft = path.with_suffix(".part")
        draft.write_text(text, encoding="ascii")
        draft.chmod(0o444)
        draft.replace(path)
        print(f"made {path}")
    return path.read_text(encoding="ascii")


if __name__ == "__main__":
    main()
