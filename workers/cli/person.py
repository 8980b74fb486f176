"""Who is at the keyboard: events say who decided."""

import getpass


def person() -> str:
    """Whoever is logged in."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):
        return "cli"
