"""What a shop sends: the schema of an order submission.

It is strict on purpose. Whatever passes here is kept for ever as an event, so every string is bounded and free of characters that a
terminal, a database or a spreadsheet takes for a command; every number is a bounded integer; every unknown field is refused. Money
is integer minor units of the order's one currency. A line's `amount` is final: discounts and taxes are the shop's business and
are in it already.

These models only describe one field at a time; `parse_order` is the door, and adds what concerns the document as a whole.
"""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from domain.order import ShippingPolicy
from infrastructure.intake.countries import COUNTRIES
from infrastructure.intake.currencies import EXPONENTS

KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
TOKEN_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,255}$"  # noqa: S105 - a pattern, no token
# C0, DEL and C1, bidirectional controls, invisible characters, line and paragraph separators, non-characters
_REFUSED = r"\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\uffff"
TEXT_PATTERN = rf"^[^{_REFUSED}]*[^\s{_REFUSED}][^{_REFUSED}]*$"

MAX_LINES = 1_000
MAX_QUANTITY = 1_000_000
MAX_AMOUNT = 10**12
MAX_TOTAL = 10**15


def _known_currency(code: str) -> str:
    if code not in EXPONENTS:
        raise PydanticCustomError("unknown_currency", "must be an ISO 4217 currency code in capitals, such as EUR")
    return code


def _known_country(code: str) -> str:
    if code not in COUNTRIES:
        raise PydanticCustomError("unknown_country", "must be an ISO 3166 country code of two capitals, such as DE")
    return code


Key = Annotated[str, Field(pattern=KEY_PATTERN, max_length=64)]
Text = Annotated[str, Field(pattern=TEXT_PATTERN, max_length=200)]
Note = Annotated[str, Field(pattern=TEXT_PATTERN, max_length=1_000)]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT)]
Currency = Annotated[
    str,
    Field(min_length=3, max_length=3, json_schema_extra={"enum": sorted(EXPONENTS)}),
    AfterValidator(_known_currency),
]
Country = Annotated[
    str,
    Field(min_length=2, max_length=2, json_schema_extra={"enum": sorted(COUNTRIES)}),
    AfterValidator(_known_country),
]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Line(_Part):
    """So many units of one article. The same article may stand in several lines."""

    sku: Annotated[Key, Field(description="The article's key.", examples=["TEA-500"])]
    quantity: Annotated[int, Field(ge=1, le=MAX_QUANTITY, description="Whole units.", examples=[2])]
    amount: Annotated[
        Amount,
        Field(description="The final price of the whole line in minor units, for example cents.", examples=[2590]),
    ]
    name: Annotated[Text | None, Field(description="What people call the article.", examples=["Tea, 500 g"])] = None


class ShipTo(_Part):
    """Where the parcels go."""

    name: Annotated[Text, Field(description="The person or company.", examples=["Ada Byron"])]
    street: Annotated[Text, Field(description="Street and number.", examples=["12 St James's Square"])]
    city: Annotated[Text, Field(examples=["London"])]
    country: Annotated[Country, Field(description="ISO 3166 alpha-2 code.", examples=["GB"])]
    region: Annotated[Text | None, Field(description="State, province or county.")] = None
    postal_code: Annotated[Text | None, Field(max_length=32, examples=["SW1Y 4JH"])] = None


class Payment(_Part):
    """How it is paid: only ever a token of the payment gateway, never card data."""

    token: Annotated[
        str,
        Field(pattern=TOKEN_PATTERN, max_length=256, description="The gateway's token.", examples=["tok_1NvX"]),
    ]


class OrderSubmission(_Part):
    """An order as a shop submits it."""

    order_id: Annotated[
        Key,
        Field(
            description="Your own key of the order. Submitting the same order again under it is safe and changes nothing.",
            examples=["SHOP-2026-000123"],
        ),
    ]
    customer_id: Annotated[
        Key, Field(description="Your own key of the customer; no e-mail address.", examples=["C-4711"])
    ]
    currency: Annotated[Currency, Field(description="ISO 4217 code of all amounts.", examples=["EUR"])]
    lines: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES)]
    shipping: Annotated[Amount, Field(description="The shipping fee in minor units; 0 if free.", examples=[490])]
    total: Annotated[
        int,
        Field(ge=1, le=MAX_TOTAL, description="What the customer pays: all lines and the shipping.", examples=[3080]),
    ]
    ship_to: ShipTo
    payment: Payment
    shipping_policy: Annotated[
        ShippingPolicy,
        Field(
            description="What to do with what is not in stock: send what is there, wait for all, or give the rest up.",
        ),
    ] = ShippingPolicy.PARTIAL
    note: Annotated[Note | None, Field(description="For people; one line of text.", examples=["Leave at the door"])] = (
        None
    )
