"""Why an order was refused: which field, and what is wrong, in plain words.

Nothing of the input is ever repeated, neither values nor names of unknown fields: a refusal is logged, stored and mailed around,
and the input may hold what must not be (a card number pasted into the wrong field). `order_id` is the one exception; it is a
key, it is set only if it has the shape of one, and it is no part of the text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any

from pydantic import ValidationError

from domain.errors import CommandRefused
from infrastructure.intake.submission import (
    KEY_PATTERN,
    TEXT_PATTERN,
    TOKEN_PATTERN,
    Line,
    OrderSubmission,
    Payment,
    ShipTo,
)

ROOT = "order"
MAX_ERRORS = 20
MAX_LOOKED_AT = 1_000
CARD_DATA = "card data is not accepted: send the payment gateway's token as payment.token and nothing else of the card"

_KNOWN_FIELDS = {
    (): tuple(OrderSubmission.model_fields),
    ("lines",): tuple(Line.model_fields),
    ("ship_to",): tuple(ShipTo.model_fields),
    ("payment",): tuple(Payment.model_fields),
}
_CARD_FIELDS = ("card", "cvv", "cvc", "csc", "pan", "expir", "exp_", "securitycode", "security_code")
_PRICE_FIELDS = ("discount", "tax", "vat", "unit_price", "price")

_PATTERNS = {
    KEY_PATTERN: "must be 1 to 64 letters, digits, dots, underscores or hyphens, beginning with a letter or digit",
    TOKEN_PATTERN: "must be a gateway token: letters, digits and . _ : / + = - only, beginning with a letter or digit",
    TEXT_PATTERN: "must have a visible character and no control, invisible or text-direction characters",
}
_WORDS = {
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be an integer, without quotes, decimal point or exponent",
    "int_parsing_size": "is out of range",
    "model_type": "must be an object",
    "tuple_type": "must be a list",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} entry",
    "too_long": "must have at most {max_length} entries",
    "enum": "must be one of {expected}",
    "unknown_currency": "must be an ISO 4217 currency code in capitals, such as EUR",
    "unknown_country": "must be an ISO 3166 country code of two capitals, such as DE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """`field` is a pointer like `lines[0].quantity`, or `order` for the document as a whole."""

    field: str
    reason: str


class Refusal(CommandRefused):
    """The document is not an order that this program takes. `undecodable`: it is not even a JSON document."""

    def __init__(self, errors: Sequence[FieldError], *, order_id: str | None = None, undecodable: bool = False) -> None:
        self.errors = tuple(errors)
        self.order_id = order_id
        self.undecodable = undecodable
        super().__init__("; ".join(f"{error.field}: {error.reason}" for error in self.errors))


def unreadable(reason: str) -> Refusal:
    """The refusal of something that is not a JSON document at all."""
    return Refusal([FieldError(field=ROOT, reason=reason)], undecodable=True)


def refusal_of(invalid: ValidationError, *, order_id: str | None = None) -> Refusal:
    """In our own words what pydantic found, at most `MAX_ERRORS` of it."""
    found = invalid.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return unreadable(f"is not a JSON document: {_where(found[0]['ctx']['error'])}")
    errors = list(islice(_distinct(found), MAX_ERRORS + 1))
    if len(errors) > MAX_ERRORS:
        errors[MAX_ERRORS:] = [FieldError(field=ROOT, reason="and more; the rest is not listed")]
    return Refusal(errors, order_id=order_id)


def _distinct(found: Sequence[Any]) -> Iterator[FieldError]:
    seen = set()
    looked_at = found[:MAX_LOOKED_AT]
    deeper = {error["loc"][:1] for error in looked_at if len(error["loc"]) > 1}
    for error in looked_at:
        if error["type"] == "too_short" and error["loc"] in deeper:
            continue  # pydantic counts only the good entries of a list
        translated = _translate(error)
        if translated not in seen:
            seen.add(translated)
            yield translated


def _translate(error: Mapping[str, Any]) -> FieldError:
    kind, place = error["type"], error["loc"]
    if kind == "extra_forbidden":
        return FieldError(field=pointer(place[:-1]), reason=_unknown_field(place))
    context = error.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return FieldError(field=pointer(place), reason=_PATTERNS[context["pattern"]])
    return FieldError(field=pointer(place), reason=_WORDS.get(kind, "is not valid").format(**context))


def pointer(place: Sequence[int | str]) -> str:
    """`("lines", 0, "quantity")` as `lines[0].quantity`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or ROOT


def _unknown_field(place: Sequence[int | str]) -> str:
    """Help with a slip of the pen without repeating it: only names of our own are ever named."""
    known = _KNOWN_FIELDS[tuple(part for part in place[:-1] if isinstance(part, str))]
    name = str(place[-1]).lower()[:64]
    if any(name.startswith(start) for start in _CARD_FIELDS):
        return CARD_DATA
    if any(start in name for start in _PRICE_FIELDS):
        return "has an unknown field: amount is the final price of a line, discounts and taxes are in it"
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
    return f"has an unknown field; {hint}"


def _where(problem: str) -> str:
    """The parser's message names a place and what it wanted there, never what it found; bounded all the same."""
    return problem.replace("EOF", "the end came")[:120]
