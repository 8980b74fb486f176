"""Takes from kombu what a stranger's message could use against us, and says which messages are refused unread.

kombu decompresses a body before anybody has looked at it (1 MB becomes 1 GB), and its serializers run what they read. Nothing of
ours needs either, so they are removed from the whole process as soon as messaging is imported.
"""

from collections.abc import Callable

import kombu.compression
import kombu.serialization

from domain.messaging import Inbound

MALFORMED = "application/x-malformed-envelope"

Check = Callable[[Inbound], str | None]


def harden_kombu() -> None:
    kombu.compression._decoders.clear()  # noqa: SLF001 - there is no public way
    for name in ("pickle", "yaml", "msgpack", "application/data", "application/text"):
        _forget_serializer(name)


def _forget_serializer(name: str) -> None:
    registry = kombu.serialization.registry
    content_type = registry.name_to_type.get(name)
    for table in (registry._encoders, registry._decoders):  # noqa: SLF001 - `unregister` raises for what is not installed
        table.pop(name, None)
        table.pop(content_type, None)
    if content_type is not None:
        registry.type_to_name.pop(content_type, None)
        registry.name_to_type.pop(name, None)


def json_only(limit: int, deliveries: int = 20) -> Check:
    """Refuse whatever is not a JSON document in UTF-8 of at most `limit` bytes, and what was given out too often. The body is not parsed."""

    def check(inbound: Inbound) -> str | None:
        if inbound.deliveries > deliveries:
            return f"was given out {inbound.deliveries} times and never settled: it may end whoever takes it"
        if inbound.content_type == MALFORMED:
            return "the transport's envelope cannot be read"
        size = max(len(inbound.body), inbound.size)
        if not 0 < size <= limit:
            return f"{size} bytes, more than {limit}" if size else "an empty body"
        if inbound.content_type != "application/json":
            return f"content type {_short(inbound.content_type)}, not application/json"
        if not _is_utf8(inbound.content_encoding):
            return f"content encoding {_short(inbound.content_encoding)}, not utf-8"
        return "a compressed body" if "compression" in inbound.headers else None

    return check


def anything(_inbound: Inbound) -> str | None:
    """Refuse nothing: for the keeper of dead letters."""
    return None


def _is_utf8(encoding: str | None) -> bool:
    return encoding is None or encoding.lower() in {"", "utf-8", "utf8"}


def _short(label: str | None) -> str:
    return ascii(label)[:80]


harden_kombu()
