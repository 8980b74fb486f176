"""Finds what looks like card data in text: numbers with the shape and the check digit of a card, and security codes.

A card number is 13 to 19 digits, perhaps in groups, that begin like an issuer's and pass the Luhn check. Shape alone would refuse
one of ten long numbers by chance, so the issuers' prefixes and lengths are asked for too. A group of digits is taken whole: the
numbers tried are those that begin and end at a group's border.

Neighbouring fields are read as one text, since a form may have cut a number in two. Digits of any script count.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import accumulate

from infrastructure.intake.submission import Line, OrderSubmission

_GAP = r"[\W_]{0,3}"
_LONG_NUMBER = re.compile(rf"\d(?:{_GAP}\d){{12}}")
_CODE_WORDS = ("cvv", "cvc", "csc", "security")
_SECURITY_CODE = re.compile(r"(?:cvv|cvc|csc|security.?code)2?[\W_]{0,5}\d{3,4}(?!\d)", re.IGNORECASE)
_RUN = re.compile(rf"\d+(?:{_GAP}\d+)*")
_GROUP = re.compile(r"\d+")
_ISSUED = re.compile(
    r"""
      4\d{12}(?:\d{3}){0,2}             # Visa
    | 5\d{12,18} | 6\d{12,18}           # Mastercard, Maestro, Discover, UnionPay, RuPay
    | 2(?:2\d|[3-6]\d|7[0-2])\d{13,16}  # Mir, Mastercard
    | 3[47]\d{13}                       # American Express
    | 3[0689]\d{12,17} | 35\d{14,17}    # Diners Club, JCB
    | 8[12]\d{14,17} | 9792\d{12}       # UnionPay, RuPay, Troy
    | 1\d{14}                           # UATP
    """,
    re.VERBOSE,
)
_GTIN_LENGTHS = (13, 14)
SHORTEST, LONGEST = 13, 19

Fields = Sequence[tuple[str, str]]


def find_card(order: OrderSubmission) -> str | None:
    """The first field that holds card data or the beginning of it, or None."""
    if not _is_worth_a_look(_everything(order)):
        return None
    for fields in _readings(order):
        if found := _first_in(fields):
            return found
    return None


def holds_card_number(text: str) -> bool:
    """Some run of digits in the text is a card number."""
    return _place_of_card(_plain(text)) is not None


def without_digits(body: bytes) -> bytes:
    """What may be kept of a document that was refused for its card data: everything but its digits, of any script."""
    text = body.decode(errors="replace")
    return "".join(["*" if sign.isnumeric() else sign for sign in text]).encode()


def _everything(order: OrderSubmission) -> str:
    """All text, with a letter between what is not read together."""
    place = order.ship_to
    address = f"{place.name} {place.street} {place.city} {place.region or ''} {place.postal_code or ''}"
    lines = "x".join([f"{line.sku} {line.name or ''}" for line in order.lines])
    names = " ".join([line.name or "" for line in order.lines]) if len(order.lines) > 1 else ""
    return f"{order.order_id}x{order.customer_id}x{order.payment.token}x{address} {order.note or ''}x{lines}x{names}"


def _is_worth_a_look(text: str) -> bool:
    folded = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()
    return _LONG_NUMBER.search(folded) is not None or any(word in folded for word in _CODE_WORDS)


def _readings(order: OrderSubmission) -> Iterator[Fields]:
    """The ways to read the fields: each is a sequence of neighbours."""
    yield [("order_id", order.order_id)]
    yield [("customer_id", order.customer_id)]
    yield [("payment.token", order.payment.token)]
    address = [(f"ship_to.{name}", getattr(order.ship_to, name) or "") for name in _ADDRESS]
    yield [*address, ("note", order.note or "")]
    names = [(f"lines[{number}].name", line.name or "") for number, line in enumerate(order.lines)]
    for number, line in enumerate(order.lines):
        yield from _readings_of_line(number, line)
    yield names


_ADDRESS = ("name", "street", "city", "region", "postal_code")


def _readings_of_line(number: int, line: Line) -> Iterator[Fields]:
    name = (f"lines[{number}].name", line.name or "")
    yield [name] if _is_article_number(line.sku) else [(f"lines[{number}].sku", line.sku), name]


def _first_in(fields: Fields) -> str | None:
    """What the fields say together, blamed on the field that says it alone, if there is one."""
    plain = [(name, _plain(text)) for name, text in fields]
    place = _place_of_card(" ".join([text for _, text in plain]))
    if place is None:
        return None
    alone = (name for name, text in plain if _place_of_card(text) is not None)
    return next(alone, _field_at(place, plain))


def _field_at(place: int, fields: Fields) -> str:
    """Which of the fields, joined by blanks, the character at `place` belongs to."""
    for name, text in fields:
        if place <= len(text):
            return name
        place -= len(text) + 1
    raise ValueError("beyond the last field")


def _place_of_card(text: str) -> int | None:
    if code := _SECURITY_CODE.search(text):
        return code.start()
    return next((run.start() + place for run in _RUN.finditer(text) for place in _cards_in(run.group())), None)


def _cards_in(run: str) -> Iterator[int]:
    """The places where card numbers begin in one run of digit groups. Linear: a window's check sum is a difference of two sums."""
    groups = list(_GROUP.finditer(run))
    number = "".join([group.group() for group in groups])
    if len(number) < SHORTEST:
        return
    ends = list(accumulate([len(group.group()) for group in groups]))
    borders = frozenset(ends)
    sums = _running_sums(number)
    for group, start in zip(groups, [0, *ends], strict=False):
        for end in range(start + SHORTEST, min(start + LONGEST, len(number)) + 1):
            if end in borders and _passes_luhn(sums, start, end) and _ISSUED.fullmatch(number, start, end):
                yield group.start()


def _running_sums(number: str) -> tuple[list[int], list[int]]:
    """For every place the sum of the digits before it, those at even places doubled as Luhn does; and the same for odd places."""
    plain = [int(digit) for digit in number]
    doubled = [2 * digit - 9 * (digit > 4) for digit in plain]
    both = [plain.copy(), plain.copy()]
    for parity, digits in enumerate(both):
        digits[parity::2] = doubled[parity::2]
    return list(accumulate(both[0], initial=0)), list(accumulate(both[1], initial=0))


def _passes_luhn(sums: tuple[list[int], list[int]], start: int, end: int) -> bool:
    """Every second digit is doubled, beginning with the last but one, which stands at the place of the parity of `end`."""
    chosen = sums[end % 2]
    return (chosen[end] - chosen[start]) % 10 == 0


def _is_article_number(sku: str) -> bool:
    """A GTIN, the number under a bar code: its check digit weighs 3 and 1, so few card numbers are one by chance."""
    if len(sku) not in _GTIN_LENGTHS or not sku.isdecimal():
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(sku))) % 10 == 0


def _plain(text: str) -> str:
    """Digits of any script, width or decoration as 0-9."""
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", text)
    return "".join(str(unicodedata.digit(sign)) if sign.isdecimal() else sign for sign in folded)
