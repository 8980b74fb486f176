"""Card numbers in what a service says: they are never kept, neither in an event nor in the words of an error.

Unlike an order at the door, an answer is full of long identifiers, so a number counts only if it stands alone: not within a word of
letters and digits (a hexadecimal reference), and in one piece or in the small groups in which people write it (no UUID).
"""

import re

from pydantic_core import PydanticCustomError

from infrastructure.intake.cards import holds_card_number

CARD_NUMBER = "card_number"

_SIGN = r"[^\W_]"
_ALONE = re.compile(rf"(?<!{_SIGN})(?:\d{{13,19}}|\d{{2,6}}(?:[\W_]{{1,3}}\d{{2,6}})+)(?!{_SIGN})")


def shows_card_number(text: str) -> bool:
    """Some number in the text has the shape, the issuer and the check digit of a card."""
    return any(holds_card_number(match.group()) for match in _ALONE.finditer(text))


def without_card_numbers(text: str) -> str:
    """The text with asterisks for the digits of such numbers."""
    return _ALONE.sub(_masked, text)


def no_card_number(text: str) -> str:
    """For pydantic: refuses a text that cannot be changed, such as a reference, without repeating it."""
    if shows_card_number(text):
        raise PydanticCustomError(CARD_NUMBER, "shows a card number")
    return text


def _masked(match: re.Match[str]) -> str:
    number = match.group()
    return re.sub(r"\d", "*", number) if holds_card_number(number) else number
