"""Class 4a: the structure of a submission. Cases of a transport (chunked, slow, announced sizes) belong to the doors that have one."""

import gzip

from tests.corpus.case import GOOD, Case, accepted, document, encoded, literally, place, refused

_GOOD = encoded(GOOD)
_LINE = GOOD["lines"][0]
_TEXT_FIELDS = (
    "order_id",
    "customer_id",
    "currency",
    "lines[0].sku",
    "lines[0].name",
    "ship_to.name",
    "ship_to.street",
    "ship_to.city",
    "ship_to.region",
    "ship_to.postal_code",
    "ship_to.country",
    "payment.token",
    "note",
)
_ENTRY_FIELDS = ("ship_to", "payment", "lines[0]")


def _sized(size: int) -> bytes:
    """A good order, padded with blanks to so many bytes."""
    return _GOOD + b" " * (size - len(_GOOD))


def _many_lines(count: int) -> bytes:
    return encoded(document(lines=[_LINE] * count, total=_LINE["amount"] * count + GOOD["shipping"]))


def _tiny_lines(count: int) -> bytes:
    return _GOOD.replace(encoded(_LINE), b",".join([b"{}"] * count))


STRUCTURE: list[Case] = [
    refused("S1 empty body", b""),
    refused("S1 blanks", b"  \t "),
    refused("S2 null", b"null"),
    refused("S3 empty list", b"[]"),
    refused("S3 list of a good order", b"[" + _GOOD + b"]"),
    refused("S4 text", b'"x"'),
    refused("S4 number", b"7"),
    refused("S5 empty object", b"{}", "order_id"),
    refused("S6 trailing garbage", _GOOD + b"x"),
    refused("S7 two documents", _GOOD + _GOOD),
    refused("S8 byte order mark", b"\xef\xbb\xbf" + _GOOD),
    refused("S9 UTF-16", _GOOD.decode().encode("utf-16")),
    refused("S9 UTF-16 without a mark", _GOOD.decode().encode("utf-16-le")),
    refused("S10 Latin-1 byte", _GOOD.replace(b"Ada", b"\xc5sa")),
    refused("S11 overlong UTF-8", _GOOD.replace(b"Ada", b"\xc0\x80")),
    refused("S12 lone surrogate, escaped", _GOOD.replace(b"Ada", b"\\ud800")),
    refused("S12 lone surrogate, encoded", _GOOD.replace(b"Ada", b"\xed\xa0\x80")),
    *(refused(f"S13 NUL in {field}", encoded(place(field, "A\0B")), field) for field in _TEXT_FIELDS),
    refused("S14 total twice", _GOOD.replace(b'"total": 3080', b'"total": 1, "total": 3080')),
    refused("S14 amount twice", _GOOD.replace(b'"amount": 2590', b'"amount": 1, "amount": 2590')),
    refused(
        "S14 amount twice, once in escapes", _GOOD.replace(b'"amount": 2590', b'"\\u0061mount": 1, "amount": 2590')
    ),
    refused(
        "S14 token twice beside a colon in a text",
        literally("note", '"at: 9"').replace(b'{"token"', b'{"token": "tok_0", "token"'),
    ),
    accepted("S14 a colon in a text is no field", encoded(document(note="Deliver at: 9:00"))),
    refused("S15 unknown field", encoded(document(colour="red"))),
    *(
        refused(f"S16 field {name}", encoded(document(**{name: {}})))
        for name in ("__class__", "__proto__", "constructor")
    ),
    refused("S17 hook shape as the document", b'{"__type__": "uuid", "__value__": "x"}', "order_id"),
    refused(
        "S17 hook shape as an amount",
        literally("total", '{"__type__": "decimal", "__value__": "1E+1000000000"}'),
        "total",
    ),
    *(
        refused(f"S18 nesting {depth}", literally("note", "[" * depth + "]" * depth), field)
        for depth, field in (
            (150, "note"),
            (199, "note"),
            (200, "note"),
            (201, "order"),
            (5_000, "order"),
            (100_000, "order"),
        )
    ),
    refused("S18 objects nested 20,000", literally("note", '{"a":' * 20_000 + "1" + "}" * 20_000)),
    refused("S19 80,000 empty lines", _tiny_lines(80_000)),
    refused("S20 1,001 lines", _many_lines(1_001), "lines"),
    accepted("S20 1,000 lines, all alike", _many_lines(1_000)),
    accepted("S21 262,144 bytes", _sized(262_144)),
    refused("S21 262,145 bytes", _sized(262_145)),
    refused("S21 1 MB", _sized(1_000_000)),
    refused("S24 compressed", gzip.compress(_GOOD)),
    *(
        refused(f"S5 {field} is null", literally(field, "null"), field)
        for field in (*_ENTRY_FIELDS, "lines", "order_id", "total")
    ),
    *(
        refused(f"S5 {field} is a list", literally(field, "[]"), field)
        for field in (*_ENTRY_FIELDS, "lines", "order_id", "total")
    ),
    *(
        accepted(f"S5 {field} may be null", literally(field, "null"))
        for field in ("note", "ship_to.region", "lines[0].name")
    ),
]
