"""What the figures were measured on."""

import os
import platform
from importlib.metadata import version

import psycopg


def describe(dsn: str) -> list[str]:
    """Lines that say which machine, which server and which durability settings."""
    with psycopg.connect(dsn) as connection:
        settings = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        }
    shown = ", ".join(f"{name} {row[0]}" for name, row in settings.items() if row)
    packages = ", ".join(f"{name} {version(name)}" for name in ("psycopg", "kombu", "pydantic"))
    return [
        f"machine: {os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        f"python:  {platform.python_version()}, {packages}",
        f"server:  PostgreSQL {shown}",
        f"load:    {os.getloadavg()[0]:.1f} before the start",
    ]
