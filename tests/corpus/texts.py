"""Class 4c: text. What is odd but harmless is kept as it came; what a terminal, a database or a person is fooled by is refused."""

# ruff: noqa: RUF001 - letters that look like others are the point

from tests.corpus.case import Case, accepted, encoded, place, refused

_KEPT = {
    "script": "<script>alert(1)</script>",
    "event handler": '"><img src=x onerror=alert(1)>',
    "javascript URL": "javascript:alert(1)",
    "templates": "{{7*7}} ${7*7} %{7*7}",
    "SQL": "'; DROP TABLE events;--",
    "SQL truth": "' OR 1=1--",
    "joined emoji": "👩\u200d👩\u200d👧\u200d👦",
    "zero-width non-joiner": "می\u200cخواهم",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1 door to the left",
    "at": "@home",
    "path": "../../etc/passwd",
    "device": "C:\\con",
    "percent": "%00 %2e%2e",
    "formats": "%s%n {0.__class__}",
    "the word null": "null",
    "the word None": "None",
    "decomposed": "A\u030angstro\u0308m",
    "right to left": "שלום",
    "long word": "x" * 200,
    "Zalgo within bounds": "Z" + "\u0335" * 150,
}
_REFUSED = {
    "empty": "",
    "blanks": "   ",
    "no-break blanks": "\u00a0\u2003",
    "clear the screen": "\x1b[2J\x1b]0;pwn\x07",
    "alternate screen": "\x1b[?1049h",
    "link": "\x1b]8;;http://evil\x07x\x1b]8;;\x07",
    "clipboard": "\x1b]52;c;aGk=\x07",
    "C1": "a\u009b2J",
    "forged log line": "x\r\n2026-01-01 INFO paid",
    "line separator": "a\u2028b",
    "tab": "\ta",
    "override": "a\u202eb",
    "isolate": "a\u2066b\u2069",
    "mark": "a\u200fb",
    "zero-width space": "a\u200bb",
    "byte order mark": "a\ufeffb",
    "soft hyphen": "a\u00adb",
    "non-character FFFF": "a\uffffb",
    "non-character FDD0": "a\ufdd0b",
    "replacement": "Jos\ufffd",
    "delete": "a\x7fb",
    "201 characters": "x" * 201,
    "60,000 combining marks": "a" + "\u0301" * 20_000,
    "256 KB": "x" * 200_000,
}
_FIELDS = ("ship_to.name", "ship_to.street", "ship_to.city", "ship_to.region", "lines[0].name")

TEXTS: list[Case] = [
    *(accepted(f"{name} in {field}", encoded(place(field, text))) for name, text in _KEPT.items() for field in _FIELDS),
    *(
        refused(f"{name} in {field}", encoded(place(field, text)), field)
        for name, text in _REFUSED.items()
        for field in _FIELDS
    ),
    accepted("a note of 1,000 characters", encoded(place("note", "x" * 1_000))),
    refused("a note of 1,001 characters", encoded(place("note", "x" * 1_001)), "note"),
    refused(
        "a postal code of 33 characters", encoded(place("ship_to.postal_code", "1" + "x" * 32)), "ship_to.postal_code"
    ),
    refused("homoglyph SKU", encoded(place("lines[0].sku", "TE\u0410-500")), "lines[0].sku"),
    refused("SKU as a path", encoded(place("lines[0].sku", "../../etc/passwd")), "lines[0].sku"),
    refused("SKU of 65 characters", encoded(place("lines[0].sku", "x" * 65)), "lines[0].sku"),
]
