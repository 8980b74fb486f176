"""The gate of intake: what an order submission may be, and how it becomes the first event of an order."""

from infrastructure.intake.cards import without_digits
from infrastructure.intake.json_schema import export_order_schema, order_schema
from infrastructure.intake.parse import MAX_BYTES, encode_order, parse_order
from infrastructure.intake.placing import content_hash, to_placed
from infrastructure.intake.refusal import CARD_DATA, FieldError, Refusal, unreadable
from infrastructure.intake.submission import OrderSubmission

__all__ = [
    "CARD_DATA",
    "MAX_BYTES",
    "FieldError",
    "OrderSubmission",
    "Refusal",
    "content_hash",
    "encode_order",
    "export_order_schema",
    "order_schema",
    "parse_order",
    "to_placed",
    "unreadable",
    "without_digits",
]
