"""Logging: structlog for all, the standard library's loggers routed through it.

Pretty on a terminal, one JSON line an entry otherwise. Keys are an allow-list and values are cut and escaped, so neither a payload
nor a forged line nor a terminal sequence gets into a log; tracebacks carry no local variables.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

ALLOWED = frozenset(
    {
        "event", "level", "timestamp", "logger", "exception", "exc_info",
        "order_id", "correlation_id", "causation_id", "event_id", "message_id", "run", "runs", "step", "worker", "holder", "epoch",
        "attempt", "attempts", "reason", "failures", "orders", "events", "batches", "conflicts", "fenced", "dead", "swept",
        "wake_ups", "queue", "size", "sha256", "position", "projection", "name", "port", "url", "pid", "path", "count", "seconds",
        "accepted", "refused", "already_known", "read", "signal", "version", "role", "lag_events", "state", "requests", "queues", "calls",
        "open_connections", "ledger", "seed", "dependency", "before", "after", "who", "elapsed_s", "thread", "lost", "lease", "letter",
        "setting", "advice", "file", "changed", "kept", "seen", "found", "why",
    }
)  # fmt: skip
VALUE_LIMIT = 1000
TRACEBACK_LIMIT = 20_000


def configure(
    *, pretty: bool, level: Literal["debug", "info", "warning", "error"], stream: TextIO | None = None
) -> None:
    """Set up logging for this process; `stream` is standard error unless told."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _only_allowed,
        _harmless,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if pretty
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=out),
        cache_logger_on_first_use=True,
    )
    handler = _ToStructlog()
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, getattr(logging, level.upper())))


class _ToStructlog(logging.Handler):
    """Hands records of the standard library's loggers to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a slip in somebody's log call must not fail what he was doing
            message = str(record.msg)
        structlog.get_logger().log(record.levelno, message, logger=record.name, exc_info=record.exc_info)


def _only_allowed(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in [key for key in entry if key not in ALLOWED]:
        del entry[key]
    return entry


def _harmless(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in entry.items():
        if key == "exception" and isinstance(value, str):
            entry[key] = "\n".join(printable(line) for line in value[-TRACEBACK_LIMIT:].split("\n"))
        elif isinstance(value, str):
            entry[key] = printable(value[:VALUE_LIMIT])
        elif isinstance(value, (list, tuple)):
            entry[key] = [printable(str(item)[:VALUE_LIMIT]) for item in value[:50]]
    return entry


_BIDI = {chr(code) for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def printable(text: str) -> str:
    """The text with control and bidi characters written out, so that it can do nothing to a terminal or a reader."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() and c not in _BIDI else c.encode("unicode_escape").decode() for c in text)
