"""A loud word, once, about whoever talks to another machine in the open: to a server whose certificate nobody checks, or without any.

On this machine (a socket file, 127.0.0.1, ::1, localhost) there is nobody in between, and nothing is said.
"""

from collections.abc import Iterable
from functools import cache
from ipaddress import ip_address

import structlog
from psycopg.conninfo import conninfo_to_dict

log = structlog.get_logger()

VERIFIED = "verify-full"


def is_this_machine(host: str) -> bool:
    """A name is this machine's only if it is `localhost`; whatever else it may lead to is not ours to know."""
    if not host or host.startswith(("/", "@")) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def warn_of_database(dsn: str, setting: str = "database_url") -> None:
    """Say so if the DSN leads to another machine and does not have its certificate checked in full."""
    given = conninfo_to_dict(dsn)
    hosts = str(given.get("hostaddr") or given.get("host") or "").split(",")
    if given.get("sslmode") != VERIFIED and not all(map(is_this_machine, hosts)):
        _warn(setting, "add sslmode=verify-full and sslrootcert=FILE")


def warn_of(setting: str, hosts: Iterable[str], advice: str) -> None:
    """The same for whatever else is known to be unchecked."""
    if not all(map(is_this_machine, hosts)):
        _warn(setting, advice)


@cache
def _warn(setting: str, advice: str) -> None:
    log.warning(
        "THE CONNECTION TO ANOTHER MACHINE IS NOT PROTECTED: whoever is in between can read and change everything",
        setting=setting,
        advice=advice,
    )
